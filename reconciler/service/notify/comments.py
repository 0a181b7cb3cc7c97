"""Texts for forges: cut to their limits, marked so that they are found again. Pure."""

from __future__ import annotations

from typing import Final

from reconciler.render.words import clean

_CUT: Final = "\n\n**Cut here:** the rest does not fit into a comment."
# Fences and folds that a cut may leave open.
_FENCE: Final = "```"


def described(text: str, most: int) -> str:
    """One printable line of at most `most` characters, with `…` where it was cut."""
    line = clean(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def marked(marker: str, markdown: str, most: int) -> str:
    """The comment with its marker as the first line, in at most `most` characters.

    A cut falls between lines, and what was open there is closed: a fence, a fold.
    """
    text = f"{marker}\n{markdown}"
    if len(text) <= most:
        return text
    kept = text[: most - len(_CUT) - _LONGEST_ENDING].rsplit("\n", 1)[0]
    return f"{kept}{_ending(kept)}{_CUT}"


_LONGEST_ENDING: Final = 200


def _ending(text: str) -> str:
    """What closes the fence and the folds that are open at the end of this text."""
    fence, folds = "", 0
    for line in text.split("\n"):
        bare = line.strip()
        ticks = len(bare) - len(bare.lstrip("`"))
        if fence:
            fence = "" if ticks >= len(fence) and not bare.strip("`") else fence
        elif ticks >= len(_FENCE):
            fence = "`" * ticks
        else:
            folds += bare.startswith("<details>") - bare.startswith("</details>")
    closed = f"\n{fence}" if fence else ""
    return (closed + "\n\n</details>" * folds)[:_LONGEST_ENDING]


def same(one: str, other: str) -> bool:
    """Whether two texts say the same: forges change line ends and trim."""
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def is_marked(text: object, marker: str) -> bool:
    """Whether a comment starts with our marker, which says nothing yet about who wrote it."""
    return isinstance(text, str) and text.lstrip().startswith(marker)

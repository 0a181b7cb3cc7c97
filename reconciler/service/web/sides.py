"""A difference as two columns of lines, what Git wants beside what lives. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from reconciler.resource import Json
from reconciler.service.views_models import FieldView
from reconciler.service.web.wording import value_text

# Lines that are equal and shown around a change; the rest is folded away.
_AROUND: Final = 2
# Comparing words is quadratic; lines longer than this are marked as a whole.
_MOST_CHARS: Final = 2_000
# Lines of one value that are compared. Prompts are shorter; a definition with a whole book in it is cut.
_MOST_LINES: Final = 1_500
# Rows of one field on a page, and characters of a line.
_MOST_ROWS: Final = 300
_LONGEST: Final = 4_000

Marked = tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Row:
    """One line on both sides, each in pieces that say whether they are what differs; None where a side has no
    line. A line that differs as a whole has no such piece.

    `same`: both sides are equal. `folded` counts equal lines that are left out here.
    """

    desired: Marked | None
    live: Marked | None
    same: bool = False
    folded: int = 0


@dataclass(frozen=True)
class Sides:
    """One field that differs. `cut` counts rows that are not shown."""

    op: str
    path: str
    rows: tuple[Row, ...]
    cut: int = 0


def sides(field: FieldView) -> Sides:
    """A field's difference: `add` is only in Git, `remove` only live."""
    desired = [] if field.op == "remove" else _lines(field.desired)
    live = [] if field.op == "add" else _lines(field.live)
    rows = tuple(_folded(list(_rows(desired, live))))
    return Sides(field.op, field.path, rows[:_MOST_ROWS], max(0, len(rows) - _MOST_ROWS))


def _lines(value: Json) -> list[str]:
    lines = value_text(value).split("\n")
    cut = [f"… {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    return [_shortened(line) for line in lines[:_MOST_LINES]] + cut


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} … {len(line) - _LONGEST} more characters"


def _rows(desired: Sequence[str], live: Sequence[str]) -> Iterator[Row]:
    for tag, from_, to, live_from, live_to in SequenceMatcher(None, desired, live, False).get_opcodes():
        if tag == "equal":
            for line in desired[from_:to]:
                yield Row(((line, False),), ((line, False),), same=True)
            continue
        ours, theirs = desired[from_:to], live[live_from:live_to]
        for index in range(max(len(ours), len(theirs))):
            yield _pair(
                ours[index] if index < len(ours) else None,
                theirs[index] if index < len(theirs) else None,
            )


def _pair(desired: str | None, live: str | None) -> Row:
    if desired is None or live is None:
        return Row(_whole(desired), _whole(live))
    if max(len(desired), len(live)) > _MOST_CHARS:
        return Row(_whole(desired), _whole(live))
    ours, theirs = _words(desired), _words(live)
    matcher = SequenceMatcher(None, ours, theirs, False)
    if matcher.ratio() < 0.3:
        # Two different sentences share words by chance; marking those would only flicker.
        return Row(_whole(desired), _whole(live))
    codes = matcher.get_opcodes()
    return Row(
        _marked([("".join(ours[a:b]), tag != "equal") for tag, a, b, _, _ in codes]),
        _marked([("".join(theirs[c:d]), tag != "equal") for tag, _, _, c, d in codes]),
    )


def _whole(line: str | None) -> Marked | None:
    return None if line is None else ((line, False),)


def _marked(pieces: Sequence[tuple[str, bool]]) -> Marked:
    return tuple((text, differs) for text, differs in pieces if text)


def _words(line: str) -> list[str]:
    """Words, and what is between them one character at a time."""
    words, word = [], ""
    for char in line:
        if char.isalnum() or char == "_":
            word += char
            continue
        if word:
            words.append(word)
            word = ""
        words.append(char)
    return [*words, word] if word else words


def _folded(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows with long equal stretches left out."""
    near = {
        other
        for index, row in enumerate(rows)
        if not row.same
        for other in range(index - _AROUND, index + _AROUND + 1)
    }
    hidden = 0
    for index, row in enumerate(rows):
        if row.same and index not in near:
            hidden += 1
            continue
        if hidden:
            yield Row(None, None, same=True, folded=hidden)
            hidden = 0
        yield row
    if hidden:
        yield Row(None, None, same=True, folded=hidden)

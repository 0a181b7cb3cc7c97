"""Globs over paths with `/`: `*` and `?` inside a name, `**` over any number of folders. Pure.

As in a shell, a wildcard does not match a name that starts with a dot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from posixpath import normpath


@lru_cache(maxsize=1024)
def compiled(glob: str) -> re.Pattern[str]:
    """The pattern that a whole path must match.

    Raises:
        re.error: a range such as `[z-a]` that means nothing.
    """
    *folders, last = glob.split("/")
    pieces = [""]
    for folder in folders:
        if folder != "**":
            pieces[-1] += _segment(folder) + "/"
        elif pieces[-1] or len(pieces) == 1:
            pieces.append("")
    pieces[-1] += r"[^./][^/]*(?:/[^./][^/]*)*" if last == "**" else _segment(last)
    return re.compile(_leftmost(pieces, r"(?:[^./][^/]*/)*"))


def _leftmost(pieces: Sequence[str], between: str) -> str:
    """The pieces with anything `between` them.

    A piece that was found is never looked for further on (`(?>…)`): what a later place leaves to match, the
    first one leaves as well. Without that a glob with five stars takes minutes for one path.
    """
    first, *middle = pieces
    if not middle:
        return first
    *middle, last = middle
    return first + "".join(f"(?>{between}?{piece})" for piece in middle) + between + last


def _segment(segment: str) -> str:
    pieces = [""]
    position = 0
    while position < len(segment):
        char = segment[position]
        position += 1
        if char == "*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append("")
        elif char == "?":
            pieces[-1] += "[^/]"
        elif char == "[" and (end := segment.find("]", position + 1)) > 0:
            body = segment[position:end].replace("\\", "\\\\")
            body = "^" + body[1:] if body.startswith("!") else body
            pieces[-1] += f"(?!/)[{body}]"
            position = end + 1
        else:
            pieces[-1] += re.escape(char)
    return ("" if segment.startswith(".") else r"(?!\.)") + _leftmost(pieces, "[^/]*")


def joined(folder: str, path: str) -> str | None:
    """A path relative to a folder, as a path from the root; None when it leaves the root. "" is the root."""
    if path.startswith("/"):
        return None
    whole = normpath(f"{folder}/{path}" if folder else path)
    if whole == ".." or whole.startswith("../"):
        return None
    return "" if whole == "." else whole

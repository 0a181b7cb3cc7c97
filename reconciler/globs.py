"""Globs over paths with `/`: `*` and `?` inside a name, `**` over any number of folders. Pure.

As in a shell, a wildcard does not match a name that starts with a dot.
"""

from __future__ import annotations

import re
from functools import lru_cache
from posixpath import normpath


@lru_cache(maxsize=1024)
def compiled(glob: str) -> re.Pattern[str]:
    """The pattern that a whole path must match.

    Raises:
        re.error: a range such as `[z-a]` that means nothing.
    """
    segments = glob.split("/")
    pattern = ""
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "**":
            pattern += r"[^./][^/]*(?:/[^./][^/]*)*" if last else r"(?:[^./][^/]*/)*"
        else:
            pattern += _segment(segment) + ("" if last else "/")
    return re.compile(pattern)


def _segment(segment: str) -> str:
    pattern = "" if segment.startswith(".") else r"(?!\.)"
    position = 0
    while position < len(segment):
        char = segment[position]
        position += 1
        if char == "*":
            pattern += "[^/]*"
        elif char == "?":
            pattern += "[^/]"
        elif char == "[" and (end := segment.find("]", position + 1)) > 0:
            body = segment[position:end].replace("\\", "\\\\")
            body = "^" + body[1:] if body.startswith("!") else body
            pattern += f"(?!/)[{body}]"
            position = end + 1
        else:
            pattern += re.escape(char)
    return pattern


def joined(folder: str, path: str) -> str | None:
    """A path relative to a folder, as a path from the root; None when it leaves the root. "" is the root."""
    if path.startswith("/"):
        return None
    whole = normpath(f"{folder}/{path}" if folder else path)
    if whole == ".." or whole.startswith("../"):
        return None
    return "" if whole == "." else whole

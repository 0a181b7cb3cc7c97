"""What a page was asked for, from its query: filters and which part of a list. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reconciler.service.records import Page

# Rows of a list on one page; at this length a page stays under a hundred kilobytes.
ROWS: Final = 50
_LONGEST: Final = 200
_LAST_PAGE: Final = 100_000


def text(query: Mapping[str, str], name: str) -> str:
    """A filter as typed: trimmed, and no longer than any name."""
    return query.get(name, "").strip()[:_LONGEST].replace("\x00", "")


def page(query: Mapping[str, str]) -> Page:
    """The part that `page=N` asks for; anything else is the first."""
    number = query.get("page", "")
    asked = int(number) if number.isascii() and number.isdecimal() and len(number) < 9 else 1
    return Page(ROWS, (min(max(asked, 1), _LAST_PAGE) - 1) * ROWS)


def filters(query: Mapping[str, str], *names: str) -> dict[str, str]:
    """The filters of these names."""
    return {name: text(query, name) for name in names}

"""Pages of lists as they were converted last: one whose bytes come again is not parsed again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

# As sent; in memory it is about four times as much. Some 30,000 agents.
_MOST_BYTES: Final = 32 * 1024 * 1024


@dataclass
class Page:
    """One page of a list: what it says of the next, and its items, as sent until they are converted."""

    cursor: Any
    promises_more: bool
    items: list[Any]
    converted: bool = False


class Remembered:
    """For whoever reads the same projects again and again. What was not asked for the longest goes first.

    Args:
        most_bytes: how much the pages may have had together as they were sent.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._pages: OrderedDict[tuple[str, bytes], tuple[Page, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pages)

    def get(self, project: str, content: bytes) -> Page | None:
        """The page that these bytes were for the same project."""
        key = _key(project, content)
        found = self._pages.get(key)
        if found is None:
            return None
        self._pages.move_to_end(key)
        return found[0]

    def keep(self, project: str, content: bytes, page: Page) -> None:
        """Remember a page; whoever reads it first converts it in place."""
        key, size = _key(project, content), len(content)
        if key in self._pages or size > self._most_bytes:
            return
        self._pages[key] = page, size
        self._bytes += size
        while self._bytes > self._most_bytes:
            self._bytes -= self._pages.popitem(last=False)[1][1]

    def only(self, project: str, pages: Sequence[Page]) -> None:
        """Forget the other pages of a project: what its newest list does not say hardly ever comes again."""
        kept = {id(page) for page in pages}
        for key in [
            key for key, (page, _) in self._pages.items() if key[0] == project and id(page) not in kept
        ]:
            self._bytes -= self._pages.pop(key)[1]


def _key(project: str, content: bytes) -> tuple[str, bytes]:
    return project, hashlib.sha256(content).digest()

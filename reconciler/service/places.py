"""How many sources of one Git server are looked at at once, so that one that hangs takes not every turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from reconciler.location import parse_location


class Places:
    """Looks under way in this process, by server."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def at(self, url: str, most: int) -> Iterator[bool]:
        """Whether there was a place at the server of this address; it is held for the length of the block.

        A repository on this machine needs none.
        """
        server = _server(url)
        free = not server or self._taken[server] < most
        self._taken[server] += free
        try:
            yield free
        finally:
            self._taken[server] -= free
            if not self._taken[server]:
                del self._taken[server]


def _server(url: str) -> str:
    """Host and port, "" for this machine."""
    location = parse_location(url)
    if location is None or location.scheme == "file":
        return ""
    return urlsplit(location.url).netloc if "://" in location.url else location.host

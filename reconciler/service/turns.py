"""Which turn belongs to which key, and what a turn that broke leaves behind."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.service.engine import Again, Turn, Work


class Turns:
    """Turns by the first part of their key: `source/NAME`, `project/NAME`, `outbox`, …"""

    def __init__(self, works: Mapping[str, Work]) -> None:
        self._works = works

    async def turn(self, turn: Turn) -> Again | None:
        """The turn of this key; a key that nobody knows any more is over."""
        work = self._works.get(turn.key.partition("/")[0])
        return None if work is None else await work(turn)

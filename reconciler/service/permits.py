"""Whether the writes of one run may go on: asked before each of them, and watched while one is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from reconciler.apply import Stop
from reconciler.service.engine import Turn
from reconciler.service.records import ProjectRecord
from reconciler.service.store import Store, StoreDown


@dataclass(frozen=True)
class Permit:
    """That of a run whose turn found its Project as in `row`; `stopping` says that the process ends."""

    store: Store
    turn: Turn
    row: ProjectRecord
    stopping: asyncio.Event

    async def __call__(self) -> bool:
        """Whether the next write may start: the Project is still ours, and no newer commit was seen."""
        row = self.row
        try:
            if self.stopping.is_set() or not await self.turn.holds():
                return False
            now = await self.store.project(row.name)
            suspended = await self.store.suspension(row.name)
        except StoreDown:
            # Nobody can say what was seen or wanted meanwhile.
            return False
        if now is None or now.removed or now.source != row.source:
            return False
        return now.wanted == row.wanted and suspended is None

    @asynccontextmanager
    async def ending(self, stop: Stop) -> AsyncIterator[None]:
        """Asks the run to stop when the Project is lost or a newer commit is seen, while the block lasts."""
        over = asyncio.Event()
        watching = asyncio.create_task(self._watch(stop, over))
        try:
            yield
        finally:
            # Cancelling is not enough: a pool that gives a connection in that very moment swallows it.
            over.set()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, stop: Stop, over: asyncio.Event) -> None:
        lost = asyncio.create_task(self.turn.lost.wait())
        ends = asyncio.create_task(self.stopping.wait())
        newer = asyncio.create_task(self.turn.newer.wait())
        try:
            while not (stop.asked.is_set() or over.is_set()):
                await asyncio.wait({lost, ends, newer}, return_when=asyncio.FIRST_COMPLETED)
                if lost.done() or ends.done() or not await self():
                    stop.asked.set()
                elif newer.done():
                    self.turn.newer.clear()
                    newer = asyncio.create_task(self.turn.newer.wait())
        finally:
            for task in (lost, ends, newer):
                task.cancel()
            await asyncio.gather(lost, ends, newer, return_exceptions=True)

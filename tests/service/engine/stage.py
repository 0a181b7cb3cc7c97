"""A stage for turns: an engine that serves while a test triggers it, and what happened on it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from reconciler.service.engine import Again, Engine, Turn

Make = Callable[..., Engine]
Play = Callable[[Turn], Awaitable[Again | None]]


@dataclass(frozen=True)
class Seen:
    """A turn that began, in monotonic seconds."""

    key: str
    reasons: tuple[str, ...]
    at: float


@dataclass
class Stage:
    """Records turns and hands them to `play`; judges overlaps by itself."""

    engine: Engine
    play: Play
    began: list[Seen] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    on: Counter[str] = field(default_factory=Counter)
    most: int = 0
    overlaps: int = 0

    async def work(self, turn: Turn) -> Again | None:
        self.began.append(Seen(turn.key, turn.reasons, time.monotonic()))
        self.on[turn.key] += 1
        self.overlaps += self.on[turn.key] > 1
        self.most = max(self.most, self.on.total())
        try:
            return await self.play(turn)
        finally:
            self.on[turn.key] -= 1
            self.ended[turn.key] += 1

    def turns(self, key: str) -> list[Seen]:
        return [seen for seen in self.began if seen.key == key]

    async def until(self, holds: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait until it holds, looking often."""
        try:
            async with asyncio.timeout(within_s):
                while not holds():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(
                f"not within {within_s} s; began: {self.began}, ended: {self.ended}"
            ) from None

    async def quiet(self, within_s: float = 10.0) -> None:
        """Wait until nothing is due or runs."""
        async with asyncio.timeout(within_s):
            while (queue := await self.engine.queue()).due or queue.running:
                await asyncio.sleep(0.02)


async def at_once(turn: Turn) -> None:
    """A turn with nothing to do."""


@asynccontextmanager
async def serving(engine: Engine, play: Play = at_once) -> AsyncIterator[Stage]:
    """An engine that gives turns while the block runs, and is closed after it."""
    stage, stop = Stage(engine, play), asyncio.Event()
    task = asyncio.create_task(engine.serve(stage.work, stop))
    try:
        await stage.until(lambda: engine.ready or task.done())
        yield stage
    finally:
        stop.set()
        await task
        await engine.close()
    assert not stage.overlaps

"""What runs when: keyed turns, one at a time for each key, at most one waiting, none lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass
class Turn:
    """One running turn of a key.

    `reasons` are those of every trigger that this turn answers, each once; one that counts only from a later
    moment is not among them. `newer` is set within a second
    of a trigger for the same key that came while this turn runs; `lost` when exclusivity is no longer
    certain, after which the turn must not write.
    """

    key: str
    reasons: tuple[str, ...]
    newer: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def holds(self) -> bool:
        """Whether this process still has the key to itself, asked right now; for use before a write."""
        return not self.lost.is_set()


@dataclass(frozen=True)
class Again:
    """When a key's next turn comes by itself: in `after_s` seconds, for `reason`."""

    after_s: float
    reason: str


# What a turn does. It may raise: the engine logs it, and gives the key another turn after a pause.
Work = Callable[[Turn], Awaitable[Again | None]]


@dataclass(frozen=True)
class Queue:
    """How many keys wait for a turn that is due, wait for a later time, and run now, over all replicas."""

    due: int
    later: int
    running: int


class Engine(Protocol):
    """Turns by key, embedded in one process or shared by replicas.

    Keys are `source/NAME` and `project/NAME`.
    """

    async def trigger(self, key: str, reason: str, *, after_s: float = 0.0) -> bool:
        """Ask for a turn of `key`; False when one was waiting already, which now answers this one too.

        A waiting turn never moves back in time: the earlier of the two moments counts. A trigger during
        a turn gives another turn after it. Once this returns, no crash loses it.

        Raises:
            StoreDown: it could not be written down.
        """
        ...

    async def serve(self, work: Work, stop: asyncio.Event) -> None:
        """Give turns until `stop` is set; then start no more, wait up to `grace_s` for those that run
        (their `newer` and `lost` stay unset), cancel the rest, and leave them to whoever comes next.

        Survives outages of its database: turns are cancelled where exclusivity is lost, and it goes on
        when the database is back.
        """
        ...

    async def queue(self) -> Queue: ...

    @property
    def ready(self) -> bool:
        """Whether turns are being given: the database answers and the loop runs."""
        ...

    async def close(self) -> None:
        """Let go of files and connections, after `serve` ended; triggers are refused with `StoreDown`."""
        ...

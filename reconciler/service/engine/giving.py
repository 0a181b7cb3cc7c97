"""Turns in the hands of one process for as long as its claims live: begin, watch, end, file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import structlog

from reconciler.errors import ReconcilerError, explain
from reconciler.service.engine import Again, Work
from reconciler.service.engine.claims import Claimed, Claims
from reconciler.service.engine.failing import Pauses, failed
from reconciler.service.engine.ledger import Asked, Ledger

log = structlog.get_logger("reconciler")

_BUSY_S: Final = 0.5
"""Until a key is tried again that another process has."""

LOST_GRACE_S: Final = 0.5
"""For turns to end by themselves once their keys are lost: less than any other process takes to be sure that
nobody has them (`replicas.SURE_S`)."""

_CANCEL_S: Final = 5.0
"""How long a cancelled turn may take to clean up before we go on without it."""


@dataclass
class _Running:
    turn: Claimed
    task: asyncio.Future[Again | None]
    number: int
    cancelled: bool = False


@dataclass(frozen=True)
class _Ended:
    """A turn that came to its end, well or by raising."""

    again: Again | None
    failures: int = 0


class Giving:
    """The turns of one session. Jobs that come when it is over are given back."""

    def __init__(self, ledger: Ledger, claims: Claims, work: Work, pauses: Pauses) -> None:
        self._ledger, self._claims, self._work, self._pauses = ledger, claims, work, pauses
        self._over = False
        # A session may take a lock twice, so what this process has in hand is kept apart here.
        self._in_hand: set[str] = set()
        self._running: dict[str, _Running] = {}
        self._abandoned: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    @property
    def in_hand(self) -> frozenset[str]:
        """Keys that are being claimed, that run, or that are being filed."""
        return frozenset(self._in_hand)

    @property
    def running(self) -> list[str]:
        return list(self._running)

    def heard(self, key: str, number: int) -> None:
        """There was a trigger of this number for a key, wherever it runs."""
        running = self._running.get(key)
        if running is not None and number > running.number:
            running.turn.newer.set()

    def lose(self) -> None:
        """The keys may be another's from now on."""
        for running in self._running.values():
            running.turn.lost.set()

    async def handle(self, job: int, key: str) -> None:
        """Do a job. What cannot be filed is left to the sweeps of all processes; nothing is raised."""
        try:
            if self._over or key in self._in_hand:
                await self._ledger.give_back(job, key, 0.0 if self._over else _BUSY_S)
                return
            self._in_hand.add(key)
            try:
                await self._one(job, key)
            finally:
                self._in_hand.discard(key)
        except ReconcilerError as error:
            log.warning("turn_unfiled", key=key, error=explain(error), hint=error.hint)

    async def _one(self, job: int, key: str) -> None:
        if not await self._claims.take(key):
            await self._ledger.give_back(job, key, _BUSY_S)
            return
        ended = None
        try:
            asked = await self._ledger.start(job, key)
            if asked is None:
                return
            if not self._over:
                ended = await self._played(key, asked)
        finally:
            # Before it is filed: whoever gets the key's next job then finds it free.
            await self._claims.release(key)
        if ended is None:
            await self._ledger.give_back(job, key)
        else:
            await self._ledger.end(job, key, ended.again, ended.failures)

    async def _played(self, key: str, asked: Asked) -> _Ended | None:
        """The turn itself; None when it was cancelled, and has to come again."""
        turn = Claimed(key, asked.reasons, claims=self._claims)
        task: asyncio.Future[Again | None] = asyncio.ensure_future(self._work(turn))
        running = self._running[key] = _Running(turn, task, asked.number)
        try:
            ends: set[asyncio.Future[Any]] = {task, self._abandoned}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._running[key]
        if not task.done() or (task.cancelled() and running.cancelled):
            return None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            return _Ended(task.result())
        failures = asked.failures + 1
        return _Ended(failed(key, error, failures, self._pauses), failures)

    async def end(self, grace_s: float) -> None:
        """Begin no more turns, let the others end, cancel those that take too long, and leave the stuck."""
        self._over = True
        ends = asyncio.create_task(self._ends())
        lost = asyncio.create_task(self._claims.lost.wait())
        await asyncio.wait({ends, lost}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        if lost.done():
            self.lose()
            await asyncio.wait({ends}, timeout=min(grace_s, LOST_GRACE_S))
        for running in self._running.values():
            running.cancelled = True
            running.task.cancel()
        await asyncio.wait({ends}, timeout=_CANCEL_S)
        if not ends.done():
            log.error("turns_stuck", keys=sorted(self._running))
        self._abandoned.set_result(None)
        lost.cancel()
        ends.cancel()

    async def _ends(self) -> None:
        while self._running:
            await asyncio.wait({running.task for running in self._running.values()})
            await asyncio.sleep(0)

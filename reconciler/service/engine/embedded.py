"""Turns in one process: what is asked for stands in a SQLite file, and nothing is polled."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from reconciler.errors import StateError, explain
from reconciler.service.engine import Again, Queue, Turn, Work
from reconciler.service.engine.failing import Pauses, failed
from reconciler.service.engine.queue_file import Demand, QueueFile
from reconciler.service.store import StoreDown

log = structlog.get_logger("reconciler")

_MOST_REASONS: Final = 50
"""Of one turn; they inform people, and a storm may bring thousands."""

_CANCEL_S: Final = 5.0
"""How long a cancelled turn may take to clean up before the stop goes on without it."""


@dataclass
class _Waiting:
    """What is asked of a key: each reason with the moment (monotonic seconds) from which it counts."""

    reasons: dict[str, float] = field(default_factory=dict)

    @property
    def due(self) -> float:
        return min(self.reasons.values())

    def add(self, reason: str, due: float) -> None:
        known = self.reasons.get(reason)
        if known is not None:
            self.reasons[reason] = min(known, due)
        elif len(self.reasons) < _MOST_REASONS or due < self.due:
            self.reasons[reason] = due

    def join(self, other: _Waiting) -> None:
        for reason, due in other.reasons.items():
            self.add(reason, due)

    def by(self, moment: float) -> tuple[str, ...]:
        """The reasons that count at this moment, in the order in which they began to."""
        counting = [(due, reason) for reason, due in self.reasons.items() if due <= moment]
        return tuple(reason for _, reason in sorted(counting))


@dataclass
class _Running:
    turn: Turn
    asked: _Waiting
    task: asyncio.Task[None]


class Embedded:
    """The engine of a service that runs as one process.

    A turn that never ends keeps one of `concurrency` places, and nothing else. Reasons that count only
    later are dropped with the waiting turn that an earlier trigger pulled forward.

    Args:
        path: the store's; the queue stands in `PATH.queue`, and `PATH.lock` is held until `close`.
        concurrency: how many turns run at once.
        grace_s: how long running turns get to end after a stop.

    Raises:
        StateError: another process works on this store, or the queue cannot be used.
    """

    def __init__(
        self, path: Path, *, concurrency: int, grace_s: float = 10.0, pauses: Pauses | None = None
    ) -> None:
        self._path, self._concurrency, self._grace_s = path, concurrency, grace_s
        self._pauses = pauses or Pauses()
        self._lock = _locked(path)
        try:
            self._file = QueueFile(path.with_name(f"{path.name}.queue"))
            self._waiting = self._found()
        except BaseException:
            os.close(self._lock)
            raise
        self._running: dict[str, _Running] = {}
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._saving = asyncio.Lock()
        self._unsaved: set[str] = set()
        self._serving = self._cancelling = self._closed = False

    def _found(self) -> dict[str, _Waiting]:
        # The file knows the time of day, which people may set; what waits here counts by a clock of its own.
        skew = time.monotonic() - time.time()
        return {
            key: _Waiting({reason: due + skew for reason, due in demand.items()})
            for key, demand in self._file.read().items()
        }

    async def trigger(self, key: str, reason: str, *, after_s: float = 0.0) -> bool:
        if self._closed:
            raise StoreDown(f"the queue of {self._path} is closed", hint="The service stops; try again.")
        fresh = self._ask(key, reason, after_s)
        if running := self._running.get(key):
            running.turn.newer.set()
        await self._save(key)
        return fresh

    def _ask(self, key: str, reason: str, after_s: float) -> bool:
        fresh = key not in self._waiting
        self._waiting.setdefault(key, _Waiting()).add(reason, time.monotonic() + max(0.0, after_s))
        self._changed.set()
        return fresh

    async def queue(self) -> Queue:
        now = time.monotonic()
        due = sum(waiting.due <= now for waiting in self._waiting.values())
        return Queue(due=due, later=len(self._waiting) - due, running=len(self._running))

    @property
    def ready(self) -> bool:
        return self._serving

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._file.close()
            os.close(self._lock)

    # Giving turns

    async def serve(self, work: Work, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        self._serving, self._cancelling = True, False
        try:
            while not stop.is_set():
                self._changed.clear()
                changed = asyncio.create_task(self._changed.wait())
                sleep_s = self._start_due(work)
                await asyncio.wait({stopping, changed}, timeout=sleep_s, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
            await asyncio.wait(self._tasks() or {stopping}, timeout=self._grace_s)
        finally:
            self._serving = False
            stopping.cancel()
            await self._cancel()

    def _tasks(self) -> set[asyncio.Task[None]]:
        return {running.task for running in self._running.values()}

    def _start_due(self, work: Work) -> float | None:
        """Start what is due and has a place; the seconds until there may be more, None for no such time."""
        now = time.monotonic()
        idle = [(waiting.due, key) for key, waiting in self._waiting.items() if key not in self._running]
        for due, key in sorted(idle):
            if due > now:
                return due - now
            if len(self._running) >= self._concurrency:
                return None
            asked = self._waiting.pop(key)
            turn = Turn(key, asked.by(now))
            self._running[key] = _Running(turn, asked, asyncio.create_task(self._run(turn, work)))
        return None

    async def _run(self, turn: Turn, work: Work) -> None:
        """One turn, and what it leaves in the queue. A cancelled one is asked for as before."""
        key = turn.key
        try:
            again = await self._turn(turn, work)
        except asyncio.CancelledError:
            self._waiting.setdefault(key, _Waiting()).join(self._running[key].asked)
            raise
        finally:
            del self._running[key]
            self._changed.set()
        if again is not None:
            self._ask(key, again.reason, again.after_s)
        try:
            await self._save(key)
        except StoreDown as error:
            # After a crash this turn would come again; nothing else is at stake.
            log.error("queue_unsaved", key=key, error=explain(error), hint=error.hint)

    async def _turn(self, turn: Turn, work: Work) -> Again | None:
        try:
            again = await work(turn)
        except (Exception, asyncio.CancelledError) as error:
            # A cancellation that nobody asked this task for came from inside the turn.
            if isinstance(error, asyncio.CancelledError) and self._cancelling:
                raise
            self._failures[turn.key] = self._failures.get(turn.key, 0) + 1
            return failed(turn.key, error, self._failures[turn.key], self._pauses)
        self._failures.pop(turn.key, None)
        return again

    async def _cancel(self) -> None:
        tasks, self._cancelling = self._tasks(), True
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=_CANCEL_S)
            if stuck:
                log.error("turns_stuck", keys=sorted(self._running))

    # Writing down

    async def _save(self, key: str) -> None:
        """Write down what is asked of a key, a running turn's part included: it ends only with the turn.

        Whoever comes first writes for all who wait here.
        """
        self._unsaved.add(key)
        async with self._saving:
            if key not in self._unsaved:
                return
            keys, self._unsaved = self._unsaved, set()
            try:
                await self._file.write({each: self._demand(each) for each in keys})
            except BaseException:
                self._unsaved |= keys
                raise

    def _demand(self, key: str) -> Demand:
        skew = time.time() - time.monotonic()
        running, waiting = self._running.get(key), self._waiting.get(key)
        parts = [running.asked.reasons if running else {}, waiting.reasons if waiting else {}]
        demand: Demand = {}
        for part in parts:
            for reason, due in part.items():
                demand[reason] = min(due + skew, demand.get(reason, due + skew))
        return demand


def _locked(path: Path) -> int:
    """An open file that holds the lock on this store until it is closed, or its process ends in any way."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StateError(
            f"cannot open {lock}, which keeps a second process away",
            hint=f"Make the folder {lock.parent}, and let the service write there.",
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if isinstance(error, BlockingIOError):
            raise StateError(
                f"another process of the service uses {path}: it holds {lock}",
                hint="Stop it first. For several replicas use a PostgreSQL store.",
            ) from None
        raise StateError(
            f"cannot lock {lock}", hint="Put the store on a local disk; network disks often have no locks."
        ) from error
    return file

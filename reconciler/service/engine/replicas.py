"""Turns shared by processes over PostgreSQL: procrastinate hands out jobs, the server's locks part keys.

procrastinate's heartbeats exclude nobody, its retries block a key that is triggered meanwhile, and its worker
ends with the database. Hence claims, a ledger and sweeps of our own, and sessions that begin again.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Final

import structlog
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from reconciler.errors import explain
from reconciler.service.engine import Queue, Work
from reconciler.service.engine.claims import Claims
from reconciler.service.engine.failing import Pauses
from reconciler.service.engine.giving import LOST_GRACE_S, Giving
from reconciler.service.engine.ledger import NUMBERS, ORPHANS, QUEUE, Ledger
from reconciler.service.engine.news import listen
from reconciler.service.engine.schema import prepare
from reconciler.service.engine.server import Server
from reconciler.service.store import StoreDown

log = structlog.get_logger("reconciler")

_LOOK_S: Final = 0.5
"""Between two looks at the locks, at newer triggers, and at turns of the dead."""

SURE_S: Final = 0.95
"""How long nobody must have the key of a turn until it is taken over. A turn that ends frees its key before
its job goes, one that begins has its job before its key, and one that lost its key needs time to notice."""

_POLL_S: Final = 0.5
"""Between two looks for jobs whose later moment has come; others announce themselves."""

_END_S: Final = 10.0
"""For a worker to sign off; a server that stands still would keep it for ever."""

_RETRY_S: Final = 0.3
"""Between two attempts to begin a session."""


class _Manager(JobManager):
    """procrastinate's jobs, which the ledger removes together with what comes next."""

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Nothing: it is done."""


class Replicas:
    """The engine of a service of several processes.

    A turn that never ends keeps one of `concurrency` places of its process, and nothing else.

    Args:
        url: of the store, as libpq knows it.
        concurrency: how many turns run at once in this process.
        grace_s: how long running turns get to end after a stop.

    Raises:
        InvalidInput: libpq cannot read the address.
    """

    def __init__(
        self, url: str, *, concurrency: int, grace_s: float = 10.0, pauses: Pauses | None = None
    ) -> None:
        self._concurrency, self._grace_s = concurrency, grace_s
        self._pauses = pauses or Pauses()
        self._server = Server(url)
        self._connector = PsycopgConnector()
        self._app = App(connector=self._connector)
        self._app.job_manager = _Manager(self._connector)

        @self._app.task(name="reconciler.turn", queue=QUEUE, pass_context=True)
        async def turn(context: JobContext, key: str) -> None:
            assert context.job.id is not None
            assert self._giving is not None
            await self._giving.handle(context.job.id, key)

        self._ledger = Ledger(self._server, turn)
        self._opening = asyncio.Lock()
        self._opened = self._closed = self._ready = self._told_down = False
        self._giving: Giving | None = None

    async def trigger(self, key: str, reason: str, *, after_s: float = 0.0) -> bool:
        await self._open()
        return await self._ledger.trigger(key, reason, after_s)

    async def queue(self) -> Queue:
        await self._open()
        return await self._ledger.counts()

    @property
    def ready(self) -> bool:
        return self._ready

    async def close(self) -> None:
        self._closed = True
        await self._server.close()

    async def _open(self) -> None:
        async with self._opening:
            if self._closed:
                raise StoreDown(
                    f"the queue {self._server.shown} is closed", hint="The service stops; try again."
                )
            if not self._opened:
                await prepare(self._server)
                await self._server.open()
                await self._connector.open_async(self._server.pool)
                self._opened = True

    async def serve(self, work: Work, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._session(work, stopping)
                except Exception as error:  # noqa: BLE001 - it runs for months, and tries again
                    if not self._told_down:
                        log.error("queue_down", error=explain(error), hint=getattr(error, "hint", ""))
                    self._told_down = True
                    await asyncio.wait({stopping}, timeout=_RETRY_S)
        finally:
            stopping.cancel()

    async def _session(self, work: Work, stopping: asyncio.Task[Any]) -> None:
        """Give turns until the stop, or until any part breaks: then turns are cancelled, since what is
        claimed may be another's soon.

        Raises:
            StoreDown: the database went away.
        """
        await self._open()
        claims = await Claims.open(self._server)
        giving = self._giving = Giving(self._ledger, claims, work, self._pauses)
        worker = asyncio.create_task(self._worker())
        looks = (
            _watch(claims, giving),
            self._sweep(claims, giving),
            listen(self._server, giving.heard),
        )
        looking = [asyncio.create_task(look) for look in looks]
        parts, grace_s = {worker, *looking}, 0.0
        self._ready, self._told_down = True, False
        log.info("queue_up")
        try:
            done, _ = await asyncio.wait({stopping, *parts}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                grace_s = self._grace_s
                return
            grace_s = LOST_GRACE_S
            giving.lose()
            _raise(done)
        finally:
            self._ready = False
            # Once: it starts no more jobs then, and ends with the last of them.
            worker.cancel()
            await giving.end(grace_s)
            await asyncio.wait({worker}, timeout=_END_S)
            for task in parts:
                task.cancel()
            ended, _ = await asyncio.wait(parts, timeout=_END_S)
            # Looked at, so that nobody complains of those that were not the first to break.
            _ = [task.exception() for task in ended if not task.cancelled()]
            await claims.close()

    async def _worker(self) -> None:
        await self._app.run_worker_async(
            queues=[QUEUE],
            concurrency=self._concurrency,
            fetch_job_polling_interval=_POLL_S,
            abort_job_polling_interval=60.0,
            install_signal_handlers=False,
        )

    async def _sweep(self, claims: Claims, giving: Giving) -> None:
        """Give back what dead processes left."""
        since: dict[tuple[int, str], float] = {}
        looked = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_S)
            orphans = {(int(job), str(key)) for job, key in await claims.ask(ORPHANS)}
            now = time.monotonic()
            # A process that stood still does not know what happened meanwhile.
            seen = since if now - looked < 2 * _LOOK_S else {}
            looked, since = now, {orphan: seen.get(orphan, now) for orphan in orphans}
            for (job, key), first in since.items():
                sure = now - first >= SURE_S and key not in giving.in_hand
                if sure and await self._ledger.give_back(job, key):
                    log.warning("turn_taken_over", key=key)


async def _watch(claims: Claims, giving: Giving) -> None:
    """Look whether the claims live, and for triggers whose news was missed. While nothing runs, the sweeps
    look often enough."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await claims.lost.wait()
        if giving.running or claims.lost.is_set():
            for key, number in await claims.ask(NUMBERS, giving.running):
                giving.heard(key, number)


def _raise(done: set[asyncio.Task[Any]]) -> None:
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    raise StoreDown("the worker of the queue ended", hint="Check the database server.")

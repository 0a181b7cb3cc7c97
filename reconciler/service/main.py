"""Start everything the service is made of, and stop it in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from reconciler import wiring
from reconciler.errors import StateError
from reconciler.service import tracing
from reconciler.service.app import Web, make_web
from reconciler.service.checkouts import Checkouts
from reconciler.service.config import Config, Configured
from reconciler.service.config_watch import watch
from reconciler.service.connections import Connections
from reconciler.service.deps import Deps
from reconciler.service.engine import Again, Turn
from reconciler.service.engine.opening import open_engine
from reconciler.service.health import Watchdog
from reconciler.service.look import Looker
from reconciler.service.metrics import Metrics
from reconciler.service.notify.outbox import Outbox
from reconciler.service.project_turn import Beside, ProjectTurns
from reconciler.service.pulls import PullTurns
from reconciler.service.records import EventRecord
from reconciler.service.source_turn import SourceTurns
from reconciler.service.store import StoreDown
from reconciler.service.store.opening import open_store
from reconciler.service.tidying import tidy
from reconciler.service.turns import Turns
from reconciler.settings import Settings

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
_DAY_S: Final = 86_400.0
# The usual 1,024 are too few for some twenty busy sources; more than this nobody needs.
_FILES: Final = 65_536

log = structlog.get_logger("reconciler")


@dataclass(frozen=True)
class Running:
    """A service that runs: where it listens, and its parts."""

    url: str
    deps: Deps
    stop: asyncio.Event


async def serve(
    config: Config, settings: Settings, environ: Mapping[str, str], ready: Callable[[Running], None]
) -> None:
    """Run the service until SIGTERM or Ctrl-C; `ready` hears when it listens.

    Raises:
        StateError: the address or the store is in use, or cannot be used.
        StoreDown: the store does not answer at the start.
    """
    _many_files()
    async with running(config, settings, environ) as service:
        with _signals(service.stop):
            ready(service)
            await service.stop.wait()


@contextlib.asynccontextmanager
async def running(config: Config, settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Running]:
    """A running service for as long as the block runs; what is under way ends in order.

    Raises (also after the block): what ended a part of the service that should have gone on.
    """
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(_listen(config.spec.listen))
        store = open_store(config.spec.store)
        stack.push_async_callback(store.close)
        # Before the store is opened, which migrates it: another process may be at work on the file.
        engine = open_engine(config.spec.store, concurrency=config.spec.limits.reconciles)
        stack.push_async_callback(engine.close)
        await store.open()
        deps = Deps(Configured(config), store, engine, Metrics(), time.time, _replica(environ))
        stack.push_async_callback(asyncio.to_thread, wiring.close)
        stop, watchdog = asyncio.Event(), Watchdog()
        connections = Connections(settings, deps.metrics.calls)
        parts = _Parts(deps, Checkouts(settings, environ), connections, Outbox(deps), stop)
        stack.push_async_callback(parts.close)
        parts.checkouts.configure(config)
        tracing.set_up(environ, deps.replica)
        stack.push_async_callback(asyncio.to_thread, tracing.close)
        looker = Looker(deps, parts.connections, parts.checkouts)
        web = make_web(deps, looker.look, watchdog)
        service = Running(_url(listener), deps, asyncio.Event())
        works = {
            "engine": engine.serve(tracing.traced(parts.turns().turn), stop),
            "web": _http(web, listener, stop),
            "watchdog": watchdog.run(stop),
            "tidying": tidy(parts.connections, stop),
            "configuration": watch(
                deps.configured, environ, parts.configured, stop, deps.metrics, parts.reloaded
            ),
        }
        tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
        for task in tasks:
            task.add_done_callback(lambda ended: service.stop.set())
        # Importing the SDK takes seconds; the first write should not wait for it, and the loop never.
        warming = asyncio.create_task(asyncio.to_thread(wiring.import_sdk))
        try:
            await parts.start()
            yield service
        finally:
            stop.set()
            ended = await asyncio.gather(*tasks, warming, return_exceptions=True)
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure


@dataclass(frozen=True)
class _Parts:
    """What turns work with."""

    deps: Deps
    checkouts: Checkouts
    connections: Connections
    outbox: Outbox
    stopping: asyncio.Event

    def turns(self) -> Turns:
        """Every turn by the first part of its key."""
        deps, checkouts, connections = self.deps, self.checkouts, self.connections

        async def outbox(turn: Turn) -> Again | None:
            return await self.outbox.flush(deps.now())

        async def housekeeping(turn: Turn) -> Again | None:
            retention, now = deps.configured.current.spec.retention, deps.now()
            await deps.store.forget(
                runs=retention.runs,
                older_than=now - retention.days * _DAY_S,
                audit_older_than=now - retention.audit_days * _DAY_S,
                now=now,
            )
            return Again(_HOUR_S, "hourly")

        beside = Beside(self.outbox.tell_run, self.stopping)
        return Turns(
            {
                "source": SourceTurns(deps, checkouts).turn,
                "project": ProjectTurns(deps, checkouts, connections, beside).turn,
                "pulls": PullTurns(deps, checkouts, connections, self.outbox).turn,
                "outbox": outbox,
                "housekeeping": housekeeping,
            }
        )

    async def start(self) -> None:
        """Ask for the turns that everything else follows from."""
        configured = {spec.name for spec in self.deps.configured.current.spec.sources}
        for name in configured | {source.name for source in await self.deps.store.sources()}:
            await self.deps.engine.trigger(f"source/{name}", "start")
        await self.deps.engine.trigger("outbox", "start")
        await self.deps.engine.trigger("housekeeping", "start", after_s=_MINUTE_S)

    async def configured(self, config: Config) -> None:
        """Take over another configuration: look at every source that is new or differs."""
        old = {source.name for source in await self.deps.store.sources()}
        self.checkouts.configure(config)
        for name in old | {spec.name for spec in config.spec.sources}:
            await self.deps.engine.trigger(f"source/{name}", "configuration")

    async def reloaded(self) -> None:
        """Tell people that the configuration was taken over or refused; once for all replicas."""
        rejected, now = self.deps.configured.rejected, self.deps.now()
        event = EventRecord(now, "config-reloaded", "info", "", "the configuration is in force")
        if rejected:
            more = f", and {len(rejected) - 1} more" if len(rejected) > 1 else ""
            message = f"the configuration is refused: {rejected[0]}{more}"
            hint = "An older one holds meanwhile; `reconciler serve --check` shows all problems."
            event = EventRecord(now, "config-rejected", "error", "", message, hint=hint)
        with contextlib.suppress(StoreDown):
            if await self.deps.store.first_time("config", event.message, now=now, within_s=_MINUTE_S):
                await self.deps.store.add_events([event])
                await self.deps.engine.trigger("outbox", "event")

    async def close(self) -> None:
        """End every connection."""
        self.checkouts.close()
        await self.outbox.close()
        await self.connections.close()


def _many_files() -> None:
    """Take as many open files as the system grants: each source and each endpoint holds some dozens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _listen(listen: str) -> socket.socket:
    """The bound socket, so that an address in use stops the start and not a running service.

    Raises:
        StateError: the address cannot be used.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise StateError(
            f"cannot listen on {listen}", hint="Stop what uses it, or set `listen` to another address."
        ) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _http(web: Web, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve pages, API and webhooks until the stop."""
    from reconciler.service.listening import server_of

    server = server_of(web.app)
    # Signals are ours: they end turns first, and the server with them.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await stop.wait()
    await web.close()
    server.should_exit = True
    await serving


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _replica(environ: Mapping[str, str]) -> str:
    """The name of this process: the pod's in Kubernetes."""
    return f"{environ.get('HOSTNAME') or socket.gethostname()}-{os.getpid()}"

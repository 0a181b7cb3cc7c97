"""What an outbox works with: a store on a file, a configuration, a clock to turn, receivers that listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from reconciler.service.config import Config, Configured
from reconciler.service.config_spec import Secret, ServiceSpec
from reconciler.service.deps import Deps
from reconciler.service.engine import Queue, Work
from reconciler.service.metrics import Metrics
from reconciler.service.notify.outbox import Outbox
from reconciler.service.records import EventRecord
from reconciler.service.store import Store
from tests.service.notify.forge_servers import served

NOW = 1_700_000_000.0


@dataclass
class Asking:
    """An engine that only remembers what it was asked for."""

    ready = True
    asked: list[tuple[str, float]] = field(default_factory=list)

    async def trigger(self, key: str, reason: str, *, after_s: float = 0.0) -> bool:
        self.asked.append((key, after_s))
        return True

    async def serve(self, work: Work, stop: asyncio.Event) -> None:
        raise AssertionError("nothing is served")

    async def queue(self) -> Queue:
        return Queue(0, 0, 0)


@dataclass
class Receiver:
    """A web server that keeps what it gets, and answers as it is told: status or seconds of silence."""

    url: str = ""
    got: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    silence: asyncio.Event | None = None

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        if self.silence is not None:
            await self.silence.wait()
        status = self.answers.pop(0) if self.answers else 204
        self.got.append((request.headers.copy(), raw))
        return web.Response(status=status, headers=self.headers)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    async with served(receiver.handle) as url:
        receiver.url = url
        yield receiver
        if receiver.silence is not None:
            receiver.silence.set()


@dataclass
class Office:
    """A service's outbox, its store and its clock."""

    deps: Deps
    outbox: Outbox
    engine: Asking
    clock: list[float]

    async def happen(self, *events: EventRecord) -> None:
        await self.deps.store.add_events(events)

    async def flush(self, later_s: float = 0.0) -> Any:
        self.clock[0] += later_s
        return await self.outbox.flush(self.clock[0])

    def sent(self, channel: str, result: str) -> float:
        """What the metric says."""
        labels = {"channel": channel, "result": result}
        return self.deps.metrics.registry.get_sample_value("reconciler_reports_total", labels) or 0.0


@asynccontextmanager
async def office(store: Store, secrets: Mapping[str, str], **more: Any) -> AsyncIterator[Office]:
    """An outbox over this store.

    Args:
        secrets: values by the name of the environment variable.
        more: further parts of the configuration.
    """
    spec = ServiceSpec.model_validate(
        {"store": "sqlite:///x.db", "sources": [{"name": "agents", "url": "https://github.com/a/b"}], **more}
    )
    config = Config(Path("x.yaml"), spec, {Secret(env=name): value for name, value in secrets.items()})
    engine, clock = Asking(), [NOW]
    deps = Deps(Configured(config), store, engine, Metrics(), lambda: clock[0], "one")
    outbox = Outbox(deps)
    try:
        yield Office(deps, outbox, engine, clock)
    finally:
        await outbox.close()


def event(type: str, project: str = "prod", resource: str = "Agent/triage", **more: Any) -> EventRecord:
    given: dict[str, Any] = {"at": NOW, "severity": "warning", "message": f"{resource} says {type}"}
    return EventRecord(type=type, project=project, resource=resource, **(given | more))

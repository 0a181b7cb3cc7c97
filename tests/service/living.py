"""A service that lives for the length of a test, on a file, over real HTTP, with a world to keep in line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.service.config import Config, load_config
from reconciler.service.main import Running, running
from reconciler.service.records import Approved, Page, ProjectRecord, RunRecord
from reconciler.settings import read
from tests.world import World


@dataclass
class Living:
    """A world and the service that keeps it."""

    world: World
    service: Running

    async def until(self, holds: Callable[[], Any], within_s: float = 15.0) -> Any:
        """Wait for something to become true; what it returned then."""
        deadline = time.monotonic() + within_s
        while True:
            found = holds()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_s} s: {await self.told()}")
            await asyncio.sleep(0.03)

    async def told(self) -> dict[str, Any]:
        """What the store holds, for the message of a test that fails."""
        store = self.service.deps.store
        rows, _ = await store.projects()
        events, _ = await store.events(page=Page(20))
        return {
            "projects": [(row.name, str(row.health), row.reason, row.revision[:8]) for row in rows],
            "events": [(event.type, event.message) for event in events],
            "sources": [(source.name, source.error) for source in await store.sources()],
        }

    async def project(self, name: str = "prod") -> ProjectRecord:
        row = await self.service.deps.store.project(name)
        assert row is not None
        return row

    async def health(self, health: str, name: str = "prod", within_s: float = 15.0) -> ProjectRecord:
        """Wait until the Project is so at the newest commit of its repository."""

        async def there() -> ProjectRecord | None:
            row = await self.service.deps.store.project(name)
            return row if row is not None and row.health == health else None

        return await self.until(there, within_s)

    async def at(self, commit: str, name: str = "prod", within_s: float = 15.0) -> ProjectRecord:
        """Wait until a run decided by that commit."""

        async def there() -> ProjectRecord | None:
            row = await self.service.deps.store.project(name)
            return row if row is not None and row.revision == commit else None

        return await self.until(there, within_s)

    async def push(self, message: str = "Change") -> str:
        """Commit, and hint as a webhook would."""
        commit = self.world.commit(message)
        await self.service.deps.engine.trigger("source/agents", "webhook")
        return commit

    async def sync(self, name: str = "prod") -> None:
        await self.service.deps.engine.trigger(f"project/{name}", "manual by a test")

    async def ran(self, name: str = "prod") -> None:
        """Wait for the end of a run that is asked for now."""
        before = (await self.project(name)).last_run_at
        await self.sync(name)

        async def later() -> bool:
            return (await self.project(name)).last_run_at > before

        await self.until(later)

    async def approve(self, name: str = "prod") -> None:
        """Let through what the Project asks for now, as a person would."""
        row, now = await self.project(name), time.time()
        assert row.asks
        assert row.digest
        await self.service.deps.store.approve(Approved(name, row.digest, "ada", "go", now, now + 60))
        await self.sync(name)

    async def runs(self, name: str = "prod") -> tuple[RunRecord, ...]:
        return (await self.service.deps.store.runs(project=name))[0]

    async def events(self, type_: str) -> list[str]:
        """What was told so far; a turn that runs tells after it has written its rows, so it is let end."""

        async def rests() -> bool:
            return (await self.service.deps.engine.queue()).running == 0

        with contextlib.suppress(AssertionError):
            await self.until(rests, within_s=3.0)
        events, _ = await self.service.deps.store.events(type=type_)
        return [event.message for event in events]


def config_of(world: World, folder: Path, **more: Any) -> Config:
    """The configuration of a service for this world: one source, its store in `folder`."""
    source = {"name": "agents", "url": f"file://{world.repo}", "ref": "main", "interval": "1h"}
    spec = {
        "listen": "127.0.0.1:0",
        "store": f"sqlite:///{folder}/service.db",
        "sources": [*more.pop("more_sources", []), source | more.pop("source", {})],
        **more,
    }
    path = folder / "service.yaml"
    path.write_text(json.dumps(spec))
    return load_config(path, os.environ)


@asynccontextmanager
async def living(world: World, folder: Path, **more: Any) -> AsyncIterator[Living]:
    """A running service over this world."""
    environ = {**os.environ, "RECONCILER_CACHE": str(folder / "cache")}
    async with running(config_of(world, folder, **more), read(environ), environ) as service:
        yield Living(world, service)

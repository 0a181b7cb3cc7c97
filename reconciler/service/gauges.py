"""Gauges that tell how things are, set from store and engine when somebody reads the metrics."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from reconciler.errors import ReconcilerError
from reconciler.service.deps import Deps
from reconciler.service.records import Health, Page, ProjectRecord

_PAGE: Final = Page(1_000)
# Shorter than the ten seconds that Prometheus waits: a store that hangs is told as down.
_PATIENCE_S: Final = 3.0


class Gauges:
    """Keeps the gauges of one process. The store is asked for its rows only when they have changed."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._pulse = -1
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Set every gauge; what cannot be read keeps its last value, and `store_up` says so."""
        async with self._lock:
            self._of_the_configuration()
            metrics = self._deps.metrics
            metrics.engine_up.set(self._deps.engine.ready)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._of_the_store()
            except (ReconcilerError, TimeoutError):
                metrics.store_up.set(0)
            else:
                metrics.store_up.set(1)

    def _of_the_configuration(self) -> None:
        configured, metrics = self._deps.configured, self._deps.metrics
        metrics.config_rejected.set(bool(configured.rejected))
        metrics.config_loaded.set(configured.loaded_at)

    async def _of_the_store(self) -> None:
        metrics, pulse = self._deps.metrics, await self._deps.store.pulse()
        queue = await self._deps.engine.queue()
        for state, count in (("due", queue.due), ("later", queue.later), ("running", queue.running)):
            metrics.queue.labels(state).set(count)
        if pulse == self._pulse:
            return
        rows = [row for row in await self._projects() if not row.removed]
        suspended = {suspension.project for suspension in await self._deps.store.suspensions()}
        known = {spec.name for spec in self._deps.configured.current.spec.sources}
        sources = [source for source in await self._deps.store.sources() if source.name in known]
        # Together and without waiting in between, so that nobody reads a half of them. What is gone
        # from the store is gone from the metrics too.
        for gauge in (metrics.drift, metrics.last_good, metrics.health, metrics.suspended):
            gauge.clear()
        for row in rows:
            metrics.drift.labels(row.name).set(row.summary.get(f"health:{Health.DRIFTED}", 0))
            metrics.last_good.labels(row.name).set(row.last_good_at)
            metrics.health.labels(row.name, row.health).set(1)
            metrics.suspended.labels(row.name).set(row.name in suspended)
        for gauge in (metrics.source_stale, metrics.source_fetched):
            gauge.clear()
        for source in sources:
            metrics.source_stale.labels(source.name).set(bool(source.error))
            metrics.source_fetched.labels(source.name).set(source.fetched_at)
        self._pulse = pulse

    async def _projects(self) -> list[ProjectRecord]:
        rows: list[ProjectRecord] = []
        page = _PAGE
        while True:
            found, count = await self._deps.store.projects(page=page)
            rows += found
            if not found or len(rows) >= count:
                return rows
            page = replace(page, offset=len(rows))

"""What Prometheus reads from the service. Labels hold names from the configuration and fixed words only."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from reconciler import __version__

# When each counter began: twice the series, for what no question of ours asks.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here

_SPANS_S: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_CALLS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one process, in a registry of its own so that two services can share a process.

    Counters count what this process did. Gauges of queue, projects, sources, store and configuration tell
    how things are now, the same from every replica; `gauges.py` sets them when somebody asks.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._of_runs()
        self._of_the_outside()
        self._of_projects()
        self._of_this_process()

    def _counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"reconciler_{name}", help, labels, registry=self.registry)

    def _gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"reconciler_{name}", help, labels, registry=self.registry)

    def _of_runs(self) -> None:
        self.reconciles = self._counter("reconcile", "Runs of a project.", ["project", "result"])
        self.reconcile_s = Histogram(
            "reconciler_reconcile_duration_seconds",
            "How long runs of a project took.",
            ["project"],
            buckets=_SPANS_S,
            registry=self.registry,
        )
        self.queue = self._gauge(
            "queue_depth", "Keys that wait for a turn now (due) or later, or have one (running).", ["state"]
        )

    def _of_the_outside(self) -> None:
        self.fetches = self._counter("git_fetch", "Looks at a source.", ["source", "result"])
        self.webhooks = self._counter("webhook_requests", "Webhooks received.", ["source", "result"])
        self.reports = self._counter(
            "reports", "Messages to forges, people and other programs.", ["channel", "result"]
        )
        self.calls = ApiCalls(self.registry)

    def _of_projects(self) -> None:
        self.drift = self._gauge(
            "drifted_resources", "Resources that differ although Git did not move.", ["project"]
        )
        self.last_good = self._gauge(
            "last_good_sync_timestamp_seconds",
            "When a project was last found or brought in line, in Unix seconds.",
            ["project"],
        )
        self.health = self._gauge(
            "project_health", "1 for the health that a project has.", ["project", "health"]
        )
        self.suspended = self._gauge(
            "project_suspended", "1 while a person holds a project, else 0.", ["project"]
        )
        self.source_stale = self._gauge(
            "source_stale", "1 while the last look at a source failed, else 0.", ["source"]
        )
        self.source_fetched = self._gauge(
            "source_last_fetch_timestamp_seconds",
            "When the newest commit of a source was read, in Unix seconds.",
            ["source"],
        )

    def _of_this_process(self) -> None:
        build = self._gauge("build_info", "1; its labels say what runs.", ["version", "python"])
        build.labels(__version__, platform.python_version()).set(1)
        self.store_up = self._gauge("store_up", "1 while the store answers, else 0.")
        self.engine_up = self._gauge("engine_up", "1 while this process gives turns, else 0.")
        self.config_rejected = self._gauge(
            "config_rejected",
            "1 while the file of the configuration is refused and an older one holds, else 0.",
        )
        self.config_loaded = self._gauge(
            "config_loaded_timestamp_seconds",
            "When the configuration in force was loaded, in Unix seconds.",
        )
        self.reloads = self._counter("config_reloads", "Reloads of the configuration.", ["result"])
        self.loop_late_s = self._gauge(
            "event_loop_late_seconds", "How late the event loop was at worst in the last minute."
        )


class ApiCalls:
    """Requests to the Foundry service; `foundry` tells each of them, without knowing of metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "reconciler_api_requests",
            "Requests to the Foundry service by method and HTTP status, `none` without an answer.",
            ["method", "code"],
            registry=registry,
        )
        self._took_s = Histogram(
            "reconciler_api_request_duration_seconds",
            "How long the Foundry service took to answer.",
            buckets=_CALLS_S,
            registry=registry,
        )
        self._throttled = Counter(
            "reconciler_api_throttled",
            "Requests that the Foundry service refused with 429.",
            registry=registry,
        )
        self._waited_s = Counter(
            "reconciler_api_throttle_wait_seconds",
            "Time that requests waited to keep the service's pace.",
            registry=registry,
        )

    def answered(self, method: str, status: int | None, took_s: float) -> None:
        """One attempt ended: its HTTP status, None without an answer."""
        self._requests.labels(method, "none" if status is None else str(status)).inc()
        self._took_s.observe(took_s)
        if status == 429:
            self._throttled.inc()

    def waited(self, wait_s: float) -> None:
        """One attempt waited so long for its turn."""
        self._waited_s.inc(wait_s)

    def repeats(self, status: int | None, wait_s: float) -> None:
        """One attempt was refused or failed; its wait is no pace."""

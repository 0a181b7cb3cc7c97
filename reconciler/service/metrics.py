"""What Prometheus reads from the service."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SPANS_S: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The counters of one process, in a registry of its own so that two services can share a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "reconciler_reconcile", "Runs of a project.", ["project", "result"], registry=self.registry
        )
        self.reconcile_s = Histogram(
            "reconciler_reconcile_duration_seconds",
            "How long runs of a project took.",
            ["project"],
            buckets=_SPANS_S,
            registry=self.registry,
        )
        self.fetches = Counter(
            "reconciler_git_fetch", "Looks at a source.", ["source", "result"], registry=self.registry
        )
        self.webhooks = Counter(
            "reconciler_webhook_requests", "Webhooks received.", ["source", "result"], registry=self.registry
        )
        self.drift = Gauge(
            "reconciler_drifted_resources",
            "Resources that differ although Git did not move.",
            ["project"],
            registry=self.registry,
        )
        self.last_good = Gauge(
            "reconciler_last_good_sync_timestamp_seconds",
            "When a project was last found or brought in line, in Unix seconds.",
            ["project"],
            registry=self.registry,
        )
        self.reports = Counter(
            "reconciler_reports",
            "Messages to forges, people and other programs.",
            ["channel", "result"],
            registry=self.registry,
        )

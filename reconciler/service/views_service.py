"""What pages and API show of the service itself: sources, runs, events, the audit log. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from reconciler.resource import Json

T = TypeVar("T")


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A part of a list: its `items` from `offset` on, and how many there are in all."""

    items: tuple[T, ...]
    total: int
    limit: int
    offset: int


@dataclass(frozen=True, kw_only=True)
class SourceView:
    """A source as last seen. `stale` says that `good` is not its newest commit, for `stale_s` seconds now."""

    name: str
    url: str
    ref: str
    head: str
    good: str
    good_at: datetime | None
    seen_at: datetime | None
    fetched_at: datetime | None
    stale: bool
    stale_since: datetime | None
    stale_s: float
    error: str
    hint: str
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One attempt at a Project, without its report. `result` is `running` while it goes.

    `reasons` are the service's own words for who asked, `why` says the same to people.
    """

    id: str
    project: str
    source: str
    reasons: tuple[str, ...]
    why: tuple[str, ...]
    commit: str
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    result: str
    summary: Mapping[str, int]
    replica: str


@dataclass(frozen=True, kw_only=True)
class RunDetail(RunView):
    """One attempt with the Project's part of the JSON report; {} while it runs."""

    report: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True)
class EventView:
    """Something that happened."""

    id: int
    at: datetime | None
    type: str
    severity: str
    project: str
    resource: str
    source: str
    run: str
    commit: str
    message: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class AuditView:
    """Who did what, and why."""

    id: int
    at: datetime | None
    actor: str
    action: str
    project: str
    resource: str
    why: str
    detail: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True)
class ConfigView:
    """The configuration in force. With `rejected` a newer one was refused, and why."""

    loaded_at: datetime | None
    rejected_at: datetime | None
    rejected: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """Keys that wait for a turn now, that wait for a later time, and that have one, over all replicas."""

    due: int
    later: int
    running: int


@dataclass(frozen=True, kw_only=True)
class ServiceView:
    """The service itself. `projects` counts Projects by health."""

    version: str
    replica: str
    ready: bool
    queue: QueueView
    config: ConfigView
    sources: tuple[SourceView, ...]
    projects: Mapping[str, int]

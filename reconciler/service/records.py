"""What the service keeps: one value for each row of the store. Times are Unix seconds (float)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from reconciler.resource import Json


class Health(StrEnum):
    """How a project or a resource is, at a glance; lists begin as `WORST_FIRST` does."""

    IN_SYNC = "in-sync"
    UNMANAGED = "unmanaged"
    WAITING = "waiting"  # a version is starting, or the next step comes by itself
    OBSERVED = "observed"  # changes are due and the Project only observes, or its window is closed
    DRIFTED = "drifted"
    REFUSED = "refused"  # a limit or a policy holds it; a person decides
    FAILED = "failed"
    UNKNOWN = "unknown"  # not read yet, or what is known is old


WORST_FIRST: Final = (
    Health.FAILED,
    Health.REFUSED,
    Health.DRIFTED,
    Health.OBSERVED,
    Health.WAITING,
    Health.UNKNOWN,
    Health.IN_SYNC,
    Health.UNMANAGED,
)
"""The order in which a person should look: what is broken, what waits for a person, what comes by itself."""


@dataclass(frozen=True)
class SourceRecord:
    """One source as last seen.

    `head` is the newest commit of its ref that was seen, `good` the newest that was fetched, verified and
    read. With `error` the last look failed, and `good` is stale since `stale_since`.
    """

    name: str
    url: str
    ref: str = ""
    head: str = ""
    good: str = ""
    good_time: int = 0
    seen_at: float = 0
    fetched_at: float = 0
    stale_since: float = 0
    error: str = ""
    hint: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProjectRecord:
    """One Project as last reconciled.

    `revision` is the commit of the last run that decided, `wanted` the newest commit that names this
    Project. `conditions` are dicts as in the JSON report. `digest` is that of the last plan; `asks` says in
    words what approving it would let through, "" for nothing. `failures` counts runs that failed in a row.
    `removed`: its file is gone from the source; nothing was deleted.
    """

    name: str
    source: str
    endpoint: str = ""
    owner: str = ""
    mode: str = "enforce"
    interval_s: int = 300
    health: Health = Health.UNKNOWN
    reason: str = ""
    revision: str = ""
    wanted: str = ""
    digest: str = ""
    asks: str = ""
    summary: Mapping[str, int] = field(default_factory=dict)
    conditions: tuple[Mapping[str, Json], ...] = ()
    resources: int = 0
    last_run: str = ""
    last_run_at: float = 0
    last_good_at: float = 0
    next_at: float = 0
    failures: int = 0
    removed: bool = False


# What a look at the source says of a Project, at any time; everything else is what its last run came to.
PROJECT_SETTINGS: Final = ("source", "endpoint", "owner", "mode", "interval_s", "removed")


@dataclass(frozen=True)
class Suspension:
    """A Project that a person stopped: no run writes until it is resumed."""

    project: str
    by: str
    why: str
    at: float


@dataclass(frozen=True)
class Pin:
    """A rollback that the service keeps: `version` serves `resource` (`Agent/NAME`) until `expires_at`.

    `commit` is the one that was rolled back.
    """

    project: str
    resource: str
    version: str
    by: str
    why: str
    at: float
    expires_at: float
    commit: str = ""


@dataclass(frozen=True)
class Approved:
    """A plan that a person let through once: its `digest`, good until `expires_at`.

    Once a run has begun with it, `commit` is that run's, and `covers` has what may still be done: for each
    step its resource (`Agent/NAME`), its name, and what it does, as `plan.Approval` knows it.
    """

    project: str
    digest: str
    by: str
    why: str
    at: float
    expires_at: float
    commit: str = ""
    covers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Retry:
    """A failed version of `resource` (`Agent/NAME`) that a person wants made once more.

    It is good for one run that writes, and until `expires_at`.
    """

    project: str
    resource: str
    by: str
    why: str
    at: float
    expires_at: float


@dataclass(frozen=True)
class ResourceRecord:
    """One resource of a Project. `resource` is `Agent/NAME`.

    `serving` is the traffic (`7`, or `6:90,7:10`), `latest` the newest version's number. `detail` holds
    what the report says of it where it is not simply equal: change, outcomes, conditions.
    `references` are the resources it names (`Agent/other`).
    """

    project: str
    resource: str
    health: Health
    reason: str = ""
    action: str = "none"
    serving: str = ""
    latest: str = ""
    definition_kind: str = ""
    place: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    detail: Mapping[str, Json] = field(default_factory=dict)
    changed_at: float = 0


@dataclass(frozen=True)
class RunRecord:
    """One attempt at a Project. `result` is `running` while it goes, then one of:
    unchanged, applied, drifted, observed, refused, partly, pending, failed, superseded, interrupted.

    `reasons` say who asked (`commit SHA`, `interval`, `manual by NAME`, `requeue`, `check`, `retry`).
    `report` is the Project's part of the JSON report, masked; {} in lists.
    """

    id: str
    project: str
    source: str
    reasons: tuple[str, ...]
    commit: str
    started_at: float
    ended_at: float = 0
    result: str = "running"
    summary: Mapping[str, int] = field(default_factory=dict)
    replica: str = ""
    report: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class EventRecord:
    """Something worth telling. `id` grows and is 0 until stored.

    `type` is one of: drift, failure, recovery, release, applied, refused, rollback, pin-expired,
    suspended, resumed, approved, source-stale, source-recovered, config-rejected, config-reloaded,
    project-removed. `severity` is info, warning or error. `resource` may be "".
    """

    at: float
    type: str
    severity: str
    project: str
    message: str
    resource: str = ""
    source: str = ""
    run: str = ""
    commit: str = ""
    hint: str = ""
    id: int = 0


@dataclass(frozen=True)
class AuditRecord:
    """Who did what, and why.

    `action`: sync, suspend, resume, rollback, unpin, approve, retry, sign-in, denied.
    """

    at: float
    actor: str
    action: str
    project: str = ""
    resource: str = ""
    why: str = ""
    detail: Mapping[str, Json] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True)
class Page:
    """Which part of a list: `limit` rows (1 to 1,000) from `offset`."""

    limit: int = 50
    offset: int = 0


FIRST: Final = Page()

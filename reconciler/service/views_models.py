"""What pages and API show of Projects and their resources. Times are aware and in UTC; knows no HTTP.

Every text in them was masked before it was stored; pages still escape it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reconciler.resource import Json
from reconciler.service.views_service import RunView, SourceView

Author = Literal["us", "portal", "unknown"]


@dataclass(frozen=True, kw_only=True)
class SuspensionView:
    """Who stopped a Project, and why."""

    by: str
    why: str
    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class PinView:
    """A rollback that the service keeps. `over`: its time has passed, and Git decides at the next run."""

    resource: str
    version: str
    by: str
    why: str
    at: datetime | None
    expires_at: datetime | None
    over: bool
    commit: str


@dataclass(frozen=True, kw_only=True)
class RetryView:
    """Who wants a failed version made once more; the next run that may write does it, until `expires_at`."""

    by: str
    why: str
    at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class AskView:
    """What a person is asked to let through: `digest` names the plan, `lets` says what approving it does.

    `approved_by` is set once somebody did, and the run that uses it has not come yet.
    """

    digest: str
    lets: str
    approved_by: str
    approved_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ConditionView:
    """One condition: `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str
    at: str


@dataclass(frozen=True, kw_only=True)
class ProjectView:
    """A Project at a glance. `counts` are its resources by health; `wanted` is the newest commit for it,
    `revision` the one that decided last. `pins` counts rollbacks in force."""

    name: str
    source: str
    endpoint: str
    mode: str
    health: str
    reason: str
    counts: Mapping[str, int]
    resources: int
    revision: str
    wanted: str
    last_run: str
    last_run_at: datetime | None
    last_good_at: datetime | None
    next_at: datetime | None
    failures: int
    removed: bool
    suspended: SuspensionView | None
    stale: bool
    stale_s: float
    pins: int
    asks: AskView | None


@dataclass(frozen=True, kw_only=True)
class ProjectDetail(ProjectView):
    """A Project with everything that is known of it as a whole."""

    owner: str
    interval_s: int
    summary: Mapping[str, int]
    conditions: tuple[ConditionView, ...]
    pinned: tuple[PinView, ...]
    from_source: SourceView | None
    run: RunView | None


@dataclass(frozen=True, kw_only=True)
class ResourceView:
    """One resource at a glance. `resource` is `Agent/NAME`; `serving` its traffic (`7`, or `6:90,7:10`).

    `reason` is the service's own word for why it is so, `why` says it to people, "" where all is well.
    """

    project: str
    resource: str
    kind: str
    name: str
    health: str
    reason: str
    why: str
    action: str
    serving: str
    latest: str
    definition_kind: str
    place: str
    labels: Mapping[str, str]
    references: tuple[str, ...]
    pin: PinView | None
    changed_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class FieldView:
    """One difference: `op` is add, remove or replace, `path` a JSON Pointer."""

    op: str
    path: str
    desired: Json
    live: Json


@dataclass(frozen=True, kw_only=True)
class DriftView:
    """What somebody changed although Git did not move; `why` says it in words."""

    what: str
    why: str
    version: str
    at: str
    by: str
    fields: tuple[FieldView, ...]


@dataclass(frozen=True, kw_only=True)
class ChangeView:
    """What the last plan said of a resource, `why` in words. `now` and `later` are its steps."""

    action: str
    reason: str
    why: str
    origin: str
    refused: bool
    held: bool
    fields: tuple[FieldView, ...]
    drift: tuple[DriftView, ...]
    now: tuple[str, ...]
    later: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OutcomeView:
    """What one step did; `what` names it in words. `error` goes from what we tried to its cause; `hint` is
    the remedy."""

    step: str
    what: str
    outcome: str
    version: str
    reason: str
    note: str
    hint: str
    error: tuple[str, ...]
    code: str
    request_id: str
    duration_s: float


@dataclass(frozen=True, kw_only=True)
class VerdictView:
    """What a policy or a limit said of a resource; `severity` is warn or refuse."""

    severity: str
    rule: str
    message: str
    hint: str
    place: str


@dataclass(frozen=True, kw_only=True)
class MarkView:
    """Our entry in a version's metadata. `genuine`: it was written for this very version (rule M2)."""

    owner: str
    resource: str
    base: str
    pinned: str
    file: str
    time: datetime | None
    genuine: bool


@dataclass(frozen=True, kw_only=True)
class VersionErrorView:
    """Why a version did not start, and what to do."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class VersionView:
    """One version. `share` is its traffic in per cent; `commit` is known of versions that we made.

    `by` is us for a genuine mark of ours, portal where a mark was carried along from an older version or
    another agent, unknown for everything else.
    """

    number: str
    health: str
    created_at: datetime | None
    by: Author
    commit: str
    share: int
    latest: bool
    pinned: bool
    draft: bool
    mark: MarkView | None
    error: VersionErrorView | None


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Versions of a resource, newest first. `complete` says that none is missing.

    `old`: the service could not be asked now, so this is what the last run left, and `note` says why.
    """

    versions: tuple[VersionView, ...]
    complete: bool
    old: bool
    read_at: datetime | None
    note: str


@dataclass(frozen=True, kw_only=True)
class ResourceDetail(ResourceView):
    """One resource with everything that is known of it."""

    conditions: tuple[ConditionView, ...]
    change: ChangeView | None
    outcomes: tuple[OutcomeView, ...]
    verdicts: tuple[VerdictView, ...]
    retry: RetryView | None
    timeline: Timeline


@dataclass(frozen=True, kw_only=True)
class NodeView:
    """A resource in the graph. `there` is False for one that is only named by others."""

    id: str
    kind: str
    name: str
    health: str
    definition_kind: str
    there: bool


@dataclass(frozen=True, kw_only=True)
class EdgeView:
    """`source` names `target` in its definition."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class GraphView:
    """Resources and which names which. Of a large Project those with references and troubles come first;
    `left_out` says how many are not in it; around one resource, how many were not looked through."""

    nodes: tuple[NodeView, ...]
    edges: tuple[EdgeView, ...]
    left_out: int

"""From rows to what pages and API show. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from reconciler.resource import Json
from reconciler.service.records import (
    Approved,
    AuditRecord,
    EventRecord,
    Pin,
    ProjectRecord,
    ResourceRecord,
    Retry,
    RunRecord,
    SourceRecord,
    Suspension,
)
from reconciler.service.views_models import (
    AskView,
    ChangeView,
    ConditionView,
    DriftView,
    FieldView,
    OutcomeView,
    PinView,
    ProjectView,
    ResourceView,
    RetryView,
    SuspensionView,
    VerdictView,
)
from reconciler.service.views_service import AuditView, EventView, RunView, SourceView
from reconciler.service.views_words import drift_text, reason_text, step_text, why_resource, why_run

V = TypeVar("V")

# Counts by health are kept beside the report's own counts.
_HEALTH: Final = "health:"


def moment(seconds: float) -> datetime | None:
    """A time of the store; None for 0, which stands for never."""
    return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None


@dataclass(frozen=True)
class Said:
    """What people said, of all Projects, and how their sources are."""

    sources: Mapping[str, SourceRecord] = field(default_factory=dict)
    suspensions: Mapping[str, Suspension] = field(default_factory=dict)
    pins: tuple[Pin, ...] = ()
    approved: Approved | None = None
    now: float = 0.0

    def pins_of(self, project: str) -> tuple[Pin, ...]:
        """The rollbacks of one Project."""
        return tuple(pin for pin in self.pins if pin.project == project)


def source_view(record: SourceRecord, now: float) -> SourceView:
    """A source."""
    stale_s = max(0.0, now - record.stale_since) if record.stale_since else 0.0
    return SourceView(
        name=record.name,
        url=record.url,
        ref=record.ref,
        head=record.head,
        good=record.good,
        good_at=moment(record.good_time),
        seen_at=moment(record.seen_at),
        fetched_at=moment(record.fetched_at),
        stale=bool(record.error),
        stale_since=moment(record.stale_since),
        stale_s=stale_s if record.error else 0.0,
        error=record.error,
        hint=record.hint,
        problems=record.problems,
    )


def project_fields(
    record: ProjectRecord, said: Said, counts: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """What every view of a Project shows; `counts` by health where they are better known."""
    source = said.sources.get(record.source)
    suspension = said.suspensions.get(record.name)
    kept = {
        name.removeprefix(_HEALTH): number
        for name, number in record.summary.items()
        if name.startswith(_HEALTH)
    }
    stale = source is not None and bool(source.error)
    return {
        "name": record.name,
        "source": record.source,
        "endpoint": record.endpoint,
        "mode": record.mode,
        "health": str(record.health),
        "reason": record.reason,
        "counts": dict(kept if counts is None else counts),
        "resources": record.resources,
        "revision": record.revision,
        "wanted": record.wanted,
        "last_run": record.last_run,
        "last_run_at": moment(record.last_run_at),
        "last_good_at": moment(record.last_good_at),
        "next_at": moment(record.next_at),
        "failures": record.failures,
        "removed": record.removed,
        "suspended": suspension_view(suspension) if suspension else None,
        "stale": stale,
        "stale_s": source_view(source, said.now).stale_s if source and stale else 0.0,
        "pins": sum(pin.expires_at > said.now for pin in said.pins_of(record.name)),
        "asks": ask_view(record, said),
    }


def project_view(record: ProjectRecord, said: Said) -> ProjectView:
    """A Project in a list."""
    return ProjectView(**project_fields(record, said))


def summary_of(record: ProjectRecord) -> dict[str, int]:
    """The counts of the last report, as in its summary."""
    return {name: number for name, number in record.summary.items() if not name.startswith(_HEALTH)}


def suspension_view(record: Suspension) -> SuspensionView:
    """A Project that was stopped."""
    return SuspensionView(by=record.by, why=record.why, at=moment(record.at))


def ask_view(record: ProjectRecord, said: Said) -> AskView | None:
    """What a person is asked, None when nothing is."""
    if not record.asks or not record.digest:
        return None
    approved = said.approved
    given = (
        approved is not None
        and approved.project == record.name
        and approved.digest == record.digest
        and approved.expires_at > said.now
    )
    return AskView(
        digest=record.digest,
        lets=record.asks,
        approved_by=approved.by if approved and given else "",
        approved_at=moment(approved.at) if approved and given else None,
    )


def pin_view(record: Pin, now: float) -> PinView:
    """A rollback."""
    return PinView(
        resource=record.resource,
        version=record.version,
        by=record.by,
        why=record.why,
        at=moment(record.at),
        expires_at=moment(record.expires_at),
        over=record.expires_at <= now,
        commit=record.commit,
    )


def retry_view(records: Iterable[Retry], resource: str, now: float) -> RetryView | None:
    """The order to make a failed version of this resource once more, None without one that holds."""
    for record in records:
        if record.resource == resource and record.expires_at > now:
            return RetryView(
                by=record.by, why=record.why, at=moment(record.at), expires_at=moment(record.expires_at)
            )
    return None


def run_fields(record: RunRecord) -> dict[str, Any]:
    """What every view of a run shows."""
    ended = record.ended_at > 0
    return {
        "id": record.id,
        "project": record.project,
        "source": record.source,
        "reasons": record.reasons,
        "why": why_run(record.reasons),
        "commit": record.commit,
        "started_at": moment(record.started_at),
        "ended_at": moment(record.ended_at),
        "duration_s": round(max(0.0, record.ended_at - record.started_at), 3) if ended else None,
        "result": record.result,
        "summary": dict(record.summary),
        "replica": record.replica,
    }


def run_view(record: RunRecord) -> RunView:
    """A run in a list."""
    return RunView(**run_fields(record))


def resource_fields(record: ResourceRecord, pin: PinView | None) -> dict[str, Any]:
    """What every view of a resource shows."""
    kind, _, name = record.resource.partition("/")
    return {
        "project": record.project,
        "resource": record.resource,
        "kind": kind,
        "name": name,
        "health": str(record.health),
        "reason": record.reason,
        "why": why_resource(record),
        "action": record.action,
        "serving": record.serving,
        "latest": record.latest,
        "definition_kind": record.definition_kind,
        "place": record.place,
        "labels": dict(record.labels),
        "references": record.references,
        "pin": pin,
        "changed_at": moment(record.changed_at),
    }


def resource_view(record: ResourceRecord, pin: PinView | None) -> ResourceView:
    """A resource in a list."""
    return ResourceView(**resource_fields(record, pin))


def event_view(record: EventRecord) -> EventView:
    """An event."""
    return EventView(**(vars(record) | {"at": moment(record.at)}))


def audit_view(record: AuditRecord) -> AuditView:
    """A line of the audit log."""
    return AuditView(**(vars(record) | {"at": moment(record.at)}))


# What a report said of a resource. Rows of an older release may lack a field, which reads as nothing.


def change_view(value: Json) -> ChangeView | None:
    """The plan for a resource; None where the report says nothing of it."""
    if not isinstance(value, dict):
        return None
    steps = value.get("steps")
    steps = steps if isinstance(steps, dict) else {}
    return ChangeView(
        action=_text(value, "action"),
        reason=_text(value, "reason"),
        why=reason_text(_text(value, "reason")),
        origin=_text(value, "origin"),
        refused=bool(value.get("refused")),
        held=bool(value.get("held")),
        fields=field_views(value.get("fields")),
        drift=tuple(_drift(item) for item in _dicts(value.get("drift"))),
        now=_texts(steps.get("now")),
        later=_texts(steps.get("later")),
        notes=_texts(value.get("notes")),
    )


def field_views(values: Json) -> tuple[FieldView, ...]:
    """Differences of a report."""
    return tuple(
        FieldView(
            op=_text(item, "op"), path=_text(item, "path"), desired=item.get("desired"), live=item.get("live")
        )
        for item in _dicts(values)
    )


def _drift(value: Mapping[str, Json]) -> DriftView:
    return DriftView(
        what=_text(value, "what"),
        why=drift_text(_text(value, "what"), _text(value, "version"), _text(value, "by")),
        version=_text(value, "version"),
        at=_text(value, "at"),
        by=_text(value, "by"),
        fields=field_views(value.get("fields")),
    )


def outcome_views(values: Json) -> tuple[OutcomeView, ...]:
    """What the steps of a resource did."""
    return tuple(
        OutcomeView(
            step=_text(item, "step"),
            what=step_text(_text(item, "step"), _text(item, "version")),
            outcome=_text(item, "outcome"),
            version=_text(item, "version"),
            reason=_text(item, "reason"),
            note=_text(item, "note"),
            hint=_text(item, "hint"),
            error=_texts(item.get("error")),
            code=_text(item, "code"),
            request_id=_text(item, "request_id"),
            duration_s=float(item.get("duration_s") or 0.0),
        )
        for item in _dicts(values)
    )


def condition_views(values: Json) -> tuple[ConditionView, ...]:
    """Conditions of a Project or a resource."""
    return tuple(
        ConditionView(
            type=_text(item, "type"),
            status=_text(item, "status"),
            reason=_text(item, "reason"),
            # Of drift the report has only the word for its reason.
            message=reason_text(_text(item, "message")),
            at=_text(item, "time"),
        )
        for item in _dicts(values)
    )


def verdict_views(values: Json) -> tuple[VerdictView, ...]:
    """What policies said of a resource."""
    return tuple(
        VerdictView(
            severity=_text(item, "severity"),
            rule=_text(item, "rule"),
            message=_text(item, "message"),
            hint=_text(item, "hint"),
            place=_text(item, "place"),
        )
        for item in _dicts(values)
    )


def _dicts(values: Json) -> Iterable[Mapping[str, Json]]:
    if not isinstance(values, list | tuple):
        return ()
    return (item for item in values if isinstance(item, Mapping))


def _text(value: Mapping[str, Json], name: str) -> str:
    found = value.get(name)
    return "" if found is None else str(found)


def _texts(values: Json) -> tuple[str, ...]:
    return tuple(str(value) for value in values) if isinstance(values, list | tuple) else ()

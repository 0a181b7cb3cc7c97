"""What a run found, as rows: one for each resource that changed since the last time, and events. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from reconciler.apply import Outcome
from reconciler.fields import FieldDiff
from reconciler.kinds.kind import Action, Change, Registry
from reconciler.plan import Plan, Planned
from reconciler.reconcile import NOT_TAKEN
from reconciler.report import ProjectReport
from reconciler.resource import Json, Key, traffic_text
from reconciler.service.records import EventRecord, Health, ResourceRecord
from reconciler.service.views_words import reason_text, step_text
from reconciler.tally import creating, stalled

# A release of a whole fleet is one thing that happened, and not a thousand messages.
_MOST_EVENTS: Final = 20

# Events that a resource's state is worth.
_TOLD: Final = {Health.DRIFTED: "drift", Health.FAILED: "failure", Health.REFUSED: "refused"}

# The field whose values are where the traffic should be, and where it is.
_TRAFFIC: Final = "/endpoint/version_selector"

# In the detail of a row: where the traffic was when a release was done, where it is not what serves.
_SERVED: Final = "served"

# What happened to a resource outside of Git, as events say it.
_DRIFTED: Final = {
    "changed": "was changed",
    "missing": "was deleted",
    "redirected": "had its traffic moved",
    "disabled": "was disabled",
}

# What of a resource a page shows, to see cheaply that nothing of it changed.
Sight = tuple[Any, ...]


def sight(planned: Planned) -> Sight:
    """Everything a row is made of where nothing is to be said; differs whenever the row would."""
    change, live, want = planned.change, planned.change.live, planned.change.desired
    latest = live.latest if live else None
    return (
        change.action,
        change.reason,
        planned.refused,
        change.held,
        want.fingerprint if want else None,
        want.place if want else None,
        want.labels if want else None,
        live.selector if live else None,
        (latest.number, latest.health) if latest else None,
        live.enabled if live else None,
    )


def quiet(planned: Planned) -> bool:
    """Whether nothing is to be said of a resource beside what it is."""
    change = planned.change
    return change.action is Action.NONE and not (
        change.drift or change.notes or change.held or change.fields or planned.refused
    )


def health_of(planned: Planned, outcomes: Sequence[Outcome], *, observed: bool) -> Health:
    """How one resource is after a run: the last word on its steps first, then what was planned."""
    change = planned.change
    found = [_health_after(outcome) for outcome in outcomes if outcome.open and outcome.reason != "Observe"]
    if found:
        return Health.FAILED if Health.FAILED in found else Health.WAITING
    if planned.refused or change.blocked:
        return Health.REFUSED
    # What the service does not take is not sent again, and is no more what Git wants than at the first try.
    if stalled(change) or change.reason == NOT_TAKEN:
        return Health.FAILED
    drifted = any(drift.what != "unmanaged" for drift in change.drift)
    if change.held or (drifted and (observed or not outcomes)):
        return Health.DRIFTED
    if creating(change):
        return Health.WAITING
    if planned.steps and (observed or not outcomes):
        return Health.OBSERVED if observed else Health.WAITING
    if change.desired is None and change.action is Action.NONE:
        return Health.UNMANAGED
    return Health.IN_SYNC


def _health_after(outcome: Outcome) -> Health:
    waits = outcome.outcome == "pending" or outcome.reason in ("Moved", "Stopped", "CreatesFirst")
    return Health.WAITING if waits or outcome.retryable else Health.FAILED


@dataclass(frozen=True)
class Told:
    """What the report says of each resource, by `PROJECT/Kind/name`, as JSON values."""

    changes: Mapping[str, Json]
    outcomes: Mapping[str, list[Json]]
    conditions: Mapping[str, list[Json]]
    verdicts: Mapping[str, list[Json]]

    def of(self, key: Key) -> dict[str, Json]:
        """The detail of one resource; empty parts left out."""
        name = str(key)
        parts = {
            "change": self.changes.get(name),
            "outcomes": self.outcomes.get(name),
            "conditions": self.conditions.get(name),
            "verdicts": self.verdicts.get(name),
        }
        return {part: value for part, value in parts.items() if value}


def told(report: Json) -> Told:
    """A Project's part of the JSON report, by resource."""
    return Told(
        {change["key"]: change for change in report["changes"]},
        _by_key(report["outcomes"]),
        _by_key(report["conditions"]),
        _by_key(report["verdicts"]),
    )


def _by_key(items: Sequence[Json]) -> dict[str, list[Json]]:
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for item in items:
        found[item["key"]].append(item)
    return dict(found)


def served_after(planned: Planned, outcomes: Sequence[Outcome], before: str) -> str:
    """Where the traffic was when Git had it where it belongs; "" where that is not certain.

    Args:
        before: the same of the run before.
    """
    change = planned.change
    done = [outcome for outcome in outcomes if outcome.outcome != "skipped"]
    moves = [outcome for outcome in done if outcome.outcome == "moved"]
    if any(outcome.open for outcome in done):
        return ""
    if moves:
        return max(moves, key=lambda outcome: outcome.at).version
    if change.held:
        return before or _wanted_traffic(change.fields)
    there = traffic_text(change.live.traffic) if change.live else ""
    return there if change.target is not None and change.target.number == there else before


def served_before(row: ResourceRecord) -> str:
    """What `served_after` said of the run that wrote this row."""
    if _SERVED in row.detail:
        return str(row.detail[_SERVED])
    if row.reason != "redirected":
        return "" if row.health is Health.UNMANAGED else row.serving
    fields = (row.detail.get("change") or {}).get("fields", ())
    return next((str(one["desired"]) for one in fields if one["path"] == _TRAFFIC), "")


def with_served(row: ResourceRecord, served: str) -> ResourceRecord:
    """The row, from which `served_before` gives this."""
    if served_before(row) == served:
        return row
    return replace(row, detail={**row.detail, _SERVED: served})


def _wanted_traffic(fields: Sequence[FieldDiff]) -> str:
    return next((str(one.desired) for one in fields if one.path == _TRAFFIC), "")


def row_of(planned: Planned, health: Health, said: Told, kinds: Registry, now: float) -> ResourceRecord:
    """The row of one resource."""
    change = planned.change
    live, want = change.live, change.desired
    latest = live.latest if live else None
    form = want.form if want else latest.form if latest else {}
    definition = form.get("definition")
    return ResourceRecord(
        project=change.key.project,
        resource=change.key.local,
        health=health,
        reason=change.reason,
        action=str(change.action),
        serving=traffic_text(live.traffic) if live else "",
        latest=latest.number if latest else "",
        definition_kind=str(definition.get("kind", "")) if isinstance(definition, dict) else "",
        place=str(want.place) if want else "",
        labels=dict(want.labels) if want else {},
        references=kinds[change.key.kind].references(form),
        detail=said.of(change.key),
        changed_at=now,
    )


def shown(change: Change) -> bool:
    """Whether a resource gets a row: what Git wants, and what lives there with a name of ours or not."""
    return change.desired is not None or change.live is not None


def outcomes_by_key(outcomes: Sequence[Outcome]) -> dict[Key, list[Outcome]]:
    """The last word on each step, by resource."""
    found: defaultdict[Key, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        found[outcome.key].append(outcome)
    return dict(found)


@dataclass(frozen=True)
class Occasion:
    """Where and when events happen: the Project, its source, the run and its commit."""

    project: str
    source: str
    run: str
    commit: str
    now: float

    def event(
        self, type_: str, severity: str, message: str, *, resource: str = "", hint: str = ""
    ) -> EventRecord:
        """An event of this occasion."""
        return EventRecord(
            self.now,
            type_,
            severity,
            self.project,
            message,
            source=self.source,
            run=self.run,
            commit=self.commit,
            resource=resource,
            hint=hint,
        )


def release_events(occasion: Occasion, outcomes: Sequence[Outcome]) -> Iterator[EventRecord]:
    """One event for each agent that got or moved to another version; many at once are one event."""
    served: dict[Key, Outcome] = {}
    for outcome in outcomes:
        if outcome.well and outcome.outcome in ("created", "moved"):
            served[outcome.key] = outcome
    if len(served) > _MOST_EVENTS:
        yield occasion.event("release", "info", f"{len(served)} agents were released")
        return
    for key, outcome in served.items():
        word = "serves" if outcome.outcome == "moved" else "was created"
        message = f"version {outcome.version} of {key.local} {word}"
        yield occasion.event("release", "info", message, resource=key.local)


def resource_events(
    occasion: Occasion, before: Mapping[str, Health], after: Sequence[ResourceRecord]
) -> Iterator[EventRecord]:
    """Events for resources that drifted, failed or were refused since the last time.

    Drift is told also where the same run took it back: somebody should know that their edit is gone.
    """
    news: defaultdict[str, list[ResourceRecord]] = defaultdict(list)
    for row in after:
        was = before.get(row.resource)
        if row.health in _TOLD and was != row.health:
            news[_TOLD[row.health]].append(row)
        elif row.health not in _TOLD and _drifted(row) and was is not Health.WAITING:
            news["drift"].append(row)
    for type_, rows in news.items():
        if len(rows) > _MOST_EVENTS:
            yield occasion.event(type_, "warning", f"{len(rows)} agents: {type_}")
            continue
        for row in rows:
            message, hint = _said(row)
            severity = "error" if row.health is Health.FAILED else "warning"
            yield occasion.event(type_, severity, message, resource=row.resource, hint=hint)


def _drifted(row: ResourceRecord) -> bool:
    change = row.detail.get("change") or {}
    return any(drift["what"] != "unmanaged" for drift in change.get("drift", ()))


def _said(row: ResourceRecord) -> tuple[str, str]:
    """The sentence and the remedy for a resource that is not well."""
    for outcome in row.detail.get("outcomes", ()):
        if outcome["outcome"] in ("failed", "skipped"):
            text = outcome["note"] or next(iter(outcome["error"]), "")
            if not text:
                step = step_text(outcome["step"], outcome["version"])
                text = f"{step}: {outcome['outcome']}, {outcome['reason']}"
            return f"{row.resource}: {text}", outcome["hint"]
    for verdict in row.detail.get("verdicts", ()):
        return f"{row.resource}: {verdict['message']}", verdict["hint"]
    change = row.detail.get("change") or {}
    for drift in change.get("drift", ()):
        # The portal carries our mark along; that it did is nothing to be said of who made the edit.
        who = {"a copied mark": "somebody else"}.get(drift["by"], drift["by"])
        by = f" by {who}" if who else ""
        return f"{row.resource} {_DRIFTED.get(drift['what'], drift['what'])}{by}", ""
    for condition in row.detail.get("conditions", ()):
        return f"{row.resource}: {condition['message'] or condition['reason']}", ""
    return f"{row.resource} is {row.health}: {reason_text(row.reason)}", ""


def project_health(report: ProjectReport, rows: Mapping[Health, int], *, observed: bool) -> Health:
    """How a Project is as a whole: the worst that counts."""
    if report.failed is not None:
        return Health.FAILED
    for health in (Health.FAILED, Health.REFUSED):
        if rows.get(health):
            return health
    if any(verdict.severity == "refuse" for verdict in report.verdicts):
        return Health.REFUSED
    for health in (Health.DRIFTED, Health.OBSERVED if observed else Health.WAITING, Health.WAITING):
        if rows.get(health):
            return health
    return Health.IN_SYNC


def merged(first: Plan, last: Plan) -> list[Planned]:
    """Each resource as it was last looked at."""
    later = {item.key: item for item in last.planned}
    return [later.get(item.key, item) for item in first.planned]

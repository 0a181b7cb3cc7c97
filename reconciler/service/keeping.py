"""Keep what a run returned: rows, events, the run itself. Decides nothing about the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reconciler.reconcile import NOT_TAKEN
from reconciler.render.json import project_value
from reconciler.report import Failed, ProjectReport, project_report
from reconciler.resource import Key
from reconciler.service.deps import Deps
from reconciler.service.orders import approval_digest
from reconciler.service.ran import Ran, Tell, cut
from reconciler.service.records import (
    PROJECT_SETTINGS,
    EventRecord,
    Health,
    Page,
    ProjectRecord,
    ResourceRecord,
    RunRecord,
)
from reconciler.service.rows import (
    Occasion,
    Sight,
    Told,
    health_of,
    merged,
    outcomes_by_key,
    project_health,
    quiet,
    release_events,
    resource_events,
    row_of,
    served_after,
    served_before,
    shown,
    sight,
    told,
    with_served,
)
from reconciler.tally import final_outcomes

_DONE: Final = {"add": "added", "change": "changed", "destroy": "destroyed"}
_ROWS: Final = 1000


@dataclass
class _Known:
    """What the store holds of a Project's resources, so that only what changed is written.

    `run` is the last one that was kept: after another replica kept one, all of this is read anew. `served`
    has the traffic of each agent when its last release was done.
    """

    run: str = ""
    endpoint: str = ""
    health: dict[str, Health] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    sights: dict[str, Sight] = field(default_factory=dict)
    served: dict[Key, str] = field(default_factory=dict)


class Keeping:
    """Writes rows after runs. One process writes the rows of one Project, since it alone has its turn."""

    def __init__(self, deps: Deps, tell: Tell) -> None:
        self._deps = deps
        self._tell = tell
        self._known: dict[str, _Known] = {}
        self._begun: set[str] = set()

    def known(self, project: str) -> Collection[str]:
        """The resources (`Agent/NAME`) that have rows and were written by this process."""
        return self._known[project].health.keys() if project in self._known else ()

    async def served(self, row: ProjectRecord) -> Mapping[Key, str]:
        """The traffic of each agent when its last release was done, as far as that is known (rule R5)."""
        return dict((await self._load(row)).served)

    async def begin(self, ran: Ran) -> None:
        """Say that a run goes on, before it writes anything."""
        if ran.plan is not None and ran.plan.needs_sdk:
            record = self._record(ran, "running")
            await self._deps.store.start_run(record)
            self._begun.add(ran.id)
            await self._tell(record)

    async def keep(self, ran: Ran, next_s: float) -> str:
        """Write down what a turn came to.

        Returns:
            One sentence on why the Project is as it is, "" where there is nothing to say.
        """
        assert ran.run is not None
        now = self._deps.now()
        command = "plan" if ran.plan is not None and ran.plan.observe else "apply"
        report = project_report(command, ran.run, int(now))
        value = project_value(report)
        if ran.plan is None:
            rows: tuple[ResourceRecord, ...] = ()
            before: dict[str, Health] = {}
        else:
            rows, before = await self._rows(ran, told(value), now)
        row = await self._project(ran, report, value, next_s)
        occasion = Occasion(row.name, row.source, ran.id, ran.about, now)
        events = [
            *release_events(occasion, ran.outcomes),
            *resource_events(occasion, before, rows),
            *_project_events(occasion, ran, row, report),
        ]
        for pin in ran.pins_over:
            await self._deps.store.remove_pin(pin)
            message = f"the rollback of {pin.resource} to version {pin.version} is over; Git decides again"
            events.append(occasion.event("pin-expired", "info", message, resource=pin.resource))
        await self._record_run(ran, row, report, value)
        if events:
            await self._deps.store.add_events(events)
            await self._deps.engine.trigger("outbox", "event")
        self._measure(row, now)
        return row.reason

    async def _rows(
        self, ran: Ran, said: Told, now: float
    ) -> tuple[tuple[ResourceRecord, ...], dict[str, Health]]:
        """The rows that changed, written; and how these resources were before."""
        assert ran.run is not None
        assert ran.inputs is not None
        first, last = ran.run.plan, ran.run.last
        assert first is not None
        project = ran.row.name
        known = await self._load(ran.row)
        spoken = outcomes_by_key(final_outcomes(ran.run.outcomes))
        items = merged(first, last) if last is not None else list(first.planned)
        changed, before, present = [], {}, set()
        for item in items:
            if not shown(item.change):
                continue
            key = item.key.local
            present.add(key)
            outcomes = spoken.get(item.key, [])
            gone = any(o.step == "delete-agent" and o.well for o in outcomes)
            served = served_after(item, outcomes, known.served.get(item.key, ""))
            known.served[item.key] = served
            if gone:
                present.discard(key)
                continue
            health = health_of(item, outcomes, observed=first.observe)
            seen = (*sight(item), served)
            plain = quiet(item) and not outcomes and known.health.get(key) is health
            if plain and known.sights.get(key) == seen:
                continue
            # That there is nothing to say any more is no change of the agent.
            since = known.since.get(key, now) if plain else now
            row = with_served(row_of(item, health, said, ran.inputs.kinds, since), served)
            if known.health.get(key) is not None:
                before[key] = known.health[key]
            changed.append(row)
            known.since[key] = since
            known.health[key], known.sights[key] = health, seen
        gone_keys = [key for key in known.health if key not in present] if ran.whole else []
        for key in gone_keys:
            known.health.pop(key, None)
            known.sights.pop(key, None)
            known.since.pop(key, None)
            known.served.pop(Key(project, *key.split("/", 1)), None)
        if changed or gone_keys:
            # Until they are written they are not known to be; what a failure leaves is read anew.
            self._known.pop(project)
            await self._deps.store.put_resources(project, changed, gone_keys)
            self._known[project] = known
        return tuple(changed), before

    async def _load(self, row: ProjectRecord) -> _Known:
        """What the store has, read once for as long as no other replica writes to it."""
        known = self._known.get(row.name)
        if known is None or (known.run, known.endpoint) != (row.last_run, row.endpoint):
            known, offset = _Known(row.last_run, row.endpoint), 0
            while True:
                rows, total = await self._deps.store.resources(row.name, page=Page(_ROWS, offset))
                known.health |= {row.resource: row.health for row in rows}
                known.since |= {row.resource: row.changed_at for row in rows}
                known.served |= {
                    Key(row.project, *row.resource.split("/", 1)): served_before(row) for row in rows
                }
                offset += len(rows)
                if not rows or offset >= total:
                    break
            self._known[row.name] = known
        return known

    async def _project(
        self, ran: Ran, report: ProjectReport, value: dict[str, Any], next_s: float
    ) -> ProjectRecord:
        now, old = self._deps.now(), await self._deps.store.project(ran.row.name) or ran.row
        known = self._known.get(ran.row.name)
        if known is not None and ran.plan is None and known.run != ran.row.last_run:
            # Nothing was looked at, and another replica knows better.
            known = None
        observed = ran.plan is not None and ran.plan.observe
        counts = Counter(known.health.values()) if known else Counter[Health]()
        health = old.health if ran.blind else project_health(report, counts, observed=observed)
        if (ran.superseded or ran.interrupted) and health is Health.IN_SYNC:
            health = Health.WAITING
        good = health is Health.IN_SYNC and ran.error is None
        row = replace(
            old,
            health=health,
            reason=_reason(ran, report, health),
            revision=ran.commit if ran.plan is not None else old.revision,
            digest=approval_digest(ran.plan) if ran.plan is not None and ran.asked else "",
            asks=ran.asked,
            summary={**report.summary, **_counts(old, counts)},
            conditions=old.conditions if ran.blind else tuple(c for c in value["conditions"] if not c["key"]),
            resources=sum(counts.values()) if known else old.resources,
            last_run=ran.id,
            last_run_at=now,
            last_good_at=now if good else old.last_good_at,
            next_at=now + next_s,
            failures=old.failures + 1 if ran.broken else 0,
        )
        await self._deps.store.put_project(row, keep=PROJECT_SETTINGS)
        if known is not None:
            known.run = ran.id
        return row

    async def _record_run(
        self, ran: Ran, row: ProjectRecord, report: ProjectReport, value: dict[str, Any]
    ) -> None:
        begun = ran.id in self._begun
        self._begun.discard(ran.id)
        dull = ran.row.health is row.health and not ran.wrote and not ran.ends_release
        if not begun and ran.routine and dull:
            return
        record = self._record(ran, ran.result)
        if not begun:
            await self._deps.store.start_run(replace(record, result="running"))
        record = replace(record, ended_at=self._deps.now(), summary=dict(report.summary), report=cut(value))
        await self._deps.store.end_run(record)
        await self._tell(record)

    def _record(self, ran: Ran, result: str) -> RunRecord:
        return RunRecord(
            id=ran.id,
            project=ran.row.name,
            source=ran.row.source,
            reasons=ran.reasons,
            commit=ran.about,
            started_at=ran.started_at,
            result=result,
            replica=self._deps.replica,
        )

    def _measure(self, row: ProjectRecord, now: float) -> None:
        metrics = self._deps.metrics
        metrics.drift.labels(row.name).set(row.summary.get(f"health:{Health.DRIFTED}", 0))
        if row.last_good_at:
            metrics.last_good.labels(row.name).set(row.last_good_at)


def _counts(old: ProjectRecord, counts: Mapping[Health, int]) -> dict[str, int]:
    """How many resources are in which health; as before where nothing was looked at."""
    if not counts:
        return {word: number for word, number in old.summary.items() if word.startswith("health:")}
    return {f"health:{health}": number for health, number in counts.items()}


def _reason(ran: Ran, report: ProjectReport, health: Health) -> str:
    """One sentence on why a Project is as it is."""
    if report.failed is not None:
        return _first_of(report.failed)
    if ran.hold:
        return ran.hold
    refusals = [verdict for verdict in report.verdicts if verdict.severity == "refuse"]
    if refusals:
        return refusals[0].message
    if health is Health.FAILED or health is Health.WAITING:
        said = [c for c in report.conditions if c.key and c.type in ("Stalled", "Reconciling")]
        if said:
            name = Key(*said[0].key.split("/", 2)).local
            return f"{name}: {said[0].message or said[0].reason}"
        for item in ran.plan.planned if ran.plan is not None else ():
            if item.change.reason == NOT_TAKEN:
                return f"{item.key.local}: the service accepted the change and did not take it"
    return ""


def _first_of(failed: Failed) -> str:
    """What went wrong, in one line: of many problems the first one with its place."""
    return ": ".join((failed.messages[0], *map(str, failed.problems[:1])))


def _project_events(
    occasion: Occasion, ran: Ran, row: ProjectRecord, report: ProjectReport
) -> list[EventRecord]:
    """What is to be told of the Project as a whole: it failed, was refused, recovered, or was applied."""
    events = []
    before = ran.row.health
    bad = (Health.FAILED, Health.REFUSED, Health.DRIFTED)
    if report.failed is not None and before is not Health.FAILED and not ran.blind:
        message = "; ".join((_first_of(report.failed), *report.failed.messages[1:]))
        events.append(occasion.event("failure", "error", message, hint=report.failed.hint))
    refusals = [v for v in report.verdicts if v.severity == "refuse" and not v.key]
    if refusals and before is not Health.REFUSED:
        first = refusals[0]
        events.append(occasion.event("refused", "warning", first.message, hint=first.hint))
    if row.health is Health.IN_SYNC and before in bad:
        events.append(occasion.event("recovery", "info", f"Project {row.name} is in sync again"))
    if ran.unused is not None:
        message = f"what {ran.unused.by} approved is not the plan any more; nothing was let through"
        events.append(occasion.event("refused", "warning", message, hint="Look at the plan again."))
    if ran.result == "applied":
        done = {_DONE[word]: n for word, n in report.summary.items() if n and word in _DONE}
        text = ", ".join(f"{n} {word}" for word, n in done.items()) or "nothing left to do"
        events.append(occasion.event("applied", "info", f"applied {ran.commit[:12]}: {text}"))
    return events

"""One turn of a source: ask what is newest, fetch and verify it, tell the Projects it concerns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Final

import structlog

from reconciler.desired import DesiredProject
from reconciler.errors import InvalidInput, ReconcilerError, explain
from reconciler.loading import problems_of
from reconciler.service.checkouts import Checkouts
from reconciler.service.config_spec import SourceSpec, seconds
from reconciler.service.deps import Deps
from reconciler.service.engine import Again, Turn
from reconciler.service.places import Places
from reconciler.service.records import (
    PROJECT_SETTINGS,
    EventRecord,
    Health,
    Page,
    ProjectRecord,
    SourceRecord,
)
from reconciler.service.source import Checkout

log = structlog.get_logger("reconciler")

# Problems kept in the source's row; the rest is in the log and in `reconciler validate`.
_MOST_PROBLEMS: Final = 50
# Rows are written at least this often while nothing moves, so that pages can say when we last looked.
_SEEN_S: Final = 30.0
_MOST_ROWS: Final = 1000
# Turns of a source that we do not know come again this soon, for as long after somebody looked at it last.
_UNKNOWN_S: Final = 60.0
_UNKNOWN_FOR_S: Final = 3600.0
# Until a source is looked at whose server is asked for others already.
_PLACE_S: Final = (0.5, 1.5)
# Of a Project's row, what its runs found: one may end while its source is looked at.
_FOUND: Final = tuple(
    field.name for field in fields(ProjectRecord) if field.name not in ("name", *PROJECT_SETTINGS)
)
_RUN: Final = tuple(name for name in _FOUND if name not in ("health", "reason"))
# Everything about a Project for which another one is left out, its name first; Projects by endpoint.
_Hold = tuple[str, str, str, str, frozenset[str]]
_Near = Mapping[str, Sequence[ProjectRecord]]


class SourceTurns:
    """Turns of `source/NAME`."""

    def __init__(self, deps: Deps, checkouts: Checkouts) -> None:
        self._deps = deps
        self._checkouts = checkouts
        # What each Project was last wanted at, as this process knows; another one may have seen more.
        self._wanted: dict[str, str] = {}
        # By source: Projects that it has too and does not get, and by which other one each is held.
        self._taken: dict[str, dict[str, _Hold]] = {}
        self._places = Places()
        # Two sources that tell at once would both find that nobody has what they have.
        self._telling = asyncio.Lock()

    async def turn(self, turn: Turn) -> Again | None:
        """Look at the source once; the next look comes by itself after its interval."""
        name = turn.key.removeprefix("source/")
        spec = next((spec for spec in self._deps.configured.current.spec.sources if spec.name == name), None)
        if spec is None:
            return await self._unwatched(name)
        record = await self._deps.store.source(name) or SourceRecord(name, spec.url, spec.ref or "")
        pause_s = float(seconds(spec.interval))
        places = self._deps.configured.current.spec.limits.reconciles
        with self._places.at(spec.url, max(1, places // 2)) as free:
            if not free:
                return Again(random.uniform(*_PLACE_S), "waits")
            try:
                await self._look(spec, record)
            except ReconcilerError as error:
                await self._unread(record, error)
                pause_s = min(pause_s, self._retry_s(record))
        if spec.forge is not None and spec.forge.pull_requests:
            await self._deps.engine.trigger(f"pulls/{name}", "source")
        spread = 1 + random.uniform(-1, 1) * spec.jitter_percent / 100
        return Again(pause_s * spread, "poll")

    def _retry_s(self, record: SourceRecord) -> float:
        """How long to wait after a failure: as long as it failed already, so twice as long each time.

        The webhook of what was pushed meanwhile will not come again.
        """
        backoff, now = self._deps.configured.current.spec.backoff, self._deps.now()
        stale_s = now - record.stale_since if record.stale_since else 0.0
        return min(max(stale_s, float(seconds(backoff.first))), float(seconds(backoff.longest)))

    async def _look(self, spec: SourceSpec, record: SourceRecord) -> None:
        deps, now = self._deps, self._deps.now()
        head = await self._checkouts.head(spec.name)
        known = self._checkouts.newest(spec.name)
        # Another replica may have told of a commit in between, which was taken back.
        same = known is not None and known.commit == head == record.good
        if (
            same
            and self._checkouts.told(spec.name) == head
            and not record.error
            and await self._all_told(spec.name)
        ):
            deps.metrics.fetches.labels(spec.name, "unchanged").inc()
            if now - record.seen_at >= _SEEN_S:
                await deps.store.put_source(replace(record, head=head, seen_at=now))
            return
        if head != record.head:
            record = replace(record, head=head, seen_at=now)
            await deps.store.put_source(record)
        checkout = await self._checkouts.read(spec.name, head)
        deps.metrics.fetches.labels(spec.name, "fetched").inc()
        problems = _problems(checkout)
        await deps.store.put_source(
            replace(
                record,
                url=checkout.loaded.snapshot.root,
                ref=checkout.ref,
                head=checkout.commit,
                good=checkout.commit,
                good_time=checkout.time,
                seen_at=now,
                fetched_at=now,
                stale_since=0,
                error="",
                hint="",
                problems=problems,
            )
        )
        if record.error:
            await self._event("source-recovered", "info", record, f"source {spec.name} can be read again")
        log.info("source_read", source=spec.name, commit=checkout.commit, problems=len(problems))
        if problems:
            log.warning("manifests_refused", source=spec.name, commit=checkout.commit, problems=problems)
        async with self._telling:
            await self._tell(spec, checkout)

    async def _unread(self, record: SourceRecord, error: ReconcilerError) -> None:
        """Keep the last good state, and say since when it is old; nothing is deleted."""
        messages = explain(error)
        problems = error.problems if isinstance(error, InvalidInput) else ()
        self._deps.metrics.fetches.labels(record.name, "failed").inc()
        log.warning("source_unread", source=record.name, error=messages, hint=error.hint)
        now = self._deps.now()
        shown = tuple(str(problem) for problem in problems[:_MOST_PROBLEMS])
        await self._deps.store.put_source(
            replace(
                record,
                seen_at=now,
                stale_since=record.stale_since or now,
                error="; ".join(messages)[:2000],
                hint=error.hint,
                problems=shown,
            )
        )
        if not record.error:
            first = f"source {record.name}: {messages[0]}"
            await self._event("source-stale", "error", record, first, error.hint)

    async def _tell(self, spec: SourceSpec, checkout: Checkout) -> None:
        """Trigger the Projects that this checkout changes; the others go on in their own time."""
        store, engine = self._deps.store, self._deps.engine
        every = {row.name: row for row in await self._rows()}
        near = _by_endpoint(every.values())
        rows = {name: row for name, row in every.items() if row.source == spec.name}
        untold, self._taken[spec.name] = self._checkouts.untold(spec.name), {}
        projects = {project.project.name: project for project in checkout.loaded.projects}
        concerned = []
        for name, project in projects.items():
            row = every.get(name)
            now = _row(row, project, spec)
            if other := self._holder(row, now, near, project.project.owner_aliases):
                await self._leave_out(now, other)
                continue
            if row is not None and row.endpoint not in ("", now.endpoint):
                await self._moved(row)
            if row != now:
                await store.put_project(now, keep=_FOUND if row else ())
            fresh = row is None or row.removed or row.source != spec.name
            changed = untold.get(name)
            # Another process may have seen a commit between the two that this one compares.
            between = row is not None and row.wanted != self._wanted.get(name, row.wanted)
            if fresh or between or changed is None or changed or problems_of(project):
                concerned.append(name)
            self._wanted[name] = row.wanted if row else ""
        broken = await self._tell_broken(spec, checkout, every)
        concerned += broken
        await store.want(spec.name, concerned, checkout.commit)
        self._wanted |= dict.fromkeys(concerned, checkout.commit)
        for name in (*projects, *broken):
            if name in self._taken[spec.name]:
                continue
            if name in concerned:
                await engine.trigger(f"project/{name}", f"commit {checkout.commit[:12]}")
            else:
                # Waits already unless the queue was lost; then this starts its interval again.
                interval_s = projects[name].project.sync.interval_s
                await engine.trigger(f"project/{name}", "interval", after_s=interval_s)
        there = projects.keys() | set(broken)
        await self._gone(spec, (row for name, row in rows.items() if name not in there and not row.removed))
        self._checkouts.tell(spec.name, checkout.commit)

    async def _tell_broken(
        self, spec: SourceSpec, checkout: Checkout, every: Mapping[str, ProjectRecord]
    ) -> list[str]:
        """Keep the rows of Projects whose files have problems; the names of those that are ours.

        Such a file says nothing certain, so it changes nothing of what a row knows of its Project.
        """
        ours = []
        rows = {name: row for name, row in every.items() if row.source == spec.name}
        for name in _broken(spec, checkout, rows):
            row = every.get(name)
            now = replace(row or ProjectRecord(name, spec.name), source=spec.name, removed=False)
            if other := self._holder(row, now, {}, ()):
                await self._leave_out(now, other)
                continue
            if row != now:
                await self._deps.store.put_project(now, keep=_FOUND if row else ())
            ours.append(name)
        return ours

    async def _rows(self, source: str = "") -> list[ProjectRecord]:
        """Every Project that the store has of a source, or of all."""
        found: list[ProjectRecord] = []
        while True:
            rows, total = await self._deps.store.projects(source=source, page=Page(_MOST_ROWS, len(found)))
            found += rows
            if not rows or len(found) >= total:
                return found

    def _free(self, row: ProjectRecord) -> bool:
        """Whether another source may take over this Project: the one that had it does not any more."""
        return row.removed or row.source not in self._checkouts

    def _holder(
        self, row: ProjectRecord | None, now: ProjectRecord, near: _Near, aliases: Collection[str]
    ) -> ProjectRecord | None:
        """The Project of another source that has this one's name, or owns the same agents.

        Two that own the same agents would delete each other's. Within one repository each knows what the
        other desires (rule D4).
        """
        if row is not None and row.source != now.source and not self._free(row):
            return row
        repository, owners = self._repository(now.source), {now.owner, *aliases}
        place = (now.source, now.endpoint, now.owner)
        first = row is not None and not row.removed and (row.source, row.endpoint, row.owner) == place
        for other in near.get(now.endpoint.casefold(), ()):
            if other.source == now.source or self._free(other) or (first and other.name > now.name):
                continue
            if repository is not None and self._repository(other.source) == repository:
                continue
            if other.owner in owners or now.owner in self._aliases(other):
                return other
        return None

    def _aliases(self, row: ProjectRecord) -> Collection[str]:
        """The other names under which a Project owns agents, where this process has read its source."""
        known = self._checkouts.newest(row.source)
        projects = known.loaded.projects if known is not None else ()
        return next((one.project.owner_aliases for one in projects if one.project.name == row.name), ())

    def _hold(self, row: ProjectRecord) -> _Hold:
        return row.name, row.source, row.endpoint, row.owner, frozenset(self._aliases(row))

    def _repository(self, source: str) -> tuple[str, str | None] | None:
        specs = self._deps.configured.current.spec.sources
        return next(((spec.url, spec.ref) for spec in specs if spec.name == source), None)

    async def _all_told(self, source: str) -> bool:
        """Whether every Project of the newest commit has its row, and none may be taken over.

        A replica that does not know the source yet, or another source, may have called them gone meanwhile.
        """
        left_out = self._taken.get(source, {})
        ours = {row.name for row in await self._rows(source) if not row.removed}
        known = self._checkouts.newest(source)
        if (
            known is None
            or {project.project.name for project in known.loaded.projects} - left_out.keys() - ours
        ):
            return False
        for hold in left_out.values():
            row = await self._deps.store.project(hold[0])
            if row is None or self._free(row) or self._hold(row) != hold:
                return False
        return True

    async def _unwatched(self, source: str) -> Again | None:
        """Nobody watches this source any more: its Projects stay as they are, and say so.

        Another replica may know it already, from a newer configuration than ours: for a while it gets the
        turns that come to us.
        """
        for row in await self._rows(source):
            await self._remove(row, "its source is not watched")
        record = await self._deps.store.source(source)
        lately = record is None or self._deps.now() - record.seen_at < _UNKNOWN_FOR_S
        return Again(_UNKNOWN_S, "poll") if lately else None

    async def _gone(self, spec: SourceSpec, rows: Iterable[ProjectRecord]) -> None:
        """Removing a Project file deletes nothing (rule I4)."""
        for row in rows:
            reason, what = "its file is gone from the source", "is gone from its source"
            if not spec.handles(row.name):
                reason = f"`projects` of source {spec.name} does not name it any more"
                what = f"is not among the `projects` of source {spec.name} any more"
            if await self._remove(row, reason):
                message = f"Project {row.name} {what}; its agents stay as they are"
                await self._event("project-removed", "warning", row, message)

    async def _remove(self, row: ProjectRecord, reason: str) -> bool:
        """Mark a Project as gone; False where another source has taken it over meanwhile, or it was."""
        now = await self._deps.store.project(row.name)
        if now is None or now.removed or now.source != row.source:
            return False
        gone = replace(now, removed=True, health=Health.UNKNOWN, reason=reason)
        await self._deps.store.put_project(gone, keep=(*_RUN, "source"))
        return True

    async def _moved(self, row: ProjectRecord) -> None:
        """What rows say of agents, and rollbacks of their versions, is about the endpoint that it leaves."""
        while (rows := await self._deps.store.resources(row.name, page=Page(_MOST_ROWS)))[0]:
            await self._deps.store.put_resources(row.name, [], [one.resource for one in rows[0]])
        for pin in await self._deps.store.pins(row.name):
            await self._deps.store.remove_pin(pin)
            what = f"the rollback of {pin.resource} to version {pin.version} is over"
            message = f"{what}: Project {row.name} moved to another endpoint"
            await self._event("pin-expired", "warning", row, message)

    async def _leave_out(self, row: ProjectRecord, other: ProjectRecord) -> None:
        """Do nothing for a Project, and say so once a day, since another source has what it would need."""
        self._taken[row.source][row.name] = self._hold(other)
        who, whose = f"Project {row.name} of source {row.source}", f"{other.name} of source {other.source}"
        if row.name == other.name:
            message = (
                f"Project {row.name} is in source {other.source} already; the one in {row.source} is left out"
            )
            hint = "Rename one of them: names of Projects are unique in one service."
        else:
            message = f"{who} is left out: Project {whose} owns the same agents, by endpoint and owner"
            hint = (
                "One would delete the other's agents. Change `spec.owner` or `owner_aliases` of one of them."
            )
            await self._remove(row, message)
        log.warning("project_left_out", project=row.name, source=row.source, other=whose)
        if await self._deps.store.first_time(
            "left-out", f"{row.source}/{row.name}", now=self._deps.now(), within_s=86400
        ):
            await self._event("failure", "error", row, message, hint)

    async def _event(
        self, type_: str, severity: str, row: SourceRecord | ProjectRecord, message: str, hint: str = ""
    ) -> None:
        source, project = (row.name, "") if isinstance(row, SourceRecord) else (row.source, row.name)
        event = EventRecord(self._deps.now(), type_, severity, project, message, source=source, hint=hint)
        await self._deps.store.add_events([event])
        await self._deps.engine.trigger("outbox", "event")


def _problems(checkout: Checkout) -> tuple[str, ...]:
    found = [str(problem) for broken in checkout.loaded.broken for problem in broken.problems]
    found += [str(problem) for project in checkout.loaded.projects for problem in problems_of(project)]
    return tuple(dict.fromkeys(found))[:_MOST_PROBLEMS]


def _broken(spec: SourceSpec, checkout: Checkout, rows: Mapping[str, ProjectRecord]) -> list[str]:
    """The Projects whose files have problems; where a name cannot be told, each that may be it."""
    named = {broken.name for broken in checkout.loaded.broken if broken.name}
    known = {name for name, row in rows.items() if spec.handles(name) and not row.removed}
    return sorted(name for name in named | known if checkout.loaded.broken_as(name) is not None)


def _by_endpoint(rows: Iterable[ProjectRecord]) -> _Near:
    near: dict[str, list[ProjectRecord]] = {}
    for row in rows:
        near.setdefault(row.endpoint.casefold(), []).append(row)
    return near


def _row(old: ProjectRecord | None, project: DesiredProject, spec: SourceSpec) -> ProjectRecord:
    settings = project.project
    row = old or ProjectRecord(settings.name, spec.name)
    return replace(
        row,
        source=spec.name,
        endpoint=settings.endpoint,
        owner=settings.owner,
        mode=settings.sync.mode,
        interval_s=settings.sync.interval_s,
        removed=False,
    )

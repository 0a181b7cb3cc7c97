"""What people may see of the service, read from the store alone; pages and API show the same values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from reconciler import __version__
from reconciler.service.auth.identity import EVERYTHING, Scope
from reconciler.service.deps import Deps
from reconciler.service.records import FIRST, Page, ProjectRecord, ResourceRecord, SourceRecord
from reconciler.service.refusals import NotFound, Refusal
from reconciler.service.views_due import DueView, due
from reconciler.service.views_filters import (
    AuditFilter,
    EventFilter,
    ProjectFilter,
    ResourceFilter,
    RunFilter,
)
from reconciler.service.views_graph import graph
from reconciler.service.views_making import (
    Said,
    audit_view,
    change_view,
    condition_views,
    event_view,
    moment,
    outcome_views,
    pin_view,
    project_fields,
    project_view,
    resource_fields,
    resource_view,
    retry_view,
    run_fields,
    run_view,
    source_view,
    summary_of,
    verdict_views,
)
from reconciler.service.views_models import (
    GraphView,
    ProjectDetail,
    ProjectView,
    ResourceDetail,
    ResourceView,
    Timeline,
)
from reconciler.service.views_service import (
    AuditView,
    ConfigView,
    EventView,
    Listing,
    QueueView,
    RunDetail,
    RunView,
    ServiceView,
    SourceView,
)
from reconciler.service.views_versions import Look, Looks, remembered, timeline
from reconciler.suggest import did_you_mean, did_you_mean_key

R = TypeVar("R")
V = TypeVar("V")

_ROWS: Final = 1000
# Rows that a graph is made of; a page that draws more is not read by anybody.
_MOST_GRAPHED: Final = 2000
# Rows of several Projects are put together here and not by the store, up to this one.
_MOST_MERGED: Final = 10_000


class Views:
    """The service as whoever asks may see it: `scope` says which Projects those are.

    Raises (every method):
        StoreDown: the store does not answer.
    """

    def __init__(self, deps: Deps, look: Look | None = None) -> None:
        self._deps = deps
        self._looks = Looks(look)

    # Projects

    async def projects(
        self, scope: Scope = EVERYTHING, wanted: ProjectFilter | None = None, page: Page = FIRST
    ) -> Listing[ProjectView]:
        """Projects, those first that a person should look at."""
        asked = (wanted or ProjectFilter()).asked()
        if scope.whole:
            records, total = await self._deps.store.projects(**asked, page=page)
        else:
            every = [record for record in await self._every_project(asked) if record.name in scope]
            records, total = tuple(every[page.offset : page.offset + page.limit]), len(every)
        said = await self._said()
        return Listing(tuple(project_view(row, said) for row in records), total, page.limit, page.offset)

    async def project(self, name: str, scope: Scope = EVERYTHING) -> ProjectDetail:
        """One Project.

        Raises:
            NotFound: there is none of that name, or it is not in the scope.
        """
        record = await self._record(name, scope)
        said = await self._said(approved_of=name)
        counts = await self._deps.store.health_counts(name)
        runs, _ = await self._deps.store.runs(project=name, page=Page(1))
        source = said.sources.get(record.source)
        return ProjectDetail(
            **project_fields(record, said, counts),
            owner=record.owner,
            interval_s=record.interval_s,
            summary=summary_of(record),
            conditions=condition_views(record.conditions),
            pinned=tuple(pin_view(pin, said.now) for pin in said.pins_of(name)),
            from_source=_seen(source, said.now, scope) if source else None,
            run=run_view(runs[0]) if runs else None,
        )

    async def _record(self, name: str, scope: Scope) -> ProjectRecord:
        record = await self._deps.store.project(name) if name in scope else None
        if record is None:
            known = [row.name for row in await self._every_project({}) if row.name in scope]
            raise NotFound(
                f"there is no Project {name[:100]!r}",
                hint=did_you_mean(name[:100], known, "The dashboard lists those that you may see."),
            )
        return record

    async def _every_project(self, asked: dict[str, Any]) -> list[ProjectRecord]:
        async def some(page: Page) -> tuple[tuple[ProjectRecord, ...], int]:
            return await self._deps.store.projects(**asked, page=page)

        return await _all_of(some)

    async def _said(self, approved_of: str = "") -> Said:
        store = self._deps.store
        return Said(
            sources={source.name: source for source in await store.sources()},
            suspensions={row.project: row for row in await store.suspensions()},
            pins=await store.pins(),
            approved=await store.approved(approved_of) if approved_of else None,
            now=self._deps.now(),
        )

    # Resources

    async def resources(
        self,
        project: str,
        scope: Scope = EVERYTHING,
        wanted: ResourceFilter | None = None,
        page: Page = FIRST,
    ) -> Listing[ResourceView]:
        """Resources of a Project, those first that a person should look at.

        Raises:
            NotFound: there is no such Project in the scope.
        """
        await self._record(project, scope)
        asked = (wanted or ResourceFilter()).asked()
        records, total = await self._deps.store.resources(project, **asked, page=page)
        now = self._deps.now()
        pins = {pin.resource: pin_view(pin, now) for pin in await self._deps.store.pins(project)}
        items = tuple(resource_view(row, pins.get(row.resource)) for row in records)
        return Listing(items, total, page.limit, page.offset)

    async def resource(self, project: str, resource: str, scope: Scope = EVERYTHING) -> ResourceDetail:
        """One resource (`Agent/NAME`) with its versions.

        Raises:
            NotFound: there is no such Project or resource in the scope.
        """
        record = await self.resource_record(project, resource, scope)
        pins = [pin for pin in await self._deps.store.pins(project) if pin.resource == resource]
        pin = pin_view(pins[0], self._deps.now()) if pins else None
        detail = record.detail
        return ResourceDetail(
            **resource_fields(record, pin),
            conditions=condition_views(detail.get("conditions")),
            change=change_view(detail.get("change")),
            outcomes=outcome_views(detail.get("outcomes")),
            verdicts=verdict_views(detail.get("verdicts")),
            retry=retry_view(await self._deps.store.retries(project), resource, self._deps.now()),
            timeline=await self._timeline(record, pin.version if pin and not pin.over else ""),
        )

    async def resource_record(self, project: str, resource: str, scope: Scope = EVERYTHING) -> ResourceRecord:
        """The row of a resource.

        Raises:
            NotFound: there is no such Project or resource in the scope.
        """
        await self._record(project, scope)
        record = await self._deps.store.resource(project, resource)
        if record is None:
            near, _ = await self._deps.store.resources(project, page=Page(_ROWS))
            known = (row.resource for row in near)
            raise NotFound(
                f"Project {project} has no resource {resource[:150]!r}",
                hint=did_you_mean_key(
                    resource[:150], known, f"`GET /api/v1/projects/{project}/resources` lists them."
                ),
            )
        return record

    async def _timeline(self, record: ResourceRecord, pinned: str) -> Timeline:
        live, why = await self._looks.live(record.project, record.resource, record.changed_at)
        if live is None:
            return remembered(record, pinned, why or "the service has no such agent now")
        row = await self._deps.store.project(record.project)
        return timeline(live, {row.owner} if row else (), pinned, self._deps.now())

    async def due(self, project: str, scope: Scope = EVERYTHING) -> tuple[DueView, ...]:
        """What approving the last plan of a Project would do to which of its agents.

        Raises:
            NotFound: there is no such Project in the scope.
        """
        await self._record(project, scope)
        # Lists begin with what needs a person.
        records, _ = await self._deps.store.resources(project, worst_first=True, page=Page(_ROWS))
        return due(records)

    async def timeline_now(self, project: str, resource: str) -> Timeline | None:
        """The versions of a resource, asked anew; `old` where that failed, None without such a row."""
        record = await self._deps.store.resource(project, resource)
        if record is None:
            return None
        self._looks.forget(project, resource)
        return await self._timeline(record, "")

    async def graph(self, project: str, scope: Scope = EVERYTHING, focus: str = "") -> GraphView:
        """A Project's resources by reference, or only those around one (`focus`, `Agent/NAME`).

        Raises:
            NotFound: there is no such Project in the scope.
        """
        await self._record(project, scope)

        async def some(page: Page) -> tuple[tuple[ResourceRecord, ...], int]:
            return await self._deps.store.resources(project, worst_first=True, page=page)

        records = await _all_of(some, most=_MOST_GRAPHED)
        if focus and all(row.resource != focus for row in records):
            # Of a very large Project: at least what it names itself.
            found = await self._deps.store.resource(project, focus)
            records += [found] if found else []
        _, total = await self._deps.store.resources(project, page=Page(1))
        return graph(records, focus=focus, unread=max(0, total - len(records)))

    # History

    async def runs(
        self, scope: Scope = EVERYTHING, wanted: RunFilter | None = None, page: Page = FIRST
    ) -> Listing[RunView]:
        """Runs, newest first."""
        asked = vars(wanted or RunFilter())
        records, total = await self._history(self._deps.store.runs, scope, asked, page, _started)
        return Listing(tuple(map(run_view, records)), total, page.limit, page.offset)

    async def run(self, id: str, scope: Scope = EVERYTHING) -> RunDetail:
        """One run with its report.

        Raises:
            NotFound: there is none, or of a Project that is not in the scope.
        """
        record = await self._deps.store.run(id)
        if record is None or record.project not in scope:
            raise NotFound(
                f"there is no run {id[:60]!r}",
                hint="Old runs are removed; see `retention` in the configuration.",
            )
        return RunDetail(**run_fields(record), report=dict(record.report))

    async def events(
        self, scope: Scope = EVERYTHING, wanted: EventFilter | None = None, page: Page = FIRST
    ) -> Listing[EventView]:
        """Events, newest first."""
        asked = vars(wanted or EventFilter())
        records, total = await self._history(self._deps.store.events, scope, asked, page, _numbered)
        return Listing(tuple(map(event_view, records)), total, page.limit, page.offset)

    async def audit(
        self, scope: Scope = EVERYTHING, wanted: AuditFilter | None = None, page: Page = FIRST
    ) -> Listing[AuditView]:
        """Who did what, newest first."""
        asked = vars(wanted or AuditFilter())
        records, total = await self._history(self._deps.store.audits, scope, asked, page, _numbered)
        return Listing(tuple(map(audit_view, records)), total, page.limit, page.offset)

    async def _history(
        self,
        read: Callable[..., Awaitable[tuple[tuple[R, ...], int]]],
        scope: Scope,
        asked: dict[str, Any],
        page: Page,
        order: Callable[[R], Any],
    ) -> tuple[tuple[R, ...], int]:
        """Rows of what grows: of one Project, of all of them, or of those in the scope put together."""
        if scope.whole:
            return await read(**asked, page=page)
        if asked["project"]:
            return await read(**asked, page=page) if asked["project"] in scope else ((), 0)
        found: list[R] = []
        total, needed = 0, page.offset + page.limit
        if needed > _MOST_MERGED:
            raise Refusal(f"lists of several Projects end at row {_MOST_MERGED:,}", hint="Ask for one.")
        for name in (row.name for row in await self._every_project({}) if row.name in scope):

            async def some(part: Page, name: str = name) -> tuple[tuple[R, ...], int]:
                return await read(**(asked | {"project": name}), page=part)

            found += await _all_of(some, most=needed)
            total += (await some(Page(1)))[1]
        found.sort(key=order, reverse=asked.get("after_id") is None)
        return tuple(found[page.offset : needed]), total

    # The service itself

    async def service(self, scope: Scope = EVERYTHING) -> ServiceView:
        """The service: its sources, its configuration, its queue."""
        configured, now = self._deps.configured, self._deps.now()
        projects = [row for row in await self._every_project({}) if row.name in scope]
        counts: dict[str, int] = {}
        for row in projects:
            counts[str(row.health)] = counts.get(str(row.health), 0) + 1
        shown = {row.source for row in projects}
        queue = await self._deps.engine.queue()
        return ServiceView(
            version=__version__,
            replica=self._deps.replica,
            ready=self._deps.engine.ready,
            queue=QueueView(due=queue.due, later=queue.later, running=queue.running),
            config=ConfigView(
                loaded_at=moment(configured.loaded_at),
                rejected_at=moment(configured.rejected_at),
                # The problems of the file may name what is outside of the scope.
                rejected=configured.rejected if scope.whole else (),
            ),
            sources=tuple(
                _seen(source, now, scope)
                for source in await self._deps.store.sources()
                if scope.whole or source.name in shown
            ),
            projects=dict(sorted(counts.items())),
        )


def _seen(record: SourceRecord, now: float, scope: Scope) -> SourceView:
    """A source; problems of its files name whatever is in it, also what is outside of the scope."""
    return source_view(record if scope.whole else replace(record, problems=()), now)


def _started(record: Any) -> Any:
    return record.started_at, record.id


def _numbered(record: Any) -> Any:
    return record.id


async def _all_of(some: Callable[[Page], Awaitable[tuple[tuple[R, ...], int]]], most: int = 10**9) -> list[R]:
    """Rows of a list from its beginning, page by page, at most so many."""
    found: list[R] = []
    while len(found) < most:
        rows, total = await some(Page(min(_ROWS, most - len(found)), len(found)))
        found += rows
        if not rows or len(found) >= total:
            break
    return found

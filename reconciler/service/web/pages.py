"""The pages that show: Projects, one Project, one agent, runs, events, the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from reconciler.errors import ReconcilerError
from reconciler.service.actions import Actions
from reconciler.service.auth.authenticator import Authenticator
from reconciler.service.auth.routes import SIGN_IN
from reconciler.service.deps import Deps
from reconciler.service.records import Page
from reconciler.service.views import Views
from reconciler.service.views_filters import (
    AuditFilter,
    EventFilter,
    ProjectFilter,
    ResourceFilter,
    RunFilter,
)
from reconciler.service.views_models import ChangeView, DriftView, ResourceDetail
from reconciler.service.views_service import Listing
from reconciler.service.web import statics, wording
from reconciler.service.web.acting import Acting
from reconciler.service.web.asking import filters, page
from reconciler.service.web.drawing import drawing
from reconciler.service.web.rendering import NO_PULSE, Rendering, Visit
from reconciler.service.web.reports import run_report
from reconciler.service.web.serving import Serving
from reconciler.service.web.sides import Sides, sides
from reconciler.service.web.stream import Pulses

T = TypeVar("T")

_RECENT: Final = Page(8)
# Kinds of definitions, as the service has them.
KINDS: Final = tuple((kind, kind) for kind in ("prompt", "hosted", "workflow", "external", "voice"))


@dataclass(frozen=True)
class Dashboard:
    """The dashboard of one process: its routes, and what the application needs beside them."""

    routes: list[BaseRoute]
    serving: Serving
    pulses: Pulses


def dashboard(deps: Deps, views: Views, actions: Actions, auth: Authenticator) -> Dashboard:
    """The dashboard.

    Whoever makes the application also takes `serving.sign_in` to draw the page of `auth.routes` and
    `serving.exception_handlers()`, and awaits `pulses.close()` before the server stops, since a stream
    would keep it waiting.
    """
    rendering = Rendering()
    serving = Serving(deps, auth, rendering)
    pulses = Pulses(deps.store)
    pages = _Pages(views, rendering)
    acting = Acting(views, actions, auth, serving, rendering)

    async def stream(request: Request) -> Response:
        try:
            await auth.caller(request)
            return pulses.response(_since(request))
        except ReconcilerError as error:
            return serving.refused(request, None, error)

    async def sign_in(request: Request) -> Response:
        return RedirectResponse(SIGN_IN, 303)

    shown = {
        "/": pages.projects,
        "/projects/{project}": pages.project,
        "/projects/{project}/graph": pages.graph,
        "/projects/{project}/runs": pages.project_runs,
        "/projects/{project}/events": pages.project_events,
        "/runs": pages.runs,
        "/runs/{id}": pages.run,
        "/events": pages.events,
        "/audit": pages.audit,
    }
    routes: list[BaseRoute] = [
        *statics.routes(),
        *(Route(path, serving.page(handle), methods=["GET"]) for path, handle in shown.items()),
        *acting.routes(),
        Route("/projects/{project}/{kind}/{name:path}", serving.page(pages.resource), methods=["GET"]),
        Route("/stream", stream, methods=["GET"]),
        Route("/sign-in", sign_in, methods=["GET"]),
    ]
    return Dashboard(routes, serving, pulses)


def routes(deps: Deps, views: Views, actions: Actions, auth: Authenticator) -> list[BaseRoute]:
    """The routes of the dashboard alone."""
    return dashboard(deps, views, actions, auth).routes


def _since(request: Request) -> int:
    """The pulse that the page shows: what it heard last, else what it was made at."""
    for text in (request.headers.get("last-event-id", ""), request.query_params.get("since", "")):
        if text.isascii() and text.isdecimal() and len(text) < 19:
            return int(text)
    return NO_PULSE


@dataclass(frozen=True)
class Part:
    """Where a list stands: from which row to which of how many, and the pages beside it."""

    first: int
    last: int
    total: int
    number: int
    before: int
    after: int

    @staticmethod
    def of(listing: Listing[Any]) -> Part:
        """The part that a listing is."""
        number = listing.offset // listing.limit + 1
        last = listing.offset + len(listing.items)
        return Part(
            first=listing.offset + 1 if listing.items else 0,
            last=last,
            total=listing.total,
            number=number,
            before=number - 1,
            after=number + 1 if last < listing.total and listing.items else 0,
        )


class _Pages:
    def __init__(self, views: Views, rendering: Rendering) -> None:
        self._views = views
        self._rendering = rendering

    async def projects(self, visit: Visit) -> Response:
        """All Projects with their health at a glance."""
        asked = filters(visit.query, "search", "health", "source", "sort")
        listing = await self._views.projects(visit.scope, ProjectFilter(**asked), page(visit.query))
        service = await self._views.service(visit.scope)
        counts = [
            (health, service.projects[health]) for health in wording.HEALTH if service.projects.get(health)
        ]
        return self._rendering.page(
            visit,
            "projects.html",
            listing=listing,
            part=Part.of(listing),
            asked=asked,
            service=service,
            counts=counts,
            total=sum(service.projects.values()),
            source_options=[(source.name, source.name) for source in service.sources],
        )

    # One Project

    async def project(self, visit: Visit) -> Response:
        """One Project and its resources."""
        name = visit.param("project")
        project = await self._views.project(name, visit.scope)
        asked = filters(visit.query, "search", "health", "kind", "sort")
        listing = await self._views.resources(name, visit.scope, ResourceFilter(**asked), page(visit.query))
        return self._tab(
            visit, project, "resources", listing=listing, part=Part.of(listing), asked=asked, kinds=KINDS
        )

    async def graph(self, visit: Visit) -> Response:
        """A Project's resources by reference."""
        name = visit.param("project")
        project = await self._views.project(name, visit.scope)
        graph = await self._views.graph(name, visit.scope)
        return self._tab(visit, project, "graph", graph=graph, drawing=drawing(graph))

    async def project_runs(self, visit: Visit) -> Response:
        """A Project's runs."""
        name = visit.param("project")
        project = await self._views.project(name, visit.scope)
        asked = filters(visit.query, "result")
        listing = await self._views.runs(visit.scope, RunFilter(project=name, **asked), page(visit.query))
        return self._tab(visit, project, "runs", listing=listing, part=Part.of(listing), asked=asked)

    async def project_events(self, visit: Visit) -> Response:
        """What happened in a Project."""
        name = visit.param("project")
        project = await self._views.project(name, visit.scope)
        asked = filters(visit.query, "type", "severity", "resource")
        wanted = EventFilter(project=name, **dict[str, Any](asked))
        listing = await self._views.events(visit.scope, wanted, page(visit.query))
        return self._tab(visit, project, "events", listing=listing, part=Part.of(listing), asked=asked)

    def _tab(self, visit: Visit, project: Any, tab: str, **values: Any) -> Response:
        return self._rendering.page(visit, f"project_{tab}.html", project=project, tab=tab, **values)

    async def resource(self, visit: Visit) -> Response:
        """One agent."""
        name, local = visit.param("project"), f"{visit.param('kind')}/{visit.param('name')}"
        resource = await self._views.resource(name, local, visit.scope)
        project = await self._views.project(name, visit.scope)
        graph = await self._views.graph(name, visit.scope, local)
        happened = EventFilter(project=name, resource=local)
        events = await self._views.events(visit.scope, happened, _RECENT)
        change = resource.change
        return self._rendering.page(
            visit,
            "agent.html",
            project=project,
            resource=resource,
            traffic=_traffic(resource),
            retryable=resource.reason == resource.health == "failed",
            differences=tuple(map(sides, change.fields)) if change else (),
            edits=_edits(change) if change else (),
            uses=[edge.target for edge in graph.edges if edge.source == local],
            used_by=[edge.source for edge in graph.edges if edge.target == local],
            nodes={node.id: node for node in graph.nodes},
            unread=graph.left_out,
            events=events.items,
        )

    # History

    async def runs(self, visit: Visit) -> Response:
        """Runs of all Projects."""
        asked = filters(visit.query, "project", "source", "result")
        listing = await self._views.runs(visit.scope, RunFilter(**asked), page(visit.query))
        return self._rendering.page(visit, "runs.html", listing=listing, part=Part.of(listing), asked=asked)

    async def run(self, visit: Visit) -> Response:
        """One run with its report."""
        run = await self._views.run(visit.param("id"), visit.scope)
        return self._rendering.page(visit, "run.html", run=run, report=run_report(run.report))

    async def events(self, visit: Visit) -> Response:
        """What happened."""
        asked = filters(visit.query, "project", "type", "severity", "resource")
        listing = await self._views.events(
            visit.scope, EventFilter(**dict[str, Any](asked)), page(visit.query)
        )
        return self._rendering.page(visit, "events.html", listing=listing, part=Part.of(listing), asked=asked)

    async def audit(self, visit: Visit) -> Response:
        """Who did what."""
        asked = filters(visit.query, "project", "actor")
        listing = await self._views.audit(visit.scope, AuditFilter(**asked), page(visit.query))
        return self._rendering.page(visit, "audit.html", listing=listing, part=Part.of(listing), asked=asked)


def _edits(change: ChangeView) -> list[tuple[DriftView, tuple[Sides, ...]]]:
    """What somebody changed; where the plan changes the very same back, the difference is shown there."""
    return [
        (drift, () if drift.fields == change.fields else tuple(map(sides, drift.fields)))
        for drift in change.drift
    ]


def _traffic(resource: ResourceDetail) -> Sequence[tuple[str, int]]:
    """Versions with their shares as they are now, as far as that is known."""
    versions = resource.timeline.versions
    found = [(version.number, version.share) for version in versions if version.share]
    return sorted(found, key=lambda pair: -pair[1]) or wording.shares(resource.serving)

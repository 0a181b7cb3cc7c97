"""What the API can do, as a table: routes are made from it, and so is the OpenAPI document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from reconciler.service.actions import Acted
from reconciler.service.auth.identity import Identity
from reconciler.service.records import Health, Page
from reconciler.service.views_filters import SORTS
from reconciler.service.views_models import (
    GraphView,
    ProjectDetail,
    ProjectView,
    ResourceDetail,
    ResourceView,
)
from reconciler.service.views_service import AuditView, EventView, Listing, RunDetail, RunView, ServiceView
from reconciler.strict_model import Strict

MOST_ITEMS: Final = 1000

Why = Annotated[str, Field(max_length=2000)]


class SyncBody(Strict):
    """Why somebody does this, for the audit log; may be left out."""

    why: Why = ""


class SuspendBody(Strict):
    """Why the Project is stopped."""

    why: Annotated[Why, Field(min_length=1)]


class ApproveBody(Strict):
    """Which plan is let through, by the digest that the Project shows, and why."""

    digest: Annotated[str, Field(min_length=1, max_length=200)]
    why: Annotated[Why, Field(min_length=1)]


class RollbackBody(Strict):
    """Which version shall serve, why, and how long: `30m`, `24h`, at most `30d`."""

    version: Annotated[str, Field(min_length=1, max_length=64)]
    why: Annotated[Why, Field(min_length=1)]
    # Checked by what reads it, which says how to write it.
    hold: Annotated[str, Field(alias="for", json_schema_extra={"pattern": "^[1-9][0-9]{0,5}[smhd]$"})] = "24h"


@dataclass(frozen=True)
class Problem:
    """Why a request was not answered as asked (RFC 9457). `hint` says what to do next."""

    title: str
    status: int
    detail: str
    hint: str
    type: str = "about:blank"


@dataclass(frozen=True)
class Param:
    """A parameter of a query; with `choices` only these, with `number` only digits."""

    name: str
    about: str
    choices: tuple[str, ...] = ()
    number: bool = False


@dataclass(frozen=True)
class Asked:
    """A request that was checked: who, names from the path, parameters, and the body where there is one."""

    who: Identity
    path: dict[str, str]
    query: dict[str, str]
    page: Page
    body: Any = None


Handle = Callable[[Asked], Awaitable[Any]]


@dataclass(frozen=True)
class Operation:
    """One thing that the API does. `handler` names it in `Handlers`; lists take `limit` and `offset`."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: str
    about: str
    answer: Any
    params: tuple[Param, ...] = ()
    body: type[Strict] | None = None

    @property
    def paged(self) -> bool:
        """Whether it answers with a part of a list."""
        return str(self.answer).startswith(f"{Listing.__module__}.{Listing.__qualname__}[")


_HEALTH: Final = Param("health", "Only those of this health.", tuple(map(str, Health)))
_SORT: Final = Param(
    "sort",
    "`health` for the worst first, which is the default, then by name; `name` for an order that stays as it"
    " is from page to page.",
    SORTS,
)
_PROJECT: Final = Param("project", "Only those of this Project.")
# As `RunRecord` and `EventRecord` list them.
_RESULTS: Final = (
    *("running", "unchanged", "applied", "drifted", "observed", "refused", "partly", "pending"),
    *("failed", "superseded", "interrupted"),
)
_EVENT_TYPES: Final = (
    *("drift", "failure", "recovery", "release", "applied", "refused", "rollback", "pin-expired"),
    *("suspended", "resumed", "approved", "source-stale", "source-recovered"),
    *("config-rejected", "config-reloaded", "project-removed"),
)
_RESOURCE: Final = "/projects/{project}/resources/{kind}/{name}"

OPERATIONS: Final = (
    Operation(
        "GET",
        "/projects",
        "projects",
        "Projects, the worst first.",
        Listing[ProjectView],
        (
            Param("search", "Only those with this in their name."),
            Param("source", "Only those of this source."),
            _HEALTH,
            _SORT,
        ),
    ),
    Operation(
        "GET",
        "/projects/{project}",
        "project",
        "One Project with conditions and its last run.",
        ProjectDetail,
    ),
    Operation(
        "GET",
        "/projects/{project}/resources",
        "resources",
        "Resources of a Project, the worst first.",
        Listing[ResourceView],
        (
            Param("search", "Only those with this in their name or in a label."),
            _HEALTH,
            Param("kind", "Only those whose definition is of this kind, such as `hosted`."),
            _SORT,
        ),
    ),
    Operation(
        "GET", _RESOURCE, "resource", "One resource with its last change and its versions.", ResourceDetail
    ),
    Operation(
        "GET",
        "/projects/{project}/graph",
        "graph",
        "Resources of a Project and which names which.",
        GraphView,
        (Param("focus", "Only what is near this resource, such as `Agent/triage`."),),
    ),
    Operation(
        "GET",
        "/runs",
        "runs",
        "Runs, newest first.",
        Listing[RunView],
        (
            _PROJECT,
            Param("source", "Only those of this source."),
            Param("result", "Only those with this result.", _RESULTS),
        ),
    ),
    Operation("GET", "/runs/{id}", "run", "One run with its report.", RunDetail),
    Operation(
        "GET",
        "/events",
        "events",
        "Events, newest first; with `after_id` those behind it, oldest first.",
        Listing[EventView],
        (
            _PROJECT,
            Param("resource", "Only those of this resource, such as `Agent/triage`."),
            Param("type", "Only those of this type.", _EVENT_TYPES),
            Param("severity", "Only those of this severity.", ("info", "warning", "error")),
            Param("after_id", "Only those with a greater id.", number=True),
        ),
    ),
    Operation(
        "GET",
        "/audit",
        "audit",
        "Who did what and why, newest first.",
        Listing[AuditView],
        (_PROJECT, Param("actor", "Only what this one did.")),
    ),
    Operation("GET", "/service", "service", "The service, its sources and its configuration.", ServiceView),
    Operation("POST", "/projects/{project}/sync", "sync", "Look at a Project now.", Acted, body=SyncBody),
    Operation(
        "POST",
        "/projects/{project}/suspend",
        "suspend",
        "Stop all writes to a Project.",
        Acted,
        body=SuspendBody,
    ),
    Operation(
        "POST",
        "/projects/{project}/resume",
        "resume",
        "Let a Project be written again.",
        Acted,
        body=SyncBody,
    ),
    Operation(
        "POST",
        "/projects/{project}/approve",
        "approve",
        "Let through once what a limit or a policy refused.",
        Acted,
        body=ApproveBody,
    ),
    Operation(
        "POST",
        _RESOURCE + "/rollback",
        "rollback",
        "Let an older version serve, and hold it there for a while.",
        Acted,
        body=RollbackBody,
    ),
    Operation(
        "DELETE",
        _RESOURCE + "/rollback",
        "unpin",
        "End a rollback: Git decides again.",
        Acted,
        (Param("why", "Why, for the audit log."),),
    ),
    Operation(
        "POST",
        _RESOURCE + "/retry",
        "retry",
        "Make the version that failed to start once more.",
        Acted,
        body=SyncBody,
    ),
)

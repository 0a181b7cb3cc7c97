"""The sandbox's own routes under `/_sandbox/`: request log, settings, faults, seed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reconciler.sandbox import faults, seed, settings, shorthands
from reconciler.sandbox.errors import ApiError, invalid
from reconciler.sandbox.requestlog import RequestLog
from reconciler.sandbox.state import State
from reconciler.sandbox.wire import Json, Reply, parse_json, reply

PREFIX = "/_sandbox/"
MAX_BYTES = 256 * 1024 * 1024
"""A seed of 100,000 agents with their definitions fits."""


@dataclass(frozen=True)
class Request:
    """A request to one of these routes; `project` is the query parameter, None for the whole server."""

    project: str | None
    body: bytes
    state: State
    log: RequestLog

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ApiError: 400, it is not JSON.
        """
        return parse_json(self.body)


def owns(method: str, path: str) -> bool:
    """Whether a path is one of these routes: below `/_sandbox`, or a look at the root."""
    return f"{path}/".startswith(PREFIX) or (path in ("", "/") and method in ("GET", "HEAD"))


def answer(method: str, path: str, request: Request) -> Reply:
    """The answer of `method` on a path that `owns` is true for.

    Raises:
        ApiError: 404, there is no such route; 400, the body is not understood.
    """
    name = path.removeprefix(PREFIX.rstrip("/")).strip("/")
    handler = _ROUTES.get(("GET" if method == "HEAD" else method, name))
    if handler is None:
        raise ApiError(404, f"No route {method} {PREFIX}{name}. Known: {', '.join(_known())}.")
    return handler(request)


def _known() -> list[str]:
    return [f"{verb} {PREFIX}{path}" for verb, path in _ROUTES]


def _get_index(_: Request) -> Reply:
    return reply({"name": "reconciler sandbox", "projects": "/api/projects/{project}", "routes": _known()})


def _get_requests(request: Request) -> Reply:
    return reply(request.log.view(request.project))


def _delete_requests(request: Request) -> Reply:
    request.log.clear(request.project)
    return Reply(204)


def _get_settings(request: Request) -> Reply:
    with request.state.transaction(write=False) as db:
        return reply(settings.nested(settings.effective(db, request.project or "")))


def _put_settings(request: Request) -> Reply:
    changes = _object(request.json())
    with request.state.transaction(write=True) as db:
        settings.merge(db, request.project, shorthands.expand(changes))
    return _get_settings(request)


def _delete_settings(request: Request) -> Reply:
    with request.state.transaction(write=True) as db:
        settings.reset(db, request.project)
    return Reply(204)


def _get_faults(request: Request) -> Reply:
    with request.state.transaction(write=False) as db:
        return reply(faults.view(db, request.project))


def _put_faults(request: Request) -> Reply:
    given = request.json()
    with request.state.transaction(write=True) as db:
        faults.replace(db, given, request.project)
    return _get_faults(request)


def _delete_faults(request: Request) -> Reply:
    with request.state.transaction(write=True) as db:
        faults.clear(db, request.project)
    return Reply(204)


def _post_seed(request: Request) -> Reply:
    given = request.json()
    wanted = {"agents": given} if isinstance(given, list) else _object(given)
    project = wanted.pop("project", request.project)
    if not isinstance(project, str) or not project:
        raise invalid("Name the project: ?project=NAME or in the body.", "project")
    with request.state.transaction(write=True) as db:
        names = seed.sow(db, project, settings.effective(db, project), wanted, time.time())
    return reply({"project": project, "count": len(names), "names": names})


def _object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise invalid("The request body must be a JSON object.")
    return value


_ROUTES: dict[tuple[str, str], Callable[[Request], Reply]] = {
    ("GET", ""): _get_index,
    ("GET", "requests"): _get_requests,
    ("DELETE", "requests"): _delete_requests,
    ("GET", "settings"): _get_settings,
    ("PUT", "settings"): _put_settings,
    ("PATCH", "settings"): _put_settings,
    ("POST", "settings"): _put_settings,
    ("DELETE", "settings"): _delete_settings,
    ("GET", "faults"): _get_faults,
    ("PUT", "faults"): _put_faults,
    ("DELETE", "faults"): _delete_faults,
    ("POST", "seed"): _post_seed,
}

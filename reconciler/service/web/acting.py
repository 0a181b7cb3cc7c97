"""The pages that do something: each asks first, with a reason, and says afterwards what was done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reconciler.errors import ReconcilerError
from reconciler.service.actions import Acted, Actions, Rollback, span_s
from reconciler.service.auth.authenticator import Authenticator, Caller
from reconciler.service.auth.forms import form_of
from reconciler.service.auth.identity import Identity
from reconciler.service.refusals import NotFound, Refusal, SignInNeeded
from reconciler.service.views import Views
from reconciler.service.views_models import ProjectDetail
from reconciler.service.web.rendering import Rendering, Visit, is_inside
from reconciler.service.web.serving import Serving, sentence
from reconciler.service.web.wording import path_to


@dataclass(frozen=True)
class Asking:
    """How a form asks. `needs_why`: nothing is done without a reason. `grave` ones are shown as such."""

    title: str
    button: str
    text: str
    needs_why: bool = True
    grave: bool = False


_ASKS: Final[Mapping[str, Asking]] = {
    "sync": Asking(
        "Sync now",
        "Sync now",
        "Looks at every agent of the Project now and makes it equal to Git.",
        needs_why=False,
    ),
    "suspend": Asking(
        "Suspend",
        "Suspend",
        "No write to this Project starts any more until somebody resumes it. Drift is still watched.",
        grave=True,
    ),
    "resume": Asking(
        "Resume",
        "Resume",
        "Writes start again, and the Project is looked at now.",
        needs_why=False,
    ),
    "rollback": Asking(
        "Roll back",
        "Roll back",
        "From the next run on this version serves all traffic, and the service holds it there.",
        grave=True,
    ),
    "unpin": Asking(
        "End the rollback",
        "End the rollback",
        "Git decides again which version serves, from the next run on.",
        needs_why=False,
    ),
    "retry": Asking(
        "Try again",
        "Try again",
        "Makes the version that failed to start once more, from the same manifest, in the next run. The"
        " failed one is deleted first, unless it is the only version or has traffic. The new one is released"
        " as `release` in the manifest says.",
        needs_why=False,
    ),
    "approve": Asking(
        "Approve the plan",
        "Approve once",
        "Lets through exactly this plan, once, within the next hour.",
        grave=True,
    ),
}
# Agents that are named before somebody approves; the plan of the run has all of them.
_MOST_DUE: Final = 20
# How long a rollback may hold, with what it is called.
SPANS: Final = (("1h", "1 hour"), ("24h", "24 hours"), ("3d", "3 days"), ("7d", "7 days"), ("30d", "30 days"))


class Acting:
    """Asks before it does what people want of a Project."""

    def __init__(
        self, views: Views, actions: Actions, auth: Authenticator, serving: Serving, rendering: Rendering
    ) -> None:
        self._views = views
        self._actions = actions
        self._auth = auth
        self._serving = serving
        self._rendering = rendering

    def routes(self) -> list[Route]:
        """The question, and the deed."""
        path = "/projects/{project}/do/{action}"
        return [
            Route(path, self._serving.page(self.ask), methods=["GET"]),
            Route(path, self.do, methods=["POST"]),
        ]

    async def ask(self, visit: Visit) -> Response:
        """The form that asks."""
        return await self._form(visit, dict(visit.query))

    async def do(self, request: Request) -> Response:
        """What the form asked for."""
        caller: Caller | None = None
        form: Mapping[str, str] = {}
        try:
            form = await form_of(request)
            caller = await self._auth.caller(request, token=form.get("csrf_token", ""))
            action = _known(request.path_params["action"])
            acted = await self._doing(action)(caller.identity, request.path_params["project"], form)
        except SignInNeeded as error:
            return self._serving.refused(request, caller, error)
        except ReconcilerError as error:
            return await self._refused(request, caller, form, error)
        visit = self._serving.visit(request, caller)
        if is_inside(request):
            answer = self._rendering.part(visit, "told.html", acted=acted)
            # The page behind the dialog stays where it is; the stream brings what changes.
            answer.headers.update({"HX-Retarget": "#told", "HX-Reswap": "innerHTML", "HX-Trigger": "acted"})
            return answer
        back = _back(acted.project, form.get("resource", ""))
        return self._rendering.page(visit, "done.html", acted=acted, back=back, title=_ASKS[action].title)

    async def _refused(
        self, request: Request, caller: Caller | None, form: Mapping[str, str], error: ReconcilerError
    ) -> Response:
        """The form again with why not, where trying again may help; else the page that says so."""
        status = error.status if isinstance(error, Refusal) else 503
        if caller is None or status not in (400, 409, 503):
            return self._serving.refused(request, caller, error)
        try:
            visit = self._serving.visit(request, caller)
            return await self._form(visit, form, error=error, status=status)
        except ReconcilerError:
            return self._serving.refused(request, caller, error)

    async def _form(
        self,
        visit: Visit,
        given: Mapping[str, str],
        *,
        error: ReconcilerError | None = None,
        status: int = 200,
    ) -> Response:
        action, name = _known(visit.param("action")), visit.param("project")
        project = await self._views.project(name, visit.scope)
        values: dict[str, Any] = {
            "action": action,
            "asking": _ASKS[action],
            "project": project,
            "resource": given.get("resource", ""),
            "version": given.get("version", ""),
            "digest": project.asks.digest if project.asks else "",
            "due": await self._views.due(name, visit.scope) if action == "approve" else (),
            "most_due": _MOST_DUE,
            "why": given.get("why", ""),
            "for_": given.get("for", "24h"),
            "spans": SPANS,
            "allowed": visit.may(action, name),
            "error": sentence(str(error)) if error else "",
            "hint": error.hint if error else "",
            "back": _back(name, given.get("resource", "")),
            "title": _title(action, project, given),
        }
        if is_inside(visit.request):
            # htmx leaves out answers with an error's status; this one is the form once more.
            return self._rendering.part(visit, "_asking.html", **values)
        return self._rendering.page(visit, "ask.html", status=status, inside=False, **values)

    def _doing(self, action: str) -> Callable[[Identity, str, Mapping[str, str]], Awaitable[Acted]]:
        doing: dict[str, Any] = {
            "sync": lambda who, project, form: self._actions.sync(who, project, form.get("why", "")),
            "suspend": lambda who, project, form: self._actions.suspend(who, project, form.get("why", "")),
            "resume": lambda who, project, form: self._actions.resume(who, project, form.get("why", "")),
            "rollback": lambda who, project, form: self._actions.rollback(who, project, _rollback(form)),
            "unpin": lambda who, project, form: self._actions.unpin(
                who, project, form.get("resource", ""), form.get("why", "")
            ),
            "retry": lambda who, project, form: self._actions.retry(
                who, project, form.get("resource", ""), form.get("why", "")
            ),
            "approve": lambda who, project, form: self._actions.approve(
                who, project, form.get("digest", ""), form.get("why", "")
            ),
        }
        found: Callable[[Identity, str, Mapping[str, str]], Awaitable[Acted]] = doing[action]
        return found


def _known(action: str) -> str:
    if action not in _ASKS:
        raise NotFound(f"nothing is called {action[:60]!r}", hint=f"Choose one of {', '.join(_ASKS)}.")
    return action


def _rollback(form: Mapping[str, str]) -> Rollback:
    return Rollback(
        form.get("resource", ""),
        form.get("version", "").strip(),
        form.get("why", ""),
        span_s(form.get("for", "24h")),
    )


def _title(action: str, project: ProjectDetail, given: Mapping[str, str]) -> str:
    of = given.get("resource", "") if action in ("rollback", "unpin", "retry") else ""
    return f"{_ASKS[action].title}: {of or project.name}"


def _back(project: str, resource: str) -> str:
    kind, _, name = resource.partition("/")
    return path_to("projects", project, kind, name) if name else path_to("projects", project)

"""What every page has in common: who asks, what they may see, and what they read where it cannot be shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from reconciler.errors import ReconcilerError, explain
from reconciler.service.auth.authenticator import Authenticator, Caller
from reconciler.service.auth.headers import HEADERS
from reconciler.service.auth.routes import SignInPage, sign_in_at
from reconciler.service.deps import Deps
from reconciler.service.refusals import Forbidden, NotFound, Refusal, SignInNeeded, TooMany
from reconciler.service.web.rendering import NO_PULSE, Rendering, Visit, is_inside
from reconciler.service.web.wording import printable

log = structlog.get_logger("reconciler")

Handle = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]

_TITLES: Final = {
    400: "That cannot be done",
    403: "You may not do this",
    404: "There is no such page",
    405: "That cannot be done here",
    409: "It has changed meanwhile",
    429: "Too often",
    503: "The service cannot answer now",
}


class Serving:
    """Answers requests for pages."""

    def __init__(self, deps: Deps, auth: Authenticator, rendering: Rendering) -> None:
        self._deps = deps
        self._auth = auth
        self._rendering = rendering

    def visit(self, request: Request, caller: Caller, pulse: int = NO_PULSE) -> Visit:
        """A request of somebody who is known."""
        return Visit(request, caller, self._deps.now(), pulse)

    def page(self, handle: Handle) -> Endpoint:
        """The handler of a page that only shows."""

        async def handled(request: Request) -> Response:
            caller: Caller | None = None
            try:
                caller = await self._auth.caller(request)
                # Before anything is read: what changes while the page is made counts as news.
                pulse = await self._deps.store.pulse()
                return await handle(self.visit(request, caller, pulse))
            except ReconcilerError as error:
                return self.refused(request, caller, error)

        return handled

    def refused(self, request: Request, caller: Caller | None, error: ReconcilerError) -> Response:
        """What somebody reads instead of the page."""
        if isinstance(error, SignInNeeded):
            return _to_sign_in(request)
        status = error.status if isinstance(error, Refusal) else 503
        if status == 503:
            log.error("page_failed", path=printable(request.url.path), error=explain(error))
        answer = self.error(request, caller, status, sentence(str(error)), error.hint)
        if isinstance(error, TooMany):
            answer.headers["Retry-After"] = str(error.retry_after_s)
        return answer

    def error(
        self, request: Request, caller: Caller | None, status: int, message: str, hint: str = ""
    ) -> Response:
        """A page that says why there is nothing else to see."""
        title = _TITLES.get(status, "Something went wrong")
        values = {"title": title, "message": message, "hint": hint, "code": status}
        if caller is None:
            return self._rendering.plain("error.html", status=status, **values)
        return self._rendering.page(self.visit(request, caller), "error.html", status=status, **values)

    def sign_in(self, request: Request, page: SignInPage, status: int) -> Response:
        """The page to sign in on, as `auth.routes` has it drawn."""
        return self._rendering.plain("sign_in.html", status=status, page=page, title="Sign in")

    def exception_handlers(self) -> dict[type[Exception] | int, ExceptionHandler]:
        """What browsers read where no route answers, or one breaks."""

        async def by_status(request: Request, error: Exception) -> Response:
            status = error.status_code if isinstance(error, HTTPException) else 500
            known: ReconcilerError = (
                NotFound(f"nothing is at {request.url.path[:200]}", hint="Go back to the Projects.")
                if status == 404
                else Refusal("this address does not take such a request")
            )
            try:
                caller: Caller | None = await self._auth.caller(request)
            except (SignInNeeded, Forbidden, TooMany):
                caller = None
            except ReconcilerError as failed:
                return self.refused(request, None, failed)
            return self.error(request, caller, status, sentence(str(known)), known.hint)

        async def broken(request: Request, error: Exception) -> Response:
            log.error("page_broken", path=printable(request.url.path), error=explain(error))
            hint = "Load the page again; the service's log says what happened."
            answer = self.error(request, None, 500, "The page could not be made.", hint)
            # Made outside of the middleware that does this for all other answers.
            answer.headers.update({**HEADERS, "Cache-Control": "no-store"})
            return answer

        return {404: by_status, 405: by_status, 500: broken}


def _to_sign_in(request: Request) -> Response:
    if not is_inside(request):
        return sign_in_at(request)
    # A script follows redirects by itself and would put the sign-in page into the middle of this one.
    return Response(status_code=401, headers={"HX-Redirect": sign_in_at(request).headers["location"]})


def sentence(text: str) -> str:
    """The text as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")

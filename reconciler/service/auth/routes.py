"""`/auth/…`: signing in and out. The pages themselves are plain unless a renderer dresses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from jinja2 import Environment
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from reconciler.errors import ReconcilerError
from reconciler.service.auth.authenticator import Authenticator, Ways
from reconciler.service.auth.forms import form_of
from reconciler.service.auth.headers import Doorkeeper, SecurityHeaders
from reconciler.service.auth.oidc import LEAVING_S
from reconciler.service.auth.origin import from_other_page, own_path
from reconciler.service.auth.sessions import Leaving, Session, same
from reconciler.service.config_spec import seconds
from reconciler.service.refusals import Forbidden, Refusal, SignInNeeded, TooMany

SIGN_IN: Final = "/auth/sign-in"
_LEAVING: Final = "sign-in"


@dataclass(frozen=True)
class SignInPage:
    """What the sign-in page shows. With `signed_out` it says goodbye; `leave` ends the provider's session.

    `error` and `hint` say why the last try failed.
    """

    ways: Ways
    next: str = "/"
    error: str = ""
    hint: str = ""
    signed_out: bool = False
    leave: str = ""


Render = Callable[[Request, SignInPage, int], Response]


def routes(auth: Authenticator, render: Render | None = None) -> list[Route]:
    """The routes of signing in and out.

    Args:
        render: draws the page with this status; without it the page is plain.
    """
    pages = _Pages(auth, render or _plain)
    return [
        Route(SIGN_IN, pages.answer(pages.page), methods=["GET"]),
        Route("/auth/token", pages.answer(pages.token), methods=["POST"]),
        Route("/auth/oidc", pages.answer(pages.leave), methods=["GET"]),
        Route("/auth/callback", pages.answer(pages.come_back), methods=["GET"]),
        Route("/auth/sign-out", pages.answer(pages.sign_out), methods=["POST"]),
    ]


def middleware(auth: Authenticator) -> list[Middleware]:
    """What every request of the web side passes: headers for browsers, and who is served at all."""
    return [
        Middleware(SecurityHeaders, is_https=auth.is_https),
        Middleware(Doorkeeper, served=auth.served),
    ]


def sign_in_at(request: Request) -> Response:
    """Sends somebody who is not signed in to the page where they can, and back here afterwards."""
    query = request.scope.get("query_string", b"").decode("latin-1")
    path = quote(request.scope["path"]) + (f"?{query}" if query else "")
    wanted = own_path(path) if request.method in ("GET", "HEAD") else "/"
    asked = "" if wanted == "/" else "?" + urlencode({"next": wanted})
    return RedirectResponse(SIGN_IN + asked, 303)


class _Pages:
    def __init__(self, auth: Authenticator, render: Render) -> None:
        self._auth = auth
        self._render = render

    def answer(
        self, handle: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The handler with its refusals shown on the sign-in page."""

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except ReconcilerError as error:
                status = error.status if isinstance(error, Refusal) else 503
                page = SignInPage(self._auth.ways(), error=_sentence(error), hint=error.hint)
                answer = self._render(request, page, status)
                if isinstance(error, TooMany):
                    answer.headers["Retry-After"] = str(error.retry_after_s)
                return answer

        return handled

    async def page(self, request: Request) -> Response:
        """The form, and the way to the provider."""
        next_ = own_path(request.query_params.get("next", "/"))
        if self._auth.spec is None:
            return RedirectResponse(next_, 303)
        return self._render(request, SignInPage(self._auth.ways(), next_), 200)

    async def token(self, request: Request) -> Response:
        """Sign in with a token that was pasted."""
        # Signing somebody in as another is an attack too: what they do then shows up in the other's name.
        if from_other_page(request.headers, self._auth.public_url):
            raise Forbidden("another site's page sent this form", hint="Sign in on this page.")
        form = await form_of(request)
        session = await self._auth.session_of_token(request, form.get("token", "").strip())
        return self._welcome(request, session, form.get("next", "/"))

    async def leave(self, request: Request) -> Response:
        """Send somebody to the provider."""
        next_ = own_path(request.query_params.get("next", "/"))
        url, leaving = await self._auth.provider().leave(self._callback(request), next_)
        answer = RedirectResponse(url, 303)
        sealed = self._auth.seal(_LEAVING).sealed(leaving)
        self._auth.set_cookie(request, answer, sealed, kind=_LEAVING, max_age_s=LEAVING_S)
        return answer

    async def come_back(self, request: Request) -> Response:
        """Take somebody back from the provider."""
        sealed = request.cookies.get(self._auth.cookie_name(request, _LEAVING), "")
        leaving = self._auth.seal(_LEAVING).opened(Leaving, sealed, self._auth.now())
        # A state counts once: who finds this address in a history or a log comes too late.
        ours = leaving is not None and same(leaving.state, request.query_params.get("state", ""))
        if leaving is not None and ours and await self._auth.used_before(leaving.state, LEAVING_S):
            leaving = None
        query = dict(request.query_params)
        # What nobody started here costs nothing, and any page can send it: it must not use up people's tries.
        started = leaving is not None and ours
        if started:
            # Each try may be a call to the provider.
            self._auth.check_tries(request, at_provider=True)
        try:
            signed = await self._auth.provider().come_back(query, leaving, self._callback(request))
        except Forbidden:
            if started:
                self._auth.failed(request, at_provider=True)
            raise
        session = await self._auth.session_of_user(request, signed)
        answer = self._welcome(request, session, leaving.next if leaving else "/")
        self._auth.set_cookie(request, answer, "", kind=_LEAVING, max_age_s=0)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """Forget who was signed in here."""
        if self._auth.spec is None:
            return RedirectResponse("/", 303)
        form = await form_of(request)
        leave = ""
        try:
            caller = await self._auth.caller(request, token=form.get("csrf_token", ""))
        except SignInNeeded:
            caller = None
        if caller is not None and caller.identity.kind == "oidc":
            leave = await self._auth.provider().leave_for_good(self._auth.own_url(request) + SIGN_IN)
        page = SignInPage(self._auth.ways(), signed_out=True, leave=leave)
        answer = self._render(request, page, 200)
        self._auth.set_cookie(request, answer, "", max_age_s=0)
        return answer

    def _welcome(self, request: Request, session: Session, next_: str) -> Response:
        answer = RedirectResponse(own_path(next_), 303)
        spec = self._auth.spec
        max_age_s = seconds(spec.session) if spec else 0
        self._auth.set_cookie(
            request, answer, self._auth.seal("session").sealed(session), max_age_s=max_age_s
        )
        return answer

    def _callback(self, request: Request) -> str:
        return f"{self._auth.own_url(request)}/auth/callback"


def _sentence(error: ReconcilerError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


_PAGE: Final = Environment(autoescape=True).from_string(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · reconciler</title>
</head>
<body>
<main>
<h1>{{ "Signed out" if page.signed_out else "Sign in" }}</h1>
{% if page.error %}<p role="alert">{{ page.error }} {{ page.hint }}</p>{% endif %}
{% if page.leave %}<p><a href="{{ page.leave }}">Sign out at the provider too</a></p>{% endif %}
{% if page.ways.oidc %}
<p><a href="/auth/oidc?next={{ page.next | urlencode }}">Sign in with your organisation</a></p>
{% endif %}
{% if page.ways.token %}<form method="post" action="/auth/token">
<input type="hidden" name="next" value="{{ page.next }}">
<label>Token <input type="password" name="token" autocomplete="current-password" required></label>
<button>Sign in</button>
</form>{% endif %}
</main>
</body>
</html>
"""
)


def _plain(request: Request, page: SignInPage, status: int) -> Response:
    return HTMLResponse(_PAGE.render(page=page), status)

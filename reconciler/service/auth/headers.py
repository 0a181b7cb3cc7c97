"""What every answer tells browsers: nothing may run, load or frame that is not ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.service.auth.origin import host_name

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# A year; browsers then never try http again.
_HTTPS_ONLY: Final = "max-age=31536000"
# Each is answered whoever asks: webhooks carry a signature, probes come from the cluster.
_OPEN: Final = ("/hooks/", "/healthz", "/readyz")
_ONLY_LOCAL: Final = """Only this machine is served, since nobody can sign in here.
Open it as http://127.0.0.1:PORT, or add `auth` to the service's configuration.
"""


class SecurityHeaders:
    """Adds the headers to every answer. What keeps secrets is not kept by caches."""

    def __init__(self, app: ASGIApp, is_https: Callable[[HTTPConnection], bool]) -> None:
        self._app = app
        self._is_https = is_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        https = self._is_https(HTTPConnection(scope))

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if https:
                    headers["Strict-Transport-Security"] = _HTTPS_ONLY
            await send(message)

        await self._app(scope, receive, sent)


def _has_bad_host(scope: Scope) -> bool:
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return len(hosts) > 1 or any(host and not host_name(host) for host in hosts)


def _has_nul(scope: Scope) -> bool:
    return "\x00" in scope["path"] or b"%00" in scope["query_string"] or b"\x00" in scope["query_string"]


class Doorkeeper:
    """Turns away whoever is not served at all, before any page is looked up."""

    def __init__(self, app: ASGIApp, served: Callable[[HTTPConnection], bool]) -> None:
        self._app = app
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and _has_bad_host(scope):
            # What makes addresses of a request would stumble over it (RFC 9112, 3.2).
            await PlainTextResponse("The Host header is none.\n", 400)(scope, receive, send)
            return
        if scope["type"] == "http" and _has_nul(scope):
            # Nothing is called so, and PostgreSQL takes no text with it: that would look like an outage.
            await PlainTextResponse("The address has a NUL character.\n", 400)(scope, receive, send)
            return
        guarded = scope["type"] == "http" and not scope["path"].startswith(_OPEN)
        if guarded and not self._served(HTTPConnection(scope)):
            await PlainTextResponse(_ONLY_LOCAL, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

"""Asks a running service over its API; every failure says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote, urlsplit

import typer

from reconciler.errors import InvalidInput, ReconcilerError

if TYPE_CHECKING:
    from reconciler.resource import Json

DEFAULT_SERVER: Final = "http://127.0.0.1:8080"
_TIMEOUT_S: Final = 30
_MOST_BYTES: Final = 64 * 1024 * 1024

Server = Annotated[
    str, typer.Option("--server", envvar="RECONCILER_SERVER", help="Where the service is.", metavar="URL")
]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="RECONCILER_TOKEN",
        help="Signs in at the service; better kept in the variable than written in a command.",
        metavar="TOKEN",
        show_default=False,
    ),
]


class ServerUnreachable(ReconcilerError):
    """The service does not answer, or something else answers in its place."""

    retryable = True


class ServerRefused(ReconcilerError):
    """The service says why it does not do it."""


@dataclass(frozen=True)
class Service:
    """A running service."""

    server: str
    token: str = ""

    def get(self, *path: str, **query: str | int) -> Json:
        """What it answers; `path` below `/api/v1`, each part as it is named.

        Raises:
            InvalidInput: the address is none, or would send the token in the open.
            ServerUnreachable: nobody answers there, or not a service of ours.
            ServerRefused: it says no.
        """
        return self._ask("GET", path, query=query)

    def post(self, *path: str, body: Mapping[str, Json]) -> Json:
        """What it did; raises as `get`."""
        return self._ask("POST", path, body=body)

    def delete(self, *path: str, **query: str) -> Json:
        """What it did; raises as `get`."""
        return self._ask("DELETE", path, query=query)

    def _ask(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Json] | None = None,
    ) -> Json:
        import asyncio

        url = f"{self._checked()}/api/v1/{'/'.join(quote(part, safe='') for part in path)}"
        status, kind, content = asyncio.run(self._sent(method, url, query, body))
        return _answer(self.server, status, kind, content)

    def _checked(self) -> str:
        hint = "Write --server https://HOST, or set RECONCILER_SERVER."
        try:
            parts = urlsplit(self.server)
            host = parts.hostname or ""
            _ = parts.port
        except ValueError:
            raise InvalidInput("the server's address is no URL", hint=hint) from None
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.query:
            raise InvalidInput("the server's address is not http://HOST or https://HOST", hint=hint)
        if self.token and parts.scheme == "http" and not _is_loopback(host):
            raise InvalidInput(
                f"the token would go to {host} without encryption",
                hint="Use https. http is for this machine.",
            )
        return self.server.rstrip("/")

    async def _sent(
        self,
        method: str,
        url: str,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, Json] | None,
    ) -> tuple[int, str, bytes]:
        import aiohttp
        from yarl import URL

        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                # Redirects would take the token along to who knows where.
                session.request(
                    method,
                    URL(url, encoded=True),
                    params=query,
                    json=body,
                    headers=headers,
                    allow_redirects=False,
                ) as answer,
            ):
                content = await answer.content.read(_MOST_BYTES)
                return answer.status, answer.content_type, content
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ServerUnreachable(
                f"cannot reach the service at {self.server}",
                hint="Start it with `reconciler serve`, or name it with --server or RECONCILER_SERVER.",
            ) from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _answer(server: str, status: int, kind: str, content: bytes) -> Json:
    import orjson

    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = None
    if status == 200 and kind == "application/json" and value is not None:
        return value
    if kind == "application/problem+json" and isinstance(value, dict):
        hint = str(value.get("hint", ""))
        if status == 401:
            hint = "Set RECONCILER_TOKEN to a token of the service; `reconciler token NAME` makes one."
        raise ServerRefused(str(value.get("detail", "")) or f"HTTP {status}", hint=hint)
    hint = "Name the service with --server or RECONCILER_SERVER."
    if kind == "text/plain" and status == 403:
        hint = "The service serves only its own machine: add `auth` to its configuration."
    raise ServerUnreachable(f"{server} answers as no service of ours does (HTTP {status})", hint=hint)

"""The one azure-core pipeline that reads and the SDK's writes share: auth, pace, retry, one pool."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.policies import (
    AsyncBearerTokenCredentialPolicy,
    DistributedTracingPolicy,
    HeadersPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.settings import settings

from reconciler import __version__
from reconciler.foundry.rate import RateLimiter
from reconciler.foundry.sending import READS, Observer, Pace, Retry, Watched

# Source: azure-ai-projects 2.10, `AIProjectClientConfiguration.credential_scopes`.
SCOPE: Final = "https://ai.azure.com/.default"
# How the SDK names itself; ours comes before it, as its `user_agent` argument would put it.
_SDK: Final = "ai-projects/2.10.0"
_CONNECT_S: Final = 10
# A page of a list takes seconds at worst. Reads are sent again, so a server that hangs costs this several
# times; a write is waited for longer, since nobody knows what became of one without an answer.
_READ_SILENCE_S: Final = 30.0


class NoCredential:
    """Stands in where plain http on loopback allows no bearer token; never asked for one."""

    async def get_token(self, *scopes: str, **kwargs: Any) -> Any:
        raise AssertionError("no token is used on loopback")

    async def close(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> NoCredential:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


@dataclass(frozen=True)
class Pipe:
    """A pipeline with what it was made of. Close it when the run ends.

    `silence_s` is how long a read waits for the next bytes of its answer.
    """

    endpoint: str
    pipeline: AsyncPipeline[Any, Any]
    credential: Any
    limiter: RateLimiter
    silence_s: float

    async def __aenter__(self) -> Pipe:
        await self.pipeline.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.pipeline.__aexit__()
        await self.credential.close()


def open_pipe(  # noqa: PLR0913 - each has a default and is about this pipeline alone
    endpoint: str,
    *,
    connections: int = 100,
    repeats: int = 6,
    silence_s: float = 120,
    longest_s: float = math.inf,
    credential: Any = None,
    observer: Observer | None = None,
) -> Pipe:
    """A pipeline to one project.

    Args:
        endpoint: `https://…/api/projects/NAME`, or plain http on loopback, which goes without a token.
        connections: most connections at once.
        repeats: how often one request is sent again before its failure counts; 6 times take half a minute.
        silence_s: longest wait for the next bytes of an answer, in seconds; for a read at most 30.
        longest_s: how long a request that is refused or fails is tried, in seconds; a caller that comes again
            by itself need not wait here.
        credential: an async credential of azure-core; by default whatever this machine signs in with.
        observer: hears of every attempt.
    """
    secure = endpoint.startswith("https://")
    credential = (credential or _credential()) if secure else NoCredential()
    limiter = RateLimiter()
    # No redirects: a token must not follow one, and the service sends none. No decoding either: the SDK and
    # our reads each parse the body themselves, once.
    policies: list[Any] = [
        RequestIdPolicy(),
        HeadersPolicy(),
        UserAgentPolicy(sdk_moniker=_SDK, user_agent=f"reconciler/{__version__}"),
        Retry(repeats, observer, longest_s),
        Pace(limiter, repeats, observer, longest_s),
        *([AsyncBearerTokenCredentialPolicy(credential, SCOPE)] if secure else []),
        *([DistributedTracingPolicy()] if settings.tracing_implementation() else []),
        *([Watched(observer)] if observer else []),
    ]
    pipeline: AsyncPipeline[Any, Any] = AsyncPipeline(_transport(endpoint, connections, silence_s), policies)
    return Pipe(endpoint.rstrip("/"), pipeline, credential, limiter, min(silence_s, _READ_SILENCE_S))


def _transport(endpoint: str, connections: int, silence_s: float) -> AioHttpTransport:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        # A login page's cookies are none of our business.
        cookie_jar=aiohttp.DummyCookieJar(),
        # azure-core decodes bodies itself and asks for them undecoded.
        auto_decompress=False,
        # With `trust_env` aiohttp would look for it before each request, in two threads.
        proxy=_proxy(endpoint),
        middlewares=[_once],
    )
    return AioHttpTransport(
        session=session, session_owner=True, connection_timeout=_CONNECT_S, read_timeout=silence_s
    )


async def _once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Keep aiohttp from sending a DELETE again when its connection is lost: it may have happened (P5)."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method in READS or isinstance(error, aiohttp.ClientConnectorError):
            raise
        # The parent of both, which it passes on.
        raise aiohttp.ClientConnectionError("the connection was lost") from error


def _proxy(endpoint: str) -> str | None:
    """The proxy that the environment names for the endpoint's host; None where it is to be left out."""
    parts = urlsplit(endpoint)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _credential() -> Any:
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential()

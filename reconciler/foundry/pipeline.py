"""The one azure-core pipeline that reads and the SDK's writes share: auth, rate, retry, one pool."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from azure.core.pipeline import AsyncPipeline, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    AsyncBearerTokenCredentialPolicy,
    AsyncHTTPPolicy,
    AsyncRetryPolicy,
    ContentDecodePolicy,
    HeadersPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import AioHttpTransport

from reconciler import __version__
from reconciler.foundry.rate import RateLimiter

# Source: azure-ai-projects 2.10, `AIProjectClientConfiguration.credential_scopes`.
SCOPE: Final = "https://ai.azure.com/.default"
# A service that says "come back in an hour" must not hold a run for an hour (rule P5).
LONGEST_WAIT_S: Final = 60.0
_FIRST_WAIT_S: Final = 0.5
_CONNECT_S: Final = 10
_READ_S: Final = 120
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Retry(AsyncRetryPolicy[Any, Any]):
    """Reads are repeated on 429, 5xx and lost connections; writes only on 429, which is a plain refusal.

    A write whose answer is lost or 5xx may have happened: whoever sent it finds out by reading.
    """

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        status: int = response.http_response.status_code
        if response.http_request.method in _WRITES:
            return status == 429
        return status in (408, 429, 500, 502, 503, 504)

    def _is_method_retryable(
        self, settings: dict[str, Any], request: Any, response: Any | None = None
    ) -> bool:
        return bool(request.method not in _WRITES)

    def get_retry_after(self, response: PipelineResponse[Any, Any]) -> float | None:
        wait_s = super().get_retry_after(response)
        return None if wait_s is None else min(max(wait_s, 0.0), LONGEST_WAIT_S)

    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        """Full jitter: workers that were refused together do not come back together."""
        most_s = min(_FIRST_WAIT_S * 2 ** len(settings["history"]), 30.0)
        return random.uniform(0, most_s)


class Pace(AsyncHTTPPolicy[Any, Any]):
    """Every attempt takes a token, and tells the bucket how it was answered."""

    def __init__(self, limiter: RateLimiter) -> None:
        super().__init__()
        self.limiter = limiter

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        await self.limiter.take()
        response = await self.next.send(request)
        if response.http_response.status_code == 429:
            try:
                wait_s = float(response.http_response.headers.get("Retry-After") or 0)
            except ValueError:
                wait_s = 0.0
            self.limiter.throttled(max(wait_s, 0.0))
        else:
            self.limiter.passed()
        return response


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
    """A pipeline with what it was made of. Close it when the run ends."""

    endpoint: str
    pipeline: AsyncPipeline[Any, Any]
    credential: Any
    limiter: RateLimiter

    async def __aenter__(self) -> Pipe:
        await self.pipeline.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.pipeline.__aexit__()
        await self.credential.close()


def open_pipe(endpoint: str, *, connections: int = 100, retries: int = 6) -> Pipe:
    """A pipeline to one project.

    Args:
        endpoint: `https://…/api/projects/NAME`, or plain http on loopback, which goes without a token.
        connections: most connections at once.
        retries: most repetitions of one request; 0 sends everything once.
    """
    import aiohttp

    secure = endpoint.startswith("https://")
    credential: Any = _credential() if secure else NoCredential()
    limiter = RateLimiter()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        # azure-core decodes bodies itself and asks for them undecoded.
        auto_decompress=False,
        trust_env=True,
    )
    transport = AioHttpTransport(
        session=session, session_owner=True, connection_timeout=_CONNECT_S, read_timeout=_READ_S
    )
    policies: list[Any] = [
        RequestIdPolicy(),
        HeadersPolicy(),
        UserAgentPolicy(sdk_moniker="ai-projects/2.10.0", user_agent=f"reconciler/{__version__}"),
        ContentDecodePolicy(),
        Retry(
            retry_total=retries,
            retry_status=retries,
            retry_connect=min(retries, 3),
            retry_read=min(retries, 3),
        ),
        Pace(limiter),
        AsyncBearerTokenCredentialPolicy(credential, SCOPE) if secure else None,
    ]
    pipeline: AsyncPipeline[Any, Any] = AsyncPipeline(transport, [policy for policy in policies if policy])
    return Pipe(endpoint.rstrip("/"), pipeline, credential, limiter)


def _credential() -> Any:
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential()

"""How one request is sent: paced with the others of its project, and again where that is safe.

Here and nowhere else a request waits for the service. A 429 is a plain refusal: nothing happened, so reads
and writes are sent again, a write only while what was read before it still counts. Reads are also sent again
after 5xx and lost connections. A write whose answer is lost or 5xx may have happened: whoever sent it finds
out by reading (rule P5).
"""

from __future__ import annotations

import asyncio
import math
import random
from types import SimpleNamespace
from typing import IO, Any, Final, Protocol

from azure.core.exceptions import IncompleteReadError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy, AsyncRetryPolicy

from reconciler.errors import NotSent
from reconciler.foundry.rate import RateLimiter
from reconciler.kinds.port import MAY_SEND

# A service that says "come back in an hour" must not hold a run for an hour (rule P5).
LONGEST_WAIT_S: Final = 60.0
# What refuses one request for so long while others pass will not take it in this run.
_LONGEST_REFUSED_S: Final = 600.0
# What was read right before a write, and whether it may still be sent, is not known any more after so long
# (rule P4): whoever wants it decides again.
WRITE_WAITS_S: Final = 15.0
_FIRST_WAIT_S: Final = 0.5
_LONGEST_JITTER_S: Final = 30.0
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BROKEN: Final = frozenset({408, 500, 502, 503, 504})
# A server that is not there at all will not be there a minute later either.
_MOST_LOST: Final = 3
# Knows the spellings of Retry-After: seconds, a date, milliseconds under the service's own names.
_HEADERS: Final = AsyncRetryPolicy[Any, Any]()


class Observer(Protocol):
    """Hears of every attempt; for counting, and never for deciding."""

    def answered(self, method: str, status: int | None, took_s: float) -> None:
        """One attempt ended with this HTTP status, with None when no answer came."""
        ...

    def waited(self, wait_s: float) -> None:
        """One attempt waited so long for its turn, and is sent now."""
        ...

    def repeats(self, status: int | None, wait_s: float) -> None:
        """What was refused, failed, or got no answer is sent again after so long."""
        ...


class Watched(AsyncHTTPPolicy[Any, Any]):
    """Tells an observer of each attempt, below everything that repeats or waits."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        clock, status = asyncio.get_running_loop().time, None
        began_at = clock()
        try:
            response = await self.next.send(request)
            status = response.http_response.status_code
            return response
        finally:
            self._observer.answered(request.http_request.method, status, clock() - began_at)


class Retry(AsyncHTTPPolicy[Any, Any]):
    """Sends reads again after 5xx and lost connections, at most `repeats` times; writes are sent once.

    None is sent again later than `longest_s` seconds after the first.
    """

    def __init__(self, repeats: int, observer: Observer | None = None, longest_s: float = math.inf) -> None:
        super().__init__()
        self._repeats = repeats
        self._observer = observer
        self._longest_s = longest_s

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        if request.http_request.method not in READS:
            return await self.next.send(request)
        clock = asyncio.get_running_loop().time
        end_at = clock() + self._longest_s
        for sent in range(1, self._repeats + 1):
            wait_s, status = jitter_s(sent), None
            try:
                response = await self.next.send(request)
            except (ServiceRequestError, ServiceResponseError, IncompleteReadError):
                if sent > _MOST_LOST or clock() + wait_s > end_at:
                    raise
            else:
                status = response.http_response.status_code
                if status not in _BROKEN:
                    return response
                wait_s = retry_after_s(response.http_response) or wait_s
                if clock() + wait_s > end_at:
                    return response
                await _release(response)
            if self._observer is not None:
                self._observer.repeats(status, wait_s)
            await asyncio.sleep(wait_s)
        return await self.next.send(request)


class Pace(AsyncHTTPPolicy[Any, Any]):
    """Lets every attempt wait its turn, and sends a refused request again after the wait it was told.

    It gives up when the request was refused `patience` times in a row while nothing else of the project
    passed either: as long as the project makes progress, the request has to wait and nothing more. In any
    case it ends where the next try would come `longest_s` seconds after the first refusal, for a write
    `WRITE_WAITS_S` if that is less.

    Raises:
        Paused: the service asked everybody to wait for longer than that.
        NotSent: a write may not be sent any more.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        patience: int,
        observer: Observer | None = None,
        longest_s: float = _LONGEST_REFUSED_S,
    ) -> None:
        super().__init__()
        self.limiter = limiter
        self._patience = patience
        self._observer = observer
        self._longest_s = min(longest_s, _LONGEST_REFUSED_S)

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        limiter, streams = self.limiter, _streams(request.http_request)
        clock = asyncio.get_running_loop().time
        reads = request.http_request.method in READS
        longest_s = self._longest_s if reads else min(self._longest_s, WRITE_WAITS_S)
        end_at, passes, refusals = math.inf, 0, 0
        while True:
            asked_at = clock()
            sent_at = await limiter.take(longest_s)
            if not (reads or MAY_SEND.get()()):
                raise NotSent("the run was asked to stop before this was sent")
            if self._observer is not None:
                self._observer.waited(sent_at - asked_at)
            response = await self.next.send(request)
            if response.http_response.status_code != 429:
                limiter.passed(sent_at)
                return response
            wait_s = retry_after_s(response.http_response)
            limiter.refused(sent_at, wait_s or 0.0)
            refusals = refusals + 1 if limiter.passes == passes else 1
            passes, end_at = limiter.passes, min(end_at, clock() + longest_s)
            wait_s = jitter_s(refusals) if wait_s is None else wait_s
            if refusals > self._patience or clock() + wait_s > end_at:
                return response
            await _release(response)
            if self._observer is not None:
                self._observer.repeats(429, wait_s)
            await asyncio.sleep(wait_s)
            for stream, start in streams:
                stream.seek(start)


def retry_after_s(response: Any) -> float | None:
    """The wait that the HTTP answer asks for, above 0 and at most 60 s; None where it asks for none."""
    answer: Any = SimpleNamespace(http_response=response)
    try:
        wait_s = _HEADERS.get_retry_after(answer)
    except ValueError:
        return None
    # Written so that the "nan" which float() reads is no wait.
    return min(wait_s, LONGEST_WAIT_S) if wait_s is not None and wait_s > 0 else None


def jitter_s(tried: int) -> float:
    """A random wait that grows with the tries, so that workers refused together do not come back together."""
    return random.uniform(0, min(_FIRST_WAIT_S * 2**tried, _LONGEST_JITTER_S))


async def _release(response: PipelineResponse[Any, Any]) -> None:
    """Read an answer nobody wants to its end, so that its connection can be used again."""
    # azure-core takes an empty body for one that was not read yet, and refuses to read twice.
    if not response.http_response.is_stream_consumed:
        await response.http_response.read()


def _streams(request: Any) -> list[tuple[IO[bytes], int]]:
    """The streams of a form with their positions: what was sent once has to be sent again from there."""
    files = request.files or ()
    parts = [part for _, part in (files.items() if isinstance(files, dict) else files)]
    streams = [item for part in parts for item in (part if isinstance(part, tuple) else (part,))]
    return [(stream, stream.tell()) for stream in streams if hasattr(stream, "seek")]

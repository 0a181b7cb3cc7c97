"""Whether the service lives and is ready, and its metrics: what an orchestrator asks.

Open to whoever reaches the port, so that probes need no secret: they hold names of projects and sources, and
counts. Everything else needs a sign-in.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.errors import ReconcilerError
from reconciler.service.deps import Deps
from reconciler.service.gauges import Gauges

_BEAT_S: Final = 1.0
# The longest stretch of work between two waits of the loop is seconds; a loop this late is stuck.
_DEAD_S: Final = 30.0
_PATIENCE_S: Final = 2.0
_OPENMETRICS: Final = "application/openmetrics-text"


class Watchdog:
    """Knows when the event loop last turned, and how late it was at worst in the last minute."""

    def __init__(self) -> None:
        self._beat_at = time.monotonic()
        self._late_s: deque[float] = deque([0.0], maxlen=60)

    async def run(self, stop: asyncio.Event) -> None:
        """Take the time every second until the stop."""
        while not stop.is_set():
            asked_at = time.monotonic()
            await asyncio.sleep(_BEAT_S)
            self._beat_at = time.monotonic()
            self._late_s.append(max(0.0, self._beat_at - asked_at - _BEAT_S))

    @property
    def silent_s(self) -> float:
        """How long ago the loop last turned."""
        return time.monotonic() - self._beat_at

    @property
    def late_s(self) -> float:
        """How late it was at worst."""
        return max(self._late_s)


def routes(deps: Deps, watchdog: Watchdog) -> list[Route]:
    """`/healthz`, `/readyz` and `/metrics`."""
    gauges = Gauges(deps)

    async def healthz(request: Request) -> Response:
        alive = watchdog.silent_s < _DEAD_S
        return _answer({"status": "alive"} if alive else {"status": "the event loop is stuck"}, ok=alive)

    async def readyz(request: Request) -> Response:
        missing = await _missing(deps)
        status = "not ready" if missing else "ready"
        return _answer({"status": status, **({"missing": missing} if missing else {})}, ok=not missing)

    async def metrics(request: Request) -> Response:
        deps.metrics.loop_late_s.set(watchdog.late_s)
        await gauges.refresh()
        # Only the one type is looked for: what else a header says could be anything.
        wanted = _OPENMETRICS in request.headers.get("accept", "")
        encode, content_type = choose_encoder(_OPENMETRICS if wanted else "")
        return Response(encode(deps.metrics.registry), headers={**_FRESH, "Content-Type": content_type})

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


_FRESH: Final = {"Cache-Control": "no-store"}


def _answer(body: dict[str, object], *, ok: bool) -> Response:
    return JSONResponse(body, status_code=200 if ok else 503, headers=_FRESH)


async def _missing(deps: Deps) -> list[str]:
    """What keeps this process from taking work, in words."""
    found = []
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await deps.store.pulse()
    except (ReconcilerError, TimeoutError):
        found.append("the store does not answer")
    if not deps.engine.ready:
        found.append("the engine gives no turns")
    return found

"""Open pipelines to the service, one for each endpoint, kept between runs: sign-in, pace and connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.live import Ports
from reconciler.resource import Code
from reconciler.service.metrics import ApiCalls
from reconciler.settings import Settings
from reconciler.wiring import connected, ports_over, remembered

# Longer than the usual interval between two looks at a project, so that its pace and sign-in are remembered.
_IDLE_S: Final = 900.0
# A turn that waits keeps a place that others need, and comes again by itself: a service that refuses or fails
# for longer than this ends it.
_LONGEST_S: Final = 10.0


@dataclass
class _Open:
    """One pipeline, how many runs use it now, and when the last one ended."""

    pipe: Any
    stack: AsyncExitStack
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)


class Connections:
    """Pipelines by endpoint. All runs against one share its rate limit (rule P5)."""

    def __init__(self, settings: Settings, calls: ApiCalls | None = None) -> None:
        self._settings = settings
        self._calls = calls
        self._open: dict[str, _Open] = {}
        self._known = remembered()
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def ports(
        self, project: str, endpoint: str, zipped: Callable[[Code], bytes]
    ) -> AsyncIterator[Ports]:
        """The ports of one Project, for as long as the block runs.

        Raises:
            StateError: the embedded sandbox cannot use its state file.
        """
        found = await self._opened(endpoint)
        found.users += 1
        try:
            yield ports_over(found.pipe, project, zipped, self._known)
        finally:
            found.users -= 1
            found.used_at = time.monotonic()

    def pause_s(self, endpoint: str) -> float:
        """How long the service behind the endpoint has asked everybody to wait, in seconds."""
        found = self._open.get(endpoint)
        return found.pipe.limiter.pause_s if found is not None else 0.0

    async def _opened(self, endpoint: str) -> _Open:
        async with self._lock:
            if endpoint not in self._open:
                stack = AsyncExitStack()
                pipe = await stack.enter_async_context(
                    connected(endpoint, self._settings, self._calls, _LONGEST_S)
                )
                self._open[endpoint] = _Open(pipe, stack)
            return self._open[endpoint]

    async def close_idle(self) -> None:
        """Close what nobody used for a quarter of an hour."""
        await self._close(lambda open_: open_.users == 0 and time.monotonic() - open_.used_at > _IDLE_S)

    async def close(self) -> None:
        """Close everything; runs that are under way fail."""
        await self._close(lambda open_: True)

    async def _close(self, ends: Callable[[_Open], bool]) -> None:
        async with self._lock:
            for endpoint in [endpoint for endpoint, open_ in self._open.items() if ends(open_)]:
                await self._open.pop(endpoint).stack.aclose()

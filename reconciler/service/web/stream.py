"""`/stream`: tells pages that the store changed, so that they fetch themselves again. Carries no content."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent

from reconciler.errors import ReconcilerError
from reconciler.service.refusals import TooMany
from reconciler.service.store import Store

log = structlog.get_logger("reconciler")

# The most time between a write and the news of it; asking costs one row.
_EVERY_S: Final = 0.4
_HEARTBEAT_S: Final = 15
# Pages that one process keeps up to date. Those beyond it ask again by themselves, less often.
MOST_CLIENTS: Final = 200
# Streams end now and then, so that whoever lost their role or their session does not go on listening.
_LONGEST_S: Final = 600.0
# Between two news on one page; what happens meanwhile is one piece of news.
_LEAST_BETWEEN_S: Final = 0.4


class Pulses:
    """The store's pulse for every page that listens, by one question for all of them.

    Nothing is asked while nobody listens.
    """

    def __init__(self, store: Store, most: int = MOST_CLIENTS) -> None:
        self._store = store
        self._most = most
        self._listeners = 0
        self._poller: asyncio.Task[None] | None = None
        self._value = -1
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many pages listen now."""
        return self._listeners

    def response(self, since: int) -> EventSourceResponse:
        """A stream for one page that shows the store as it was at the pulse `since`.

        Raises:
            TooMany: too many pages listen already.
        """
        if self._listeners >= self._most:
            raise TooMany("too many pages are open", retry_after_s=30, hint="Close some, or load it again.")
        return EventSourceResponse(self.news(since), ping=_HEARTBEAT_S, send_timeout=30)

    async def news(self, since: int) -> AsyncIterator[ServerSentEvent]:
        """An event for each time that the store has changed since the last one."""
        self._listeners += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            # Something to read at once: proxies and browsers call a silent stream dead.
            yield ServerSentEvent(comment="listening", retry=1000)
            ends = asyncio.get_running_loop().time() + _LONGEST_S
            while not self._closed and asyncio.get_running_loop().time() < ends:
                if self._value not in (since, -1):
                    since = self._value
                    yield ServerSentEvent(str(since), event="pulse", id=str(since))
                    await asyncio.sleep(_LEAST_BETWEEN_S)
                    continue
                await self._wait(ends - asyncio.get_running_loop().time())
        finally:
            self._listeners -= 1

    async def _wait(self, most_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), max(0.0, min(most_s, _HEARTBEAT_S)))

    async def _poll(self) -> None:
        while self._listeners and not self._closed:
            try:
                value = await self._store.pulse()
            except ReconcilerError as error:
                # Pages show the store; whoever cannot read it says so itself.
                log.debug("pulse_unknown", error=str(error))
            else:
                if value != self._value:
                    self._value = value
                    self._tell()
            await asyncio.sleep(_EVERY_S)

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def close(self) -> None:
        """End every stream now; for the end of the process."""
        self._closed = True
        self._tell()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)

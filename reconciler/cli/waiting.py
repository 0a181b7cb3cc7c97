"""What a run says on standard error while the service lets it wait: why, and for how long."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

# Shorter waits are not worth a line.
_SILENT_S: Final = 5.0
# While it goes on it is said again, so that a log shows that the run lives.
_AGAIN_S: Final = 30.0
_LOOK_S: Final = 0.5


class Waiting:
    """Hears of every request of one Project, and says when none gets through for some seconds.

    Made and used in one event loop.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._under_way = 0
        self._until = 0.0
        self._why: int | None = None
        self._clock = asyncio.get_running_loop().time
        self._through_at = self._sent_at = self._clock()
        self._paced_s = 0.0
        self._said_at = -math.inf

    def waited(self, wait_s: float) -> None:
        """One attempt is sent now, after it waited so long for its turn."""
        now = self._clock()
        if not self._under_way and now > self._until:
            # Before this one nobody wanted anything.
            self._through_at = now
        self._sent_at, self._paced_s = now, wait_s
        self._under_way += 1

    def answered(self, method: str, status: int | None, took_s: float) -> None:
        """One attempt ended with this status, None without an answer."""
        self._under_way -= 1
        if status is not None and status < 500 and status not in (408, 429):
            self._through_at = self._clock()

    def repeats(self, status: int | None, wait_s: float) -> None:
        """What was refused, failed, or got no answer is sent again after so long."""
        until = self._clock() + wait_s
        if until > self._until:
            self._until, self._why = until, status

    @asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        """Say what is waited for while the block runs."""
        telling = asyncio.create_task(self._tell())
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            now = self._clock()
            text = self._text(now) if now - self._said_at >= _AGAIN_S else ""
            if text:
                self._said_at = now
                # Looked up here: a progress line on a terminal puts something of its own in its place.
                sys.stderr.write(f"  {self._project}: {text}\n")
                sys.stderr.flush()

    def _text(self, now: float) -> str:
        """What is waited for, "" for nothing."""
        silent_s, left_s = now - self._sent_at, self._until - now
        if left_s < 0:
            if self._under_way and silent_s >= _SILENT_S:
                return f"no answer from the service for {silent_s:.0f} s; waiting"
            paced = self._under_way and self._paced_s >= _SILENT_S
            return f"the service limits the pace; a request waits {self._paced_s:.0f} s" if paced else ""
        if now - self._through_at < _SILENT_S:
            return ""
        again = f"next try in {math.ceil(left_s)} s"
        match self._why:
            case 429:
                return f"the service refuses requests for now (429); {again}"
            case None:
                return f"the service cannot be reached; {again}"
            case status:
                return f"the service fails ({status}); {again}"

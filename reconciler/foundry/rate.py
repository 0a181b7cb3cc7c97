"""One token bucket per project for all workers of the process, which learns the service's limit (rule P5).

The service publishes no limit, so there is none until the first 429. A refusal means that the service's own
bucket is empty; from one refusal to the next it went from empty to empty, so what passed in between is what
it was given: at most the limit, whatever bursts it allows. Requests then go out at a little less, which creeps
up while nothing is refused.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

# How long to look after the first 429 before pacing: workers that were told to wait are back by then.
_MEASURE_S: Final = 1.0
# Go a little below what passed, so that the next refusal is far away.
_BELOW: Final = 0.98
# Two refusals closer than this say one thing; the second only takes a step down.
_APART_S: Final = 0.5
_STEP_DOWN: Final = 0.9
# Until the second refusal the limit is a guess from below and may be far off: grow by this a second.
_FIND: Final = 0.4
# Later grow by this share a second for each second since the last refusal, at most ten of them.
_GROWTH: Final = 0.003
_LEAST_RATE: Final = 0.5
# A longer Retry-After is about a quota and holds for everybody; a shorter one is for the one request.
_FOR_ALL_S: Final = 1.0
_LONGEST_S: Final = 60.0


class RateLimiter:
    """Paces requests: `await take()` before each send, then `passed()` or `throttled()` by its answer.

    `rate` is in requests a second, None while no limit is known. Not safe across threads; one per event
    loop and project.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._next_at = 0.0
        self._resume_at = 0.0
        self._passes = 0
        self._refusals = 0
        self._refused_at = 0.0
        self._grown_at = 0.0

    async def take(self) -> None:
        """Wait until one more request may be sent."""
        while (wait_s := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        now = time.monotonic()
        if self.rate is None:
            if not self._refusals or now - self._refused_at < _MEASURE_S:
                return
            self.rate = max(_LEAST_RATE, self._passes / (now - self._refused_at))
            self._grown_at = self._next_at = now
        self._grow(now)
        # Each caller takes the next slot, so that waiting is in order and a burst of workers is spread.
        slot = max(self._next_at, now)
        self._next_at = slot + 1 / self.rate
        if slot > now:
            await asyncio.sleep(slot - now)

    def _grow(self, now: float) -> None:
        assert self.rate is not None
        passed_s = min(now - self._grown_at, 1.0)
        self._grown_at = now
        found = self._refusals > 1
        self.rate *= 1 + passed_s * (_GROWTH * min(now - self._refused_at, 10.0) if found else _FIND)

    def passed(self) -> None:
        """A request was answered with anything but 429."""
        self._passes += 1

    def throttled(self, retry_after_s: float = 0.0) -> None:
        """A request was answered with 429; `retry_after_s` is what the answer asked for, 0 for nothing."""
        now = time.monotonic()
        if retry_after_s > _FOR_ALL_S:
            self._resume_at = max(self._resume_at, now + min(retry_after_s, _LONGEST_S))
        apart_s = now - self._refused_at
        if self.rate is None:
            if self._refusals:
                return
        elif apart_s >= _APART_S:
            self.rate = max(_LEAST_RATE, min(self.rate, self._passes / apart_s) * _BELOW)
            self._next_at = now + 1 / self.rate
        else:
            self.rate = max(_LEAST_RATE, self.rate * _STEP_DOWN) if self._refusals > 1 else self.rate
            return
        self._refusals += 1
        self._refused_at, self._passes = now, 0

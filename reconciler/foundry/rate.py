"""One token bucket per project for all workers of the process, which learns the service's limit (rule P5)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

# Requests a second to start with. High enough not to be felt on a service that does not limit; a service
# that does answers 429 a few times before the bucket has learned its rate.
START_RATE: Final = 200.0
# A limiter that falls to nothing would never hear that things got better.
_LEAST_RATE: Final = 0.5
# After a 429 the rate is what got through just before, less this share.
_BACK_OFF: Final = 0.92
# Without a 429 the rate grows by this share a second: probing too fast costs 429s, too slowly costs time.
_GROWTH: Final = 0.01
_WINDOW_S: Final = 1.0
# Answers to requests sent before the last cut say nothing about the rate after it.
_SETTLE_S: Final = 0.25


class RateLimiter:
    """Paces requests: `await take()` before each send, `throttled()` on each 429.

    The bucket holds a quarter of a second of requests, so that a burst of workers cannot empty a second's
    allowance at once. Not safe across threads; one per event loop and project.
    """

    def __init__(self, rate: float = START_RATE) -> None:
        self.rate = rate
        self._tokens = max(1.0, rate / 4)
        self._filled = time.monotonic()
        self._lock = asyncio.Lock()
        self._passed: deque[float] = deque()
        self._cut_at = 0.0
        self._limited = False
        self._resume_at = 0.0

    async def take(self) -> None:
        """Wait until one more request may be sent."""
        async with self._lock:
            while True:
                now = time.monotonic()
                if now < self._resume_at:
                    await asyncio.sleep(self._resume_at - now)
                    continue
                self._refill(now)
                if self._tokens >= 1:
                    self._tokens -= 1
                    return
                await asyncio.sleep((1 - self._tokens) / self.rate)

    def _refill(self, now: float) -> None:
        passed_s = now - self._filled
        self._filled = now
        if self._limited:
            self.rate *= 1 + _GROWTH * min(passed_s, 1.0)
        # While limited the bucket is flat: any burst above the learned rate would be refused.
        depth = max(1.0, self.rate / (50 if self._limited else 4))
        self._tokens = min(depth, self._tokens + passed_s * self.rate)

    def passed(self) -> None:
        """A request was answered with anything but 429."""
        now = time.monotonic()
        self._passed.append(now)
        while self._passed and self._passed[0] < now - _WINDOW_S:
            self._passed.popleft()

    def throttled(self, retry_after_s: float = 0.0) -> None:
        """A request was answered with 429: slow down to what got through, and wait if told to."""
        now = time.monotonic()
        self._resume_at = max(self._resume_at, now + min(retry_after_s, _WINDOW_S))
        if now - self._cut_at < _SETTLE_S:
            return
        self._cut_at = now
        recent = [at for at in self._passed if at > now - _WINDOW_S]
        span_s = max(now - recent[0], 0.1) if recent else _WINDOW_S
        seen = len(recent) / min(max(span_s, 0.25), _WINDOW_S)
        self.rate = max(_LEAST_RATE, min(self.rate, seen or self.rate / 2) * _BACK_OFF)
        self._limited = True
        self._tokens = 0.0

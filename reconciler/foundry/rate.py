"""One pace per project for all workers of the process, which learns the service's limit (rule P5).

The service publishes no limit, so there is none until the first 429. A refusal says that the service's own
bucket of tokens is empty at that moment, and this is all that can be known:

- What passed before the first refusal is at most what the bucket held plus what flowed in. Most services
  let a bucket hold what flows in during a second, so that is the first guess.
- From one refusal to the next the bucket went from empty to empty: what passed in between flowed in, apart
  from what a full bucket lost. So did what passed since any moment in between, but for one bucket of it.
  The best of these is the next rate, a little lowered so that the bucket fills.
- While nothing is refused the rate grows with each request that passes, quickly after the first guess, which
  may be far too low, and after each measurement more calmly, until a refusal comes in hundreds of requests.
  Of a rate that no request had to wait for nothing is known, so that one stays.

All of this holds while requests follow each other. A service that looks at a project now and then leaves the
bucket to fill in between: what passed over such a pause measures how little was asked, and not the limit. So
after a pause that fills the bucket the first guess begins anew, and a refusal only takes a small step down;
after a longer one everything is forgotten, as if the process were new.

Refusals of requests that were sent before the last lowering are echoes of the same empty bucket and say
nothing new. Against simulated buckets of 5 to 500 tokens a second that hold a second's worth, with 4 to 64
workers, this takes at most 1.1 times what the bucket allows; under 1 % is refused after the first fifth. A
bucket that holds a single token costs ten seconds more. `tests/foundry/test_rate.py` keeps both.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Final

# The guess for a bucket is what passed, over the time it took and the second's worth that was there before.
_HELD_S: Final = 1.0
# A little below what was measured, so that the next refusal is far away.
_BELOW: Final = 0.97
# Another refusal after fewer passes or sooner measures nothing, since answers are still under way: it only
# takes a small step down.
_ENOUGH: Final = 20
_ENOUGH_S: Final = 1.0
_STEP_DOWN: Final = 0.9
# Passes that double the rate: first so many buckets, four times that after each measurement, at most a number
# that raises the rate by 7 % in 300 requests, which is about one refusal in as many.
_BUCKETS: Final = 4
_CALMER: Final = 4
_CALMEST: Final = 3_000
# Requests a second. A service that allows less says so by Retry-After; below this a project cannot be read.
_LEAST_RATE: Final = 0.5
# A longer Retry-After is about a quota and holds for everybody; a shorter one is for the one request.
_FOR_ALL_S: Final = 1.0
_REMEMBERED: Final = 2_000
# Nobody asked for so long: most buckets are full again, and then surely all are.
_PAUSE_S: Final = _HELD_S
_LONG_PAUSE_S: Final = 5.0
# Sleeping is this inexact; a request that woke late keeps its slot, so that lateness does not add up.
_LATE_S: Final = 0.005


class Paused(Exception):
    """The service told everybody to wait for `wait_s` more seconds, which is too long for this request."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"the service asks to wait {math.ceil(wait_s)} s")
        self.wait_s = wait_s


class RateLimiter:
    """Paces requests: `sent = await take()` before each send, then `passed(sent)` or `refused(sent, …)`.

    `rate` is in requests a second, None while no limit is known; `passes` counts what was not refused.
    Times are those of the running event loop. One per event loop and project; not safe across threads.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self.passes = 0
        self._turn = asyncio.Lock()
        self._last_slot = 0.0
        self._resume_at = 0.0
        self._began_at: float | None = None
        # The bucket: how much passed before it was first empty, when it was last, and what passed since.
        self._held = 0
        self._empty_at = 0.0
        self._since: deque[float] = deque(maxlen=_REMEMBERED)
        self._passed_since = 0
        self._lowered_at = 0.0
        self._doubles_in = 0
        self._measured = False
        self._paused = False
        self._held_back = False

    @property
    def pause_s(self) -> float:
        """How long the service has asked everybody to wait, from now on, in seconds."""
        return max(0.0, self._resume_at - asyncio.get_running_loop().time())

    async def take(self, longest_s: float = math.inf) -> float:
        """Wait until one more request may be sent; in order of asking. Returns when it is sent.

        Raises:
            Paused: the service asked everybody to wait for longer than that. Keeping its pace may take
                longer.
        """
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        async with self._turn:
            self._after_pause(asked_at)
            now = slot = clock()
            self._held_back = False
            while (due := self._due_at()) > now:
                if self.pause_s > longest_s:
                    raise Paused(self.pause_s)
                await asyncio.sleep(due - now)
                now, slot = clock(), due
                self._held_back = True
            self._last_slot = slot if now - slot < _LATE_S else now
            return now

    def _after_pause(self, asked_at: float) -> None:
        """Forget what is meaningless after a time in which nobody asked for anything."""
        if self._began_at is None:
            self._began_at = asked_at
            return
        pause_s = asked_at - self._last_slot
        if pause_s > _LONG_PAUSE_S:
            self.rate, self._measured = None, False
        if pause_s > _PAUSE_S and self.rate is None:
            self._began_at, self._held = asked_at, 0
        elif pause_s > _PAUSE_S:
            self._paused = True

    def _due_at(self) -> float:
        if self.rate is None:
            return self._resume_at
        return max(self._resume_at, self._last_slot + 1 / self.rate)

    def passed(self, sent_at: float) -> None:
        """The request sent then was answered with anything but 429."""
        self.passes += 1
        if self.rate is None:
            self._held += 1
        elif sent_at >= self._empty_at:
            self._passed_since += 1
            self._since.append(sent_at)
            # A rate that holds nobody back was not tried, so nothing speaks for a higher one. Who asks for
            # one thing after the other is held back without anybody else that waits.
            if self._held_back or self._turn.locked():
                self.rate *= 2 ** (1 / self._doubles_in)
        elif not self._measured:
            self._held += 1
            self._guess()

    def refused(self, sent_at: float, retry_after_s: float = 0.0) -> None:
        """The request sent then was answered with 429 and asked to wait so long, 0 for nothing."""
        now = asyncio.get_running_loop().time()
        if retry_after_s > _FOR_ALL_S:
            self._resume_at = max(self._resume_at, now + retry_after_s)
        if sent_at < self._lowered_at:
            return
        self._lowered_at = now
        if self.rate is None:
            self._empty()
            self._guess()
        elif self._paused:
            self.rate = max(_LEAST_RATE, self.rate * _STEP_DOWN)
            self._empty()
        elif self._passed_since < min(_ENOUGH, 2 * max(1, self._held)) or now - self._empty_at < _ENOUGH_S:
            self.rate = max(_LEAST_RATE, self.rate * _STEP_DOWN)
        else:
            self.rate = max(_LEAST_RATE, min(self.rate, self._measure(now)) * _BELOW)
            self._doubles_in = min(_CALMEST, self._doubles_in * _CALMER)
            self._measured = True
            self._empty()

    def _empty(self) -> None:
        """The bucket is empty now, and what passes from here on can be measured."""
        self._empty_at = asyncio.get_running_loop().time()
        self._passed_since, self._paused = 0, False
        self._since.clear()

    def _guess(self) -> None:
        """The first rate, from the first bucket."""
        assert self._began_at is not None
        self.rate = max(_LEAST_RATE, max(1, self._held) / (self._empty_at - self._began_at + _HELD_S))
        self._doubles_in = min(_CALMEST, _BUCKETS * max(1, self._held))

    def _measure(self, now: float) -> float:
        """What flows in at least, in tokens a second, seen from a moment at which the bucket is empty."""
        best = self._passed_since / (now - self._empty_at)
        for later, sent_at in enumerate(reversed(self._since), start=1):
            best = max(best, (later - self._held) / (now - sent_at))
        return best

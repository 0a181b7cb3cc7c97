"""The pace against simulated buckets: how long, how much is refused, and no pacing without a limit."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field

import pytest

from reconciler.foundry.rate import RateLimiter
from reconciler.foundry.sending import jitter_s
from tests.foundry import clock


@dataclass
class Bucket:
    """A service's token bucket: `rate` tokens a second flow in, at most `size` stay."""

    rate: float
    size: float
    retry_after: bool
    answers: list[bool] = field(default_factory=list)
    _tokens: float = 0.0
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.size

    def ask(self) -> float | None:
        """None when a token was there, else the Retry-After in whole seconds, 0 where none is sent."""
        now = asyncio.get_running_loop().time()
        self._tokens = min(self.size, self._tokens + (now - self._at) * self.rate)
        self._at = now
        passes = self._tokens >= 1 - 1e-9
        self._tokens -= passes
        self.answers.append(passes)
        if passes:
            return None
        return float(max(1, math.ceil((1 - self._tokens) / self.rate))) if self.retry_after else 0.0

    @property
    def refused(self) -> int:
        return self.answers.count(False)

    def refused_late(self) -> float:
        """The share of refusals after the first fifth of the requests had passed."""
        fifth, passed = sum(self.answers) / 5, 0
        for index, passes in enumerate(self.answers):
            passed += passes
            if passed >= fifth:
                late = self.answers[index:]
                return late.count(False) / len(late)
        return 0.0


@dataclass
class Moody:
    """A service without a limit that refuses some requests in a row, after so many that passed."""

    after: int
    times: int
    retry_after: bool
    asked: int = 0

    def ask(self) -> float | None:
        self.asked += 1
        passes = not self.after < self.asked <= self.after + self.times
        return None if passes else 1.0 if self.retry_after else 0.0


@dataclass(frozen=True)
class Workers:
    """So many at once, each with one request after the other; a request is under way for 5 to 50 ms."""

    count: int
    latency_s: tuple[float, float] = (0.005, 0.05)

    async def carry_out(self, requests: int, limiter: RateLimiter, bucket: Bucket | Moody | None) -> float:
        """The seconds that all requests took together."""
        left = iter(range(requests))
        dice = random.Random(requests)

        async def work() -> None:
            for _ in left:
                tries = 1
                while not await self._passes(limiter, bucket, dice, tries):
                    tries += 1

        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(work() for _ in range(self.count)))
        return asyncio.get_running_loop().time() - began

    async def _passes(
        self, limiter: RateLimiter, bucket: Bucket | Moody | None, dice: random.Random, tries: int
    ) -> bool:
        sent_at = await limiter.take()
        half = dice.uniform(*self.latency_s) / 2
        await asyncio.sleep(half)
        wait_s = bucket.ask() if bucket else None
        await asyncio.sleep(half)
        if wait_s is None:
            limiter.passed(sent_at)
            return True
        limiter.refused(sent_at, wait_s)
        await asyncio.sleep(wait_s or jitter_s(tries))
        return False


def taken(workers: Workers, requests: int, bucket: Bucket | Moody | None) -> float:
    """The virtual seconds of one run with a fresh limiter."""

    async def whole() -> float:
        return await workers.carry_out(requests, RateLimiter(), bucket)

    return clock.run(whole())


@pytest.mark.rule("P5")
@pytest.mark.parametrize("retry_after", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("count", [4, 32, 64])
@pytest.mark.parametrize(
    ("rate", "requests"), [(5, 300), (20, 600), (50, 600), (100, 1_000), (200, 2_000), (500, 5_000)]
)
def test_a_limit_is_used_up_and_hardly_ever_met(rate, requests, count, retry_after):
    workers, bucket = Workers(count), Bucket(rate, size=rate, retry_after=retry_after)
    ideal_s = max(requests / rate, requests * 0.0275 / count)

    took_s = taken(workers, requests, bucket)

    assert took_s <= 1.1 * ideal_s + 1
    assert bucket.refused_late() < 0.01


@pytest.mark.parametrize("size", [1, 5, 20])
def test_a_small_bucket_costs_a_few_seconds_more(size):
    workers, bucket = Workers(32, latency_s=(0.02, 0.02)), Bucket(100, size=size, retry_after=True)

    assert taken(workers, 2_000, bucket) <= 1.1 * 20 + 9
    assert bucket.refused_late() < 0.01


def test_a_large_bucket_is_emptied_before_anything_is_slow():
    bucket = Bucket(20, size=1_000, retry_after=True)

    assert taken(Workers(32), 1_000, bucket) < 1.0
    assert bucket.refused == 0
    assert taken(Workers(32), 1_500, Bucket(20, size=1_000, retry_after=True)) < 1.2 * 25


@pytest.mark.parametrize("count", [32, 64])
def test_nothing_is_paced_while_nothing_is_refused(count):
    workers = Workers(count, latency_s=(0.05, 0.05))

    assert taken(workers, 1_000, None) == pytest.approx(math.ceil(1_000 / count) * 0.05)


@pytest.mark.rule("P5")
@pytest.mark.parametrize("retry_after", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("count", [1, 4, 32])
@pytest.mark.parametrize("after", [0, 1, 3, 10])
@pytest.mark.parametrize("times", [1, 2, 5, 8])
def test_a_few_refusals_without_a_limit_cost_seconds(times, after, count, retry_after):
    """Little is known after one or two requests, also where each waits for the answer of the one before."""
    longest_s = sum(1.0 if retry_after else min(2.0**tried / 2, 30.0) for tried in range(1, times + 1))

    assert taken(Workers(count), 40, Moody(after, times, retry_after)) <= longest_s + 16


def test_a_limit_that_shrinks_is_found_again():
    bucket = Bucket(100, size=100, retry_after=True)

    async def whole() -> float:
        limiter = RateLimiter()
        await Workers(32).carry_out(1_000, limiter, bucket)
        bucket.rate = bucket.size = 25
        return await Workers(32).carry_out(500, limiter, bucket)

    assert clock.run(whole()) <= 1.2 * 20


def test_a_limit_that_grows_is_used_in_time():
    async def whole() -> float:
        limiter, bucket = RateLimiter(), Bucket(20, size=20, retry_after=True)
        await Workers(32).carry_out(600, limiter, bucket)
        bucket.rate = bucket.size = 100
        await Workers(32).carry_out(6_000, limiter, bucket)
        assert limiter.rate is not None
        return limiter.rate

    assert clock.run(whole()) > 60


async def quiet(limiter: RateLimiter, minutes: float, refused_every: int = 0) -> None:
    """A service that looks at its project every ten seconds, and is refused now and then without a limit."""
    for look in range(1, int(minutes * 6) + 1):
        for _ in range(4):
            sent_at = await limiter.take()
            await asyncio.sleep(0.02)
            if refused_every and look % refused_every == 0:
                limiter.refused(sent_at)
            else:
                limiter.passed(sent_at)
        await asyncio.sleep(10)


@pytest.mark.parametrize("refused_every", [59, 6, 1], ids=["once", "each-minute", "always"])
def test_refusals_in_quiet_hours_do_not_slow_down_what_comes_later(refused_every):
    async def whole() -> float:
        limiter = RateLimiter()
        await quiet(limiter, 10, refused_every)
        return await Workers(32).carry_out(300, limiter, None)

    assert clock.run(whole()) < 15


def test_a_service_that_waits_between_its_looks_meets_its_limit_as_if_it_were_new():
    async def whole() -> tuple[float, float]:
        limiter, bucket = RateLimiter(), Bucket(20, size=20, retry_after=True)
        await quiet(limiter, 10)
        took_s = await Workers(32).carry_out(600, limiter, bucket)
        return took_s, bucket.refused_late()

    took_s, late = clock.run(whole())
    assert took_s <= 1.1 * 30 + 1
    assert late < 0.01


def test_a_pause_of_a_second_or_two_keeps_the_pace():
    async def whole() -> float:
        limiter, bucket = RateLimiter(), Bucket(20, size=20, retry_after=True)
        await Workers(32).carry_out(600, limiter, bucket)
        bucket.answers.clear()
        for _ in range(10):
            await asyncio.sleep(1.5)
            await Workers(32).carry_out(60, limiter, bucket)
        return bucket.refused / len(bucket.answers)

    assert clock.run(whole()) < 0.05


def test_a_long_wait_holds_for_everybody_and_a_short_one_for_one():
    async def resumes(retry_after_s: float) -> float:
        limiter = RateLimiter()
        limiter.refused(await limiter.take(), retry_after_s)
        limiter.rate = 1_000.0
        return await limiter.take()

    assert clock.run(resumes(30.0)) == pytest.approx(30.0)
    assert clock.run(resumes(1.0)) < 0.01


def test_echoes_of_one_empty_bucket_lower_the_rate_once():
    async def rates() -> tuple[float | None, float | None]:
        limiter = RateLimiter()
        sent = [await limiter.take() for _ in range(64)]
        await asyncio.sleep(0.05)
        for at in sent[:32]:
            limiter.passed(at)
        limiter.refused(sent[32])
        first = limiter.rate
        for at in sent[33:]:
            limiter.refused(at)
        return first, limiter.rate

    first, last = clock.run(rates())
    assert first == last == pytest.approx(32 / 1.05)


def test_requests_go_out_in_the_order_they_asked():
    async def order() -> list[int]:
        limiter = RateLimiter()
        limiter.refused(await limiter.take())
        limiter.rate = 10.0
        sent: list[int] = []

        async def one(number: int) -> None:
            await limiter.take()
            sent.append(number)

        await asyncio.gather(*(one(number) for number in range(20)))
        return sent

    assert clock.run(order()) == list(range(20))


def test_a_worker_that_is_cancelled_while_it_waits_holds_nobody_up():
    async def whole() -> float:
        limiter = RateLimiter()
        limiter.refused(await limiter.take())
        limiter.rate = 1.0
        waiting = [asyncio.create_task(limiter.take()) for _ in range(3)]
        await asyncio.sleep(0.1)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        return await limiter.take()

    assert clock.run(whole()) == pytest.approx(1.0)

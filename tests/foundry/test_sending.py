"""One request on its way: how often it is sent, how long it waits, and when it gives up. In virtual time."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import HttpRequest

from reconciler.foundry.rate import Paused, RateLimiter
from reconciler.foundry.sending import WRITE_WAITS_S, Pace, Retry, jitter_s, retry_after_s
from tests.foundry import clock

URL = "http://127.0.0.1/api/projects/p/agents"


@dataclass
class Answer:
    """What a pipeline needs of an answer."""

    status_code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_stream_consumed: bool = False

    async def read(self) -> bytes:
        assert not self.is_stream_consumed
        self.is_stream_consumed = True
        return b""


Script = Callable[[HttpRequest, int], Answer | Exception]


class Service(AsyncHttpTransport[Any, Any]):
    """Answers by a script, 10 ms after it is asked, and remembers when that was."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked_at: list[float] = []
        self.bodies: list[bytes] = []
        self.answers: list[Answer] = []

    async def send(self, request: Any, **kwargs: Any) -> Any:
        now = asyncio.get_running_loop().time()
        self.asked_at.append(now)
        if request.files:
            self.bodies.append(request.files[0][1][1].read())
        await asyncio.sleep(0.01)
        answer = self._script(request, len(self.asked_at))
        if isinstance(answer, Exception):
            raise answer
        self.answers.append(answer)
        return answer

    async def __aenter__(self) -> Service:
        return self

    async def __aexit__(self, *exc: object) -> None: ...
    async def open(self) -> None: ...
    async def close(self) -> None: ...


def pipe(service: Service, repeats: int = 6) -> AsyncPipeline[Any, Any]:
    return AsyncPipeline(service, [Retry(repeats), Pace(RateLimiter(), repeats)])


def sent(script: Script, *, method: str = "GET", repeats: int = 6, **request: Any) -> tuple[Service, Any]:
    """The service after one request, and what came of that: a status or the type of an exception."""

    async def whole() -> tuple[Service, Any]:
        service = Service(script)
        try:
            answer = await pipe(service, repeats).run(HttpRequest(method, URL, **request))
        except tuple(map(type, (LOST, SILENT, CUT, NO_TOKEN))) as error:
            return service, type(error)
        return service, answer.http_response.status_code

    return clock.run(whole())


def always(answer: Answer | Exception) -> Script:
    return lambda request, number: answer if isinstance(answer, Exception) else Answer(**vars(answer))


def first(count: int, answer: Answer | Exception) -> Script:
    """So many answers like this, then success."""
    bad = always(answer)
    return lambda request, number: bad(request, number) if number <= count else Answer()


LOST = ServiceRequestError("the connection was lost")
SILENT = ServiceResponseError("no answer in time")
CUT = IncompleteReadError("the answer ended early")
NO_TOKEN = ClientAuthenticationError("no token")


@pytest.mark.rule("P5")
@pytest.mark.parametrize(
    ("answer", "reads", "writes"),
    [
        pytest.param(Answer(200), 1, 1, id="success"),
        pytest.param(Answer(400), 1, 1, id="400"),
        pytest.param(Answer(401), 1, 1, id="401"),
        pytest.param(Answer(404), 1, 1, id="404"),
        pytest.param(Answer(409, {"Retry-After": "1"}), 1, 1, id="409-is-not-ours-to-repeat"),
        pytest.param(Answer(408), 7, 1, id="408"),
        pytest.param(Answer(500), 7, 1, id="500"),
        pytest.param(Answer(501), 1, 1, id="501"),
        pytest.param(Answer(502), 7, 1, id="502"),
        pytest.param(Answer(503, {"Retry-After": "1"}), 7, 1, id="503"),
        pytest.param(Answer(504), 7, 1, id="504"),
        pytest.param(LOST, 4, 1, id="lost"),
        pytest.param(SILENT, 4, 1, id="silent"),
        pytest.param(CUT, 4, 1, id="cut"),
        pytest.param(NO_TOKEN, 1, 1, id="no-token"),
        pytest.param(Answer(429, {"Retry-After": "1"}), 7, 7, id="429-happened-to-nobody"),
    ],
)
def test_how_often_a_request_is_sent(answer, reads, writes):
    for method, times in [("GET", reads)] + [(word, writes) for word in ("POST", "PUT", "PATCH", "DELETE")]:
        service, came = sent(always(answer), method=method)

        assert len(service.asked_at) == times, method
        assert came == (type(answer) if isinstance(answer, Exception) else answer.status_code)
        # Each answer nobody wants was read, so that its connection goes back to the pool.
        assert all(passed_over.is_stream_consumed for passed_over in service.answers[:-1])


@pytest.mark.parametrize("bad", [Answer(500), LOST, CUT, Answer(429)], ids=["500", "lost", "cut", "429"])
def test_a_read_that_works_at_last_is_well(bad):
    service, came = sent(first(3, bad))

    assert (len(service.asked_at), came) == (4, 200)


@pytest.mark.rule("P5")
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("told", "waits_s"), [("2", 2), ("0.5", 0.5), ("3600", 60), ("1e9", 60), ("inf", 60)]
)
def test_the_wait_is_what_was_told_and_at_most_a_minute(told, waits_s, status):
    service, came = sent(first(1, Answer(status, {"Retry-After": told})))

    assert came == 200
    # The rate that a first refusal leaves is one in a second.
    waited_s = service.asked_at[1] - service.asked_at[0]
    assert waited_s == pytest.approx(max(waits_s, 1) if status == 429 else waits_s, abs=0.05)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"Retry-After": "7"}, 7, id="seconds"),
        pytest.param({"retry-after-ms": "1500"}, 1.5, id="milliseconds"),
        pytest.param({"x-ms-retry-after-ms": "250"}, 0.25, id="the-services-own"),
        pytest.param({"Retry-After": "0"}, None, id="zero"),
        pytest.param({"Retry-After": "-5"}, None, id="negative"),
        pytest.param({"Retry-After": "nan"}, None, id="nan"),
        pytest.param({"Retry-After": "soon"}, None, id="words"),
        pytest.param({"Retry-After": "Fri, 99 Foo 2026 10:00:00 GMT"}, None, id="no-date"),
        pytest.param({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, None, id="past-date"),
        pytest.param({"Retry-After": "Wed, 21 Oct 2999 07:28:00 GMT"}, 60, id="far-date"),
    ],
)
def test_spellings_of_the_wait(headers, wait_s):
    assert retry_after_s(Answer(429, headers)) == wait_s


def test_a_date_is_a_wait_until_then():
    then = datetime.now(UTC) + timedelta(seconds=30)
    assert retry_after_s(Answer(429, {"Retry-After": format_datetime(then, usegmt=True)})) == pytest.approx(
        30, abs=2
    )


@pytest.mark.rule("P5")
def test_jitter_is_full_grows_and_ends_at_half_a_minute():
    for tried, most_s in ((1, 1), (2, 2), (5, 16), (6, 30), (1_000, 30)):
        waits = [jitter_s(tried) for _ in range(300)]
        assert 0 <= min(waits) < 0.1 * most_s
        assert 0.9 * most_s < max(waits) <= most_s


@pytest.mark.rule("P5")
@pytest.mark.parametrize("told", [{}, {"Retry-After": "1"}], ids=["untold", "told"])
def test_a_request_that_is_refused_again_and_again_waits_while_others_pass(told):
    async def whole() -> tuple[int, int]:
        refused = 0

        def script(request: HttpRequest, number: int) -> Answer:
            nonlocal refused
            unlucky = request.url.endswith("/unlucky") and refused < 15
            refused += unlucky
            return Answer(429, told) if unlucky else Answer()

        pipeline = pipe(Service(script), repeats=2)
        unlucky = asyncio.create_task(pipeline.run(HttpRequest("GET", f"{URL}/unlucky")))
        while not unlucky.done():
            await pipeline.run(HttpRequest("GET", URL))
        return refused, (await unlucky).http_response.status_code

    assert clock.run(whole()) == (15, 200)


def test_a_request_that_nobody_takes_gives_up_after_ten_minutes_whatever_passes():
    async def whole() -> tuple[int, float]:
        def script(request: HttpRequest, number: int) -> Answer:
            return Answer(429) if request.url.endswith("/never") else Answer()

        pipeline = pipe(Service(script))
        never = asyncio.create_task(pipeline.run(HttpRequest("GET", f"{URL}/never")))
        while not never.done():
            await pipeline.run(HttpRequest("GET", URL))
            await asyncio.sleep(1)
        return (await never).http_response.status_code, asyncio.get_running_loop().time()

    status, took_s = clock.run(whole())
    assert status == 429
    assert 600 <= took_s <= 700


@pytest.mark.rule("P4")
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("told", [{}, {"Retry-After": "2"}], ids=["untold", "told"])
def test_a_write_is_decided_anew_rather_than_sent_long_after_the_reading_before_it(method, told):
    async def whole() -> tuple[int, float]:
        def script(request: HttpRequest, number: int) -> Answer:
            return Answer(200) if request.method == "GET" else Answer(429, told)

        service = Service(script)
        pipeline = pipe(service)
        write = asyncio.create_task(pipeline.run(HttpRequest(method, URL)))
        while not write.done():
            await pipeline.run(HttpRequest("GET", f"{URL}/other"))
            await asyncio.sleep(0.5)
        return (await write).http_response.status_code, asyncio.get_running_loop().time()

    status, took_s = clock.run(whole())
    assert status == 429
    # The last wait may have been for the pace.
    assert took_s <= WRITE_WAITS_S + 6


@pytest.mark.rule("P4")
def test_a_write_does_not_wait_for_a_pause_that_is_longer_than_that():
    service, came = sent(always(Answer(429, {"Retry-After": "30"})), method="DELETE")
    assert (len(service.asked_at), came) == (1, 429)


@pytest.mark.parametrize(
    ("answer", "most"),
    [
        pytest.param(Answer(429, {"Retry-After": "2"}), 3, id="told"),
        pytest.param(Answer(429, {"Retry-After": "30"}), 1, id="told-longer"),
        pytest.param(Answer(503, {"Retry-After": "2"}), 3, id="503-told"),
        pytest.param(Answer(503, {"Retry-After": "30"}), 1, id="503-told-longer"),
    ],
)
def test_who_comes_again_by_itself_is_answered_soon(answer, most):
    async def whole() -> tuple[int, int, float]:
        service = Service(always(answer))
        policies = [Retry(6, longest_s=5.0), Pace(RateLimiter(), 6, longest_s=5.0)]
        came = await AsyncPipeline(service, policies).run(HttpRequest("GET", URL))
        took_s = asyncio.get_running_loop().time()
        return len(service.asked_at), came.http_response.status_code, took_s

    asked, status, took_s = clock.run(whole())
    assert (asked, status) == (most, answer.status_code)
    assert took_s < 5.5


def test_a_pause_for_everybody_ends_what_may_not_wait_so_long_before_it_is_sent():
    async def whole() -> tuple[int, float]:
        service = Service(always(Answer(429, {"Retry-After": "30"})))
        limiter = RateLimiter()
        pipeline = AsyncPipeline(service, [Pace(limiter, 6, longest_s=5.0)])
        await pipeline.run(HttpRequest("GET", URL))
        with pytest.raises(Paused, match="asks to wait 30 s"):
            await pipeline.run(HttpRequest("GET", URL))
        return len(service.asked_at), limiter.pause_s

    asked, pause_s = clock.run(whole())
    assert asked == 1
    assert pause_s == pytest.approx(30, abs=0.1)


@pytest.mark.rule("P5")
def test_a_form_is_sent_again_from_its_start():
    stream = io.BytesIO(b"skipped the code")
    stream.seek(8)
    service, came = sent(first(2, Answer(429)), method="POST", files=[("code", ("code.zip", stream))])

    assert came == 200
    assert service.bodies == [b"the code"] * 3

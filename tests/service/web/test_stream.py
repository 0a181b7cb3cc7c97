"""The stream of changes: soon, once, to everybody, and gone when nobody listens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from reconciler.service.records import ProjectRecord
from reconciler.service.refusals import TooMany
from reconciler.service.store import StoreDown
from reconciler.service.web.stream import Pulses
from tests.service.web.front import Front, serving

ROW = ProjectRecord("prod", "agents")


class Store:
    """Only a pulse, and how often it was asked for."""

    def __init__(self) -> None:
        self.value, self.asked, self.down = 1, 0, False

    async def pulse(self) -> int:
        self.asked += 1
        if self.down:
            raise StoreDown("no answer")
        return self.value


async def heard(pulses: Pulses, since: int, count: int, within_s: float = 3.0) -> list[str]:
    """The pulses that one page hears."""
    found: list[str] = []
    async with asyncio.timeout(within_s):
        news = pulses.news(since)
        async for event in news:
            if event.event == "pulse":
                found.append(str(event.data))
            if len(found) == count:
                await news.aclose()
                break
    return found


async def test_one_question_answers_every_page():
    store = Store()
    pulses = Pulses(store)  # type: ignore[arg-type]
    pages = [asyncio.create_task(heard(pulses, 1, 1)) for _ in range(50)]
    await asyncio.sleep(1.0)
    assert pulses.listeners == 50
    assert store.asked <= 4
    store.value = 2
    assert await asyncio.gather(*pages) == [["2"]] * 50
    await asyncio.sleep(0.6)
    assert pulses.listeners == 0
    asked = store.asked
    await asyncio.sleep(0.6)
    assert store.asked == asked, "nobody listens, and the store is still asked"
    await pulses.close()


async def test_a_page_that_is_behind_hears_at_once():
    pulses = Pulses(Store())  # type: ignore[arg-type]
    assert await heard(pulses, 0, 1, within_s=0.3) == ["1"]
    await pulses.close()


async def test_many_changes_are_few_news():
    store = Store()
    pulses = Pulses(store)  # type: ignore[arg-type]

    async def change() -> None:
        for _ in range(100):
            store.value += 1
            await asyncio.sleep(0.015)

    changing = asyncio.create_task(change())
    news = await heard(pulses, 1, 3, within_s=4)
    await changing
    assert await heard(pulses, int(news[-1]), 1) == ["101"]
    await pulses.close()


async def test_an_outage_ends_no_stream():
    store = Store()
    store.down = True
    pulses = Pulses(store)  # type: ignore[arg-type]
    page = asyncio.create_task(heard(pulses, 1, 1, within_s=4))
    await asyncio.sleep(0.6)
    store.value, store.down = 2, False
    assert await page == ["2"]
    await pulses.close()


async def test_closing_ends_every_stream_now():
    pulses = Pulses(Store())  # type: ignore[arg-type]
    pages = [asyncio.create_task(heard(pulses, 1, 1)) for _ in range(5)]
    await asyncio.sleep(0.1)
    started = time.monotonic()
    await pulses.close()
    assert await asyncio.gather(*pages) == [[]] * 5
    assert time.monotonic() - started < 0.5


async def test_there_is_an_end_to_how_many_listen():
    pulses = Pulses(Store(), most=2)  # type: ignore[arg-type]
    pages = [asyncio.create_task(heard(pulses, 1, 1)) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(TooMany, match="too many pages are open"):
        pulses.response(1)
    await pulses.close()
    await asyncio.gather(*pages)


# Over HTTP, with a real store


@asynccontextmanager
async def listening(url: str, path: str, **headers: str) -> AsyncIterator[AsyncIterator[str]]:
    async with (
        httpx.AsyncClient(base_url=url, timeout=5) as client,
        client.stream("GET", path, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield answer.aiter_lines()


async def pulse_of(lines: AsyncIterator[str]) -> int:
    async for line in lines:
        if line.startswith("id: "):
            return int(line.removeprefix("id: "))
    raise AssertionError("the stream ended")


async def test_a_write_is_heard_within_half_a_second(empty: Front):
    await empty.store.put_project(ROW)
    at = await empty.store.pulse()
    async with serving(empty) as url, listening(url, f"/stream?since={at}") as lines:
        await asyncio.sleep(0.5)
        started = time.monotonic()
        await empty.store.put_project(replace(ROW, reason="new"))
        assert await pulse_of(lines) > at
        assert time.monotonic() - started < 1.0


@pytest.mark.parametrize("since", ["", "?since=x", "?since=-4", f"?since={'9' * 40}", "?since=٣"])
async def test_a_page_that_says_nothing_useful_hears_at_once(empty: Front, since: str):
    await empty.store.put_project(ROW)
    async with serving(empty) as url, listening(url, f"/stream{since}") as lines:
        assert await pulse_of(lines) == await empty.store.pulse()


async def test_what_was_heard_last_counts_when_a_stream_is_taken_up_again(empty: Front):
    await empty.store.put_project(ROW)
    at = await empty.store.pulse()
    async with (
        serving(empty) as url,
        listening(url, "/stream?since=0", **{"Last-Event-ID": str(at)}) as lines,
    ):
        waiting = asyncio.create_task(pulse_of(lines))
        await asyncio.sleep(0.6)
        assert not waiting.done()
        await empty.store.put_project(replace(ROW, reason="new"))
        assert await waiting > at


async def test_a_server_with_open_streams_stops_at_once(empty: Front):
    async with httpx.AsyncClient(timeout=5) as client:
        async with serving(empty) as url:
            request = client.build_request("GET", f"{url}/stream")
            answer = await client.send(request, stream=True)
            assert answer.status_code == 200
            started: Any = time.monotonic()
        assert time.monotonic() - started < 2
        await answer.aclose()

"""Lists are complete or an error (rule I2), and what is absent is told from what cannot be read."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from reconciler.errors import IncompleteList, ServiceError, ServiceUnreachable
from reconciler.foundry import routes
from reconciler.foundry.agents import AgentPort
from reconciler.foundry.pipeline import open_pipe
from reconciler.foundry.reads import Reader
from reconciler.resource import Code
from tests.foundry.recorder import Asked, Told, always, recording
from tests.foundry.test_wire import agents, anything, objects

Json = Any


def pages(*bodies: Json) -> Any:
    """An answer for each request of a list, the last one for ever."""
    told = iter([Told(200, body) for body in bodies[:-1]])
    return lambda asked: next(told, Told(200, bodies[-1]))


async def read(answer: Any) -> tuple[list[Json], list[str]]:
    """Everything in a list, and the request lines that took."""
    async with recording(answer) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        found = [item async for page in Reader(pipe).pages("list", routes.LIST_AGENTS) for item in page]
        return found, recorder.lines


END = {"data": [], "has_more": False, "object": "list"}


@pytest.mark.rule("I2")
@pytest.mark.parametrize(
    ("bodies", "found", "cursors"),
    [
        pytest.param([END], [], [""], id="nothing"),
        pytest.param([{"data": [1]}], [1], [""], id="one-page-without-a-cursor"),
        pytest.param([{"data": [1], "last_id": "a:1"}, END], [1], ["", "a%3A1"], id="as-the-service-ends"),
        pytest.param([{"data": [1], "last_id": None}], [1], [""], id="null-cursor"),
        pytest.param(
            [{"data": [1], "last_id": "a"}, {"data": [], "last_id": "b"}, {"data": [2], "last_id": "c"}, END],
            [1, 2],
            ["", "a", "b", "c"],
            id="an-empty-page-in-between",
        ),
        pytest.param(
            [{"data": [1], "last_id": "a", "has_more": False}, {"data": [2]}],
            [1, 2],
            ["", "a"],
            id="no-more-is-not-believed",
        ),
    ],
)
async def test_complete_lists(bodies, found, cursors):
    items, lines = await read(pages(*bodies))

    assert items == found
    after = [f"&after={cursor}" if cursor else "" for cursor in cursors]
    wanted = [f"GET /agents?limit=100{part}&api-version=v1" for part in after]
    assert [line.replace("a:1", "a%3A1") for line in lines] == wanted


@pytest.mark.rule("I2")
@pytest.mark.parametrize(
    ("bodies", "why"),
    [
        pytest.param([{"data": [1], "has_more": True}], "without saying where", id="more-without-a-cursor"),
        pytest.param([{"data": [1], "last_id": "a"}], "came twice", id="cursor-of-itself"),
        pytest.param(
            [{"data": [1], "last_id": "a"}, {"data": [2], "last_id": "b"}, {"data": [3], "last_id": "a"}],
            "came twice",
            id="circle",
        ),
        pytest.param([{"data": [], "last_id": "a" * 4_000}], "came twice", id="long-cursor"),
        pytest.param([{"data": [1], "last_id": 7}], "no text", id="cursor-of-another-type"),
        pytest.param([{"data": None}], "no list in `data`", id="null-data"),
        pytest.param([{"value": []}], "no list in `data`", id="another-envelope"),
        pytest.param([{"data": [1], "last_id": "a"}, {}], "no list in `data`", id="second-page"),
    ],
)
async def test_incomplete_lists(bodies, why):
    with pytest.raises(IncompleteList, match=why) as caught:
        await read(pages(*bodies))
    assert "http://127.0.0.1" in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "Run again" in caught.value.hint


def no_zip(code: Code) -> bytes:
    raise AssertionError("nothing is uploaded here")


@pytest.mark.rule("I2")
@given(page=objects(data=agents | anything, last_id=anything, has_more=anything) | anything)
@settings(max_examples=50, deadline=None)
def test_any_page_is_agents_or_an_error(page):
    async def listed() -> None:
        answer = always(Told(200, orjson.dumps(page, option=orjson.OPT_NON_STR_KEYS)))
        async with recording(answer) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
            with suppress(ServiceError):
                async for live in AgentPort(pipe, "prod", no_zip).list():
                    assert live.key.name

    try:
        orjson.dumps(page, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return  # half a surrogate or an endless integer: no JSON that a server could send
    asyncio.run(listed())


async def test_the_next_page_is_asked_for_while_one_is_used():
    async with (
        recording(pages({"data": [1], "last_id": "a"}, {"data": [2]})) as recorder,
        open_pipe(recorder.endpoint) as pipe,
    ):
        async for page in Reader(pipe).pages("list", routes.LIST_AGENTS):
            if page == [1]:
                while len(recorder.asked) < 2:
                    await asyncio.sleep(0.01)


async def test_who_stops_early_leaves_no_failure_behind():
    def answer(asked: Asked) -> Told:
        return Told(400) if "after=" in asked.line else Told(200, {"data": [1], "last_id": "a"})

    unheard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unheard.append(context))
    async with recording(answer) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        listing = Reader(pipe).pages("list", routes.LIST_AGENTS)
        assert await anext(listing) == [1]
        while len(recorder.asked) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        await listing.aclose()  # type: ignore[attr-defined]

    assert unheard == []


@pytest.mark.parametrize(
    ("told", "found"),
    [
        pytest.param(Told(200, {"name": "a"}), {"name": "a"}, id="there"),
        pytest.param(Told(404, {"error": {"code": "not_found"}}), None, id="absent"),
        pytest.param(Told(404), None, id="absent-without-words"),
    ],
)
async def test_single_things(told, found):
    async with recording(always(told)) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        assert await Reader(pipe).get("read", f"{pipe.endpoint}/agents/a") == found


@pytest.mark.parametrize(
    ("told", "error"),
    [
        pytest.param(
            Told(404, b"<html>", {"Content-Type": "text/html"}), ServiceError, id="a-page-is-not-absence"
        ),
        pytest.param(Told(200, b"null"), ServiceUnreachable, id="null"),
        pytest.param(Told(200), ServiceUnreachable, id="empty"),
        pytest.param(Told(204), ServiceError, id="no-content"),
    ],
)
async def test_what_is_neither_there_nor_absent(told, error):
    async with recording(always(told)) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        with pytest.raises(error):
            await Reader(pipe).get("read", f"{pipe.endpoint}/agents/a")

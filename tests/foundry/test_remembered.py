"""Lists that are read again and again: what is remembered of them changes nothing but the cost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import ServiceError
from reconciler.foundry.agents import AgentPort
from reconciler.foundry.pipeline import open_pipe
from reconciler.foundry.remembered import Page, Remembered
from tests.foundry.recorder import Told, recording


def agent(name: str, model: str = "m") -> dict:
    version = {"version": "1", "definition": {"kind": "prompt", "model": model}, "status": "active"}
    return {"name": name, "versions": {"latest": version}}


class Serving:
    """Two pages of agents that can be changed between lists."""

    def __init__(self) -> None:
        self.first, self.second = [agent("a"), agent("b")], [agent("c")]

    def __call__(self, asked):
        if "after=" in asked.line:
            return Told(200, {"data": self.second, "has_more": False})
        return Told(200, {"data": self.first, "last_id": "b", "has_more": True})


async def listed(port) -> list:
    return [live async for live in port.list()]


async def test_a_page_that_comes_again_gives_the_same_values_and_a_changed_one_new_ones():
    serving, known = Serving(), Remembered()
    async with recording(serving) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        port = AgentPort(pipe, "prod", lambda code: b"", known)
        first, again = await listed(port), await listed(AgentPort(pipe, "prod", lambda code: b"", known))
        assert [one is other for one, other in zip(first, again, strict=True)] == [True] * 3
        serving.second = [agent("c", "other")]
        changed = await listed(port)
        assert [one is other for one, other in zip(first, changed, strict=True)] == [True, True, False]
        assert changed == await listed(AgentPort(pipe, "prod", lambda code: b""))
        # Every page was asked for all the same: nothing is ever decided from memory alone.
        assert len(recorder.lines) == 8


async def test_what_the_newest_list_does_not_say_is_forgotten():
    serving, known = Serving(), Remembered()
    async with recording(serving) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        await listed(AgentPort(pipe, "dev", lambda code: b"", known))
        port = AgentPort(pipe, "prod", lambda code: b"", known)
        for number in range(5):
            serving.second = [agent("c", f"model-{number}")]
            await listed(port)
            # Two of each project.
            assert len(known) == 4


async def test_a_list_that_ends_early_forgets_nothing():
    known = Remembered()
    async with recording(Serving()) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        port = AgentPort(pipe, "prod", lambda code: b"", known)
        await listed(port)
        pages = port.list()
        await anext(pages)
        await pages.aclose()
        assert len(known) == 2


async def test_two_projects_at_one_endpoint_are_told_apart():
    known = Remembered()
    async with recording(Serving()) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        for project in ("prod", "dev"):
            found = await listed(AgentPort(pipe, project, lambda code: b"", known))
            assert {live.key.project for live in found} == {project}


async def test_a_page_that_cannot_be_read_is_an_error_each_time():
    serving, known = Serving(), Remembered()
    serving.second = [{"no": "name"}]
    async with recording(serving) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        port = AgentPort(pipe, "prod", lambda code: b"", known)
        for _ in range(2):
            with pytest.raises(ServiceError, match="no name"):
                await listed(port)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["p", "q"]), st.binary(max_size=12)), max_size=30))
def test_memory_is_bounded_and_the_oldest_go_first(pages):
    known = Remembered(most_bytes=30)
    asked: dict[tuple[str, bytes], None] = {}
    for project, content in pages:
        page = known.get(project, content)
        if page is None:
            known.keep(project, content, Page("", False, [content]))
        else:
            assert page.items == [content]
        asked.pop((project, content), None)
        asked[project, content] = None
    room, expected = 30, []
    for project, content in reversed(asked):
        room -= len(content)
        if room < 0:
            break
        expected.append((project, content))
    assert len(known) >= len(expected)
    assert all(known.get(*one) is not None for one in expected)


def test_a_page_larger_than_the_memory_is_not_kept():
    known = Remembered(most_bytes=3)
    known.keep("p", b"12", Page("", False, []))
    known.keep("p", b"1234", Page("", False, []))
    assert known.get("p", b"12") is not None
    assert known.get("p", b"1234") is None

"""Views: what is made of rows, of a live look, and of its failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reconciler.errors import ServiceUnreachable
from reconciler.masking import Masker
from reconciler.resource import Failure, Health, Key, Live, Mark, Version
from reconciler.service.auth.identity import Scope
from reconciler.service.look import masked
from reconciler.service.records import (
    Approved,
    Page,
    Pin,
    ProjectRecord,
    ResourceRecord,
    SourceRecord,
    Suspension,
)
from reconciler.service.records import Health as State
from reconciler.service.refusals import Refusal
from reconciler.service.views_filters import EventFilter
from reconciler.service.views_graph import MOST_NODES, graph
from reconciler.service.views_versions import Looks, author, remembered
from tests.service.api.world import NOW, SHA, Front

KEY = Key("prod", "Agent", "triage")
OURS = "git.example.com/agents#prod"


def mark(base: str, *, resource: str = "Agent/triage", owner: str = OURS) -> Mark:
    return Mark(
        owner, resource, "1:aa", base, pinned="6", commit=SHA, time=int(NOW), file="agents/triage.yaml"
    )


@pytest.mark.rule("M2")
@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(mark("6"), "us", id="genuine"),
        pytest.param(mark("5"), "portal", id="carried-along"),
        pytest.param(mark("6", resource="Agent/other"), "portal", id="copied"),
        pytest.param(mark("6", owner="somebody#else"), "unknown", id="another-owner"),
        pytest.param(None, "unknown", id="no-mark"),
    ],
)
def test_who_made_a_version(found: Mark | None, expected: str) -> None:
    assert author(KEY, Version("7", {}, mark=found), {OURS}) == expected


async def test_a_live_look_shows_every_version(local: Front) -> None:
    failed = Version("9", {}, Health.FAILED, 300, failure=Failure("image_pull_failed", "no such image"))
    local.agents["prod", "Agent/triage"] = Live(
        KEY,
        failed,
        selector=(("7", 90), ("8", 10)),
        versions=(
            Version("8", {}, created_at=200, mark=mark("1")),
            Version("7", {}, created_at=100, mark=mark("6")),
        ),
        all_versions=True,
    )
    await local.deps.store.put_pin(Pin("prod", "Agent/triage", "7", "ann", "why", NOW, NOW + 9))

    timeline = (await local.views.resource("prod", "Agent/triage")).timeline

    assert not timeline.old
    assert timeline.complete
    assert [(v.number, v.health, v.by, v.share) for v in timeline.versions] == [
        ("9", "failed", "unknown", 0),
        ("8", "active", "portal", 10),
        ("7", "active", "us", 90),
    ]
    newest, carried, ours = timeline.versions
    assert newest.latest
    assert newest.error is not None
    assert "image exists" in newest.error.hint
    assert carried.commit == ""
    assert ours.commit == SHA
    assert ours.pinned
    assert ours.mark is not None
    assert ours.mark.file == "agents/triage.yaml"


async def test_without_an_answer_the_store_is_shown_and_said_to_be_old(local: Front) -> None:
    local.agents["prod", "Agent/triage"] = ServiceUnreachable("cannot read Agent/triage")

    timeline = (await local.views.resource("prod", "Agent/triage")).timeline

    assert timeline.old
    assert timeline.note.startswith("cannot read Agent/triage; ")
    assert [(v.number, v.share, v.latest) for v in timeline.versions] == [("8", 0, True), ("7", 100, False)]


@pytest.mark.parametrize(
    ("serving", "latest", "pinned", "expected"),
    [
        pytest.param("7", "7", "", [("7", 100)], id="one"),
        pytest.param("6:90,7:10", "7", "", [("7", 10), ("6", 90)], id="split"),
        pytest.param("", "", "", [], id="none"),
        pytest.param("10", "10", "9", [("10", 100), ("9", 0)], id="pinned"),
    ],
)
def test_what_a_row_remembers_of_versions(
    serving: str, latest: str, pinned: str, expected: list[tuple[str, int]]
) -> None:
    row = ResourceRecord("prod", "Agent/a", State.IN_SYNC, serving=serving, latest=latest)

    assert [(v.number, v.share) for v in remembered(row, pinned, "why").versions] == expected


async def test_many_that_look_ask_the_service_once_until_it_is_old() -> None:
    asked: list[str] = []
    clock = [0.0]

    async def look(project: str, resource: str) -> Live | None:
        asked.append(resource)
        await asyncio.sleep(0.01)
        return None

    looks = Looks(look, lambda: clock[0])
    await asyncio.gather(*(looks.live("prod", "Agent/a") for _ in range(20)))
    clock[0] = 14.0
    await looks.live("prod", "Agent/a")
    assert asked == ["Agent/a"]
    clock[0] = 16.0
    await looks.live("prod", "Agent/a")
    assert asked == ["Agent/a"] * 2
    looks.forget("prod", "Agent/a")
    await looks.live("prod", "Agent/a")
    assert len(asked) == 3


async def test_a_look_that_failed_is_not_kept() -> None:
    answers: list[Any] = [ServiceUnreachable("down"), Live(KEY, None)]

    async def look(project: str, resource: str) -> Live | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    looks = Looks(look)

    assert await looks.live("prod", "Agent/a") == (None, "down")
    assert await looks.live("prod", "Agent/a") == (Live(KEY, None), "")


async def test_a_project_shows_what_holds_it(local: Front) -> None:
    store = local.deps.store
    await store.put_source(SourceRecord("agents", "u", error="unreachable", stale_since=NOW - 90))
    await store.put_project(
        ProjectRecord("prod", "agents", owner=OURS, digest="d1", asks="5 deletions", summary={"add": 2})
    )
    await store.suspend(Suspension("prod", "ann", "outage", NOW))
    await store.put_pin(Pin("prod", "Agent/triage", "7", "ann", "why", NOW - 9, NOW - 1))
    await store.approve(Approved("prod", "d1", "bob", "fine", NOW, NOW + 9))

    found = await local.views.project("prod")

    assert (found.stale, found.stale_s) == (True, 90)
    assert found.suspended is not None
    assert found.suspended.why == "outage"
    assert found.pinned[0].over
    assert found.counts == {"drifted": 1, "in-sync": 1, "unmanaged": 1}
    assert found.summary == {"add": 2}
    assert found.asks is not None
    assert (found.asks.digest, found.asks.approved_by) == ("d1", "bob")


async def test_an_approval_of_another_plan_is_none_of_this_one(local: Front) -> None:
    await local.deps.store.put_project(ProjectRecord("prod", "agents", digest="d2", asks="5 deletions"))
    await local.deps.store.approve(Approved("prod", "d1", "bob", "fine", NOW, NOW + 9))

    asks = (await local.views.project("prod")).asks

    assert asks is not None
    assert asks.approved_by == ""


async def test_rows_of_another_release_are_shown_as_far_as_they_go(local: Front) -> None:
    odd = {"change": {"action": "update", "fields": [{"op": "add"}, "x"], "drift": None}, "outcomes": "?"}
    row = ResourceRecord("prod", "Agent/odd", State.DRIFTED, detail=odd)
    await local.deps.store.put_resources("prod", [row], ())

    found = await local.views.resource("prod", "Agent/odd")

    assert found.change is not None
    assert [field.op for field in found.change.fields] == ["add"]
    assert found.outcomes == ()


def node(name: str, *references: str, health: State = State.IN_SYNC) -> ResourceRecord:
    return ResourceRecord("prod", f"Agent/{name}", health, references=references)


def test_a_graph_has_what_is_named_but_not_there() -> None:
    found = graph([node("a", "Agent/b", "Model/gpt"), node("b")])

    assert [(n.id, n.there) for n in found.nodes] == [
        ("Agent/a", True),
        ("Agent/b", True),
        ("Model/gpt", False),
    ]
    assert [(e.source, e.target) for e in found.edges] == [("Agent/a", "Agent/b"), ("Agent/a", "Model/gpt")]


def test_a_large_graph_keeps_troubles_and_hubs_and_counts_the_rest() -> None:
    rows = [node(f"n{number:04}") for number in range(1000)]
    rows += [node("sick", health=State.FAILED), node("hub", *(f"Agent/n{number:04}" for number in range(50)))]

    found = graph(rows, unread=7)

    names = {n.id for n in found.nodes}
    assert len(names) == MOST_NODES
    assert {"Agent/sick", "Agent/hub", "Agent/n0000"} <= names
    assert found.left_out == len(rows) - MOST_NODES + 7
    assert all({e.source, e.target} <= names for e in found.edges)


def test_the_graph_around_one_agent_leaves_out_who_only_shares_a_model() -> None:
    rows = [
        node("a", "Agent/b", "Model/gpt"),
        node("b", "Agent/c"),
        node("c", "Agent/d"),
        node("z", "Model/gpt"),
    ]

    found = graph([*rows, node("user", "Agent/a")], focus="Agent/a")

    assert {n.name for n in found.nodes} == {"a", "b", "c", "gpt", "user"}
    assert found.left_out == 0


async def test_few_looks_are_under_way_at_once() -> None:
    """Somebody who opens every agent must not take the endpoint's pace from the runs."""
    asked: list[str] = []
    answer = asyncio.Event()

    async def look(project: str, resource: str) -> Live | None:
        asked.append(resource)
        await answer.wait()
        return None

    looks = Looks(look)
    wanted = [asyncio.ensure_future(looks.live("prod", f"Agent/a{number}")) for number in range(500)]
    await asyncio.sleep(0.05)
    assert len(asked) == 16
    answer.set()
    whys = [why for _, why in await asyncio.gather(*wanted)]
    assert whys.count("") == 16
    assert set(whys) == {"", "too many agents are being looked at just now"}
    assert await looks.live("prod", "Agent/a499") == (None, "")


def test_what_failed_versions_say_is_masked() -> None:
    """A container that does not start may print its environment."""
    failed = Version("9", {}, Health.FAILED, failure=Failure("failed", "exit 1: KEY=geheim1 in geheim1"))
    live = Live(KEY, failed, versions=(failed, Version("8", {})))

    shown = masked(live, Masker({"geheim1"}))

    assert [v.failure and v.failure.message for v in shown.known] == ["exit 1: KEY=*** in ***", None]


async def test_problems_of_a_source_are_for_those_who_see_all_of_it(local: Front) -> None:
    record = SourceRecord("agents", "u", error="1 problem", problems=("dev/secret.yaml:1:1: wrong",))
    await local.deps.store.put_source(record)
    some = Scope(("prod",))

    (whole,) = (await local.views.service()).sources
    (part,) = (await local.views.service(some)).sources
    project = await local.views.project("prod", some)

    assert whole.problems == record.problems
    assert (part.problems, part.error) == ((), "1 problem")
    assert project.from_source is not None
    assert project.from_source.problems == ()


async def test_nobody_makes_the_service_read_a_whole_history_into_memory(local: Front) -> None:
    some = Scope(("prod", "stage"))

    with pytest.raises(Refusal, match="end at row"):
        await local.views.events(some, page=Page(50, 10**9))
    of_one = await local.views.events(some, EventFilter(project="prod"), Page(50, 10**9))
    hidden = await local.views.events(some, EventFilter(project="dev"))

    assert of_one.items == ()
    assert (hidden.items, hidden.total) == ((), 0)

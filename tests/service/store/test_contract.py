"""What every store promises, on each database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.service.records import (
    WORST_FIRST,
    Approved,
    Health,
    Page,
    Pin,
    ProjectRecord,
    ResourceRecord,
    Retry,
    RunRecord,
    SourceRecord,
    Suspension,
)
from reconciler.service.store import Store
from reconciler.service.store.opening import open_store
from tests.service.store.records import anything, audit, event, project, resource, run

# One database serves all examples of a property, each with names of its own or after cleaning up.
many = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def _put(store: Store, record: Any) -> Any:
    """Put a record of any kind and read it back by its key."""
    match record:
        case SourceRecord():
            await store.put_source(record)
            return await store.source(record.name)
        case ProjectRecord():
            await store.put_project(record)
            await store.want(record.source, [record.name], record.wanted)
            return await store.project(record.name)
        case Suspension():
            await store.suspend(record)
            return await store.suspension(record.project)
        case Pin():
            await store.put_pin(record)
            return next(p for p in await store.pins(record.project) if p.resource == record.resource)
        case Approved():
            await store.approve(record)
            return await store.approved(record.project)
        case ResourceRecord():
            await store.put_resources(record.project, [record], [])
            return await store.resource(record.project, record.resource)
        case RunRecord():
            await store.end_run(record)
            return await store.run(record.id)


@many
@example(project(conditions=({"": -(2**63) - 1},)))
@example(run(report={"number": 2**64, "half": "\ud800", "long": "x" * 5000}))
@given(record=anything)
async def test_what_is_put_is_read_back_equal(store: Store, record: Any) -> None:
    assert await _put(store, record) == record


@pytest.mark.parametrize(
    "hostile", ["a\x00b", "\ud800", "'; DROP TABLE rc_runs; --", "%_\\", "\u202e", "%s ?"]
)
async def test_a_hostile_text_is_kept_and_found_by_itself(store: Store, hostile: str) -> None:
    await store.put_project(project(hostile, reason=hostile))
    await store.put_resources(
        hostile, [resource(hostile, project=hostile, labels={hostile: hostile}, detail={"a": [hostile]})], []
    )
    kept = await store.resource(hostile, hostile)
    assert kept is not None
    assert kept.detail == {"a": [hostile]}
    assert (await store.project(hostile)) is not None
    assert (await store.resources(hostile, search=hostile))[1] == 1
    assert (await store.projects(search=hostile))[1] == 1


async def test_what_was_never_put_is_none(store: Store) -> None:
    assert await store.source("x") is None
    assert await store.project("x") is None
    assert await store.suspension("x") is None
    assert await store.approved("x") is None
    assert await store.resource("x", "y") is None
    assert await store.run("x") is None
    assert await store.resources("") == ((), 0)
    assert await store.health_counts("x") == {}
    assert await store.cursor("x") == 0


# Sources and Projects


async def test_projects_come_by_name_whatever_the_locale(store: Store) -> None:
    names = ["b", "a-b", "B", "a_b", "ab", "a.b", "ä"]
    for name in names:
        await store.put_project(project(name))
    shown, total = await store.projects()
    assert [row.name for row in shown] == sorted(names)
    assert total == len(names)


async def test_projects_are_found_by_source_part_of_name_and_health(store: Store) -> None:
    await store.put_project(project("prod-eu", health=Health.FAILED))
    await store.put_project(project("prod-us"))
    await store.put_project(project("dev", source="other"))
    assert [p.name for p in (await store.projects(search="PROD"))[0]] == ["prod-eu", "prod-us"]
    assert [p.name for p in (await store.projects(source="other"))[0]] == ["dev"]
    assert [p.name for p in (await store.projects(health="failed"))[0]] == ["prod-eu"]
    assert (await store.projects(search="prod", health="unknown"))[1] == 1


async def test_a_newer_wish_survives_the_end_of_an_older_run(store: Store) -> None:
    await store.want("fleet", ["prod"], "c1")
    running = await store.project("prod")
    assert running is not None
    await store.want("fleet", ["prod"], "c2")
    await store.put_project(replace(running, revision="c1", health=Health.IN_SYNC))
    assert await store.project("prod") == project(wanted="c2", revision="c1", health=Health.IN_SYNC)


async def test_wanting_changes_nothing_else(store: Store) -> None:
    before = project(reason="it differs", failures=3)
    await store.put_project(before)
    await store.want("other", ["prod", "new"], "c9")
    assert await store.project("prod") == replace(before, wanted="c9")
    assert await store.project("new") == project("new", source="other", wanted="c9")


# What people said


async def test_orders_are_replaced_and_taken_back(store: Store) -> None:
    await store.suspend(Suspension("prod", "ada", "first", 1))
    await store.suspend(Suspension("prod", "bob", "second", 2))
    assert await store.suspensions() == (Suspension("prod", "bob", "second", 2),)
    await store.resume("prod")
    await store.resume("prod")
    assert await store.suspensions() == ()

    first, second = Pin("prod", "Agent/a", "6", "ada", "", 1, 9), Pin("dev", "Agent/a", "7", "ada", "", 1, 9)
    await store.put_pin(first)
    await store.put_pin(second)
    await store.put_pin(replace(first, version="5"))
    assert await store.pins() == (second, replace(first, version="5"))
    await store.remove_pin(replace(first, expires_at=8.5))
    assert await store.pins("prod") == (replace(first, version="5"),)
    await store.remove_pin(first)
    assert await store.pins("prod") == ()
    assert await store.pins() == (second,)

    await store.approve(Approved("prod", "d1", "ada", "", 1, 9))
    await store.approve(Approved("prod", "d2", "ada", "", 1, 9))
    assert await store.approved("prod") == Approved("prod", "d2", "ada", "", 1, 9)
    begun = Approved(
        "prod", "d2", "ada", "", 1, 9, "c0ffee", ("Agent/a add-version f", "Agent/b delete-agent ")
    )
    await store.approve(begun)
    await store.take_approval(Approved("prod", "d1", "ada", "", 1, 9))
    assert await store.approved("prod") == begun
    await store.take_approval(begun)
    assert await store.approved("prod") is None


# Resources


async def test_a_retry_is_taken_once_and_by_agent(store: Store) -> None:
    first, second = (Retry("prod", f"Agent/{name}", "ada", "", 1, 9) for name in "ab")
    for order in (second, first, replace(first, at=2.0)):
        await store.retry(order)
    await store.retry(replace(first, project="dev"))
    assert await store.retries("prod") == (replace(first, at=2.0), second)
    await store.take_retry("prod", "Agent/a")
    await store.take_retry("prod", "Agent/a")
    assert await store.retries("prod") == (second,)
    assert len(await store.retries("dev")) == 1


async def test_resources_change_and_go_together(store: Store) -> None:
    await store.put_resources("prod", [resource("Agent/a"), resource("Agent/b")], [])
    await store.put_resources("prod", [resource("Agent/c")], ["Agent/a", "Agent/never"])
    await store.put_resources("dev", [resource("Agent/a", project="dev")], ["Agent/b"])
    assert [row.resource for row in (await store.resources("prod"))[0]] == ["Agent/b", "Agent/c"]


async def test_lists_begin_with_what_a_person_should_look_at(store: Store) -> None:
    """Each health twice, so that names decide among equals."""
    rows = [
        resource(f"Agent/{letter}{index}", health=health, definition_kind="prompt" if index % 2 else "hosted")
        for index, health in enumerate(Health)
        for letter in "ba"
    ]
    await store.put_resources("prod", rows, [])
    for row in rows:
        await store.put_project(project(row.resource, health=row.health))
    expected = [f"Agent/{letter}{list(Health).index(health)}" for health in WORST_FIRST for letter in "ab"]
    assert set(WORST_FIRST) == set(Health)

    resources, total = await store.resources("prod", worst_first=True)
    assert ([row.resource for row in resources], total) == (expected, len(rows))
    paged = [await store.resources("prod", worst_first=True, page=Page(5, at)) for at in (0, 5, 10, 15)]
    assert [row.resource for part, _ in paged for row in part] == expected
    hosted, _ = await store.resources("prod", kind="hosted", worst_first=True)
    assert [row.resource for row in hosted] == [name for name in expected if int(name[-1]) % 2 == 0]
    failed, _ = await store.resources("prod", health="failed", worst_first=True)
    assert [row.health for row in failed] == [Health.FAILED, Health.FAILED]
    assert [row.name for row in (await store.projects(worst_first=True))[0]] == expected
    assert [row.name for row in (await store.projects())[0]] == sorted(expected)


async def test_resources_are_found_by_name_label_kind_and_health(store: Store) -> None:
    rows = [
        resource("Agent/support-triage", labels={"team": "Support"}, definition_kind="hosted"),
        resource("Agent/billing", labels={"team": "money"}, definition_kind="prompt", health=Health.FAILED),
        resource("Agent/STRASSE", labels={"ort": "Straße"}),
    ]
    await store.put_resources("prod", rows, [])

    async def found(**asked: str) -> list[str]:
        return [row.resource.removeprefix("Agent/") for row in (await store.resources("prod", **asked))[0]]

    assert await found(search="support") == ["support-triage"]
    assert await found(search="TEAM=") == ["billing", "support-triage"]
    assert await found(search="straße") == ["STRASSE"]
    assert await found(search="triage\nteam") == ["support-triage"]
    assert await found(search="x" * 100_000) == []
    assert await found(kind="prompt") == ["billing"]
    assert await found(health="failed") == ["billing"]
    assert await found(health="failed", kind="hosted") == []
    assert await store.health_counts("prod") == {"failed": 1, "in-sync": 2}


@many
@given(count=st.integers(0, 30), limit=st.integers(-1, 12))
async def test_pages_partition_the_list(store: Store, count: int, limit: int) -> None:
    name = f"p{count}"
    rows = [resource(f"Agent/{n:03}", project=name) for n in range(count)]
    await store.put_resources(name, rows, [])
    seen: list[ResourceRecord] = []
    while True:
        page, total = await store.resources(name, page=Page(limit, len(seen)))
        assert total == count
        assert len(page) <= max(limit, 1)
        if not page:
            break
        seen += page
    assert seen == rows
    assert (await store.resources(name, page=Page(10, 2**80)))[0] == ()


# Runs, events, audit


async def test_runs_come_newest_first_without_their_reports(store: Store) -> None:
    report = {"changes": [{"key": "prod/Agent/a", "detail": "x" * 5000}]}
    await store.end_run(run("b", started_at=5, result="applied", report=report))
    await store.end_run(run("a", started_at=5, result="failed", project="dev", source="other"))
    await store.end_run(run("c", started_at=4, result="applied"))
    shown, total = await store.runs()
    assert [row.id for row in shown] == ["b", "a", "c"]
    assert total == 3
    assert all(row.report == {} for row in shown)
    assert [row.id for row in (await store.runs(project="dev"))[0]] == ["a"]
    assert [row.id for row in (await store.runs(source="fleet", result="applied"))[0]] == ["b", "c"]
    full = await store.run("b")
    assert full is not None
    assert full.report == report


async def test_a_new_run_interrupts_only_those_of_its_project(store: Store) -> None:
    await store.start_run(run("old", started_at=1))
    await store.start_run(run("other", project="dev", started_at=1))
    await store.end_run(run("done", started_at=2, ended_at=3, result="applied"))
    await store.start_run(run("new", started_at=5))
    results = {row.id: (row.result, row.ended_at) for row in (await store.runs())[0]}
    assert results == {
        "old": ("interrupted", 5),
        "other": ("running", 0),
        "done": ("applied", 3),
        "new": ("running", 0),
    }
    # It was only paused, and what it says then is better than what was guessed.
    await store.end_run(run("old", started_at=1, ended_at=9, result="superseded"))
    late = await store.run("old")
    assert late is not None
    assert late.result == "superseded"


async def test_events_come_newest_first_and_oldest_first_when_followed(store: Store) -> None:
    await store.add_events([event(n, message=str(n)) for n in range(5)])
    await store.add_events([event(9, message="9", project="dev", type="failure", severity="error")])
    await store.add_events([])
    newest, total = await store.events(page=Page(2))
    assert [row.message for row in newest] == ["9", "4"]
    assert total == 6
    followed, rest = await store.events(after_id=newest[1].id - 2, page=Page(2))
    assert [row.message for row in followed] == ["3", "4"]
    assert rest == 3
    assert [row.message for row in (await store.events(type="failure"))[0]] == ["9"]
    assert (await store.events(project="prod", severity="error"))[1] == 0
    assert (await store.events(severity="error", project="dev"))[0][0] == replace(
        event(9, message="9", project="dev", type="failure", severity="error"), id=newest[0].id
    )


async def test_a_follower_of_events_misses_none_of_two_replicas(store: Store, url: str) -> None:
    # A large write of another replica takes its ids early and ends late, while small ones come and go.
    other = open_store(url)
    await other.open()
    large, small = 3000, 40

    async def write_small() -> None:
        for n in range(small):
            await store.add_events([event(n, message=f"small/{n}")])
            await asyncio.sleep(0.002)

    many_events = [event(n, message=f"large/{n}") for n in range(large)]
    writing = asyncio.gather(other.add_events(many_events), write_small())
    seen: list[str] = []
    last = 0
    while len(seen) < large + small:
        ended = writing.done()
        rows, _ = await store.events(after_id=last, page=Page(1000))
        seen += [row.message for row in rows]
        last = rows[-1].id if rows else last
        assert rows or not ended, "events were missed"
    await writing
    await other.close()
    assert len(set(seen)) == len(seen)


async def test_the_audit_log_says_who_did_what(store: Store) -> None:
    await store.add_audit(audit(1, why="it was late", detail={"ip": "127.0.0.1", "n": [1, None]}))
    await store.add_audit(audit(2, actor="bob", project=""))
    shown, total = await store.audits()
    assert [(row.actor, row.why) for row in shown] == [("bob", ""), ("ada", "it was late")]
    assert total == 2
    assert shown[1] == replace(
        audit(1, why="it was late", detail={"ip": "127.0.0.1", "n": [1, None]}), id=shown[1].id
    )
    assert [row.actor for row in (await store.audits(actor="ada"))[0]] == ["ada"]
    assert [row.actor for row in (await store.audits(project="prod"))[0]] == ["ada"]


# Small things


async def test_the_pulse_grows_with_every_write_that_a_page_could_show(store: Store) -> None:
    writes = [
        lambda: store.put_source(SourceRecord("fleet", "u")),
        lambda: store.put_project(project()),
        lambda: store.want("fleet", ["prod"], "c"),
        lambda: store.suspend(Suspension("prod", "ada", "", 1)),
        lambda: store.resume("prod"),
        lambda: store.put_pin(Pin("prod", "Agent/a", "1", "ada", "", 1, 2)),
        lambda: store.remove_pin(Pin("prod", "Agent/a", "1", "ada", "", 1, 2)),
        lambda: store.approve(Approved("prod", "d", "ada", "", 1, 2)),
        lambda: store.take_approval(Approved("prod", "d", "ada", "", 1, 2)),
        lambda: store.retry(Retry("prod", "Agent/a", "ada", "", 1, 2)),
        lambda: store.take_retry("prod", "Agent/a"),
        lambda: store.put_resources("prod", [resource()], []),
        lambda: store.start_run(run()),
        lambda: store.end_run(run(result="applied")),
        lambda: store.add_events([event()]),
        lambda: store.add_audit(audit()),
    ]
    last = await store.pulse()
    for number, write in enumerate(writes):
        await write()
        pulse = await store.pulse()
        assert pulse > last, f"write {number}"
        last = pulse
    await store.first_time("a", "b", now=1, within_s=1)
    await store.move_cursor("a", 1)
    await store.put_resources("prod", [], [])
    assert await store.pulse() == last


@pytest.mark.parametrize(
    ("moments", "answers"),
    [
        pytest.param([0, 0, 9.9], [True, False, False], id="once-within-the-span"),
        pytest.param([0, 10, 15, 20], [True, True, False, True], id="again-after-it"),
        pytest.param([0, 9, 10], [True, False, True], id="asking-does-not-put-it-off"),
        pytest.param([5, 0], [True, False], id="a-clock-that-goes-back"),
    ],
)
async def test_first_time_is_true_once_in_a_span(
    store: Store, moments: list[float], answers: list[bool]
) -> None:
    for now, answer in zip(moments, answers, strict=True):
        assert await store.first_time("hook/fleet", "delivery", now=now, within_s=10) is answer
    assert await store.first_time("hook/other", "delivery", now=0, within_s=10)


async def test_one_of_many_that_ask_at_once_is_first(store: Store) -> None:
    for key in map(str, range(10)):
        heard = await asyncio.gather(*(store.first_time("hook", key, now=5, within_s=10) for _ in range(20)))
        assert sum(heard) == 1


async def test_a_cursor_never_goes_back(store: Store) -> None:
    for to in (3, 7, 5):
        await store.move_cursor("outbox", to)
    await store.move_cursor("other", 1)
    assert await store.cursor("outbox") == 7


async def test_a_store_that_is_opened_again_has_everything(store: Store) -> None:
    await store.put_project(project())
    await store.close()
    await store.close()
    await store.open()
    assert await store.project("prod") == project()

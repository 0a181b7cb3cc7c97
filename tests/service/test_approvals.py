"""One approval: what it lets through, until when, and what it never takes along."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.service.living import Living, living
from tests.service.test_interleavings import V2, asked, two_versions
from tests.service.test_stories import idle, taken
from tests.world import World, hosted, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.mark.rule("V4")
async def test_an_approval_lets_nothing_through_that_came_after_it_was_looked_at(
    world: World, tmp_path: Path
):
    world.agent("triage")
    world.agent("billing")
    world.commit()
    assert (await asyncio.to_thread(world.apply)).exit_code == 0
    world.project(sync={"mode": "observe"})
    world.agent("triage", prompt("Answer at length."))
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("observed")
        world.settings(latency_s=1)
        world.forget()
        await life.approve()
        await life.until(lambda: asked(world, "/agents"))
        # It arrives after the list was read, and before anything is written.
        await asyncio.sleep(0.5)
        body = {"definition": prompt("Somebody needs this.")}
        await asyncio.to_thread(world.call, "POST", "/agents/billing/versions", body)
        world.settings(latency_s=0)
        await life.until(lambda: world.numbers("triage") == ["2", "1"])
        await life.ran()
        assert world.numbers("billing") == ["2", "1"]
        assert world.traffic("billing") == []
        assert await taken(life)


@pytest.mark.rule("V4")
async def test_one_approval_lets_a_release_through_to_its_end(world: World, tmp_path: Path):
    world.agent("triage", hosted())
    world.commit()
    assert (await asyncio.to_thread(world.apply)).exit_code == 0
    world.project(sync={"mode": "observe"})
    world.agent("triage", hosted(V2))
    world.commit()
    world.settings(provisioning={"delay_s": 1.5})
    async with living(world, tmp_path) as life:
        await life.health("observed")
        await life.approve()
        await life.until(lambda: world.traffic("triage") == [("2", 100)], within_s=8)
        world.agent("triage", hosted())
        await life.at(await life.push())
        await life.health("observed")
        assert world.traffic("triage") == [("2", 100)]


async def began(life: Living) -> None:
    """Four of five agents go for one hosted agent: approved, and begun."""
    world = life.world
    await life.health("in-sync")
    world.settings(provisioning={"delay_s": 4})
    world.remove(*(f"agents/agent-{number}.yaml" for number in range(4)))
    world.agent("desk", hosted())
    await life.push()
    row = await life.health("refused")
    assert row.asks == "deletions beyond the limit"
    # What is asked for is the plan without what the first run did.
    await life.ran()
    await life.approve()

    async def goes_on() -> bool:
        approval = await life.service.deps.store.approved("prod")
        return approval is not None and approval.commit != ""

    await life.until(goes_on)
    assert len(world.names()) == 6, "no agent goes before the new one has started"


def five(world: World) -> None:
    for number in range(5):
        world.agent(f"agent-{number}")
    world.commit()


@pytest.mark.rule("V4")
async def test_what_was_approved_is_finished_after_a_restart(world: World, tmp_path: Path):
    five(world)
    async with living(world, tmp_path) as life:
        await began(life)
    async with living(world, tmp_path) as life:
        await life.until(lambda: world.names() == ["agent-4", "desk"])
        await life.until(lambda: taken(life))
        await idle(life)


@pytest.mark.rule("V4")
async def test_what_failed_of_an_approved_plan_is_tried_again_without_another_approval(
    world: World, tmp_path: Path
):
    for number in range(12):
        world.agent(f"agent-{number:02}")
    world.commit()
    async with living(world, tmp_path, backoff={"first": "1s", "longest": "2s"}) as life:
        await life.health("in-sync")
        world.remove(*(f"agents/agent-{number:02}.yaml" for number in range(11)))
        await life.push()
        await life.health("refused")
        rule = {"match": {"method": "DELETE"}, "action": {"status": 500}, "times": 16}
        world.own("PUT", "faults", [rule])
        await life.approve()
        await life.until(lambda: world.names() == ["agent-11"], within_s=30)
        await life.until(lambda: taken(life))
        await idle(life)


@pytest.mark.rule("R5", "V4")
async def test_traffic_that_was_moved_back_once_is_not_moved_again_by_the_same_approval(
    world: World, tmp_path: Path
):
    world.agent("triage", hosted())
    world.agent("desk", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await two_versions(life)
        await life.ran()
        world.select("triage", v1=100)
        world.settings(provisioning={"delay_s": 5})
        world.agent("desk", hosted(V2))
        await life.at(await life.push())
        await life.ran()
        assert "moving traffic of 1 agent back" in (await life.project()).asks
        await life.approve()
        await life.until(lambda: world.traffic("triage") == [("2", 100)])
        world.select("triage", v1=100)
        for _ in range(3):
            await life.ran()
        assert world.traffic("desk") == [("1", 100)], "the release still waits"
        assert world.traffic("triage") == [("1", 100)]
        await life.until(lambda: world.traffic("desk") == [("2", 100)])
        await life.ran()
        assert world.traffic("triage") == [("1", 100)]
        assert "moving traffic of 1 agent back" in (await life.project()).asks
        assert await taken(life)


@pytest.mark.rule("V4")
async def test_what_was_approved_ends_with_a_newer_commit(world: World, tmp_path: Path):
    five(world)
    async with living(world, tmp_path) as life:
        await began(life)
    world.agent("agent-4", prompt("Answer at length."))
    commit = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(commit)
        row = await life.health("refused")
        assert row.asks == "deletions beyond the limit"
        assert len(world.names()) == 6
        assert await taken(life)

        async def started() -> bool:
            return not (await life.project()).summary.get("health:waiting")

        await life.until(started)
        await life.approve()
        await life.until(lambda: world.names() == ["agent-4", "desk"])
        await idle(life)

"""What makes a push fast: only what it changed is asked for, and all of it is looked at soon after."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.living import Living, living
from tests.world import World, manifest, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

NAMES = ("billing", "returns", "triage")


def asked(world: World) -> list[str]:
    """`METHOD path` of every request since `forget`, without queries."""
    below = f"/api/projects/{world.name}"
    return [f"{row['method']} {row['path'].split('?')[0].removeprefix(below)}" for row in world.log()]


async def rested(life: Living) -> None:
    """In sync, and looked at as a whole."""
    await life.health("in-sync")
    await life.until(lambda: "GET /agents" in asked(life.world))


async def test_a_push_asks_only_for_the_agent_that_it_changed(world: World, tmp_path: Path):
    for name in NAMES:
        world.agent(name)
    world.commit()
    async with living(world, tmp_path) as life:
        await rested(life)
        world.forget()
        world.agent("triage", prompt("Answer at length."))
        await life.at(await life.push())
        assert world.numbers("triage") == ["2", "1"]
        before = asked(world)
        assert "POST /agents/triage/versions" in before
        assert [line for line in before if not line.partition(" ")[2].startswith("/agents/triage")] == []


async def test_everything_is_looked_at_soon_after_a_push(world: World, tmp_path: Path):
    for name in NAMES:
        world.agent(name)
    world.commit()
    async with living(world, tmp_path) as life:
        await rested(life)
        world.forget()
        world.agent("triage", prompt("Answer at length."))
        await life.at(await life.push())
        world.edit("billing", instructions="Be rude.")
        await life.until(lambda: world.traffic("billing") == [("1", 100)], within_s=10)
        assert "GET /agents" in asked(world)


async def test_a_push_that_adds_an_agent_is_judged_as_a_whole(world: World, tmp_path: Path):
    for name in NAMES:
        world.agent(name)
    world.commit()
    async with living(world, tmp_path) as life:
        await rested(life)
        world.forget()
        world.agent("shipping")
        await life.at(await life.push())
        assert world.numbers("shipping") == ["1"]
        assert "GET /agents" in asked(world)


async def test_a_push_wakes_no_project_that_it_does_not_change(world: World, tmp_path: Path):
    world.agent("triage")
    other = {"endpoint": f"{world.url}/api/projects/{world.name}-o", "owner": "o", "resources": ["o/*.yaml"]}
    world.project("other", **other)
    world.write("o/desk.yaml", manifest("Agent", "desk", {"definition": prompt()}))
    world.project("prod", resources=["agents/*.yaml"])
    world.commit()
    async with living(world, tmp_path) as life:
        await rested(life)
        await life.health("in-sync", "other")
        before = (await life.project("other")).last_run_at
        world.agent("triage", prompt("Answer at length."))
        await life.at(await life.push())
        assert (await life.project("other")).last_run_at == before

"""What meets in time: people, pushes, other replicas and failures of the store between two steps of a run."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from reconciler.service.records import Pin, Suspension
from tests.service.living import Living, living
from tests.service.test_stories import idle
from tests.world import World, hosted, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

V2 = "registry.example.com/triage:2.0"


def pin(version: str, for_s: float) -> Pin:
    now = time.time()
    return Pin("prod", "Agent/triage", version, "ada", "errors", now, now + for_s, "")


def asked(world: World, what: str) -> bool:
    return any(f"{row['method']} {row['path'].split('?')[0]}".endswith(what) for row in world.log())


async def ran(life: Living, name: str = "prod") -> None:
    """Wait for the end of a run that is asked for now."""
    before = (await life.project(name)).last_run_at
    await life.sync(name)

    async def later() -> bool:
        return (await life.project(name)).last_run_at > before

    await life.until(later)


async def two_versions(life: Living) -> str:
    """A hosted agent that was released twice; the newest commit."""
    await life.health("in-sync")
    life.world.agent("triage", hosted(V2))
    second = await life.push()
    await life.at(second)
    await life.until(lambda: life.world.traffic("triage") == [("2", 100)])
    await life.health("in-sync")
    return second


async def test_a_source_at_the_start_of_a_commits_id_is_kept_in_line(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path, source={"ref": first[:10]}) as life:
        await life.at(first)
        await life.health("in-sync")
        await asyncio.sleep(1.2)
        world.edit("triage", instructions="Be rude.")
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)], within_s=5)
        await idle(life)


async def test_a_source_at_an_annotated_tag_is_kept_in_line(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    world.git("tag", "-a", "v1", "-m", "One")
    async with living(world, tmp_path, source={"ref": "v1"}) as life:
        await life.at(first)
        await life.health("in-sync")
        await asyncio.sleep(1.2)
        world.edit("triage", instructions="Be rude.")
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)], within_s=5)
        await idle(life)


@pytest.mark.rule("V3")
async def test_a_rollback_that_comes_while_an_older_one_ends_is_kept(world: World, tmp_path: Path):
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await two_versions(life)
        store = life.service.deps.store
        await store.put_pin(pin("1", -1))
        world.settings(latency_s=0.4)
        world.forget()
        await life.sync()
        await life.until(lambda: asked(world, "/agents"))
        await store.put_pin(pin("1", 3600))
        world.settings(latency_s=0)
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)], within_s=5)
        assert [one.version for one in await store.pins("prod")] == ["1"]


@pytest.mark.rule("R5", "V3")
async def test_the_end_of_a_rollback_does_not_take_traffic_that_somebody_moved_since(
    world: World, tmp_path: Path
):
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await two_versions(life)
        store = life.service.deps.store
        await store.put_pin(pin("1", 3600))
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await store.suspend(Suspension("prod", "ada", "freeze", time.time()))
        await store.put_pin(pin("1", -1))
        world.select("triage", v1=90, v2=10)
        await ran(life)
        await store.resume("prod")
        await ran(life)
        assert world.traffic("triage") == [("1", 90), ("2", 10)]
        assert (await life.health("drifted")).asks
        assert await store.pins("prod") == ()


async def approved(life: Living) -> bool:
    return await life.service.deps.store.approved("prod") is None


@pytest.mark.rule("R7")
async def test_room_that_somebody_made_is_used_at_the_limit_of_versions(world: World, tmp_path: Path):
    world.settings(max_versions=2)
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        world.agent("triage", prompt("Answer in 2 words."))
        await life.at(await life.push())
        await life.until(lambda: world.numbers("triage") == ["2", "1"])
        await life.health("in-sync")
        world.agent("triage", prompt("Answer in 3 words."))
        await life.push()
        await life.health("failed")
        for _ in range(2):
            await ran(life)
        assert (await life.project()).health == "failed"
        world.call("DELETE", "/agents/triage/versions/1")
        await life.until(lambda: sync_until(life, lambda: world.numbers("triage") == ["3", "2"]))
        await idle(life)


async def sync_until(life: Living, holds: Any) -> bool:
    await ran(life)
    return bool(holds())


@pytest.mark.rule("R2", "R5")
async def test_a_revert_of_a_revert_of_a_revert_is_no_edit_of_somebody(world: World, tmp_path: Path):
    world.agent("triage", hosted("example.com/triage:1"))
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        for number in (2, 3, 4):
            world.agent("triage", hosted(f"example.com/triage:{number}"))
            await life.at(await life.push())
            await life.until(lambda number=number: world.traffic("triage") == [(str(number), 100)])
            await life.health("in-sync")
        for number in (1, 2, 1):
            world.agent("triage", hosted(f"example.com/triage:{number}"))
            await life.at(await life.push())
            await life.until(lambda number=number: world.traffic("triage") == [(str(number), 100)], 6)
            await life.health("in-sync")
        assert world.numbers("triage") == ["4", "3", "2", "1"]
        await idle(life)

"""A release that nobody disturbed is never taken for somebody's hand, whichever process goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reconciler.service.records import Suspension
from tests.service.living import Living, living
from tests.service.test_stories import idle
from tests.world import World, hosted

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.rule("R2", "R5")]


async def released(life: Living, number: int) -> None:
    """Wait until a version of this number serves, which this very commit asks for."""
    life.world.agent("triage", hosted(f"example.com/triage:{number}"))
    await life.at(await life.push())
    await life.until(lambda: life.world.traffic("triage") == [(str(number), 100)], 6)
    await life.health("in-sync")


@asynccontextmanager
async def after(world: World, folder: Path, *numbers: int) -> AsyncIterator[Living]:
    """A service that has released version 1, and then these one after the other."""
    world.agent("triage", hosted("example.com/triage:1"))
    world.commit()
    async with living(world, folder) as life:
        await life.health("in-sync")
        for number in numbers:
            await released(life, number)
        yield life


@pytest.mark.parametrize("when", ["at-once", "later"])
async def test_a_revert_right_after_a_release_and_a_restart_is_applied(
    world: World, tmp_path: Path, when: str
):
    async with after(world, tmp_path, 2) as life:
        if when == "later":
            await idle(life)
    world.agent("triage", hosted("example.com/triage:1"))
    world.commit()
    async with living(world, tmp_path) as life:
        await life.until(lambda: world.traffic("triage") == [("1", 100)], 5)
        await life.health("in-sync")
        await idle(life)


async def test_a_revert_and_its_revert_are_applied_across_restarts(world: World, tmp_path: Path):
    async with after(world, tmp_path, 2, 3) as life:
        await idle(life)
    for number in (1, 3, 2, 1):
        async with living(world, tmp_path) as life:
            await released(life, number)
            await idle(life)
    assert world.numbers("triage") == ["3", "2", "1"]


async def test_the_end_of_a_version_pinned_in_git_is_applied(world: World, tmp_path: Path):
    async with after(world, tmp_path, 2, 3) as life:
        world.agent("triage", hosted("example.com/triage:3"), release={"version": "1"})
        await life.at(await life.push())
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await idle(life)
    world.agent("triage", hosted("example.com/triage:3"))
    world.commit()
    async with living(world, tmp_path) as life:
        await life.until(lambda: world.traffic("triage") == [("3", 100)], 5)
        await idle(life)


async def test_what_was_only_looked_at_goes_on_after_a_restart(world: World, tmp_path: Path):
    async with after(world, tmp_path, 2, 3, 1) as life:
        await life.service.deps.store.suspend(Suspension("prod", "ada", "wait", 1.0))
        world.agent("triage", hosted("example.com/triage:3"))
        await life.at(await life.push())
        await life.health("observed")
    async with living(world, tmp_path) as life:
        await life.ran()
        assert (await life.project()).health == "observed"
        await life.service.deps.store.resume("prod")
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("3", 100)], 5)
        await idle(life)


@pytest.mark.rule("R5")
async def test_where_the_service_moved_traffic_long_ago_a_person_may_move_it_back(
    world: World, tmp_path: Path
):
    async with after(world, tmp_path, 2, 1) as life:
        world.agent("triage", hosted("example.com/triage:3"))
        world.commit()
        assert (await asyncio.to_thread(world.apply)).exit_code == 0, "a pipeline was faster"
        await life.push()
        await idle(life)
        world.select("triage", v2=100)
        await life.sync()
        await life.health("drifted")
        world.select("triage", v1=100)
        for _ in range(2):
            await life.ran()
        assert world.traffic("triage") == [("1", 100)]

"""What the conditions of a Project say where nothing could be looked at."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.service.living import Living, living
from tests.service.test_stories import idle
from tests.world import World

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def ready(life: Living) -> list[tuple[object, object]]:
    return [(one["status"], one["reason"]) for one in (await life.project()).conditions]


async def test_a_project_that_cannot_be_looked_at_is_not_ready(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path, backoff={"first": "1s", "longest": "2s"}) as life:
        await life.at(first)
        await life.health("in-sync")
        assert await ready(life) == [(True, "InSync")]
        world.own("PUT", "faults", [{"match": {"method": "GET"}, "action": {"status": 403}}])
        await life.sync()
        await life.health("failed")
        assert await ready(life) == [(False, "Failed")]
        world.own("PUT", "faults", [])
        await life.health("in-sync")
        assert await ready(life) == [(True, "InSync")]
        await idle(life)


async def test_a_source_that_is_away_leaves_conditions_as_they_were(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
    away = world.repo.with_name("away")
    shutil.move(world.repo, away)
    shutil.rmtree(tmp_path / "cache")
    async with living(world, tmp_path) as life:
        before = (await life.project()).last_run_at
        await life.sync()

        async def ran() -> bool:
            return (await life.project()).last_run_at > before

        await life.until(ran)
        assert (await life.project()).health == "in-sync"
        assert await ready(life) == [(True, "InSync")]
        shutil.move(away, world.repo)
        await life.service.deps.engine.trigger("source/agents", "webhook")
        await life.until(lambda: life.events("source-recovered"))
        await idle(life)
    await asyncio.to_thread(world.in_sync)

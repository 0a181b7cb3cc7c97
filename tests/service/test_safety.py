"""The loop over weeks: what it learned, saw and was told once must never make it do the wrong thing later."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.service.living import living
from tests.service.test_stories import idle
from tests.world import World, hosted, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.mark.rule("P4")
async def test_an_agent_that_somebody_deleted_is_made_again(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await idle(life)
        world.call("DELETE", "/agents/triage?force=true")
        await life.sync()
        await life.until(lambda: world.names() == ["triage"])
        await idle(life)


@pytest.mark.rule("P4")
async def test_an_agent_made_again_is_updated_like_any_other(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        for number in range(2):
            world.agent("triage", prompt(f"Answer in {number} words."))
            await life.at(await life.push())
            await idle(life)
        world.call("DELETE", "/agents/triage?force=true")
        world.seed({"name": "triage", "versions": [{"definition": prompt("Somebody's.")}]})
        world.agent("triage", prompt("Answer at length."))
        await life.at(await life.push())
        await life.until(
            lambda: (
                world.live("triage")["versions"]["latest"]["definition"]["instructions"]
                == "Answer at length."
            )
        )  # type: ignore[index]
        await idle(life)


@pytest.mark.rule("D1")
async def test_an_agent_that_came_and_went_twice_is_deleted_twice(world: World, tmp_path: Path):
    world.agent("triage")
    world.agent("billing")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        for _ in range(2):
            await life.health("in-sync")
            world.remove("agents/billing.yaml")
            await life.at(await life.push())
            await life.until(lambda: world.names() == ["triage"])
            await life.health("in-sync")
            world.agent("billing")
            await life.at(await life.push())
            await life.until(lambda: world.names() == ["billing", "triage"])
        await idle(life)


@pytest.mark.rule("V2")
async def test_a_release_goes_on_without_its_source_and_corrects_nothing_else(world: World, tmp_path: Path):
    world.agent("desk", hosted())
    world.agent("triage")
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.settings(provisioning={"delay_s": 4})
        world.agent("desk", hosted("registry.example.com/triage:2.0"))
        await life.at(await life.push())
        await life.until(lambda: world.numbers("desk") == ["2", "1"])
        shutil.move(world.repo, world.repo.with_name("away"))
        await life.service.deps.engine.trigger("source/agents", "webhook")
        await life.until(lambda: life.events("source-stale"))
        world.edit("triage", instructions="Be rude.")
        world.forget()
        await life.sync()
        await life.until(lambda: world.traffic("desk") == [("2", 100)])
        await life.sync()
        await life.health("drifted")
        assert [line for line in world.writes() if "triage" in line] == []
        assert world.traffic("triage") == []


@pytest.mark.rule("V2")
async def test_a_release_goes_on_where_its_source_went_away_unnoticed(world: World, tmp_path: Path):
    world.settings(provisioning={"delay_s": 0.1})
    world.agent("desk", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.settings(provisioning={"delay_s": 4})
        world.agent("desk", hosted("registry.example.com/triage:2.0"))
        await life.at(await life.push())
        await life.until(lambda: world.numbers("desk") == ["2", "1"])
        shutil.move(world.repo, world.repo.with_name("away"))
        await life.until(lambda: world.traffic("desk") == [("2", 100)], within_s=20)

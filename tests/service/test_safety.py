"""The loop over weeks: what it learned, saw and was told once must never make it do the wrong thing later."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.service.checkouts import Checkouts
from reconciler.service.engine import Turn
from reconciler.service.records import Retry
from reconciler.service.source_turn import SourceTurns
from reconciler.settings import read
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


async def test_changed_settings_of_a_project_are_known_at_once(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        world.project(sync={"interval": "1h", "mode": "observe"}, owner="git.example.com/team/agents#other")
        await life.at(await life.push())
        row = await life.project()
        assert (row.interval_s, row.mode, row.owner) == (3600, "observe", "git.example.com/team/agents#other")
        assert row.next_at > time.time() + 600


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


@pytest.mark.rule("R4", "V2")
async def test_without_its_source_no_version_is_tried_again_and_again(world: World, tmp_path: Path):
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.settings(provisioning={"delay_s": 1.5, "outcome": "failed", "error": {"code": "no_image"}})
        world.agent("triage", hosted("registry.example.com/triage:2.0"))
        await life.at(await life.push())
        await life.until(lambda: world.numbers("triage") == ["2", "1"])
        shutil.move(world.repo, world.repo.with_name("away"))
        await life.service.deps.engine.trigger("source/agents", "webhook")
        await life.until(lambda: life.events("source-stale"))
        now = time.time()
        await life.service.deps.store.retry(Retry("prod", "Agent/triage", "ada", "", now, now + 3600))
        await asyncio.sleep(5)
        assert world.numbers("triage") == ["2", "1"]


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


async def test_a_push_is_told_again_where_telling_it_failed(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        store = life.service.deps.store
        good, want = store.want, []

        async def fails(*args) -> None:
            from reconciler.service.store import StoreDown

            if not want:
                want.append(args)
                raise StoreDown("the store is away", hint="")
            await good(*args)

        object.__setattr__(store, "want", fails)
        world.agent("triage", prompt("Answer at length."))
        second = await life.push()
        await life.until(lambda: bool(want))
        await life.service.deps.engine.trigger("source/agents", "webhook")
        await life.at(second, within_s=8)
        await idle(life)


async def test_a_project_that_moves_to_another_source_is_taken_over(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    other = World(world.url, world.name, tmp_path / "other")
    other.start()
    other.agent("triage", prompt("From the other source."))
    sources = [
        {"name": name, "url": f"file://{repo}", "ref": "main", "interval": "1h"}
        for name, repo in (("agents", world.repo), ("others", other.repo))
    ]
    empty = World(world.url, f"{world.name}-e", tmp_path / "other")
    empty.project("else", owner="e")
    (other.repo / "prod.yaml").unlink()
    other.commit()
    async with living(world, tmp_path, sources=sources) as life:
        await life.at(first)
        other.project()
        other.commit()
        engine = life.service.deps.engine
        await engine.trigger("source/others", "webhook")
        await life.until(lambda: life.events("failure"))
        assert (await life.project()).source == "agents"
        world.project("rest", endpoint=f"{world.endpoint}-r", owner="r")
        world.remove("prod.yaml")
        await life.push()

        async def gone() -> bool:
            row = await life.project()
            return row.removed or row.source == "others"

        await life.until(gone)
        await engine.trigger("source/others", "poll")
        await life.until(lambda: world.numbers("triage") == ["2", "1"])
        assert (await life.project()).source == "others"


@pytest.mark.rule("V1")
async def test_a_commit_that_takes_back_what_another_process_saw_is_told_at_once(
    world: World, tmp_path: Path
):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        deps, environ = life.service.deps, {"RECONCILER_CACHE": str(tmp_path / "another")}
        checkouts = Checkouts(read(environ), environ)
        checkouts.configure(deps.configured.current)
        another = SourceTurns(deps, checkouts)
        world.agent("triage", prompt("Answer at length."))
        second = world.commit()
        await another.turn(Turn("source/agents", ("webhook",)))
        await life.at(second)
        assert world.numbers("triage") == ["2", "1"]
        world.agent("triage")
        third = await life.push()
        await life.at(third)
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await idle(life)


@pytest.mark.rule("V2")
async def test_drift_is_reported_against_what_another_process_ran_last(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        world.agent("triage", prompt("Answer at length."))
        second = world.commit()
        assert (await asyncio.to_thread(world.apply)).exit_code == 0
        store = life.service.deps.store
        await store.put_project(replace(await life.project(), revision=second))
        world.write("agents/triage.yaml", "apiVersion: reconciler/v1\nkind: Agent\nspec: {oops\n")
        broken = await life.push()
        row = await life.health("failed")
        assert (row.wanted, row.revision) == (broken, second)
        assert await life.events("drift") == []


@pytest.mark.rule("C5")
async def test_what_the_service_does_not_take_stays_a_failure_and_is_told_once(world: World, tmp_path: Path):
    world.settings(selector={"hosted": "ignored"}, provisioning={"delay_s": 0.1})
    world.agent("desk", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.agent("desk", hosted("registry.example.com/triage:2.0"))
        await life.at(await life.push())
        await life.health("failed")
        world.forget()
        for _ in range(3):
            before = (await life.project()).last_run_at
            await life.sync()
            await life.until(lambda before=before: later(life, before))
        row = await life.project()
        assert (row.health, row.reason) == (
            "failed",
            "Agent/desk: the service accepted the change and did not take it",
        )
        assert len(await life.events("failure")) == 1
        assert await life.events("recovery") == []
        assert world.writes() == []


async def later(life, before: float) -> bool:
    return (await life.project()).last_run_at > before

"""A Project file with an error is that Project's own trouble: the others go on, and nobody deletes for it."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from pathlib import Path

import pytest

from tests.service.living import Living, living
from tests.service.test_stories import idle
from tests.world import OWNER, World, hosted, manifest, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

NO_YAML = "apiVersion: reconciler/v1\nkind: Project\nmetadata: {name: prod}\nspec: {oops\n"


def two(world: World, **spec: object) -> World:
    """A second Project `dev` in a folder of its own, on an endpoint of its own; its live side."""
    endpoint = f"{world.endpoint}-dev"
    body = {"endpoint": endpoint, "owner": "dev", "resources": ["dev/*.yaml"], **spec}
    world.write("dev.yaml", manifest("Project", "dev", body))
    world.project(resources=["agents/*.yaml"])
    world.write("dev/helper.yaml", manifest("Agent", "helper", {"definition": prompt()}))
    world.agent("triage")
    return World(world.url, f"{world.name}-dev", world.repo)


async def broken(life: Living, commit: str, name: str = "prod") -> str:
    """Wait until the Project has failed for its file at that commit; the reason."""

    async def there() -> bool:
        row = await life.project(name)
        return row.wanted == commit and row.health == "failed" and "Project file" in row.reason

    await life.until(there)
    return (await life.project(name)).reason


async def page(life: Living, path: str) -> str:
    """What the service shows there."""

    def read() -> str:
        with urllib.request.urlopen(life.service.url + path, timeout=10) as answer:
            return answer.read().decode()

    return await asyncio.to_thread(read)


@pytest.mark.rule("I1", "V2")
@pytest.mark.parametrize(
    ("spec", "place"),
    [
        pytest.param({"sync": {"prun": True}}, "spec.sync.prun", id="typo"),
        pytest.param({"endpoint": {"$value": "NOWHERE"}}, "spec.endpoint.$value", id="no-value"),
        pytest.param(NO_YAML, "prod.yaml:5:1", id="no-yaml"),
    ],
)
async def test_a_broken_project_file_stops_that_project_alone(
    world: World, tmp_path: Path, spec: dict | str, place: str
):
    dev = two(world)
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.at(first, "dev")
        await life.health("in-sync")
        kept = await life.project()
        if isinstance(spec, str):
            world.write("prod.yaml", spec)
        else:
            world.project(resources=["agents/*.yaml"], **spec)
        world.agent("triage", prompt("Answer at length."))
        world.write("dev/helper.yaml", manifest("Agent", "helper", {"definition": prompt("Help more.")}))
        world.forget()
        started = time.monotonic()
        second = await life.push()
        await life.at(second, "dev")
        assert time.monotonic() - started < 3
        assert dev.numbers("helper") == ["2", "1"]
        reason = await broken(life, second)
        assert first[:12] in reason, "what holds instead is told"
        assert place in reason
        row = await life.project()
        assert (row.revision, row.removed, row.endpoint) == (first, False, kept.endpoint)
        assert row.last_good_at == kept.last_good_at
        source = await life.service.deps.store.source("agents")
        assert source is not None
        assert (source.error, source.good) == ("", second)
        assert place in source.problems[0]
        assert await life.events("project-removed") == []
        assert len(await life.events("failure")) == 1
        world.edit("triage", instructions="Be rude.")
        await life.sync()
        assert await life.until(lambda: life.events("drift")) == ["Agent/triage was changed by somebody else"]
        assert (await life.project()).health == "failed"
        assert world.numbers("triage") == ["2", "1"], "nothing but the edit was made"
        world.project(resources=["agents/*.yaml"])
        third = await life.push("Repair")
        await life.at(third)
        await life.health("in-sync")
        assert await life.events("recovery") == ["Project prod is in sync again"]
        assert world.numbers("triage") == ["3", "2", "1"]
        source = await life.service.deps.store.source("agents")
        assert source is not None
        assert source.problems == ()
        await idle(life)


@pytest.mark.rule("I1", "V2")
async def test_after_a_restart_a_broken_project_is_still_there(world: World, tmp_path: Path):
    two(world)
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        world.write("prod.yaml", NO_YAML)
        await broken(life, await life.push())
    world.edit("triage", instructions="Be rude.")
    world.forget()
    async with living(world, tmp_path) as life:
        await life.sync()
        await life.until(lambda: life.events("drift"))
        row = await life.project()
        assert (str(row.health), row.removed, row.revision) == ("failed", False, first)
        assert world.writes() == []
        assert len(await life.events("failure")) == 1, "the same failure is told once"


@pytest.mark.rule("D4")
async def test_what_a_broken_project_wants_is_handed_over_and_not_deleted(world: World, tmp_path: Path):
    two(world, endpoint=world.endpoint, owner=OWNER)
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.at(first, "dev")
        await life.health("in-sync", "dev")
        (world.repo / "dev/helper.yaml").rename(world.repo / "agents/helper.yaml")
        world.write("dev/other.yaml", manifest("Agent", "other", {"definition": prompt()}))
        world.project(resources=["agents/*.yaml"], sync={"intervall": "1h"})
        world.forget()
        second = await life.push("Move helper to prod")
        await broken(life, second)
        await life.at(second, "dev")
        assert world.names() == ["helper", "other", "triage"]
        row = await life.service.deps.store.resource("dev", "Agent/helper")
        assert row is not None
        assert row.reason == "handed over"
        assert [line for line in world.writes() if "DELETE" in line] == []
        world.project(resources=["agents/*.yaml"])
        third = await life.push("Repair")
        await life.at(third)
        await life.health("in-sync")
        assert world.names() == ["helper", "other", "triage"]
        assert world.numbers("helper") == ["1"]
        await idle(life)


@pytest.mark.rule("D4")
async def test_nothing_is_deleted_while_a_project_file_says_nothing_and_the_run_says_why(
    world: World, tmp_path: Path
):
    dev = two(world)
    world.write("dev/old.yaml", manifest("Agent", "old", {"definition": prompt()}))
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.at(first, "dev")
        await life.health("in-sync", "dev")
        world.write("prod.yaml", NO_YAML)
        world.remove("dev/old.yaml")
        second = await life.push()
        await broken(life, second)
        await life.at(second, "dev")
        assert dev.names() == ["helper", "old"]
        row = await life.service.deps.store.resource("dev", "Agent/old")
        assert row is not None
        assert row.reason == "kept"
        assert "prod.yaml:5:1" in str(row.detail), "the plan says which file"
        store = life.service.deps.store
        run = await store.run((await life.runs("dev"))[0].id)
        assert run is not None
        (said,) = [one for one in run.report["verdicts"] if one["rule"] == "unread-manifest"]
        assert (said["place"], said["severity"]) == ("prod.yaml:5:1", "info")
        assert said["hint"].startswith("Correct that file")
        world.project(resources=["agents/*.yaml"])
        third = await life.push("Repair")
        await life.at(third, "dev")
        await life.until(lambda: dev.names() == ["helper"])
        await life.at(third)
        await life.health("in-sync", "dev")
        await idle(life)


@pytest.mark.rule("I5")
async def test_of_two_projects_with_one_name_none_is_written_and_others_go_on(world: World, tmp_path: Path):
    dev = two(world)
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        body = {"endpoint": f"{world.endpoint}-x", "owner": "x", "resources": ["dev/*.yaml"]}
        world.write("twin.yaml", manifest("Project", "prod", body))
        world.agent("triage", prompt("Answer at length."))
        world.write("dev/helper.yaml", manifest("Agent", "helper", {"definition": prompt("Help more.")}))
        world.forget()
        second = await life.push()
        assert "twin.yaml:5:11: metadata.name: the Project `prod` is already in prod.yaml" in await broken(
            life, second
        )
        await life.at(second, "dev")
        assert dev.numbers("helper") == ["2", "1"]
        assert world.numbers("triage") == ["1"]
        assert World(world.url, f"{world.name}-x", world.repo).names() == []
        world.remove("twin.yaml")
        third = await life.push("Repair")
        await life.at(third)
        await life.health("in-sync")
        assert world.numbers("triage") == ["2", "1"]
        assert await life.events("recovery") == ["Project prod is in sync again"]
        await idle(life)


async def test_a_new_project_with_a_broken_file_is_shown_and_begins_when_it_is_right(
    world: World, tmp_path: Path
):
    dev = two(world, sync={"mode": "enforced"})
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        reason = await broken(life, first, "dev")
        assert reason.startswith("1 problem in Project files: dev.yaml:")
        assert "spec.sync.mode" in reason
        assert (await life.project("dev")).endpoint == ""
        for path in ("/", "/projects/dev", "/api/v1/projects/dev"):
            shown = await page(life, path)
            assert "dev.yaml:" in shown, path
            assert "spec.sync.mode" in shown, path
        assert dev.names() == []
        two(world)
        second = await life.push("Repair")
        await life.at(second, "dev")
        await life.health("in-sync", "dev")
        assert dev.names() == ["helper"]
        assert await life.events("recovery") == ["Project dev is in sync again"]
        await idle(life)


@pytest.mark.rule("I4")
async def test_a_project_that_goes_beside_a_file_without_a_name_is_gone_once_that_is_right(
    world: World, tmp_path: Path
):
    two(world)
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.at(first, "dev")
        world.remove("dev.yaml")
        world.write("new.yaml", "apiVersion: reconciler/v1\nkind: Project\nspec: {endpoint: sandbox://new}\n")
        second = await life.push()
        assert "new.yaml:1:1" in await broken(life, second, "dev")
        assert await life.events("project-removed") == []
        await life.health("in-sync")
        world.remove("new.yaml")
        await life.push("Repair")

        async def gone() -> bool:
            return (await life.project("dev")).removed

        await life.until(gone)
        assert len(await life.events("project-removed")) == 1
        await idle(life)


async def test_a_source_without_any_readable_project_is_stale_and_its_projects_stay(
    world: World, tmp_path: Path
):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        world.write("prod.yaml", NO_YAML)
        world.forget()
        await life.push()
        (said,) = await life.until(lambda: life.events("source-stale"))
        assert said == "source agents: 1 problem in Project files"
        source = await life.service.deps.store.source("agents")
        assert source is not None
        assert source.problems[0].startswith("prod.yaml:5:1")
        assert not (await life.project()).removed
        assert world.writes() == []
        world.project()
        await life.at(await life.push("Repair"))
        assert await life.events("source-recovered") == ["source agents can be read again"]
        await idle(life)


@pytest.mark.rule("V1")
async def test_a_release_of_another_project_is_not_held_up(world: World, tmp_path: Path):
    world.settings(provisioning={"delay_s": 2})
    two(world)
    world.agent("desk", hosted())
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        world.agent("desk", hosted("registry.example.com/triage:2.0"))
        second = await life.push()
        await life.until(lambda: world.numbers("desk") == ["2", "1"])
        world.write("dev.yaml", "apiVersion: reconciler/v1\nkind: Project\nspec: {oops\n")
        third = await life.push()
        await life.until(lambda: world.traffic("desk") == [("2", 100)])
        await broken(life, third, "dev")
        await life.health("in-sync")
        assert second != third
        two(world)
        await life.at(await life.push("Repair"), "dev")
        await idle(life)


@pytest.mark.rule("P11")
async def test_what_a_project_keeps_secret_stays_so_while_its_file_is_broken(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TEAM_KEY", "geheim-4711")
    two(world)
    world.project(resources=["agents/*.yaml"], values_from_env=["TEAM_KEY"])
    world.settings(
        provisioning={
            "delay_s": 0.1,
            "outcome": "failed",
            "error": {"code": "image_pull_failed", "message": "cannot start with geheim-4711"},
        }
    )
    variables = {"KEY": {"$value": "TEAM_KEY"}}
    world.agent("desk", hosted(environment_variables=variables))
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("failed")
        shown = await page(life, "/projects/prod/Agent/desk")
        assert "cannot start with ***" in shown
        assert "geheim" not in shown
        world.project(resources=["agents/*.yaml"], values_from_env=["TEAM_KEY"], sync={"mode": "x"})
        await broken(life, await life.push())
        shown = await page(life, "/projects/prod/Agent/desk")
        assert "cannot start with ***" in shown
        assert "geheim" not in shown

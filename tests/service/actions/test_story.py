"""What people order, done by a service that runs: asked by its command line over its own API."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reconciler.service.views import Views
from tests.cli.serving import run
from tests.service.living import Living, living
from tests.world import Result, World, hosted, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def command(life: Living, *args: str) -> Result:
    return await asyncio.to_thread(run, *args, RECONCILER_SERVER=life.service.url, RECONCILER_TOKEN="")


@pytest.mark.rule("R5")
async def test_a_rollback_is_held_against_drift_checks_and_ended_by_its_end(
    world: World, tmp_path: Path
) -> None:
    world.agent("triage", release={"strategy": "pinned"})
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        world.agent("triage", prompt("Answer nonsense."), release={"strategy": "pinned"})
        second = await life.push()
        await life.at(second)
        await life.until(lambda: world.traffic("triage") == [("2", 100)])
        await life.health("in-sync")

        there = await command(life, "history", "prod/Agent/triage", "--format", "json")
        versions = json.loads(there.stdout)["resource"]["timeline"]["versions"]
        assert [(version["number"], version["by"], version["share"]) for version in versions] == [
            ("2", "us", 100),
            ("1", "us", 0),
        ]
        gone = await command(life, "rollback", "prod/Agent/triage", "--to", "5", "--why", "x")
        assert "has no version 5" in gone.stderr

        done = await command(life, "rollback", "prod/Agent/triage", "--to", "1", "--why", "nonsense")
        assert done.exit_code == 0, done.stderr
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await life.health("in-sync")
        before = (await life.project()).last_run_at
        await life.sync()

        async def looked() -> bool:
            return (await life.project()).last_run_at > before

        await life.until(looked)
        assert world.traffic("triage") == [("1", 100)], "the loop respects the pin"

        over = await command(life, "rollback", "prod/Agent/triage", "--undo")
        assert over.exit_code == 0, over.stderr
        await life.until(lambda: world.traffic("triage") == [("2", 100)])

        async def unpinned() -> bool:
            # The run that moves the traffic leaves the row to the one that finds nothing to do any more.
            await life.sync()
            return await life.service.deps.store.pins() == ()

        await life.until(unpinned)
        await life.health("in-sync")
        await asyncio.to_thread(world.in_sync)
        assert world.numbers("triage") == ["2", "1"], "no version was made for any of it"


async def test_a_suspended_project_is_looked_at_and_not_written(world: World, tmp_path: Path) -> None:
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        url = f"{life.service.url}/api/v1/projects/prod"
        async with aiohttp.ClientSession() as client:
            async with client.post(f"{url}/suspend", json={"why": "outage"}) as answer:
                assert answer.status == 200, await answer.text()
            world.agent("triage", prompt("Answer at length."))
            second = await life.push()
            await life.at(second)
            await life.health("observed")
            assert world.numbers("triage") == ["1"]
            async with client.get(url) as answer:
                assert "suspended by local: outage" in (await answer.json())["reason"]
            async with client.post(f"{url}/resume") as answer:
                assert answer.status == 200, await answer.text()
        await life.until(lambda: world.numbers("triage") == ["2", "1"])
        await life.health("in-sync")
        await asyncio.to_thread(world.in_sync)


@pytest.mark.rule("R4")
async def test_a_failed_version_is_made_once_more_when_somebody_asks(world: World, tmp_path: Path) -> None:
    """The manifest stays as it is: what failed was outside of it, such as a registry that was away."""
    world.agent("triage", hosted())
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        world.settings(**{"provisioning.outcome": "failed"})
        world.agent("triage", hosted("registry.example.com/triage:2.0"))
        await life.push()
        await life.health("failed")
        await looked_again(life)
        assert world.numbers("triage") == ["2", "1"], "nothing is made again by itself"

        await retry(life, "the registry is back")
        await life.until(lambda: world.versions("triage")[0]["status"] == "failed" and tried(world) == 1)
        await life.health("failed")
        await looked_again(life)
        assert tried(world) == 1, "one order is one try"
        assert await life.service.deps.store.retries("prod") == ()

        world.settings(**{"provisioning.outcome": "active"})
        await retry(life)
        await life.health("in-sync")
        newest = world.numbers("triage")[0]
        assert world.traffic("triage") == [(newest, 100)]
        assert tried(world) == 2
        audits, _ = await life.service.deps.store.audits(project="prod")
        assert [(line.action, line.resource, line.why) for line in audits] == [
            ("retry", "Agent/triage", ""),
            ("retry", "Agent/triage", "the registry is back"),
        ]
        await asyncio.to_thread(world.in_sync)


async def test_a_retry_waits_while_its_project_is_suspended(world: World, tmp_path: Path) -> None:
    world.settings(**{"provisioning.outcome": "failed", "dedupe.hosted": "off"})
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("failed")
        await ordered(life, "suspend", why="outage")
        world.settings(**{"provisioning.outcome": "active"})
        world.forget()
        done = await retry(life)
        assert any("waits until it is resumed" in note for note in done["notes"])
        await looked_again(life)
        assert world.writes() == []
        assert len(await life.service.deps.store.retries("prod")) == 1

        await ordered(life, "resume")
        await life.health("in-sync")
        await asyncio.to_thread(world.in_sync)


@pytest.mark.rule("R5")
async def test_moved_traffic_is_told_and_shown_in_words(world: World, tmp_path: Path) -> None:
    world.agent("triage")
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.agent("triage", prompt("Answer at length."))
        await life.at(await life.push())
        await life.health("in-sync")
        world.select("triage", **{"1": 60, "2": 40})
        await life.sync()
        await life.health("drifted")
        assert await life.until(lambda: life.events("drift")) == [
            "Agent/triage had its traffic moved by somebody else"
        ]
        views = Views(life.service.deps)
        row = await views.resource("prod", "Agent/triage")
        assert row.why == ("its traffic was moved to version 1 (60 %) and version 2 (40 %) by somebody else")
        (due,) = await views.due("prod")
        assert (due.deed, due.name, due.stays) == ("Move back the traffic of", "triage", False)


async def ordered(life: Living, path: str, **body: str) -> dict[str, Any]:
    """What the API answered to an order about `prod`."""
    url = f"{life.service.url}/api/v1/projects/prod/{path}"
    async with aiohttp.ClientSession() as client, client.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())


async def retry(life: Living, why: str = "") -> dict[str, Any]:
    return await ordered(life, "resources/Agent/triage/retry", why=why)


async def looked_again(life: Living) -> None:
    """Wait for a whole look that somebody asks for."""
    before = (await life.project()).last_run_at
    await life.sync()

    async def later() -> bool:
        return (await life.project()).last_run_at > before

    await life.until(later)


def tried(world: World) -> int:
    """How many versions were made since the second one."""
    return sum(write.startswith("POST") and write.endswith("/versions") for write in world.writes()) - 2

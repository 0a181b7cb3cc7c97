"""A service that asks to come again later: nobody else waits, nobody is alarmed, and all say why."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.living import Living, living
from tests.service.test_stories import idle
from tests.world import WRITES, World, manifest, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def refuse(world: World, retry_after_s: int, **match: Any) -> None:
    action = {"status": 429, "headers": {"Retry-After": str(retry_after_s)}}
    world.own("PUT", "faults", [{"match": match, "action": action}])


def let_through(world: World) -> None:
    world.own("DELETE", "faults")


@pytest.mark.rule("P5")
async def test_projects_that_are_told_to_wait_keep_no_place_from_others(world: World, tmp_path: Path):
    """Both places of this service would be taken for minutes."""
    for number in (1, 2, 3):
        slow = World(world.url, f"{world.name}-slow{number}", world.repo)
        refuse(slow, 60)
        spec = {"endpoint": slow.endpoint, "owner": f"slow{number}"}
        world.write(f"a{number}.yaml", manifest("Project", f"a-slow-{number}", spec))
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path, limits={"reconciles": 2}) as life:
        await life.at(first)
        await life.health("in-sync")

        world.agent("triage", prompt("Answer at length."))
        second = await life.push()
        await life.at(second, within_s=5)
        began_at = time.monotonic()
    assert time.monotonic() - began_at < 5
    assert world.numbers("triage") == ["2", "1"]


@pytest.mark.rule("P5")
async def test_a_project_that_is_told_to_wait_says_so_and_alarms_nobody(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        good_at = (await life.project()).last_good_at
        refuse(world, 20)

        await life.sync()
        await life.until(lambda: said(life, "the service refuses requests for now and asks to wait 20 s"))

        row = await life.project()
        assert (str(row.health), row.last_good_at >= good_at, row.failures) == ("in-sync", True, 1)
        # A turn in between would find out nothing.
        assert 15 <= row.next_at - row.last_run_at <= 21
        assert await life.events("failure") == []
        async with httpx.AsyncClient() as client:
            page = (await client.get(f"{life.service.url}/projects/prod")).text
        assert "refuses requests for now" in page
        let_through(world)


@pytest.mark.rule("P5")
async def test_a_service_that_asks_to_wait_again_and_again_has_failed(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path, backoff={"first": "1s", "longest": "1s"}) as life:
        await life.at(first)
        await life.health("in-sync")
        world.own(
            "PUT", "faults", [{"match": {}, "action": {"status": 429, "headers": {"Retry-After": "11"}}}]
        )
        for _ in range(5):
            before = (await life.project()).failures
            await life.sync()
            await life.until(functools.partial(failed_since, life, before))

        await life.health("failed")
        [message] = await life.events("failure")
        assert "the service refuses requests for now" in message
        let_through(world)
        await life.health("in-sync", within_s=20)
        await idle(life)


@pytest.mark.rule("P4")
async def test_a_write_that_is_told_to_wait_is_tried_again_later(world: World, tmp_path: Path):
    world.agent("triage")
    world.commit()
    refuse(world, 11, method="POST")
    async with living(world, tmp_path, backoff={"first": "1s", "longest": "1s"}) as life:
        row = await life.health("waiting")
        assert "Agent/triage: cannot create a version" in row.reason
        assert "the service refuses requests for now" in row.reason
        assert await life.events("failure") == []
        let_through(world)
        await life.health("in-sync", within_s=30)
        assert world.numbers("triage") == ["1"]
        await idle(life)


async def said(life: Living, text: str) -> bool:
    return text in (await life.project()).reason


async def failed_since(life: Living, before: int) -> bool:
    return (await life.project()).failures > before


@pytest.mark.rule("P7")
async def test_a_service_ends_at_once_while_its_server_hangs(world: World, tmp_path: Path):
    world.agent("triage")
    world.commit()
    world.own("PUT", "faults", [{"match": {"method": "GET"}, "times": 1, "action": {"delay_s": 20}}])
    async with living(world, tmp_path) as life:
        await life.until(lambda: world.own("GET", "faults")["rules"][0]["times"] == 0)
        began_at = time.monotonic()
    assert time.monotonic() - began_at < 4
    world.own("DELETE", "faults")
    async with living(world, tmp_path) as life:
        row = await life.health("in-sync")
        assert row.failures == 0
        await idle(life)


@pytest.mark.rule("P7")
async def test_nothing_is_written_after_a_suspension_though_it_waited_for_its_turn(
    world: World, tmp_path: Path
):
    for number in range(16):
        world.agent(f"bot-{number:02}")
    world.commit()
    world.settings(rate_limit={"per_second": 4, "burst": 4})
    async with living(world, tmp_path) as life:
        await life.until(lambda: len(written(world)) >= 2)
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{life.service.url}/api/v1/projects/prod/suspend", json={"why": "incident"}
            )
        assert answer.status_code < 300, answer.text
        suspended_at = time.time()

        await life.until(lambda: turned(life))

        assert [row for row in written(world) if row["at"] > suspended_at + 1.0] == []
        assert len(written(world)) < 16
        world.settings(rate_limit=None)
        async with httpx.AsyncClient() as client:
            await client.post(f"{life.service.url}/api/v1/projects/prod/resume", json={})
        await life.health("in-sync", within_s=30)
        assert {tuple(world.numbers(name)) for name in world.names()} == {("1",)}
        await idle(life)


def written(world: World) -> list[dict[str, Any]]:
    return [row for row in world.log() if row["method"] in WRITES and row["status"] == 200]


async def turned(life: Living) -> bool:
    """Whether the run that was under way has ended."""
    return any(run.result not in ("running", "") for run in await life.runs())

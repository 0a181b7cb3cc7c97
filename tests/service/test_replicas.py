"""Two replicas of the whole service over one PostgreSQL: each Project is written by one of them at a time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from reconciler.service.main import running
from reconciler.settings import read
from tests.service.living import Living, config_of
from tests.world import World, hosted, prompt

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.xdist_group("postgres")]


@pytest.mark.rule("V1")
async def test_two_replicas_apply_each_push_once_and_one_goes_on_alone(
    world: World, tmp_path: Path, postgres_url: str
):
    world.agent("triage", prompt())
    world.agent("desk", hosted())
    first = world.commit()
    config = config_of(world, tmp_path, store=postgres_url)

    def environ(replica: str) -> dict[str, str]:
        return {**os.environ, "RECONCILER_CACHE": str(tmp_path / replica)}

    one, two = environ("one"), environ("two")
    async with running(config, read(one), one) as survivor:
        life = Living(world, survivor)
        async with running(config, read(two), two) as other:
            await life.at(first)
            await life.health("in-sync")
            for number in range(4):
                world.agent("triage", prompt(f"Answer in {number} words."))
                commit = world.commit()
                await other.deps.engine.trigger("source/agents", "webhook")
                await life.at(commit)
            await life.health("in-sync")
            assert world.numbers("triage") == ["5", "4", "3", "2", "1"]
            assert world.numbers("desk") == ["1"]
        world.agent("triage", prompt("Answer with one word."))
        last = await life.push()
        await life.at(last)
        await life.health("in-sync")
        assert world.numbers("triage")[0] == "6"
        runs = [await survivor.deps.store.run(run.id) for run in await life.runs()]
        told = [(run.result, run.report.get("failed")) for run in runs if run is not None]
        assert {result for result, _ in told} <= {"applied", "pending", "unchanged"}, told
        await asyncio.to_thread(world.in_sync)

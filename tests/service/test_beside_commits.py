"""The service beside a forge: a status on each commit it applies, and a plan on each pull request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.service.living import Living, living
from tests.service.notify.forge_servers import TOKEN, GitHubServer, served
from tests.world import World, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def test_a_commit_gets_its_status_and_a_pull_request_its_plan(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORGE_TOKEN", TOKEN)
    world.agent("triage")
    first = world.commit()
    world.git("checkout", "-q", "-b", "b7")
    world.agent("triage", prompt("Answer in the pull request's words."))
    world.agent("billing")
    head = world.commit()
    world.git("update-ref", "refs/pull/7/head", head)
    world.git("checkout", "-q", "main")
    server = GitHubServer()
    server.pull(7, head)
    async with (
        served(server.handle) as address,
        living(world, tmp_path, source=forge_at(address)) as life,
    ):
        await life.at(first)
        await life.until(lambda: ("success" in states(server, first)) or None)
        await life.until(lambda: server.comments)
        text = next(iter(server.comments.values()))["body"]
        assert "billing" in text
        assert "pull request's words" in text
        await life.until(lambda: states(server, head) == ["pending", "success"])
        contexts = {body["context"] for commit, body in server.statuses if commit == head}
        assert contexts == {"reconciler/plan/agents"}
        assert sent(life, "status") >= 3
        assert sent(life, "comment") == 1
        assert world.names() == ["triage"], "nothing of a pull request is applied"
        asked = len(server.paths("POST"))
        await life.service.deps.engine.trigger("pulls/agents", "a test")
        await asyncio.sleep(0.5)
        assert len(server.paths("POST")) == asked, "a head that did not move is not planned again"
        await asyncio.to_thread(world.in_sync)


async def test_a_commit_with_errors_is_the_one_that_is_told_to_have_failed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORGE_TOKEN", TOKEN)
    world.agent("triage")
    good = world.commit()
    server = GitHubServer()
    async with (
        served(server.handle) as address,
        living(world, tmp_path, source=forge_at(address)) as life,
    ):
        await life.at(good)
        await life.until(lambda: states(server, good) == ["pending", "success"])
        world.write("agents/triage.yaml", "apiVersion: reconciler/v1\nkind: Agent\nspec: {oops\n")
        broken = await life.push()
        await life.until(lambda: states(server, broken) == ["error"])
        said = server.statuses[-1][1]["description"]
        assert said == f"Failed: 1 problem in the manifests at {broken[:12]}, so {good[:12]} holds"
        assert states(server, good) == ["pending", "success"], "what was right stays so"
        assert (await life.project()).revision == good
        assert [run.commit for run in await life.runs()] == [broken, good]
        store = life.service.deps.store
        assert [event.commit for event in (await store.events(type="failure"))[0]] == [broken]
        world.agent("triage", prompt("Answer at length."))
        right = await life.push("Repair")
        await life.until(lambda: states(server, right)[-1:] == ["success"])
        await asyncio.to_thread(world.in_sync)


async def test_a_plan_of_what_is_valid_tells_what_is_not(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORGE_TOKEN", TOKEN)
    world.agent("triage")
    world.project(sync={"on_invalid": "skip"})
    first = world.commit()
    world.git("checkout", "-q", "-b", "b7")
    world.agent("billing")
    bad = "apiVersion: reconciler/v1\nkind: Agent\nmetadata: {name: bad}\nspec: 7\n"
    world.write("agents/bad.yaml", bad)
    head = world.commit()
    world.git("update-ref", "refs/pull/7/head", head)
    world.git("checkout", "-q", "main")
    server = GitHubServer()
    server.pull(7, head)
    async with (
        served(server.handle) as address,
        living(world, tmp_path, source=forge_at(address)) as life,
    ):
        await life.at(first)
        await life.until(lambda: states(server, head)[1:])
        (comment,) = server.comments.values()
        assert "billing" in comment["body"]
        assert "agents/bad.yaml:4" in comment["body"]
        assert states(server, head) == ["pending", "failure"]


async def test_a_forge_that_wants_to_be_left_alone_is(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORGE_TOKEN", TOKEN)
    world.agent("triage")
    first = world.commit()
    asked: list[str] = []

    async def limited(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response({"message": "slow down"}, status=429, headers={"Retry-After": "600"})

    async with (
        served(limited) as address,
        living(world, tmp_path, source=forge_at(address)) as life,
    ):
        await life.at(first)
        pulls = "/api/v3/repos/acme/agents/pulls"
        await life.until(lambda: pulls in asked)
        for _ in range(3):
            await life.service.deps.engine.trigger("pulls/agents", "a test")
            await asyncio.sleep(0.3)
        assert asked.count(pulls) == 1


def forge_at(address: str) -> dict[str, Any]:
    """What a source says of a forge there."""
    token = {"env": "FORGE_TOKEN"}
    return {"forge": {"provider": "github", "repository": "acme/agents", "url": address, "token": token}}


def sent(life: Living, channel: str) -> float:
    """How many messages of that kind the metrics count."""
    labels, registry = {"channel": channel, "result": "sent"}, life.service.deps.metrics.registry
    return registry.get_sample_value("reconciler_reports_total", labels) or 0.0


def states(server: GitHubServer, commit: str) -> list[str]:
    return [body["state"] for sha, body in server.statuses if sha == commit]

"""The service beside a forge: a status on each commit it applies, and a plan on each pull request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.service.living import living
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
    async with served(server.handle) as address:
        source = {
            "forge": {
                "provider": "github",
                "repository": "acme/agents",
                "url": address,
                "token": {"env": "FORGE_TOKEN"},
            }
        }
        async with living(world, tmp_path, source=source) as life:
            await life.at(first)
            await life.until(lambda: ("success" in states(server, first)) or None)
            await life.until(lambda: server.comments)
            text = next(iter(server.comments.values()))["body"]
            assert "billing" in text
            assert "pull request's words" in text
            assert world.names() == ["triage"], "nothing of a pull request is applied"
            asked = len(server.paths("POST"))
            await life.service.deps.engine.trigger("pulls/agents", "a test")
            await asyncio.sleep(0.5)
            assert len(server.paths("POST")) == asked, "a head that did not move is not planned again"
            await asyncio.to_thread(world.in_sync)


def states(server: GitHubServer, commit: str) -> list[str]:
    return [body["state"] for sha, body in server.statuses if sha == commit]

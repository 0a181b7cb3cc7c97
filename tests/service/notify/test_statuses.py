"""Statuses beside commits: what they say, when they are sent, and that they come late rather than never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import structlog
from aiohttp import web

from reconciler.service.notify.forges import Status
from reconciler.service.notify.statuses import status_of
from reconciler.service.records import RunRecord
from reconciler.service.store import Store
from tests.service.notify.forge_servers import COMMIT, TOKEN, GitHubServer, served
from tests.service.notify.world import NOW, Office, office

DONE = {
    "add": 1,
    "change": 2,
    "destroy": 0,
    "unchanged": 9,
    "refused": 3,
    "failed": 1,
    "pending": 2,
    "drifted": 4,
}
RUN = RunRecord("r1", "prod", "agents", ("commit",), COMMIT, NOW)

SAID = [
    ("running", "pending", "Reconciling"),
    ("unchanged", "success", "In sync: 9 resources"),
    ("applied", "success", "Applied: 1 added, 2 changed, 0 destroyed"),
    ("observed", "success", "Nothing written: 3 changes would be made"),
    ("drifted", "failure", "Drift: 4 resources changed outside of Git"),
    ("refused", "failure", "Refused: 3 changes, nothing was written"),
    ("partly", "failure", "Incomplete: 1 failed, 2 pending, 3 refused; 1 added, 2 changed, 0 destroyed"),
    ("pending", "pending", "Waiting: 2 pending; 1 added, 2 changed, 0 destroyed"),
    ("failed", "error", "Failed: nothing could be decided"),
    ("superseded", "error", "Superseded by a newer commit"),
    ("interrupted", "pending", "Interrupted; it goes on with the next run"),
]


@pytest.mark.parametrize(("result", "state", "said"), SAID)
def test_what_a_run_says_beside_its_commit(result: str, state: Any, said: str) -> None:
    run = replace(RUN, result=result, summary=DONE)

    assert status_of(run, "https://r.example.com/") == Status(
        "reconciler/prod", state, said, "https://r.example.com/runs/r1"
    )
    assert len(said) <= 140


def test_a_run_without_a_commit_says_nothing() -> None:
    assert status_of(replace(RUN, commit="", result="failed"), "") is None


@asynccontextmanager
async def with_forge(store: Store, server: GitHubServer) -> AsyncIterator[Office]:
    async with served(server.handle) as url:
        forge = {"provider": "github", "repository": "acme/agents", "token": {"env": "T"}, "url": url}
        sources = [{"name": "agents", "url": "https://github.com/acme/agents", "forge": forge}]
        async with office(store, {"T": TOKEN}, sources=sources) as here:
            yield here


async def told(here: Office, *runs: RunRecord) -> None:
    """Tell runs one after the other, and wait until nothing is on its way."""
    for run in runs:
        await here.outbox.tell_run(run)
        await asyncio.sleep(0)
        await here.outbox._statuses.close(2)


def states(server: GitHubServer) -> list[tuple[str, str]]:
    return [(commit[:4], body["state"]) for commit, body in server.statuses]


def ended(result: str = "applied", **more: Any) -> RunRecord:
    return replace(RUN, result=result, **({"ended_at": NOW + 1, "summary": DONE} | more))


async def test_a_run_is_shown_as_it_begins_and_ends(store: Store) -> None:
    server = GitHubServer()
    async with with_forge(store, server) as here:
        await told(here, RUN, ended())

    assert states(server) == [("1f7e", "pending"), ("1f7e", "success")]
    assert here.sent("status", "sent") == 2


async def test_runs_of_the_interval_send_nothing_again(store: Store) -> None:
    """Near miss: GitHub refuses the 1,001st status of a commit, which is two days of runs."""
    server = GitHubServer()
    async with with_forge(store, server) as here:
        for number in range(20):
            begun = replace(RUN, id=f"r{number}", started_at=NOW + number)
            await told(here, begun, replace(begun, result="applied", ended_at=NOW + number, summary=DONE))
        await told(here, ended("drifted"), ended())

    assert [state for _, state in states(server)] == ["pending", "success", "failure", "success"]


async def test_a_slow_forge_delays_nothing_and_gets_the_newest(store: Store) -> None:
    server, gate = GitHubServer(), asyncio.Event()
    answer = server.handle

    async def slow(request: web.Request) -> web.Response:
        await gate.wait()
        return await answer(request)

    server.handle = slow  # type: ignore[method-assign]
    async with with_forge(store, server) as here:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await here.outbox.tell_run(RUN)
        await asyncio.sleep(0.05)
        for number in range(1, 51):
            commit = f"{number:040x}"
            await here.outbox.tell_run(replace(RUN, commit=commit))
            await here.outbox.tell_run(ended(commit=commit))
        assert loop.time() - began < 0.5
        gate.set()
        await here.outbox._statuses.close(2)

    assert [commit for commit, _ in server.statuses] == [COMMIT, f"{50:040x}"]


async def test_a_forge_that_was_away_gets_it_later(store: Store) -> None:
    server = GitHubServer()
    server.next = [web.json_response({"message": "no"}, status=403)]
    async with with_forge(store, server) as here:
        await store.start_run(RUN)
        await store.end_run(ended())
        with structlog.testing.capture_logs() as logs:
            await told(here, ended())
        assert [(line["event"], line["source"]) for line in logs] == [("status_not_set", "agents")]
        assert "Commit statuses" in logs[0]["hint"]
        assert TOKEN not in str(logs)
        assert here.engine.asked == [("outbox", 60.0)]

        assert await here.flush(later_s=30) is None
        again = await here.flush(later_s=31)
        assert again.after_s == 60
        await here.outbox._statuses.close(2)
        assert await here.flush(later_s=60) is None

    assert states(server) == [("1f7e", "success")]


async def test_what_a_dead_process_left_pending_is_ended(store: Store) -> None:
    server = GitHubServer()
    await store.start_run(RUN)
    await store.end_run(ended("refused"))

    async with with_forge(store, server) as here:
        await here.flush(later_s=40)
        await here.outbox._statuses.close(2)
    async with with_forge(store, server) as here:
        assert await here.flush(later_s=50) is None

    assert states(server) == [("1f7e", "failure")]


async def test_runs_of_long_ago_and_of_other_sources_are_left_alone(store: Store) -> None:
    server = GitHubServer()
    await store.start_run(RUN)
    await store.end_run(ended())
    other = replace(RUN, id="r2", project="dev", source="other")
    await store.start_run(other)
    await store.end_run(replace(other, result="applied", ended_at=NOW))

    async with with_forge(store, server) as here:
        assert await here.flush(later_s=4000) is None
        await told(here, other)

    assert server.asked == []


async def test_only_whole_commits_reach_an_address(store: Store) -> None:
    server = GitHubServer()
    async with with_forge(store, server) as here:
        await told(here, replace(RUN, commit="../../hooks"), replace(RUN, commit=COMMIT[:12]))

    assert server.asked == []

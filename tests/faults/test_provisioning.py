"""Hosted versions that do not start: the reason and the remedy are told, and traffic stays (rules R4, R8)."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path
from typing import Final

import pytest

from reconciler.apply import Outcome, Stop
from reconciler.foundry.agents import AgentPort
from reconciler.foundry.pipeline import open_pipe
from reconciler.reconcile import Run, examine, reconcile
from reconciler.remedies import table
from reconciler.report import ExitCode
from reconciler.sandbox import Sandbox
from tests.crash import story
from tests.properties.manifests import zipped
from tests.properties.running import apply, everything, inputs, plan
from tests.world import World

_numbers = itertools.count(1)

# Codes that the service has given for versions that did not start.
CODES: Final = (
    "image_pull_failed",
    "ImageError",
    "AcrImageNotFound",
    "RegistryNotFound",
    "InvalidAcrPullCredentials",
    "UnauthorizedAcrPull",
    "CodeError",
    "ProvisioningError",
    "AgentVersionProvisioningFailed",
)


@pytest.mark.rule("R3", "R4", "R8")
@pytest.mark.parametrize("code", CODES)
def test_a_version_that_fails_is_explained_and_never_served(sandbox: Sandbox, code: str) -> None:
    world = World(sandbox.url, f"v{os.getpid()}-{next(_numbers)}", Path("-"))
    story.start(world, dedupe="latest-definition", names=["pinned"])
    error = {"code": code, "message": "the reason in the service's words"}
    world.settings(provisioning={"outcome": "failed", "error": error})
    given = inputs(world, story.wanted(["pinned"]))

    run = apply(given)

    assert run.exit_code is ExitCode.PARTLY
    failed = run.outcomes[-1]
    assert (failed.step, failed.outcome, failed.code) == ("await-active", "failed", code)
    assert "the reason in the service's words" in failed.note
    assert failed.hint == table()[0][code.casefold()].remedy
    assert world.traffic("pinned") == [("1", 100)]

    before = everything(world)
    again = apply(given)
    assert (again.exit_code, everything(world)) == (ExitCode.PARTLY, before)

    world.settings(provisioning={"outcome": "active", "error": None})
    retried = inputs(world, story.wanted(["pinned"]), retry_failed=True)
    assert apply(retried).exit_code is ExitCode.DONE
    assert plan(given).steps == ()


@pytest.mark.rule("R4", "R8")
def test_the_only_version_of_an_agent_is_never_deleted_to_make_it_anew(sandbox: Sandbox) -> None:
    """The service would give the failed version again; the agent's identity is worth more than a retry."""
    world = World(sandbox.url, f"v{os.getpid()}-{next(_numbers)}", Path("-"))
    story.start(world, dedupe="latest-definition", names=[])
    world.settings(provisioning={"outcome": "failed"})
    given = inputs(world, story.wanted(["pinned"]), retry_failed=True)
    assert apply(given).exit_code is ExitCode.PARTLY
    before = everything(world)

    run = apply(given)

    assert run.exit_code is ExitCode.PARTLY
    assert everything(world) == before
    assert any(outcome.hint for outcome in run.outcomes)


@pytest.mark.rule("R4", "P4")
def test_a_version_that_fails_right_before_its_release_is_not_called_done(sandbox: Sandbox) -> None:
    """The plan saw it starting; the reading before the first write sees that it failed."""
    world = World(sandbox.url, f"v{os.getpid()}-{next(_numbers)}", Path("-"))
    story.start(world, dedupe="off", names=["pinned"])
    world.settings(provisioning={"delay_s": 0.4, "outcome": "failed"})
    given = inputs(world, story.wanted(["pinned"]))

    async def late() -> tuple[Outcome, ...]:
        async with open_pipe(given.endpoint) as pipe:
            ports = {"Agent": AgentPort(pipe, given.project, zipped)}
            run = Run(Stop())
            await reconcile(given, ports, await examine(given, ports), run)
            starting = await examine(given, ports)
            await asyncio.sleep(0.5)
            return (await reconcile(given, ports, starting, run)).outcomes

    outcomes = asyncio.run(late())

    assert [(done.step, done.outcome, done.code) for done in outcomes] == [
        ("await-active", "failed", "image_pull_failed")
    ]
    assert outcomes[0].hint

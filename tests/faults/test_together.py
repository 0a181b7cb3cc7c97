"""Two writers at once: two applies, or an apply and somebody in the portal (rules P4 and P6)."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from reconciler.apply import Stop
from reconciler.foundry.agents import AgentPort
from reconciler.foundry.pipeline import open_pipe
from reconciler.reconcile import Attempt, Inputs, Run, examine, reconcile
from reconciler.report import ExitCode
from reconciler.sandbox import Sandbox
from tests.crash import story
from tests.properties.manifests import zipped
from tests.properties.running import Applied, applied, apply, everything, inputs, plan
from tests.world import World

Json = Any
_numbers = itertools.count(1)
AGENTS: Final = tuple(story.WANTED)


def begun(sandbox: Sandbox, agent: str, dedupe: str = "off") -> World:
    world = World(sandbox.url, f"t{os.getpid()}-{next(_numbers)}", Path("-"))
    story.start(world, dedupe=dedupe, names=[agent])
    return world


def given_for(world: World, agent: str) -> Inputs:
    return inputs(world, story.wanted([agent]), retry_failed=True)


@pytest.mark.rule("P6")
@pytest.mark.parametrize("dedupe", ["off", "latest-definition"])
@pytest.mark.parametrize("behind_s", [0.0, 0.01, 0.03, 0.06])
@pytest.mark.parametrize("agent", [*AGENTS, "removed"])
def test_two_applies_at_once_end_in_one_state(
    sandbox: Sandbox, agent: str, behind_s: float, dedupe: str
) -> None:
    """Every request takes 20 ms, so that a second run meets the first at one step or another."""
    alone = begun(sandbox, agent, dedupe)
    apply(given_for(alone, agent))
    world = begun(sandbox, agent, dedupe)
    world.settings(latency_s=0.02)

    runs = asyncio.run(_both(given_for(world, agent), behind_s))

    world.settings(latency_s=0)
    done = "\n".join(str(outcome) for run in runs for outcome in run.outcomes)
    assert {run.exit_code for run in runs} <= {ExitCode.DONE, ExitCode.PARTLY}, done
    if any(run.exit_code is not ExitCode.DONE for run in runs):
        assert apply(given_for(world, agent)).exit_code is ExitCode.DONE, done
    assert story.ends(world, everything) == story.ends(alone, everything), done
    surplus = {
        name: len(numbers) - len(story.numbers(everything(alone))[name])
        for name, numbers in story.numbers(everything(world)).items()
    }
    assert all(count <= 1 for count in surplus.values()), (surplus, done)
    assert plan(given_for(world, agent)).steps == (), done


async def _both(given: Inputs, behind_s: float) -> tuple[Applied, Applied]:
    async def second() -> Applied:
        await asyncio.sleep(behind_s)
        return await applied(given)

    return await asyncio.gather(applied(given), second())


def _new_version(world: World, agent: str) -> None:
    world.edit(agent, description="edited in the portal", instructions="by hand")


def _new_version_with_our_metadata(world: World, agent: str) -> None:
    world.edit(agent, keep_metadata=True, instructions="by hand")


def _traffic(world: World, agent: str) -> None:
    world.select(agent, v1=100)


def _disabled(world: World, agent: str) -> None:
    world.call("POST", f"/agents/{agent}:disable", {})


def _deleted(world: World, agent: str) -> None:
    world.call("DELETE", f"/agents/{agent}")


EDITS: Final[Mapping[str, Callable[[World, str], None]]] = {
    "a-version": _new_version,
    "a-copied-mark": _new_version_with_our_metadata,
    "traffic": _traffic,
    "state": _disabled,
    "deleted": _deleted,
}


@pytest.mark.rule("P4")
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("agent", [name for name in [*AGENTS, "removed"] if name != "created"])
def test_an_edit_after_the_plan_is_seen_before_the_write(
    sandbox: Sandbox, agent: str, edit: Callable[[World, str], None]
) -> None:
    """The agent is read again, planned again once, or left for the next run; nothing is written blindly."""
    world = begun(sandbox, agent)
    given = given_for(world, agent)

    planned_from, attempt = asyncio.run(_edited_between(given, lambda: edit(world, agent)))

    done = "\n".join(map(str, attempt.outcomes))
    for outcome in attempt.outcomes:
        assert outcome.outcome != "failed", done
    edited = planned_from.get(agent, {}).get("versions", ())
    if agent == "removed" and edit in (_new_version, _new_version_with_our_metadata):
        assert everything(world)[agent]["versions"] == edited, "somebody's edit was deleted with the agent"
        return
    last = apply(given)
    assert last.exit_code is ExitCode.DONE, [*attempt.outcomes, *last.outcomes]
    left = [item for item in plan(given).planned if item.steps]
    assert left == []


async def _edited_between(given: Inputs, edit: Callable[[], None]) -> tuple[Json, Attempt]:
    """What the service held after the edit, and the attempt at a plan from before it."""
    async with open_pipe(given.endpoint) as pipe:
        ports = {"Agent": AgentPort(pipe, given.project, zipped)}
        first = await examine(given, ports)
        await asyncio.to_thread(edit)
        world = World(given.endpoint.partition("/api/")[0], given.endpoint.rpartition("/")[2], Path("-"))
        held = await asyncio.to_thread(everything, world)
        return held, await reconcile(given, ports, first, Run(Stop()))


@pytest.mark.rule("P4")
@pytest.mark.parametrize("agent", ["created", "direct", "pinned"])
def test_a_list_that_runs_late_makes_no_second_version(sandbox: Sandbox, agent: str) -> None:
    """A new process sees the list of a moment ago; the reading right before the write tells it better."""
    world = begun(sandbox, agent)
    world.settings(list_lag_s=30)
    given = given_for(world, agent)

    first = apply(given)
    before = everything_by_name(world, agent)
    second = apply(given)

    assert first.exit_code is ExitCode.DONE
    assert everything_by_name(world, agent) == before, second.outcomes
    assert second.exit_code is ExitCode.DONE


def everything_by_name(world: World, agent: str) -> Json:
    """The agent and its versions one by one: lists run late."""
    held = world.live(agent)
    assert held is not None
    latest = int(held["versions"]["latest"]["version"])
    numbers = range(1, latest + 1)
    return held, [world.call("GET", f"/agents/{agent}/versions/{number}") for number in numbers]

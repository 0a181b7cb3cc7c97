"""One apply through the real ports, and what the service holds before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from reconciler.apply import Outcome, Progress, Stop
from reconciler.attempt import Patience
from reconciler.diff import Scope
from reconciler.foundry.agents import AgentPort
from reconciler.foundry.pipeline import open_pipe
from reconciler.guards import Limits
from reconciler.kinds.kind import Context
from reconciler.kinds.registry import KINDS
from reconciler.options import Allow
from reconciler.plan import Plan
from reconciler.reconcile import Inputs, Run, examine, reconcile, settled_meanwhile, unsettled
from reconciler.report import ExitCode, ProjectReport, ProjectRun, project_report
from reconciler.resource import Code, Desired, Key
from tests.properties.lives import NOW, OWNER
from tests.properties.manifests import zipped
from tests.world import World

Json = Any

# Attempts before a run gives up, as `apply --timeout` does: enough for every ladder, not for what is stuck.
MOST_ATTEMPTS: Final = 8
PAUSE_S: Final = 0.02
SHORT: Final = Patience(lost_s=1.0, broken_s=0.5, first_s=0.02)


def sha256(code: Code) -> str:
    import hashlib

    return hashlib.sha256(zipped(code)).hexdigest()


def inputs(world: World, resources: Sequence[Desired], **more: Any) -> Inputs:
    """Everything that decides, for the project of this world; `more` replaces fields, flags among them."""
    ctx = Context(owner=OWNER, now=NOW, code_sha256=sha256)
    given = {name: more.pop(name) for name in list(more) if name in Context.__dataclass_fields__}
    made = Inputs(
        "prod",
        world.endpoint,
        tuple(resources),
        replace(ctx, **given),
        KINDS,
        scope=Scope(),
        limits=Limits(1_000, 100, 100),
        allow=Allow(empty=True, rename=True),
    )
    return replace(made, **more)


@dataclass(frozen=True)
class Applied:
    """What one run of `apply` planned for each attempt, did, and would report.

    `newly` are the agents that went another way when the service refused the first one.
    """

    plans: tuple[Plan, ...]
    outcomes: tuple[Outcome, ...]
    report: ProjectReport
    newly: frozenset[Key] = frozenset()

    @property
    def first(self) -> Plan:
        """What was shown before anything was done."""
        return self.plans[0]

    @property
    def exit_code(self) -> ExitCode:
        return self.report.exit_code


def ignored(outcome: Outcome) -> None:
    """Nobody looks at the progress."""


async def applied(
    given: Inputs, *, patience: Patience = SHORT, progress: Progress = ignored, stop: Stop | None = None
) -> Applied:
    """Attempts until everything is settled, as `apply` makes them, with short pauses."""
    async with open_pipe(given.endpoint) as pipe:
        ports = {"Agent": AgentPort(pipe, given.project, zipped)}
        plans = [await examine(given, ports)]
        newly: frozenset[Key] = frozenset()
        run = Run(stop or Stop(), progress, patience=patience)
        outcomes: list[Outcome] = []
        for number in range(MOST_ATTEMPTS):
            attempt = await reconcile(given, ports, plans[-1], run)
            outcomes += attempt.outcomes
            newly |= attempt.newly
            run = replace(run, memory=attempt.memory)
            waiting = unsettled(attempt)
            if not waiting or run.stop.asked.is_set() or number == MOST_ATTEMPTS - 1:
                break
            await asyncio.sleep(PAUSE_S)
            plans.append(await examine(given, ports, run.memory, keys=waiting))
            outcomes += settled_meanwhile(plans[-1])
    done = ProjectRun(given.project, given.endpoint, plans[0], tuple(outcomes), last=plans[-1])
    return Applied(tuple(plans), tuple(outcomes), project_report("apply", done, NOW), newly)


def apply(given: Inputs, **more: Any) -> Applied:
    """`applied` for callers without a loop of their own."""
    return asyncio.run(applied(given, **more))


def plan(given: Inputs) -> Plan:
    """What a new process would do now."""

    async def examined() -> Plan:
        async with open_pipe(given.endpoint) as pipe:
            return await examine(given, {"Agent": AgentPort(pipe, given.project, zipped)})

    return asyncio.run(examined())


def everything(world: World) -> Json:
    """All that the service holds of every agent, drafts too, by name."""
    return {
        agent["name"]: {
            "agent": world.live(agent["name"]),
            "versions": list(pages(world, f"/agents/{agent['name']}/versions?include_drafts=true")),
        }
        for agent in pages(world, "/agents?")
    }


def pages(world: World, path: str) -> Iterator[Json]:
    """Every item of a list, whatever the size of a page."""
    after = ""
    while True:
        page = world.call("GET", f"{path}&limit=100{after}")
        yield from page["data"]
        if not page["has_more"]:
            return
        after = f"&after={page['last_id']}"

"""The process that is killed: one `apply` of the story, through the loop of the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import azure.ai.projects.aio
import azure.ai.projects.models  # noqa: F401 - the upload of code imports it; in the parent it is there already

from reconciler.apply import Stop
from reconciler.cli.loop import Looping, apply_until_settled
from reconciler.foundry.agents import AgentPort
from reconciler.foundry.pipeline import open_pipe
from reconciler.reconcile import examine
from tests.crash.story import wanted
from tests.properties.manifests import zipped
from tests.properties.running import ignored, inputs
from tests.world import World


async def _applied(url: str, project: str) -> None:
    # One agent after the other, so that the requests come in the same order every time.
    given = inputs(World(url, project, Path("-")), wanted(), workers=1, retry_failed=True)
    async with open_pipe(given.endpoint) as pipe:
        ports = {"Agent": AgentPort(pipe, given.project, zipped)}
        plan = await examine(given, ports)
        await apply_until_settled(given, ports, plan, Looping(20, Stop(), ignored))


def main(url: str, project: str) -> None:
    """Apply, until done or killed."""
    asyncio.run(_applied(url, project))

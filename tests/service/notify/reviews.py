"""A repository whose pull requests are planned: a real one, a sandbox, and GitHub's stand-in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from reconciler.desired import DesiredProject, Earlier, load_each
from reconciler.kinds.registry import KINDS
from reconciler.loading import Loaded, inputs_of, masker, revision_text
from reconciler.options import Allow
from reconciler.reconcile import Inputs, examine
from reconciler.report import ProjectReport, ProjectRun, project_report
from reconciler.service.config_spec import ForgeSpec, Secret
from reconciler.service.notify.beside_pulls import BesidePulls
from reconciler.service.notify.forges import Forge, open_forge
from reconciler.service.notify.judging import permitted
from reconciler.service.notify.plans import PullPlans
from reconciler.service.store import Store
from reconciler.settings import read
from reconciler.source import open_source
from reconciler.wiring import ports
from tests.service.notify.forge_servers import TOKEN, GitHubServer, served
from tests.service.notify.places import no_pause
from tests.world import World

LINK = "https://r.example.com"


@dataclass
class Review:
    """A repository whose pull requests are planned, and what was examined on the way."""

    world: World
    folder: Path
    server: GitHubServer
    plans: PullPlans
    clock: list[float]
    counted: list[str]
    examined: list[Inputs] = field(default_factory=list)
    environ: Mapping[str, str] = field(default_factory=dict)

    def open(self, number: int, *, home: str = "acme/agents") -> str:
        """A pull request with what is in the work tree now; the work tree is `main` again."""
        self.world.git("checkout", "-q", "--detach")
        head = self.world.commit(f"Request {number}")
        self.world.git("update-ref", f"refs/pull/{number}/head", head)
        self.world.git("checkout", "-q", "main")
        self.server.pulls = [pull for pull in self.server.pulls if pull["number"] != number]
        self.server.pull(number, head, home=home)
        return head

    async def load(self, ref: str) -> Loaded:
        return await asyncio.to_thread(self.read, ref, permitted(self.base().snapshot, self.environ))

    def read(self, ref: str, environ: Mapping[str, str]) -> Loaded:
        url = f"file://{self.world.repo}"
        snapshot = open_source(url, environ={}, ref=ref, cache=self.folder / "cache")
        found = load_each(
            snapshot, environ=environ, kinds=KINDS, earlier=Earlier(), handles=self.plans.handles
        )
        return Loaded(snapshot, found.projects, read({}), revision_text(snapshot), found.broken)

    def base(self) -> Loaded:
        return self.read("main", self.environ)

    async def examine(self, project: DesiredProject, loaded: Loaded) -> ProjectReport:
        settings = project.project
        inputs = inputs_of(loaded, project, Allow())
        self.examined.append(inputs)
        async with ports(settings.name, settings.endpoint, loaded.zipped, loaded.settings) as there:
            plan = await examine(inputs, there)
        run = ProjectRun(settings.name, settings.endpoint, plan, masker=masker(project))
        return project_report("plan", run, int(time.time()))

    async def look(self, **changed: Any) -> str:
        """Plan what moved, in a turn of its own, with such parts of `plans` in place; the newest comment."""
        plans = replace(self.plans, statuses=replace(self.plans.statuses, rest_s=None), **changed)
        await plans.look(self.base())
        bodies = [comment["body"] for comment in self.server.comments.values()]
        return bodies[-1].replace("\r\n", "\n") if bodies else ""

    def said(self, number: int = 7) -> list[tuple[str, str]]:
        """State and description of every status of a request's newest head."""
        (head,) = (pull["head"]["sha"] for pull in self.server.pulls if pull["number"] == number)
        return [(body["state"], body["description"]) for sha, body in self.server.statuses if sha == head]


@asynccontextmanager
async def reviewing(
    world: World, store: Store, session: ClientSession, folder: Path
) -> AsyncIterator[Review]:
    """A forge that listens, and the plans of its requests, whose clock only moves when it is told."""
    server = GitHubServer()
    async with served(server.handle) as url:
        spec = ForgeSpec(provider="github", repository="acme/agents", token=Secret(env="T"), url=url)
        forge: Forge = open_forge(spec, TOKEN, "", session)
        forge._caller = replace(forge._caller, pause=no_pause)  # type: ignore[attr-defined]
        found: Review

        async def load_ref(ref: str) -> Loaded:
            return await found.load(ref)

        async def look_at(project: DesiredProject, loaded: Loaded) -> ProjectReport:
            return await found.examine(project, loaded)

        clock: list[float] = [1_700_000_000.0]
        counted: list[str] = []

        def count(channel: str, result: str) -> None:
            counted.append(f"{channel} {result}")

        statuses = BesidePulls("agents", forge, store, LINK, lambda: clock[0], count)
        plans = PullPlans("agents", "main", forge, store, load_ref, look_at, statuses, link=LINK)
        found = Review(world, folder, server, plans, clock, counted)
        yield found


async def in_line(world: World) -> None:
    """A base that was applied."""
    world.agent("triage")
    world.commit("Base")
    done = await asyncio.to_thread(world.apply, "--project", "prod")
    assert done.exit_code == 0, done.stdout + done.stderr
    world.forget()

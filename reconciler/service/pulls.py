"""One turn of a source's pull requests: what each would do, as a comment on it. Nothing is applied."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import structlog

from reconciler.desired import DesiredProject
from reconciler.errors import ReconcilerError, explain
from reconciler.loading import Loaded, inputs_of, masker, notes_of, problems_of
from reconciler.options import Allow
from reconciler.reconcile import examine
from reconciler.report import ProjectReport, ProjectRun, project_report
from reconciler.service.checkouts import Checkouts
from reconciler.service.config_spec import SourceSpec, seconds
from reconciler.service.connections import Connections
from reconciler.service.deps import Deps
from reconciler.service.engine import Again, Turn
from reconciler.service.notify.beside_pulls import BesidePulls, Tries
from reconciler.service.notify.forges import Forge
from reconciler.service.notify.judging import permitted
from reconciler.service.notify.outbox import Outbox
from reconciler.service.notify.plans import PullPlans
from reconciler.service.source import Checkout

log = structlog.get_logger("reconciler")

# The next part of many pull requests comes this soon, after other keys had their turn.
_NEXT_S: Final = 1.0


class PullTurns:
    """Turns of `pulls/SOURCE`."""

    def __init__(self, deps: Deps, checkouts: Checkouts, connections: Connections, outbox: Outbox) -> None:
        self._deps = deps
        self._checkouts = checkouts
        self._connections = connections
        self._outbox = outbox
        self._tries: dict[str, Tries] = {}
        # By source: when its forge may be asked again, in Unix seconds, where it wanted to be left alone.
        self._resume_at: dict[str, float] = {}

    async def turn(self, turn: Turn) -> Again | None:
        """Plan the pull requests that moved; the next look comes with the source's interval."""
        name = turn.key.removeprefix("pulls/")
        spec = next((spec for spec in self._deps.configured.current.spec.sources if spec.name == name), None)
        forge = self._outbox.forge(name)
        if spec is None or spec.forge is None or not spec.forge.pull_requests or forge is None:
            return None
        rest_s = self._resume_at.get(name, 0.0) - self._deps.now()
        if rest_s > 0:
            return Again(rest_s, "poll")
        statuses = self._statuses(name, forge)
        try:
            base = self._checkouts.newest(name) or await self._checkouts.read(name)
            plans = self._plans(spec, base, statuses)
            if await plans.look(base.loaded) and not statuses.rest_s:
                return Again(_NEXT_S, "more pull requests")
        except ReconcilerError as error:
            # A forge that is away, or a repository: the next look may do better, and nothing depends on it.
            log.warning("pull_requests_unread", source=name, error=explain(error), hint=error.hint)
            statuses.rest_s = getattr(error, "retry_after_s", 0.0) or statuses.rest_s
        rest_s = statuses.rest_s or 0.0
        self._resume_at[name] = self._deps.now() + rest_s
        return Again(max(seconds(spec.interval), rest_s), "poll")

    def _statuses(self, name: str, forge: Forge) -> BesidePulls:
        link = self._deps.configured.current.spec.public_url or ""
        counter = self._deps.metrics.reports

        def count(channel: str, result: str) -> None:
            counter.labels(channel, result).inc()

        return BesidePulls(name, forge, self._deps.store, link, self._deps.now, count)

    def _plans(self, spec: SourceSpec, base: Checkout, statuses: BesidePulls) -> PullPlans:
        """What one look plans with.

        Raises:
            InvalidInput: the base holds no Project that can be read.
        """
        environ = permitted(base.loaded.snapshot, self._checkouts.environ)
        return PullPlans(
            source=spec.name,
            branch=base.ref,
            forge=statuses.forge,
            store=self._deps.store,
            load=lambda ref: self._load(spec.name, ref, environ),
            examine=self._examine,
            statuses=statuses,
            tries=self._tries.setdefault(spec.name, Tries()),
            handles=spec.handles,
            link=statuses.link,
        )

    async def _load(self, source: str, ref: str, environ: Mapping[str, str]) -> Loaded:
        return await asyncio.to_thread(self._checkouts.reader(source).at, ref, environ)

    async def _examine(self, project: DesiredProject, loaded: Loaded) -> ProjectReport:
        settings = project.project
        inputs = inputs_of(loaded, project, Allow())
        async with self._connections.ports(settings.name, settings.endpoint, loaded.zipped) as ports:
            plan = await examine(inputs, ports)
        # What is here although it is invalid would be skipped.
        problems = problems_of(project)
        run = ProjectRun(
            settings.name,
            settings.endpoint,
            plan,
            notes=(*notes_of(loaded, project), *problems),
            skipped=len(problems),
            masker=masker(project),
        )
        return project_report("plan", run, int(time.time()))

"""One turn of a Project: one attempt, as `cli/apply` makes it; what is left over comes by the next turn.

Reads top to bottom: `turn` prepares and keeps what came out, `_attempt` reads, decides and applies.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from reconciler.apply import Outcome, Stop
from reconciler.errors import ReconcilerError, SourceError
from reconciler.live import Ports
from reconciler.loading import failure, masker, notes_of, problems_of
from reconciler.options import Memory
from reconciler.plan import Plan
from reconciler.reconcile import (
    Inputs,
    Run,
    caught_up,
    examine,
    lags,
    reconcile,
    settled_meanwhile,
    unsettled,
)
from reconciler.report import ProjectRun
from reconciler.resource import Key
from reconciler.service.checkouts import Checkouts
from reconciler.service.config_spec import seconds
from reconciler.service.connections import Connections
from reconciler.service.deps import Deps
from reconciler.service.engine import Again, Turn
from reconciler.service.keeping import Keeping
from reconciler.service.orders import approved, asks, over_and_done
from reconciler.service.ran import Ran, Tell
from reconciler.service.records import Approved, ProjectRecord
from reconciler.service.sight import Sight, Sights
from reconciler.service.store import StoreDown
from reconciler.service.tracing import span, step
from reconciler.service.verdicts import Verdicts

log = structlog.get_logger("reconciler")

_BAD: Final = ("failed", "partly", "refused")
# A version takes minutes to start; asking more often than every 10 s tells nothing new.
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 10.0
# After a push only what it changed is looked at, so that it is live at once; all of it follows this soon.
_WHOLE_LOOK_AFTER_S: Final = 5.0
# More than that is read faster as a list.
_MOST_BY_KEY: Final = 200
# Rule P3: before a correction of drift the source's server is asked again, unless it said so just now.
_JUST_NOW_S: Final = 1.0
# A list that is later than this does not lag: somebody changed what we did, and it is done again.
_LAG_S: Final = 60.0


@dataclass
class _Release:
    """What this process knows of a Project between turns: nothing that a restart may not lose."""

    memory: Memory = field(default_factory=Memory)
    commit: str = ""
    first: Plan | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    waiting: frozenset[Key] = frozenset()
    pause_s: float = _FIRST_PAUSE_S
    whole_at: float = -1.0
    learned_at: float = 0.0

    def learn(self, memory: Memory) -> None:
        """Take over what a run learned."""
        if memory != self.memory:
            self.memory, self.learned_at = memory, time.monotonic()

    def forget(self) -> None:
        """Expect no more of the service's lists than what a run did just now (rule P4)."""
        if time.monotonic() - self.learned_at > _LAG_S:
            self.memory = replace(self.memory, floors={}, deleted=frozenset())

    def settled(self) -> None:
        """Nothing waits any more; plans of thousands of agents need not be kept."""
        self.first, self.outcomes, self.waiting = None, [], frozenset()
        self.pause_s = _FIRST_PAUSE_S


@dataclass(frozen=True)
class Beside:
    """Who hears of runs, and what says that the process ends: then no further write starts (rule P7)."""

    tell: Tell
    stopping: asyncio.Event


class ProjectTurns:
    """Turns of `project/NAME`."""

    def __init__(self, deps: Deps, checkouts: Checkouts, connections: Connections, beside: Beside) -> None:
        self._deps = deps
        self._stopping = beside.stopping
        self._checkouts = checkouts
        self._connections = connections
        self._keeping = Keeping(deps, beside.tell)
        self._sights = Sights(deps, checkouts)
        self._verdicts = Verdicts()
        self._releases: dict[str, _Release] = {}

    async def turn(self, turn: Turn) -> Again | None:
        """One attempt at a Project, and when the next one is due."""
        name = turn.key.removeprefix("project/")
        row = await self._deps.store.project(name)
        if row is None or row.removed or row.source not in self._checkouts:
            self._releases.pop(name, None)
            return None
        run = uuid.uuid4().hex[:16]
        bound = structlog.contextvars.bound_contextvars(run=run, project=name)
        with bound, span("run", project=name, run=run) as add:
            started = time.monotonic()
            ran = await self._ran(turn, row, run)
            add(commit=ran.commit, result=ran.result)
            again = self._again(ran)
            reason = await self._keeping.keep(ran, again.after_s)
            result, took_s = ran.result, time.monotonic() - started
            self._deps.metrics.reconciles.labels(name, result).inc()
            self._deps.metrics.reconcile_s.labels(name).observe(took_s)
            say = log.warning if result in _BAD else log.info
            why = {"reason": reason} if reason else {}
            say("run_ended", result=result, commit=ran.commit, took_s=round(took_s, 3), **why)
            return again

    async def _ran(self, turn: Turn, row: ProjectRecord, run: str) -> Ran:
        """The attempt with whatever became of it; only the store's own failures are raised."""
        base = Ran(run, row, turn.reasons, self._deps.now())
        try:
            going = self._releases.get(row.name)
            sight = await self._sights.of(turn, row, going=going.commit if going and going.waiting else "")
        except ReconcilerError as error:
            return replace(base, run=ProjectRun(row.name, row.endpoint, failed=failure(error)), error=error)
        if isinstance(sight, ProjectRun):
            return replace(base, run=sight, commit=row.wanted)
        base = replace(base, commit=sight.commit, hold=sight.orders.hold, opens_at=sight.orders.opens_at)
        settings = sight.project.project
        try:
            async with self._connections.ports(
                settings.name, settings.endpoint, sight.loaded.zipped
            ) as ports:
                return await self._attempt(turn, base, sight, ports)
        except ReconcilerError as error:
            if not isinstance(error, SourceError):
                self._releases.pop(row.name, None)
            failed = ProjectRun(settings.name, settings.endpoint, failed=failure(error))
            return replace(base, run=self._dressed(failed, sight), error=error)

    # One attempt

    async def _attempt(self, turn: Turn, base: Ran, sight: Sight, ports: Ports) -> Ran:
        release = self._releases.setdefault(sight.row.name, _Release())
        if release.commit != sight.commit:
            release.commit, release.memory = sight.commit, replace(release.memory, not_taken={})
            release.settled()
        release.forget()
        began = release.waiting
        keys = self._keys(turn, sight, release)
        inputs = await asyncio.to_thread(sight.inputs, keys, self._verdicts)
        plan = await examine(inputs, ports, release.memory, keys=keys)
        if not keys:
            release.memory = caught_up(plan, release.memory)
        lifted, unused = (None, None) if keys else await self._lifted(sight, inputs, plan)
        if lifted is not None:
            inputs = lifted
            plan = await examine(inputs, ports, release.memory)
        ran = replace(base, inputs=inputs, plan=plan, whole=not keys, unused=unused)
        if not plan.observe:
            try:
                newest = not plan.needs_sdk or await self._newest(sight)
            except SourceError as error:
                await self._deps.engine.trigger(f"source/{sight.row.source}", "unreachable")
                if not began:
                    raise
                release.waiting = began
                return await self._attempt(turn, base, sight.stale(error), ports)
            if not newest:
                ran = replace(ran, superseded=True)
            else:
                if lifted is not None:
                    await self._deps.store.take_approval(sight.row.name)
                ran = await self._applied(turn, ran, ports, release)
        return self._come_to(ran, sight, release)

    def _come_to(self, ran: Ran, sight: Sight, release: _Release) -> Ran:
        """The run with its report, and the release as the next turn finds it."""
        assert ran.plan is not None
        assert ran.inputs is not None
        plan, keys = ran.plan, not ran.whole
        ran = replace(
            ran,
            asked="" if keys else asks(plan, ran.inputs, sight.orders.hold),
            run=self._report(sight, plan, release),
            pins_over=() if keys else over_and_done(sight.orders.split()[1], plan),
        )
        if ran.superseded or ran.interrupted:
            # What this run was about is only half done: the next one looks at everything.
            release.whole_at = -1.0
        elif not keys:
            release.whole_at = time.monotonic()
        if not release.waiting or ran.superseded or ran.interrupted:
            release.settled()
        return ran

    async def _lifted(
        self, sight: Sight, inputs: Inputs, plan: Plan
    ) -> tuple[Inputs | None, Approved | None]:
        """The inputs with what was approved let through, or the approval that is of another plan.

        An approval that lets something through is used up by the first write, and not before: a newer
        commit or a source that is away may still keep this run from it.
        """
        name = sight.row.name
        approval = None if sight.orders.hold else await self._deps.store.approved(name)
        lifted = approved(inputs, plan, approval, self._deps.now())
        if approval is None or lifted is not None:
            return lifted, None
        await self._deps.store.take_approval(name)
        return None, approval

    def _keys(self, turn: Turn, sight: Sight, release: _Release) -> Collection[Key]:
        """Which resources to look at: () for all of them.

        Only what waits, in a release under way; only what a push changed, where the whole was looked at
        lately. Whatever adds or removes agents is judged as a whole. Without the source a release goes on,
        and nothing else (rule V2).
        """
        name = sight.row.name
        if sight.orders.keep and not sight.orders.hold:
            return sorted(release.waiting)
        changed = self._checkouts.take_changes(sight.row.source, name)
        quick = all(reason.startswith(("commit", "requeue")) for reason in turn.reasons)
        recent = time.monotonic() - release.whole_at < 2 * sight.row.interval_s and release.whole_at >= 0
        # What a person is asked for is about the whole plan.
        asking = sight.row.asks or sight.project.project.sync.mode == "observe"
        if not quick or not recent or asking or sight.orders.hold or sight.orders.pins or changed is None:
            release.settled()
            return ()
        keys, known = changed | release.waiting, self._keeping.known(name)
        wanted = {want.key for want in sight.project.resources if want.key in keys}
        if len(keys) > _MOST_BY_KEY or any(key not in wanted or key.local not in known for key in keys):
            release.settled()
            return ()
        return sorted(keys)

    async def _newest(self, sight: Sight) -> bool:
        """Whether this is still the newest commit, asked right before the first write (rule P3)."""
        source = sight.row.source
        if self._checkouts.asked_s_ago(source) < _JUST_NOW_S or sight.orders.keep:
            return True
        head = await self._checkouts.head(source)
        if head in (sight.commit, ""):
            return True
        newest = self._checkouts.newest(source)
        if newest is not None and newest.commit == head:
            return newest.loaded.revision == sight.commit
        await self._deps.engine.trigger(f"source/{source}", "newer commit")
        return False

    async def _applied(self, turn: Turn, ran: Ran, ports: Ports, release: _Release) -> Ran:
        assert ran.plan is not None
        assert ran.inputs is not None
        stop = Stop()
        watching = asyncio.create_task(self._watch(turn, ran.row, stop))
        await self._keeping.begin(ran)
        run = Run(stop, step, memory=release.memory, permit=lambda: self._permit(turn, ran.row))
        try:
            attempt = await reconcile(ran.inputs, ports, ran.plan, run)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        release.learn(attempt.memory)
        went_on = bool(release.waiting)
        release.first = release.first or ran.plan
        # Of what waited, this reading may say that it needs nothing more.
        waited = [outcome for outcome in settled_meanwhile(ran.plan) if outcome.key in release.waiting]
        release.outcomes += [*waited, *attempt.outcomes]
        release.waiting = unsettled(attempt)
        ended, stopping = stop.asked.is_set(), self._stopping.is_set()
        return replace(
            ran,
            outcomes=attempt.outcomes,
            superseded=ended and not stopping,
            interrupted=ended and stopping,
            ends_release=went_on and not release.waiting,
        )

    async def _permit(self, turn: Turn, row: ProjectRecord) -> bool:
        """Whether the next write may start: the Project is still ours, and no newer commit was seen."""
        try:
            if self._stopping.is_set() or not await turn.holds():
                return False
            now = await self._deps.store.project(row.name)
            suspended = await self._deps.store.suspension(row.name)
        except StoreDown:
            # Nobody can say what was seen or wanted meanwhile.
            return False
        if now is None or now.removed or now.source != row.source:
            return False
        return now.wanted == row.wanted and suspended is None

    async def _watch(self, turn: Turn, row: ProjectRecord, stop: Stop) -> None:
        """Ends the run when the Project is lost, or a newer commit was seen meanwhile."""
        lost = asyncio.create_task(turn.lost.wait())
        ends = asyncio.create_task(self._stopping.wait())
        newer = asyncio.create_task(turn.newer.wait())
        try:
            while not stop.asked.is_set():
                await asyncio.wait({lost, ends, newer}, return_when=asyncio.FIRST_COMPLETED)
                if lost.done() or ends.done() or not await self._permit(turn, row):
                    stop.asked.set()
                elif newer.done():
                    turn.newer.clear()
                    newer = asyncio.create_task(turn.newer.wait())
        finally:
            for task in (lost, ends, newer):
                task.cancel()
            await asyncio.gather(lost, ends, newer, return_exceptions=True)

    # What came out

    def _report(self, sight: Sight, plan: Plan, release: _Release) -> ProjectRun:
        settings = sight.project.project
        run = ProjectRun(
            settings.name,
            settings.endpoint,
            release.first or plan,
            tuple(release.outcomes),
            plan,
        )
        return self._dressed(run, sight)

    def _dressed(self, run: ProjectRun, sight: Sight) -> ProjectRun:
        problems = problems_of(sight.project)
        notes = (*notes_of(sight.loaded, sight.project), *problems)
        return replace(
            run,
            notes=notes,
            skipped=len(problems),
            failed=run.failed or sight.failed,
            masker=masker(sight.project),
        )

    def _again(self, ran: Ran) -> Again:
        """When the next turn is due: soon for what waits, later and later for what fails."""
        row, release = ran.row, self._releases.get(ran.row.name)
        spread = random.uniform(0.9, 1.1)
        if ran.superseded or ran.interrupted:
            return Again(_FIRST_PAUSE_S, "superseded")
        if ran.broken:
            backoff = self._deps.configured.current.spec.backoff
            longest_s = min(seconds(backoff.longest), max(row.interval_s, seconds(backoff.first)))
            pause_s = min(seconds(backoff.first) * 2.0 ** min(row.failures, 16), longest_s)
            return Again(pause_s * random.uniform(0.5, 1.0), "retry")
        if release is not None and release.waiting:
            pause_s = release.pause_s
            release.pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
            return Again(pause_s, "requeue")
        # What was written is read once more, so that pages show it; never again and again against a tool that
        # writes the opposite.
        unseen = ran.wrote and ran.reasons != ("check",)
        if not ran.whole or unseen or (ran.plan is not None and lags(ran.plan)):
            return Again(_WHOLE_LOOK_AFTER_S, "check")
        pause_s = row.interval_s * spread
        if ran.opens_at:
            # A closed window opens at a moment, and not at the next look after it.
            pause_s = min(pause_s, max(_FIRST_PAUSE_S, ran.opens_at - self._deps.now()))
        return Again(pause_s, "interval")

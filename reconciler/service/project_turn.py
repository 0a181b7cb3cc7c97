"""One turn of a Project: one attempt, as `cli/apply` makes it; what is left over comes by the next turn.

Reads top to bottom: `turn` prepares and keeps what came out, `_attempt` reads, decides and applies.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

import structlog

from reconciler.apply import Stop
from reconciler.errors import ReconcilerError, SourceError
from reconciler.garbage import collected_later
from reconciler.live import Ports, unless
from reconciler.loading import failure, masker, notes_of, problems_of
from reconciler.plan import Plan
from reconciler.reconcile import (
    Run,
    caught_up,
    decide_beside,
    lags,
    look,
    reconcile,
    settled_meanwhile,
    unsettled,
)
from reconciler.report import ProjectRun
from reconciler.resource import Key, LiveState
from reconciler.service.between import FIRST_PAUSE_S, Release
from reconciler.service.checkouts import Checkouts
from reconciler.service.config_spec import seconds
from reconciler.service.connections import Connections
from reconciler.service.deps import Deps
from reconciler.service.engine import Again, Turn
from reconciler.service.keeping import Keeping
from reconciler.service.orders import approved, asks, begun, covering, over_and_done, without_done
from reconciler.service.permits import Permit
from reconciler.service.ran import Ran, Tell
from reconciler.service.records import ProjectRecord
from reconciler.service.sight import Sight, Sights
from reconciler.service.steps import step_ended
from reconciler.service.store import StoreDown
from reconciler.service.tracing import span
from reconciler.service.verdicts import Verdicts

log = structlog.get_logger("reconciler")

_BAD: Final = ("failed", "partly", "refused")
# After a push only what it changed is looked at, so that it is live at once; all of it follows this soon.
_WHOLE_LOOK_AFTER_S: Final = 5.0
# More than that is read faster as a list.
_MOST_BY_KEY: Final = 200
# Rule P3: before a correction of drift the source's server is asked again, unless it said so just now.
_JUST_NOW_S: Final = 1.0
# Another replica may know a source that this one does not know yet.
_UNKNOWN_S: Final = 60.0


@dataclass(frozen=True)
class Beside:
    """Who hears of runs, and what says that the process ends: then no further write starts (rule P7)."""

    tell: Tell
    stopping: asyncio.Event


class _Interrupted(Exception):
    """The process ends before anything was decided."""


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
        self._releases: dict[str, Release] = {}

    async def turn(self, turn: Turn) -> Again | None:
        """One attempt at a Project, and when the next one is due."""
        name = turn.key.removeprefix("project/")
        row = await self._deps.store.project(name)
        if row is None or row.removed or row.source not in self._checkouts:
            self._releases.pop(name, None)
            return None if row is None or row.removed else Again(_UNKNOWN_S, "interval")
        run = uuid.uuid4().hex[:16]
        bound = structlog.contextvars.bound_contextvars(run=run, project=name)
        with bound, span("run", project=name, run=run) as add:
            started = time.monotonic()
            try:
                ran = await self._ran(turn, row, run)
            except _Interrupted:
                # Whoever comes next has the same reasons to look.
                for reason in turn.reasons:
                    await self._deps.engine.trigger(turn.key, reason)
                return None
            add(commit=ran.about, result=ran.result)
            again = self._again(ran)
            reason = await self._keeping.keep(ran, again.after_s)
            if name in self._releases:
                self._releases[name].run = run
            result, took_s = ran.result, time.monotonic() - started
            self._deps.metrics.reconciles.labels(name, result).inc()
            self._deps.metrics.reconcile_s.labels(name).observe(took_s)
            say = log.warning if result in _BAD else log.info
            why = {"reason": reason} if reason else {}
            say("run_ended", result=result, commit=ran.about, took_s=round(took_s, 3), **why)
            return again

    async def _ran(self, turn: Turn, row: ProjectRecord, run: str) -> Ran:
        """The attempt with whatever became of it; only the store's own failures are raised."""
        base = Ran(run, row, turn.reasons, self._deps.now())
        try:
            release = self._releases.get(row.name)
            sight = await self._sights.of(turn, row, going=release.going(row.revision) if release else None)
        except StoreDown:
            raise
        except ReconcilerError as error:
            return replace(base, run=ProjectRun(row.name, row.endpoint, failed=failure(error)), error=error)
        if isinstance(sight, ProjectRun):
            return replace(base, run=sight, commit=row.wanted)
        base = replace(base, commit=sight.commit, newest=sight.newest)
        base = replace(base, hold=sight.orders.hold, changes_at=sight.changes_at)
        settings = sight.project.project
        try:
            async with self._connections.ports(
                settings.name, settings.endpoint, sight.loaded.zipped
            ) as ports:
                return await self._attempt(turn, base, sight, ports)
        except StoreDown:
            self._releases.pop(row.name, None)
            raise
        except ReconcilerError as error:
            if not isinstance(error, SourceError):
                self._releases.pop(row.name, None)
            failed = ProjectRun(settings.name, settings.endpoint, failed=failure(error))
            return replace(base, run=self._dressed(failed, sight), error=error)

    # One attempt

    async def _attempt(self, turn: Turn, base: Ran, sight: Sight, ports: Ports) -> Ran:
        release = self._releases.setdefault(sight.row.name, Release())
        release.begin(sight)
        began = release.waiting
        served = await self._keeping.served(sight.row)
        keys = self._keys(turn, sight, release)
        release.manual = sight.orders.manual
        inputs = await asyncio.to_thread(sight.inputs, keys, self._verdicts)
        inputs = replace(inputs, ctx=replace(inputs.ctx, served=served))
        with collected_later():
            # It may wait for the service longer than a process that ends has time.
            state = await unless(self._stopping, look(inputs, ports, release.memory, keys))
            if state is None:
                raise _Interrupted
            plan = await decide_beside(inputs, state, release.memory, keys)
        ran = replace(base, inputs=inputs, plan=plan, whole=not keys)
        if not keys:
            release.memory = caught_up(plan, release.memory)
            ran = await self._let_through(ran, sight, state, release)
        assert ran.plan is not None
        if not ran.plan.observe:
            try:
                newest = not ran.plan.needs_sdk or await self._newest(sight)
            except SourceError as error:
                await self._deps.engine.trigger(f"source/{sight.row.source}", "unreachable")
                if not began:
                    raise
                release.waiting = began
                return await self._attempt(turn, base, sight.stale(error), ports)
            if not newest:
                ran = replace(ran, superseded=True)
            else:
                ran = await self._begun(ran)
                for retry in sight.orders.retries if ran.whole else ():
                    await self._deps.store.take_retry(retry.project, retry.resource)
                ran = await self._applied(turn, ran, ports, release)
                await self._used(ran, release)
        return self._come_to(ran, sight, release)

    def _come_to(self, ran: Ran, sight: Sight, release: Release) -> Ran:
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

    async def _let_through(self, ran: Ran, sight: Sight, state: LiveState, release: Release) -> Ran:
        """The run with what a person approved let through, of the very reading that was judged.

        Later turns of the release that it began do the rest of what was approved, and nothing else (rule
        P2), whichever replica has them.
        """
        assert ran.plan is not None
        assert ran.inputs is not None
        approval = sight.orders.approval
        if approval is None or sight.orders.hold:
            return ran
        lifted = approved(ran.inputs, ran.plan, approval, self._deps.now())
        if lifted is not None:
            plan = await decide_beside(lifted, state, release.memory)
            may = covering(approval)
            if not approval.commit or all(may.covers(item) for item in plan.planned):
                return replace(ran, inputs=lifted, plan=plan, approval=approval)
        release.settled()
        await self._deps.store.take_approval(approval)
        return ran if approval.commit else replace(ran, unused=approval)

    async def _begun(self, ran: Ran) -> Ran:
        """The run with its approval used up by what it is about to write, and by nothing else.

        Not before: a newer commit or a source that is away may still keep it from that.
        """
        approval = ran.approval
        if approval is None or approval.commit:
            return ran
        assert ran.inputs is not None
        assert ran.plan is not None
        approval = begun(approval, ran.inputs, ran.plan, self._deps.now())
        await self._deps.store.approve(approval)
        return replace(ran, approval=approval)

    async def _used(self, ran: Ran, release: Release) -> None:
        """Keep of an approval what is not done yet; nothing of it once the release is at its end."""
        approval = ran.approval
        if approval is None:
            return
        if release.waiting or ran.superseded or ran.interrupted or ran.broken:
            left = without_done(approval, ran.outcomes)
            if left != approval:
                await self._deps.store.approve(left)
        else:
            await self._deps.store.take_approval(approval)

    def _keys(self, turn: Turn, sight: Sight, release: Release) -> Collection[Key]:
        """Which resources to look at: () for all of them.

        Only what waits, in a release under way; only what a push changed, where the whole was looked at
        lately. Whatever adds or removes agents is judged as a whole. Without the source a release goes on,
        and nothing else (rule V2).
        """
        name = sight.row.name
        if sight.orders.keep and not sight.orders.hold:
            return sorted(release.waiting)
        changed = self._checkouts.take_changes(sight.row.source, name)
        if sight.orders.approval is not None and sight.orders.approval.commit:
            return ()
        quick = all(reason.startswith(("commit", "requeue")) for reason in turn.reasons)
        recent = time.monotonic() - release.whole_at < 2 * sight.row.interval_s and release.whole_at >= 0
        # What a person is asked for is about the whole plan.
        asking = sight.row.asks or sight.project.project.sync.mode == "observe"
        if not quick or not recent or asking or sight.orders.of_people or changed is None:
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

    async def _applied(self, turn: Turn, ran: Ran, ports: Ports, release: Release) -> Ran:
        assert ran.plan is not None
        assert ran.inputs is not None
        await self._keeping.begin(ran)
        may = covering(ran.approval) if ran.approval else None
        stop = Stop()
        permit = Permit(self._deps.store, turn, ran.row, self._stopping)
        run = Run(stop, step_ended, release.memory, may, permit=permit)
        async with permit.ending(stop):
            attempt = await reconcile(ran.inputs, ports, ran.plan, run)
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

    # What came out

    def _report(self, sight: Sight, plan: Plan, release: Release) -> ProjectRun:
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
            return Again(FIRST_PAUSE_S, "superseded")
        if ran.broken:
            backoff = self._deps.configured.current.spec.backoff
            longest_s = min(seconds(backoff.longest), max(row.interval_s, seconds(backoff.first)))
            pause_s = min(seconds(backoff.first) * 2.0 ** min(row.failures, 16), longest_s)
            # Before the service takes requests again, a turn finds out nothing.
            told_s = self._connections.pause_s(row.endpoint)
            return Again(max(pause_s * random.uniform(0.5, 1.0), told_s), "retry")
        if release is not None and release.waiting:
            return Again(release.pause(), "requeue")
        # What was written is read once more, so that pages show it; never again and again against a tool that
        # writes the opposite.
        unseen = ran.wrote and ran.reasons != ("check",)
        if not ran.whole or unseen or (ran.plan is not None and lags(ran.plan)):
            return Again(_WHOLE_LOOK_AFTER_S, "check")
        pause_s = row.interval_s * spread
        if ran.changes_at:
            # A window opens and a rollback ends at a moment, and not at the next look after it.
            pause_s = min(pause_s, max(FIRST_PAUSE_S, ran.changes_at - self._deps.now()))
        return Again(pause_s, "interval")

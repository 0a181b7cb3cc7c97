"""The flow in one place: read, then decide, then do.

    source → manifest → desired ─┐
                                 ├─ diff → plan → apply → report
                         live  ──┘

`decide` is pure. `examine` reads and decides. `reconcile` makes one attempt: it never sleeps, loops or
remembers; `cli/apply` and the service repeat it, and hand the memory of one attempt to the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.apply import Applying, Outcome, Permit, Progress, Stop, always, apply
from reconciler.attempt import Patience
from reconciler.diff import Scope, diff, looks
from reconciler.garbage import collected_later
from reconciler.guards import IsAncestor, Limits, empty_source, judge_limits, judge_plan
from reconciler.kinds.kind import Action, Change, Context, Registry
from reconciler.live import Ports, deepened, read_all, read_some
from reconciler.options import Allow, Memory
from reconciler.plan import Approval, Plan, Planned, make_plan
from reconciler.policies import Verdict
from reconciler.resource import Desired, Key, Live, LiveState, traffic_text

# Deciding about fewer takes less than a tenth of a second.
_MANY: Final = 1_000
# The reason of a change that was tried, and is not until something moves (rule C5).
NOT_TAKEN: Final = "not taken"


@dataclass(frozen=True)
class Inputs:
    """Everything that decides about one Project beside its live state."""

    project: str
    endpoint: str
    resources: tuple[Desired, ...]
    ctx: Context
    kinds: Registry
    scope: Scope = field(default_factory=Scope)
    limits: Limits = field(default_factory=Limits)
    allow: Allow = field(default_factory=Allow)
    verdicts: tuple[Verdict, ...] = ()
    is_ancestor: IsAncestor = lambda commit: None
    observe: bool = False
    observe_because: str = "the Project is in `mode: observe`"
    workers: int = 32

    @property
    def desired(self) -> Mapping[Key, Desired]:
        return {desired.key: desired for desired in self.resources}


@dataclass(frozen=True)
class Attempt:
    """What one attempt planned, did, and learned for the next; `newly` are agents that now go another way."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    memory: Memory
    newly: frozenset[Key] = frozenset()


def decide(inputs: Inputs, live: LiveState, memory: Memory | None = None, keys: Collection[Key] = ()) -> Plan:
    """The plan for this desired and live state. Pure: the same values give the same plan and digest.

    Args:
        keys: decide about these only; the state then holds nothing else.
    """
    memory = memory or Memory()
    ctx = _remembering(inputs.ctx, memory)
    desired = inputs.desired
    if keys:
        desired = {key: want for key, want in desired.items() if key in keys}
    changes = diff(desired, live, ctx, inputs.kinds, inputs.scope)
    changes = tuple(_lagging(_settled(change, memory), memory) for change in changes)
    verdicts = [*inputs.verdicts, *judge_plan(changes, ctx, inputs.allow, inputs.kinds, inputs.is_ancestor)]
    if not keys:
        # Later attempts see a few resources of a plan whose whole was judged before it was applied.
        verdicts += judge_limits(changes, ctx, inputs.limits)
        verdicts += empty_source(inputs.resources, narrowed=inputs.scope.narrowed, allow=inputs.allow)
    name = (inputs.project, inputs.endpoint)
    return make_plan(name, changes, ctx, verdicts, inputs.kinds, observe=inputs.observe)


async def examine(
    inputs: Inputs, ports: Ports, memory: Memory | None = None, keys: Collection[Key] = ()
) -> Plan:
    """Read what is live and decide; with `keys` only those are read.

    Raises:
        ServiceError: something could not be read; nothing was decided.
    """
    with collected_later():
        state = await look(inputs, ports, memory, keys)
        return await decide_beside(inputs, state, memory, keys)


async def look(
    inputs: Inputs, ports: Ports, memory: Memory | None = None, keys: Collection[Key] = ()
) -> LiveState:
    """Everything that `decide` needs to know of what is live.

    Raises:
        ServiceError: something could not be read.
    """
    state = await (read_some(ports, keys, inputs.workers) if keys else read_all(ports, inputs.project))
    return await _deep_enough(inputs, ports, state, memory or Memory())


async def decide_beside(
    inputs: Inputs, state: LiveState, memory: Memory | None = None, keys: Collection[Key] = ()
) -> Plan:
    """As `decide`; of tens of thousands, which takes a second, beside everything else that goes on."""
    if len(state.items) < _MANY:
        return decide(inputs, state, memory, keys)
    return await asyncio.to_thread(decide, inputs, state, memory, keys)


async def _deep_enough(inputs: Inputs, ports: Ports, state: LiveState, memory: Memory) -> LiveState:
    """Versions are read in two rounds at most: what serves, and only where that is not enough, all."""
    ctx = _remembering(inputs.ctx, memory)
    for _ in range(2):
        wanted = looks(inputs.desired, state, ctx, inputs.kinds, inputs.scope)
        if not wanted:
            break
        state = await deepened(ports, state, wanted, inputs.workers)
    return state


@dataclass(frozen=True)
class Run:
    """The company of one attempt: memory of earlier ones, when to stop, who hears of progress."""

    stop: Stop
    progress: Progress = lambda outcome: None
    memory: Memory = field(default_factory=Memory)
    approval: Approval | None = None
    patience: Patience = field(default_factory=Patience)
    permit: Permit = always


async def reconcile(inputs: Inputs, ports: Ports, plan: Plan, run: Run) -> Attempt:
    """One attempt at a plan that `examine` made: apply it, and say what the next attempt should know."""

    async def replan(planned: Planned, live: Live | None) -> Planned | None:
        items = {} if live is None else {live.key: live}
        state = await _deep_enough(inputs, ports, LiveState(items, complete=True), run.memory)
        again = decide(inputs, state, run.memory, keys=(planned.key,)).planned
        found = next((item for item in again if item.key == planned.key), None)
        if found is None:
            return Planned(planned.change)
        deletes = found.change.action is Action.DELETE
        if found.refused or found.change.held or deletes != (planned.change.action is Action.DELETE):
            return None
        return found if run.approval is None or run.approval.covers(found) else None

    if plan.observe:
        return Attempt(plan, _observed(plan, inputs.observe_because), run.memory)
    applying = Applying(ports, replan, run.stop, run.progress, inputs.workers, run.patience, run.permit)
    outcomes = await apply(plan, applying)
    memory = learned(plan, outcomes, run.memory)
    known = run.memory.selector_refused | run.memory.at_cap
    return Attempt(plan, outcomes, memory, (memory.selector_refused | memory.at_cap) - known)


def _observed(plan: Plan, note: str) -> tuple[Outcome, ...]:
    return tuple(Outcome(step.key, step.name, "skipped", reason="Observe", note=note) for step in plan.steps)


def _remembering(ctx: Context, memory: Memory) -> Context:
    left = {key: ctx.left.get(key, frozenset()) | {version} for key, version in memory.moved.items()}
    return replace(
        ctx, selector_refused=memory.selector_refused, at_cap=memory.at_cap, left={**ctx.left, **left}
    )


def _settled(change: Change, memory: Memory) -> Change:
    """What the service did not take is not tried again until the manifest or live changes (rule C5)."""
    known = memory.not_taken.get(change.key)
    if known is None or change.live is None or known != change.live.fingerprint():
        return change
    return replace(change, action=Action.NONE, reason=NOT_TAKEN)


def _lagging(change: Change, memory: Memory) -> Change:
    """A reading below what this process did itself is the list running late, not a change (rule P4)."""
    floor = memory.floors.get(change.key, 0)
    latest = change.live.latest if change.live else None
    late = floor and (latest is None or latest.order < floor)
    gone = change.key in memory.deleted and change.action is Action.DELETE
    if not late and not gone:
        return change
    note = "the service does not show yet what this run did"
    return replace(change, action=Action.NONE, reason="lag", notes=(note,), fields=())


def learned(plan: Plan, outcomes: tuple[Outcome, ...], memory: Memory) -> Memory:
    """The memory after these outcomes."""
    floors, not_taken = dict(memory.floors), dict(memory.not_taken)
    refused, at_cap, deleted = set(memory.selector_refused), set(memory.at_cap), set(memory.deleted)
    moved = dict(memory.moved)
    live = {planned.key: planned.change.live for planned in plan.planned}
    for outcome in outcomes:
        key = outcome.key
        if outcome.outcome == "moved":
            moved[key] = outcome.version
        if outcome.step == "add-version" and outcome.outcome == "created":
            floors[key] = max(floors.get(key, 0), int(outcome.version))
            deleted.discard(key)
            at_cap.discard(key)
        if outcome.step == "delete-agent" and outcome.outcome == "deleted":
            deleted.add(key)
            # Whoever makes it again starts counting anew.
            floors.pop(key, None)
            moved.pop(key, None)
        moves = outcome.step == "move-traffic"
        if moves and (outcome.status == 400 or outcome.reason == "NotTaken") and key not in refused:
            refused.add(key)
        elif outcome.reason == "NotTaken" and (there := live.get(key)) is not None:
            not_taken[key] = there.fingerprint()
        if outcome.step == "add-version" and _no_room(outcome):
            at_cap.add(key)
    return Memory(frozenset(refused), frozenset(at_cap), floors, not_taken, frozenset(deleted), moved)


def caught_up(plan: Plan, memory: Memory) -> Memory:
    """The memory without what this reading shows: of that no later reading is behind (rule P4).

    A process that lives for weeks would otherwise take an agent that somebody deleted for a late list.
    """
    live = {item.key: item.change.live for item in plan.planned}
    floors = {
        key: floor
        for key, floor in memory.floors.items()
        if (at := live.get(key)) is None or at.latest is None or at.latest.order < floor
    }
    # Where the traffic was somewhere else in between, who moves it back there is not us (rule R5).
    moved = {
        key: version
        for key, version in memory.moved.items()
        if (there := live.get(key)) is not None and traffic_text(there.traffic) == version
    }
    return replace(memory, floors=floors, moved=moved)


def lags(plan: Plan) -> bool:
    """Whether the service does not show everything yet that this process did."""
    return any(item.change.reason == "lag" for item in plan.planned)


def _no_room(outcome: Outcome) -> bool:
    """Whether the service refused a version because there are too many (rule R7).

    Source: HTTP 400 with the code `UserError`, which it also gives for other mistakes, and this text.
    """
    text = " ".join(outcome.error).casefold()
    return outcome.code.casefold() == "usererror" and "too many valid agent revisions" in text


def unsettled(attempt: Attempt) -> frozenset[Key]:
    """The resources that another attempt may bring further: pending, moved meanwhile, or newly allowed."""
    waiting = {
        outcome.key
        for outcome in attempt.outcomes
        if outcome.outcome == "pending" or outcome.reason == "Moved"
    }
    return frozenset(waiting) | attempt.newly


def settled_meanwhile(plan: Plan) -> list[Outcome]:
    """Resources that need nothing any more, or may get nothing: what was said about waiting is over."""
    note = "traffic was moved by somebody meanwhile and is held; --take-traffic moves it"
    return [
        Outcome(planned.key, "read", "skipped", reason="Held", note=note, at=time.monotonic())
        if planned.change.held
        else Outcome(planned.key, "read", "unchanged", at=time.monotonic())
        for planned in plan.planned
        if not planned.steps
        if not planned.refused
        if planned.change.held or planned.change.reason in ("equal", "metadata")
    ]


__all__ = [
    "NOT_TAKEN",
    "Attempt",
    "Inputs",
    "caught_up",
    "decide",
    "decide_beside",
    "examine",
    "lags",
    "learned",
    "look",
    "reconcile",
    "settled_meanwhile",
    "unsettled",
]

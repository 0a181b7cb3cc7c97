"""What people and the clock want of a Project now, laid over what Git wants. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler.apply import Outcome
from reconciler.guards import Limits
from reconciler.kinds.kind import Action
from reconciler.plan import Approval, Plan, approve
from reconciler.policies import Severity
from reconciler.reconcile import Inputs
from reconciler.resource import Desired, Key, digest_of, traffic_text
from reconciler.service.records import Approved, Pin, Retry, Suspension

# What an administrator may let through once, by the rule that refuses it. Ownership, protection and stale
# checkouts are not among it: they say that the service is wrong about what it holds, and no click makes it
# right.
LIFTABLE: Final = {
    "delete-limit": "deletions beyond the limit",
    "update-limit": "updates beyond the limit",
    "empty-source": "deleting everything, since the source is empty",
    "rename-loses-identity": "a rename that loses the agent's identity",
}
# What nobody ran for an hour was looked at too long ago; what a run began is done within that or asked anew.
APPROVAL_S: Final = 3600
_NO_LIMITS: Final = Limits(deletes=10**9, deletes_percent=100, updates_percent=100)


@dataclass(frozen=True)
class Orders:
    """Everything beside Git and the service that decides what a run may do.

    `hold` says why nothing may be written now, "" when it may: suspended, outside of its window, the source
    is stale. `keep` says why nothing may be deleted. `opens_at` is when a closed window opens, 0 for none.
    `manual` says that a person asked for this run, or for the release that it goes on with.
    `retries` are those in force. `approval` may be of another plan than the one there is.
    """

    hold: str = ""
    keep: str = ""
    opens_at: float = 0.0
    manual: bool = False
    pins: tuple[Pin, ...] = ()
    retries: tuple[Retry, ...] = ()
    approval: Approved | None = None
    now: float = 0.0

    @property
    def of_people(self) -> bool:
        """Whether a person's order is about more than what a push changed."""
        return bool(self.hold or self.pins or self.retries or self.approval)

    def split(self) -> tuple[tuple[Pin, ...], tuple[Pin, ...]]:
        """The pins in force, and those that are over."""
        in_force = tuple(pin for pin in self.pins if pin.expires_at > self.now)
        return in_force, tuple(pin for pin in self.pins if pin.expires_at <= self.now)


def hold_of(suspension: Suspension | None, closed: str, stale: str) -> str:
    """Why a Project may not be written now, the strongest reason first; "" when it may."""
    if suspension is not None:
        return (
            f"suspended by {suspension.by}: {suspension.why}"
            if suspension.why
            else (f"suspended by {suspension.by}")
        )
    return closed or stale


def ordered(inputs: Inputs, orders: Orders) -> Inputs:
    """The inputs with rollbacks as pins and failed versions to make again, and nothing written where it is
    held."""
    pins, over = orders.split()
    versions = {Key(inputs.project, *pin.resource.split("/", 1)): pin.version for pin in pins}
    left = {Key(inputs.project, *pin.resource.split("/", 1)): frozenset({pin.version}) for pin in over}
    resources = tuple(_pinned(want, versions) for want in inputs.resources) if versions else inputs.resources
    # An order is used up by a run that looks at everything, which waits for the source.
    retries = () if orders.keep else orders.retries
    retried = frozenset(Key(inputs.project, *retry.resource.split("/", 1)) for retry in retries)
    result = replace(inputs, resources=resources, ctx=replace(inputs.ctx, left=left, retried=retried))
    if orders.keep and result.scope.prune:
        result = replace(result, scope=replace(result.scope, prune=False, kept_because=orders.keep))
    if orders.hold and not result.observe:
        result = replace(result, observe=True, observe_because=orders.hold)
    return result


def _pinned(want: Desired, versions: dict[Key, str]) -> Desired:
    version = versions.get(want.key)
    return want if version is None else replace(want, release=replace(want.release, version=version))


def approval_digest(plan: Plan) -> str:
    """What a person approves: the plan, and the traffic of agents that is held (rule R5)."""
    held = [
        [str(item.key), traffic_text(item.change.live.traffic) if item.change.live else ""]
        for item in plan.planned
        if item.change.held
    ]
    return digest_of([plan.digest, held])


def asks(plan: Plan, inputs: Inputs, hold: str) -> str:
    """What approving this plan would let through, in words; "" when approving changes nothing."""
    if hold:
        return ""
    words = [LIFTABLE[rule] for rule in sorted(_refusals(plan)) if rule in LIFTABLE]
    held = sum(item.change.held for item in plan.planned)
    if held:
        words.append(f"moving traffic of {held} agent{'s' * (held != 1)} back, which somebody moved")
    if inputs.observe and plan.steps:
        count = sum(item.change.action is not Action.NONE for item in plan.planned)
        words.append(f"{count} change{'s' * (count != 1)} of a Project that only observes")
    return "; ".join(words)


def approved(inputs: Inputs, plan: Plan, approval: Approved, now: float) -> Inputs | None:
    """The inputs with what was approved let through; None where it is not of exactly this plan.

    A run that began with it has changed the plan since; its commit may not have changed.
    """
    commit = inputs.ctx.commit
    same = commit == approval.commit if approval.commit else approval_digest(plan) == approval.digest
    return _let_through(inputs, plan) if same and approval.expires_at > now else None


def begun(approval: Approved, inputs: Inputs, plan: Plan, now: float) -> Approved:
    """The approval with which a run begins: from now on it is of these steps at this commit (rule P2)."""
    steps = sorted((key.local, step, form) for key, step, form in approve(plan).steps)
    covers = tuple(map(" ".join, steps))
    return replace(approval, commit=inputs.ctx.commit, covers=covers, expires_at=now + APPROVAL_S)


def covering(approval: Approved) -> Approval:
    """What a run that began with this approval may still do."""
    steps = (line.split(" ") for line in approval.covers)
    keys = ((Key(approval.project, *local.split("/", 1)), step, form) for local, step, form in steps)
    return Approval(frozenset(keys))


def without_done(approval: Approved, outcomes: Sequence[Outcome]) -> Approved:
    """The approval without what was done: what somebody undoes meanwhile is a plan that nobody has seen."""
    done = {(outcome.key.local, outcome.step) for outcome in outcomes if outcome.well}
    done -= {(outcome.key.local, outcome.step) for outcome in outcomes if not outcome.well}
    steps = {line: tuple(line.split(" ")[:2]) for line in approval.covers}
    # Of two steps of one name, outcomes do not tell which was done.
    forms = Counter(steps.values())
    covers = (line for line, step in steps.items() if step not in done or forms[step] > 1)
    return replace(approval, covers=tuple(covers))


def _let_through(inputs: Inputs, plan: Plan) -> Inputs:
    """The inputs without what holds or refuses this plan, as far as a person may lift it."""
    rules = _refusals(plan)
    taken = frozenset(item.key for item in plan.planned if item.change.held)
    return replace(
        inputs,
        observe=False,
        limits=_NO_LIMITS if rules & {"delete-limit", "update-limit"} else inputs.limits,
        allow=replace(
            inputs.allow,
            empty=inputs.allow.empty or "empty-source" in rules,
            rename=inputs.allow.rename or "rename-loses-identity" in rules,
        ),
        ctx=replace(inputs.ctx, taken=inputs.ctx.taken | taken),
    )


def _refusals(plan: Plan) -> set[str]:
    return {verdict.rule for verdict in plan.verdicts if verdict.severity is Severity.REFUSE}


def over_and_done(pins: Sequence[Pin], plan: Plan) -> tuple[Pin, ...]:
    """The pins that are over and whose agents need nothing any more: traffic is where Git wants it, or where
    somebody moved it since."""
    open_ = {item.key.local for item in plan.planned if item.steps or item.refused}
    return tuple(pin for pin in pins if pin.resource not in open_)

"""Carry out a plan: the only writer. Every choice is in the plan; what happened is in the outcomes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from reconciler.attempt import Patience, attempt
from reconciler.errors import NotSent, ReconcilerError, ServiceError, Throttled, explain
from reconciler.kinds.kind import Action, Change
from reconciler.kinds.port import MAY_SEND
from reconciler.live import Ports
from reconciler.plan import Plan, Planned
from reconciler.remedies import remedy
from reconciler.resource import Done, Health, Key, Live, Ref, Step

_WELL: Final = frozenset(
    {"created", "moved", "activated", "updated", "enabled", "disabled", "deleted", "unchanged"}
)

# A write under way at SIGTERM gets this long for its answer; with it the process ends within 5 s (rule P7).
GRACE_S: Final = 3.5


@dataclass(frozen=True)
class Outcome:
    """What one step did, in the past tense, with the reason and the remedy where it did not do it."""

    key: Key
    step: str
    outcome: str
    version: str = ""
    reason: str = ""
    note: str = ""
    hint: str = ""
    error: tuple[str, ...] = ()
    code: str = ""
    status: int | None = None
    request_id: str = ""
    retryable: bool = False
    duration_s: float = 0.0
    at: float = 0.0

    @property
    def well(self) -> bool:
        """Whether the steps after this one may run."""
        return self.outcome in _WELL and self.reason not in ("NotTaken",)

    @property
    def open(self) -> bool:
        """Whether something is left undone; a version that cannot be retired yet is not."""
        return not self.well and not (self.step == "retire-version" and self.outcome == "skipped")


@dataclass
class Stop:
    """Set when the run shall end: no further write starts (rule P7)."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)


# Asked right before each write: whether this run may still write. Another process may have taken over, or a
# newer commit been seen.
Permit = Callable[[], Awaitable[bool]]


async def always() -> bool:
    """The permit of a run that nobody else can end."""
    return True


# Plans one resource again from a fresh reading: the new steps, or None when the reading changes nothing.
Replan = Callable[[Planned, Live | None], Awaitable[Planned | None]]
Progress = Callable[[Outcome], None]


@dataclass(frozen=True)
class Applying:
    """What `apply` needs beside the plan."""

    ports: Ports
    replan: Replan
    stop: Stop
    progress: Progress
    workers: int = 32
    patience: Patience = field(default_factory=Patience)
    permit: Permit = always

    async def may_go_on(self, step: Step[Any]) -> bool:
        """Whether the step may start; reading needs no permit."""
        if self.stop.asked.is_set():
            return False
        if not step.gate and not await self.permit():
            self.stop.asked.set()
            return False
        return True


async def apply(plan: Plan, run: Applying) -> tuple[Outcome, ...]:
    """Carry out every step of the plan that its turn comes for, each resource on its own.

    Deletions come last, and only when everything that was to be created exists (rule D4). A failed step
    stops the steps of its own resource only (rule P7).
    """
    first = [planned for planned in plan.planned if planned.steps and not _deletes(planned)]
    last = [planned for planned in plan.planned if planned.steps and _deletes(planned)]
    outcomes = await _together(first, run)
    # Last, since a step that went well otherwise ends what was said about its agent before.
    outcomes += [_stalled(planned) for planned in plan.planned if is_stalled(planned)]
    if last and not run.stop.asked.is_set():
        waits, helps = _unmade(first, outcomes)
        born = {planned.key for planned in first if _born(planned, outcomes)}
        unborn = [item.key for item in plan.planned if _unborn(item.change) and item.key not in born]
        if waits or unborn:
            outcomes += [_later(planned, waits or unborn, helps=helps) for planned in last]
        else:
            outcomes += await _together(last, run)
    return tuple(sorted(outcomes, key=lambda outcome: (outcome.key, outcome.at)))


def is_stalled(planned: Planned) -> bool:
    """Whether the version to release failed and nothing is done about it (rule R4)."""
    target = planned.change.target
    anew = any(step.name == "add-version" for step in planned.steps)
    return target is not None and target.health is Health.FAILED and not anew


def _stalled(planned: Planned) -> Outcome:
    target = planned.change.target
    failure = target.failure if target else None
    code = failure.code if failure else ""
    return Outcome(
        planned.key,
        "await-active",
        "failed",
        version=target.number if target else "",
        reason=code or "VersionFailed",
        note=planned.change.notes[0] if planned.change.notes else "",
        hint=remedy(code),
        code=code,
        at=time.monotonic(),
    )


def _deletes(planned: Planned) -> bool:
    return planned.change.action is Action.DELETE


def _unborn(change: Change) -> bool:
    """Whether an agent is there and none of its versions has ever become active."""
    live = change.live
    if change.desired is None or live is None or not live.known:
        return False
    return all(version.health is not Health.ACTIVE for version in live.known)


def _born(planned: Planned, outcomes: Sequence[Outcome]) -> bool:
    """Whether this run made a version of the agent and nothing went wrong until it was active."""
    done = [outcome for outcome in outcomes if outcome.key == planned.key]
    return any(outcome.outcome == "created" for outcome in done) and all(outcome.well for outcome in done)


def _unmade(first: Sequence[Planned], outcomes: Sequence[Outcome]) -> tuple[list[Key], bool]:
    """The creations that did not come to their end, and whether waiting can help."""
    bad = {outcome.key: outcome for outcome in outcomes if not outcome.well}
    new = [planned.key for planned in first if planned.change.action is Action.CREATE and planned.key in bad]
    return new, any(bad[key].outcome == "pending" for key in new)


def _later(planned: Planned, waits: list[Key], *, helps: bool) -> Outcome:
    names = ", ".join(key.local for key in waits[:3])
    note = f"deletions wait until everything new is active: {names}"
    word = "pending" if helps else "skipped"
    return Outcome(planned.key, planned.steps[0].name, word, reason="CreatesFirst", note=note)


async def _together(planned: Sequence[Planned], run: Applying) -> list[Outcome]:
    gate = asyncio.Semaphore(run.workers)
    outcomes: list[Outcome] = []
    refusing = False

    async def one(item: Planned) -> None:
        nonlocal refusing
        MAY_SEND.set(lambda: not run.stop.asked.is_set())
        async with gate:
            if run.stop.asked.is_set():
                outcomes.append(_stopped(item.key, item.steps[0].name))
                return
            if refusing:
                outcomes.append(_put_off(item))
                return
            async for outcome in _resource(item, run):
                outcomes.append(outcome)
                run.progress(outcome)
                # It has let this one wait for longer than a write may; the others would do no better.
                refusing = refusing or outcome.reason == "Throttled"

    tasks = {asyncio.create_task(one(item)): item for item in planned}
    stopping = asyncio.create_task(run.stop.asked.wait())
    left: set[asyncio.Task[Any]] = set(tasks)
    try:
        while left - {stopping} and not stopping.done():
            _, left = await asyncio.wait({*left, stopping}, return_when=asyncio.FIRST_COMPLETED)
        left.discard(stopping)
        if left:
            _, left = await asyncio.wait(left, timeout=GRACE_S)
            outcomes += [_cut(tasks[task]) for task in left if task.cancel()]
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(done, Exception):
                raise done
    finally:
        stopping.cancel()
    return outcomes


def _cut(planned: Planned) -> Outcome:
    note = "the run ended before the answer came; the next run finds out by reading"
    return Outcome(planned.key, planned.steps[0].name, "pending", reason="Stopped", note=note, retryable=True)


def _put_off(planned: Planned) -> Outcome:
    note = "the service refuses requests for now, so this was not tried yet"
    return Outcome(
        planned.key, planned.steps[0].name, "pending", reason="Throttled", note=note, retryable=True
    )


def _stopped(key: Key, step: str) -> Outcome:
    note = "the run was asked to stop before this step"
    return Outcome(key, step, "skipped", reason="Stopped", note=note, retryable=True)


async def _resource(planned: Planned, run: Applying) -> Any:
    """The steps of one resource in order, until one does not go well."""
    try:
        fresh = await _checked(planned, run)
    except ServiceError as error:
        yield _failed(planned.steps[0], error, 0.0)
        return
    if isinstance(fresh, Outcome):
        yield fresh
        return
    outputs: dict[str, str] = {}
    for step in fresh.steps:
        if not await run.may_go_on(step):
            yield _stopped(step.key, step.name)
            return
        outcome, made = await _step(step, outputs, run)
        outputs |= made
        yield outcome
        # What cannot be retired now is left for another day; it must not hold up the rest.
        if outcome.open:
            return
    if is_stalled(fresh) and not is_stalled(planned):
        yield _stalled(fresh)


async def _checked(planned: Planned, run: Applying) -> Planned | Outcome:
    """Rule P4: what was planned from is read again right before; once it may be planned anew."""
    for _ in range(2):
        if not planned.writes:
            return planned
        live = await run.ports[planned.key.kind].read(planned.key.name)
        before = planned.change.live.fingerprint() if planned.change.live else None
        if (live.fingerprint() if live else None) == before:
            return planned
        again = await run.replan(planned, live)
        if again is None:
            note = "the live agent changed since the plan was made, and the new plan was not reviewed"
            return Outcome(planned.key, "read", "skipped", reason="Moved", note=note, retryable=True)
        if not again.steps and not is_stalled(again):
            note = "somebody else did it meanwhile"
            return Outcome(planned.key, "read", "unchanged", note=note)
        planned = again
    note = "the live agent keeps changing; the next run decides"
    return Outcome(planned.key, "read", "skipped", reason="Moved", note=note, retryable=True)


async def _step(step: Step[Any], outputs: dict[str, str], run: Applying) -> tuple[Outcome, dict[str, str]]:
    started = time.monotonic()
    filled = replace(step, call=_filled(step.call, outputs))
    try:
        port, again = run.ports[step.key.kind], lambda: run.may_go_on(step)
        done: Done = await attempt(port, filled, run.patience, again)
    except NotSent:
        return _stopped(step.key, step.name), {}
    except ReconcilerError as error:
        return _failed(step, error, time.monotonic() - started), {}
    outcome = Outcome(
        step.key,
        step.name,
        done.outcome,
        version=done.version,
        reason=done.reason,
        note=done.note,
        hint=done.hint,
        code=done.reason if done.outcome == "failed" else "",
        duration_s=round(time.monotonic() - started, 3),
        at=time.monotonic(),
    )
    return outcome, dict(done.outputs)


def _filled(call: Any, outputs: dict[str, str]) -> Any:
    """The call with references to earlier outputs replaced by what they were.

    Raises:
        AssertionError: a reference has no output; the ladder was cut at the wrong place.
    """
    known = {}
    for item in fields(call):
        value = getattr(call, item.name)
        if isinstance(value, Ref):
            assert value.field in outputs, f"{value} has no output"
            known[item.name] = outputs[value.field]
    return replace(call, **known) if known else call


def _failed(step: Step[Any], error: ReconcilerError, took_s: float) -> Outcome:
    service = isinstance(error, ServiceError)
    outcome = Outcome(
        step.key,
        step.name,
        "failed",
        reason=type(error).__name__,
        error=tuple(explain(error)[:2] if service else explain(error)),
        hint=error.hint,
        code=error.code if isinstance(error, ServiceError) else "",
        status=error.status if isinstance(error, ServiceError) else None,
        request_id=error.request_id if isinstance(error, ServiceError) else "",
        retryable=error.retryable,
        duration_s=round(took_s, 3),
        at=time.monotonic(),
    )
    if isinstance(error, Throttled):
        # A refusal says that nothing happened, and that a later attempt may pass.
        return replace(outcome, outcome="pending", reason="Throttled", note=str(error), error=())
    return outcome

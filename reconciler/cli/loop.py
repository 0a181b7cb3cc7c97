"""The loop of `apply`: attempts until everything is settled, the time is up, or somebody says stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from reconciler.apply import Outcome, Progress, Stop
from reconciler.errors import ReconcilerError
from reconciler.live import Ports, unless
from reconciler.loading import failure
from reconciler.plan import Approval, Plan
from reconciler.reconcile import Inputs, Run, examine, reconcile, settled_meanwhile, unsettled
from reconciler.report import ProjectRun

# A version takes minutes to start; asking more often than every 10 s tells nothing new.
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
# At the end of the time there is one more look, for which a service that takes requests needs no longer.
_LAST_LOOK_S = 5.0


@dataclass(frozen=True)
class Looping:
    """How long the loop goes on (`timeout_s`), who may stop it, and what was reviewed."""

    timeout_s: float
    stop: Stop
    progress: Progress
    approval: Approval | None = None


async def apply_until_settled(inputs: Inputs, ports: Ports, plan: Plan, loop: Looping) -> ProjectRun:
    """Apply the plan and go on with what waits; later attempts read only what is not settled."""
    deadline = time.monotonic() + loop.timeout_s
    run = Run(loop.stop, loop.progress, approval=loop.approval)
    outcomes: list[Outcome] = []
    first, pause_s = plan, _FIRST_PAUSE_S
    result = ProjectRun(inputs.project, inputs.endpoint, first)
    while True:
        attempt = await reconcile(inputs, ports, plan, run)
        outcomes += attempt.outcomes
        run = replace(run, memory=attempt.memory)
        result = replace(result, outcomes=tuple(outcomes), last=plan)
        waiting = unsettled(attempt)
        left_s = deadline - time.monotonic()
        if not waiting or left_s <= 0 or await _stopped(loop.stop, min(pause_s, left_s)):
            return result
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
        try:
            looking = examine(inputs, ports, run.memory, keys=waiting)
            seen = await unless(loop.stop.asked, looking, max(deadline - time.monotonic(), _LAST_LOOK_S))
        except ReconcilerError as error:
            return replace(result, failed=failure(error))
        if seen is None:
            return result
        plan, stale = seen, _stale(seen, loop.approval)
        outcomes += stale
        result = replace(result, outcomes=tuple(outcomes), last=plan)
        if stale:
            return result
        outcomes += settled_meanwhile(plan)


async def _stopped(stop: Stop, pause_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.asked.wait(), pause_s)
    return stop.asked.is_set()


def _stale(plan: Plan, approval: Approval | None) -> list[Outcome]:
    """Rule P2: what a later attempt would do must have been among what was reviewed."""
    if approval is None:
        return []
    note = "the next steps were not part of the plan that was reviewed; plan and review again"
    return [
        Outcome(planned.key, planned.steps[0].name, "skipped", reason="Stale", note=note)
        for planned in plan.planned
        if planned.steps and not approval.covers(planned)
    ]


@contextlib.contextmanager
def signals(stop: Stop, say: Callable[[str], None]) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the run in order: no further write starts (rule P7)."""
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if not stop.asked.is_set():
            say("Stopping: no further change starts; what was done is in the report.")
        stop.asked.set()

    handled = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, ask)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)

"""What a Project's run comes to: the last word on each step, counts, and the exit code. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final

from reconciler.apply import Outcome
from reconciler.diff import drifts
from reconciler.kinds.kind import Action, Change
from reconciler.plan import Plan, Planned
from reconciler.resource import Health, Key


class ExitCode(IntEnum):
    """How a run ended, for scripts; of several Projects the first in `_FIRST` counts."""

    DONE = 0
    ERROR = 1
    PENDING = 2
    REFUSED = 3
    PARTLY = 4


_FIRST: Final = (ExitCode.ERROR, ExitCode.PARTLY, ExitCode.REFUSED, ExitCode.PENDING, ExitCode.DONE)


def worst(codes: Sequence[ExitCode]) -> ExitCode:
    """The exit code of a run over several Projects: the first of 1, 4, 3, 2, 0 that occurs."""
    return next((code for code in _FIRST if code in codes), ExitCode.DONE)


@dataclass(frozen=True)
class Course:
    """How a run went: its first and last plan, every outcome, and what was left out as invalid."""

    plan: Plan
    last: Plan
    outcomes: tuple[Outcome, ...]
    failed: bool = False
    skipped: int = 0

    @cached_property
    def final(self) -> list[Outcome]:
        """The last word on each step of each resource."""
        return final_outcomes(self.outcomes)


COUNTS: Final = (
    "add",
    "change",
    "destroy",
    "adopt",
    "unchanged",
    "unmarked",
    "drifted",
    "refused",
    "failed",
    "pending",
)


def final_outcomes(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The last word on each step of each resource: a later attempt's outcome replaces an earlier one's."""
    last: dict[tuple[Key, str], Outcome] = {}
    still_open: defaultdict[Key, set[str]] = defaultdict(set)
    for outcome in outcomes:
        key, step = outcome.key, outcome.step
        if step == "read" or outcome.well:
            # The resource got further: what an earlier attempt said about waiting or moving is over.
            for over in still_open.pop(key, ()):
                del last[key, over]
        last[key, step] = outcome
        (still_open[key].add if outcome.open else still_open[key].discard)(step)
    return list(last.values())


def _counted(planned: Planned) -> str:
    """Under which word of the summary a change counts, "" for none."""
    if planned.refused:
        return "refused"
    change = planned.change
    match change.action:
        case Action.CREATE:
            return "add"
        case Action.DELETE:
            return "destroy"
        case Action.ADOPT:
            return "adopt"
        case Action.UPDATE | Action.MOVE:
            return "change"
        case Action.NONE:
            return "unchanged" if change.desired is not None else ""


def summary(command: str, course: Course) -> dict[str, int]:
    """Counts by the words of `COUNTS`; after an apply only what was really written counts as done."""
    counts: Counter[str] = Counter()
    wrote = {outcome.key for outcome in course.outcomes if _wrote(outcome)}
    for planned in course.plan.planned:
        word = _counted(planned)
        if command == "apply" and word in ("add", "change", "destroy", "adopt") and planned.key not in wrote:
            continue
        counts[word] += 1
        counts["unmarked"] += planned.change.unmarked
        counts["drifted"] += bool(drifts(planned.change))
    if command == "apply":
        counts["failed"] = sum(outcome.outcome == "failed" for outcome in course.final)
        counts["pending"] = sum(outcome.outcome == "pending" for outcome in course.final)
    else:
        counts["failed"] = sum(stalled(planned.change) for planned in course.plan.planned)
        counts["pending"] = sum(creating(planned.change) for planned in course.plan.planned)
    return {word: counts[word] for word in COUNTS}


def _wrote(outcome: Outcome) -> bool:
    return outcome.well and outcome.outcome not in _NO_WRITE


_NO_WRITE: Final = frozenset({"unchanged", "activated", "skipped"})


def stalled(change: Change) -> bool:
    return change.target is not None and change.target.health is Health.FAILED


def creating(change: Change) -> bool:
    return change.target is not None and change.target.health is Health.CREATING


def exit_code(command: str, course: Course) -> ExitCode:
    """The exit code of one Project's run."""
    plan = course.plan
    if course.failed:
        return ExitCode.PARTLY if course.outcomes else ExitCode.ERROR
    if command == "apply":
        return _applied(course)
    drifted = any(drifts(planned.change) for planned in plan.planned)
    if command == "drift":
        return ExitCode.PENDING if drifted else ExitCode.DONE
    if plan.refused:
        return ExitCode.REFUSED
    pending = any(planned.change.action is not Action.NONE for planned in plan.planned)
    return ExitCode.PENDING if pending or drifted or course.skipped else ExitCode.DONE


def _applied(course: Course) -> ExitCode:
    if course.plan.observe:
        return ExitCode.DONE
    if any(outcome.open for outcome in course.final) or course.skipped:
        return ExitCode.PARTLY
    if course.plan.refused:
        wrote = any(_wrote(outcome) for outcome in course.outcomes)
        return ExitCode.PARTLY if wrote else ExitCode.REFUSED
    return ExitCode.DONE

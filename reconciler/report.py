"""What a run found and did, as one value that every output format reads. Status is computed here, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from reconciler.apply import Outcome
from reconciler.diff import drifts
from reconciler.errors import Problem
from reconciler.fields import FieldDiff
from reconciler.kinds.kind import Action, Change, Drift
from reconciler.masking import Masker
from reconciler.plan import Plan, Planned
from reconciler.policies import Verdict
from reconciler.resource import Health, Json

FORMAT: Final = "reconciler.report/v1"


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
class Condition:
    """Ready, Reconciling, Stalled or Drifted for one resource, or for the Project (key "").

    `reason` is one CamelCase word, `message` a sentence, `time` when it was seen, in Unix seconds.
    """

    key: str
    type: str
    status: bool
    reason: str
    message: str
    time: int


@dataclass(frozen=True)
class ChangeReport:
    """One resource that is not simply equal. `origin` is git, live, or both; `place` where Git says it."""

    key: str
    action: str
    reason: str
    origin: str
    drift: tuple[Drift, ...]
    fields: tuple[FieldDiff, ...]
    now: tuple[str, ...]
    later: tuple[str, ...]
    place: str = ""
    refused: bool = False
    held: bool = False
    notes: tuple[str, ...] = ()
    step_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutcomeReport:
    """What one step did. `error` holds the chain of messages, outermost first, () when there was none."""

    key: str
    step: str
    outcome: str
    version: str
    reason: str
    note: str
    hint: str
    error: tuple[str, ...]
    code: str
    request_id: str
    duration_s: float


@dataclass(frozen=True)
class VerdictReport:
    """A policy's or a guard's word on a change; `place` is `file:line:col` or ""."""

    severity: str
    rule: str
    key: str
    message: str
    hint: str
    place: str


@dataclass(frozen=True)
class Failed:
    """Why nothing could be decided: messages outermost first, the remedy, and problems with places."""

    messages: tuple[str, ...]
    hint: str = ""
    problems: tuple[Problem, ...] = ()
    code: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class ProjectReport:
    """One Project's part. Counts are of resources, except `failed` and `pending`, which are of steps."""

    name: str
    endpoint: str
    digest: str
    exit_code: ExitCode
    summary: Mapping[str, int]
    changes: tuple[ChangeReport, ...] = ()
    verdicts: tuple[VerdictReport, ...] = ()
    outcomes: tuple[OutcomeReport, ...] = ()
    conditions: tuple[Condition, ...] = ()
    notes: tuple[Problem, ...] = ()
    failed: Failed | None = None
    observe: bool = False


@dataclass(frozen=True)
class RunReport:
    """A whole run. `revision` is the commit, with `+dirty` for uncommitted changes, "" without Git."""

    command: str
    revision: str
    source: str
    exit_code: ExitCode
    projects: tuple[ProjectReport, ...]
    failed: Failed | None = None


@dataclass(frozen=True)
class ProjectRun:
    """What happened to one Project: its first plan, every outcome, the last plan, or why it failed."""

    name: str
    endpoint: str
    plan: Plan | None = None
    outcomes: tuple[Outcome, ...] = ()
    last: Plan | None = None
    failed: Failed | None = None
    notes: tuple[Problem, ...] = ()
    skipped: int = 0
    masker: Masker = field(default_factory=lambda: Masker(()))


def project_report(command: str, run: ProjectRun, now: int) -> ProjectReport:
    """The report of one Project; everything in it is masked already."""
    plan = run.plan
    if plan is None:
        zero = dict.fromkeys(_COUNTS, 0)
        return ProjectReport(
            run.name, run.endpoint, "", ExitCode.ERROR, zero, notes=run.notes, failed=run.failed
        )
    mask = run.masker
    final = _final_outcomes(run.outcomes)
    return ProjectReport(
        name=run.name,
        endpoint=run.endpoint,
        digest=plan.digest,
        exit_code=_exit_code(command, run, plan, final),
        summary=_summary(command, plan, run.outcomes, final),
        changes=tuple(_change(item, mask) for item in plan.planned if _shown(item)),
        verdicts=tuple(_verdict(verdict, mask) for verdict in plan.verdicts),
        outcomes=tuple(_outcome(outcome, mask) for outcome in run.outcomes),
        conditions=_conditions(run, plan, final, now),
        notes=run.notes,
        failed=run.failed,
        observe=plan.observe,
    )


def run_report(
    command: str, revision: str, source: str, projects: Sequence[ProjectReport], failed: Failed | None = None
) -> RunReport:
    """The report of a run over its Projects, in the order of their names."""
    codes = [project.exit_code for project in projects]
    code = ExitCode.ERROR if failed else worst(codes)
    return RunReport(command, revision, source, code, tuple(sorted(projects, key=_by_name)), failed)


def _by_name(project: ProjectReport) -> str:
    return project.name


_COUNTS: Final = (
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


def _shown(item: Planned) -> bool:
    change = item.change
    return (
        change.action is not Action.NONE
        or bool(change.drift or change.notes or change.held)
        or change.reason not in ("equal", "unmanaged")
    )


def _final_outcomes(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The last word on each step of each resource: a later attempt's outcome replaces an earlier one's."""
    last: dict[tuple[str, str], Outcome] = {}
    for outcome in outcomes:
        if outcome.step == "read" or outcome.well:
            # The resource got further: what an earlier attempt said about waiting or moving is over.
            for known in [k for k, v in last.items() if k[0] == str(outcome.key) and not v.well]:
                del last[known]
        last[(str(outcome.key), outcome.step)] = outcome
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


def _summary(
    command: str, plan: Plan, outcomes: Sequence[Outcome], final: Sequence[Outcome]
) -> dict[str, int]:
    counts: Counter[str] = Counter()
    wrote = {outcome.key for outcome in outcomes if outcome.well and outcome.outcome not in _NO_WRITE}
    for planned in plan.planned:
        word = _counted(planned)
        if command == "apply" and word in ("add", "change", "destroy", "adopt") and planned.key not in wrote:
            continue
        counts[word] += 1
        counts["unmarked"] += planned.change.unmarked
        counts["drifted"] += bool(drifts(planned.change))
    counts["failed"] = sum(outcome.outcome == "failed" for outcome in final)
    counts["pending"] = sum(outcome.outcome == "pending" for outcome in final)
    if not outcomes and command != "apply":
        counts["failed"] = sum(_stalled(planned.change) for planned in plan.planned)
        counts["pending"] = sum(_creating(planned.change) for planned in plan.planned)
    return {word: counts[word] for word in _COUNTS}


_NO_WRITE: Final = frozenset({"unchanged", "activated", "skipped"})


def _stalled(change: Change) -> bool:
    return change.target is not None and change.target.health is Health.FAILED


def _creating(change: Change) -> bool:
    return change.target is not None and change.target.health is Health.CREATING


def _exit_code(command: str, run: ProjectRun, plan: Plan, final: Sequence[Outcome]) -> ExitCode:
    if run.failed is not None:
        return ExitCode.PARTLY if run.outcomes else ExitCode.ERROR
    if command == "apply":
        return _applied(run, plan, final)
    drifted = any(drifts(planned.change) for planned in plan.planned)
    if command == "drift":
        return ExitCode.PENDING if drifted else ExitCode.DONE
    if plan.refused:
        return ExitCode.REFUSED
    pending = any(planned.change.action is not Action.NONE for planned in plan.planned)
    return ExitCode.PENDING if pending or drifted or run.skipped else ExitCode.DONE


def _applied(run: ProjectRun, plan: Plan, final: Sequence[Outcome]) -> ExitCode:
    if plan.observe:
        return ExitCode.DONE
    last = run.last or plan
    wrote = any(outcome.outcome not in _NO_WRITE and outcome.well for outcome in run.outcomes)
    left = any(not outcome.well and outcome.reason != "ActiveSessionsKept" for outcome in final)
    stalled = any(_stalled(planned.change) and not planned.steps for planned in last.planned)
    if left or stalled or run.skipped:
        return ExitCode.PARTLY
    if plan.refused:
        return ExitCode.PARTLY if wrote else ExitCode.REFUSED
    return ExitCode.DONE


def _origin(change: Change) -> str:
    outside = bool(drifts(change))
    if change.pending and outside:
        return "both"
    return "live" if outside else "git"


def _change(planned: Planned, mask: Masker) -> ChangeReport:
    change = planned.change
    return ChangeReport(
        key=str(change.key),
        action=str(change.action),
        reason=change.reason,
        origin=_origin(change),
        drift=tuple(_drift(drift, mask) for drift in change.drift),
        fields=tuple(_field(diff, mask) for diff in change.fields),
        now=tuple(step.text for step in planned.now),
        later=tuple(step.text for step in planned.later),
        place=str(change.desired.place) if change.desired else "",
        refused=planned.refused,
        held=change.held,
        notes=tuple(mask.text(note) for note in change.notes),
        step_names=tuple(step.name for step in planned.steps),
    )


def _field(diff: FieldDiff, mask: Masker) -> FieldDiff:
    return FieldDiff(
        diff.op, diff.path, _masked(diff.desired, diff.path, mask), _masked(diff.live, diff.path, mask)
    )


def _masked(value: Json, pointer: str, mask: Masker) -> Json:
    return mask.json(value, pointer)


def _drift(drift: Drift, mask: Masker) -> Drift:
    fields = tuple(_field(diff, mask) for diff in drift.fields)
    return Drift(drift.what, drift.version, drift.at, drift.by, fields)


def _verdict(verdict: Verdict, mask: Masker) -> VerdictReport:
    return VerdictReport(
        str(verdict.severity),
        verdict.rule,
        str(verdict.key or ""),
        mask.text(verdict.message),
        verdict.hint,
        str(verdict.place or ""),
    )


def _outcome(outcome: Outcome, mask: Masker) -> OutcomeReport:
    return OutcomeReport(
        key=str(outcome.key),
        step=outcome.step,
        outcome=outcome.outcome,
        version=outcome.version,
        reason=outcome.reason,
        note=mask.text(outcome.note),
        hint=outcome.hint,
        error=tuple(mask.text(message) for message in outcome.error),
        code=outcome.code,
        request_id=outcome.request_id,
        duration_s=outcome.duration_s,
    )


def _conditions(run: ProjectRun, plan: Plan, final: Sequence[Outcome], now: int) -> tuple[Condition, ...]:
    """What is not Ready, one condition a resource, and the Project's own Ready at the end."""
    found: dict[str, Condition] = {}
    for planned in (run.last or plan).planned:
        change, key = planned.change, str(planned.key)
        if _stalled(change):
            found[key] = Condition(key, "Stalled", True, *_failure(change), now)
        elif _creating(change):
            text = "the service is still starting the version"
            found[key] = Condition(key, "Reconciling", True, "Creating", text, now)
        elif drift := drifts(change):
            found[key] = Condition(key, "Drifted", True, drift[0].what.capitalize(), change.reason, now)
        elif change.live is not None and change.live.disabled_by:
            text = f"disabled by its {change.live.disabled_by}"
            found[key] = Condition(key, "Ready", False, "DisabledByIdentity", text, now)
    for outcome in final:
        if outcome.well:
            continue
        kind = "Reconciling" if outcome.retryable or outcome.outcome == "pending" else "Stalled"
        text = run.masker.text(outcome.note or (outcome.error[0] if outcome.error else outcome.reason))
        found[str(outcome.key)] = Condition(
            str(outcome.key), kind, True, outcome.reason or "Failed", text, now
        )
    ready = not found and not plan.refused
    reason = "InSync" if ready else "Refused" if plan.refused else "NotInSync"
    return (*found.values(), Condition("", "Ready", ready, reason, "", now))


def _failure(change: Change) -> tuple[str, str]:
    failure = change.target.failure if change.target else None
    if failure is None:
        return "VersionFailed", f"version {change.target.number if change.target else ''} failed"
    return failure.code or "VersionFailed", failure.message

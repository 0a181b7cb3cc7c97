"""What a run found and did, as one value that every output format reads. Status is computed here, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from reconciler.apply import Outcome
from reconciler.diff import drifts
from reconciler.errors import Problem
from reconciler.fields import FieldDiff
from reconciler.kinds.kind import Action, Change, Drift
from reconciler.masking import Masker
from reconciler.plan import Plan, Planned
from reconciler.policies import Verdict
from reconciler.resource import Json
from reconciler.tally import COUNTS, Course, ExitCode, creating, exit_code, stalled, summary, worst

FORMAT: Final = "reconciler.report/v1"

__all__ = ["FORMAT", "ExitCode", "RunReport", "project_report", "run_report", "worst"]


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
        return ProjectReport(
            run.name,
            run.endpoint,
            digest="",
            exit_code=ExitCode.ERROR,
            summary=dict.fromkeys(COUNTS, 0),
            conditions=(Condition("", "Ready", False, "Failed", "", now),),
            notes=run.notes,
            failed=run.failed,
        )
    mask = run.masker
    failed = run.failed is not None
    course = Course(plan, run.last or plan, run.outcomes, failed, run.skipped)
    return ProjectReport(
        name=run.name,
        endpoint=run.endpoint,
        digest=plan.digest,
        exit_code=exit_code(command, course),
        summary=summary(command, course),
        changes=tuple(_change(item, mask) for item in plan.planned if _shown(item)),
        verdicts=tuple(_verdict(verdict, mask) for verdict in plan.verdicts),
        outcomes=tuple(_outcome(outcome, mask) for outcome in run.outcomes),
        conditions=_conditions(course, mask, now),
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


def _shown(item: Planned) -> bool:
    change = item.change
    return (
        change.action is not Action.NONE
        or bool(change.drift or change.notes or change.held)
        or change.reason not in ("equal", "unmanaged")
    )


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


def _conditions(course: Course, mask: Masker, now: int) -> tuple[Condition, ...]:
    """What is not Ready, one condition a resource, and the Project's own Ready at the end."""
    found: dict[str, Condition] = {}
    for planned in _latest(course):
        change, key = planned.change, str(planned.key)
        if stalled(change):
            reason, text = _failure(change)
            found[key] = Condition(key, "Stalled", True, mask.text(reason), mask.text(text), now)
        elif creating(change):
            text = "the service is still starting the version"
            found[key] = Condition(key, "Reconciling", True, "Creating", text, now)
        elif drift := drifts(change):
            found[key] = Condition(key, "Drifted", True, drift[0].what.capitalize(), change.reason, now)
        elif change.live is not None and change.live.disabled_by:
            text = f"disabled by its {change.live.disabled_by}"
            found[key] = Condition(key, "Ready", False, "DisabledByIdentity", text, now)
    for outcome in course.final:
        if not outcome.open:
            continue
        kind = "Reconciling" if outcome.retryable or outcome.outcome == "pending" else "Stalled"
        text = mask.text(outcome.note or (outcome.error[0] if outcome.error else outcome.reason))
        found[str(outcome.key)] = Condition(
            str(outcome.key), kind, True, outcome.reason or "Failed", text, now
        )
    ready = not (found or course.plan.refused or course.failed)
    bad = "Failed" if course.failed else "Refused" if course.plan.refused else "NotInSync"
    reason = "InSync" if ready else bad
    return (*found.values(), Condition("", "Ready", ready, reason, "", now))


def _latest(course: Course) -> list[Planned]:
    """Each resource as it was last looked at."""
    later = {planned.key: planned for planned in course.last.planned}
    return [later.get(planned.key, planned) for planned in course.plan.planned]


def _failure(change: Change) -> tuple[str, str]:
    failure = change.target.failure if change.target else None
    if failure is None:
        return "VersionFailed", f"version {change.target.number if change.target else ''} failed"
    return failure.code or "VersionFailed", failure.message

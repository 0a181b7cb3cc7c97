"""What is wrong in a report, as a flat list with places: for annotations, build logs and code scanning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from reconciler.errors import Problem
from reconciler.render import words
from reconciler.render.words import clean
from reconciler.report import ChangeReport, Failed, OutcomeReport, ProjectReport, RunReport, VerdictReport

LEVELS: Final = ("error", "warning", "note")
_EDITED: Final = "Bring the edit into Git, or apply to put back what Git says."
_HELD: Final = "Pin the version in Git with `release.version`, or apply with --take-traffic."


@dataclass(frozen=True)
class Issue:
    """One thing to look at. `level` is error, warning or note; `file` is "" where Git has no place for it.

    Every text is clean: one line, nothing invisible.
    """

    level: str
    rule: str
    key: str
    message: str
    hint: str = ""
    file: str = ""
    line: int = 0
    column: int = 0


def issues(report: RunReport) -> list[Issue]:
    """Everything to look at, errors first, otherwise in the order of the report."""
    found = list(_failed(report.failed)) if report.failed else []
    for project in report.projects:
        found += _project(report.command, project)
    return sorted(found, key=lambda issue: LEVELS.index(issue.level))


def _project(command: str, project: ProjectReport) -> Iterator[Issue]:
    if project.failed:
        yield from _failed(project.failed)
    places = {change.key: change.place for change in project.changes}
    for verdict in project.verdicts:
        yield _verdict(verdict)
    for outcome in words.lasting(project.outcomes):
        if outcome.outcome in ("failed", "skipped", "pending") and outcome.reason != "Observe":
            yield _outcome(outcome, places.get(outcome.key, ""))
    told = {outcome.key for outcome in project.outcomes}
    for condition in project.conditions:
        if condition.key and condition.key not in told and condition.type == "Stalled":
            text = f"{condition.key} is stalled, {condition.reason}: {condition.message}"
            yield _at(places.get(condition.key, ""), "error", "stalled", condition.key, text)
    if command != "apply":
        for change in project.changes:
            yield from _drift(change)
    for note in project.notes:
        yield _problem(note)


def _failed(failed: Failed) -> Iterator[Issue]:
    for problem in failed.problems:
        yield _problem(problem)
    if not failed.problems:
        ids = [f"request id {failed.request_id}"] if failed.request_id else []
        text = ": ".join([*failed.messages, *ids])
        yield Issue("error", "not-decided", "", clean(text), clean(failed.hint))


def _problem(problem: Problem) -> Issue:
    text = f"{problem.path}: {problem.message}" if problem.path else problem.message
    place = problem.place
    level = "note" if problem.note else "error"
    rule = "manifest-note" if problem.note else "invalid-manifest"
    return Issue(
        level, rule, "", clean(text), clean(problem.hint), clean(place.file), place.line, place.column
    )


def _verdict(verdict: VerdictReport) -> Issue:
    level = {"refuse": "error", "warn": "warning"}.get(verdict.severity, "note")
    return _at(verdict.place, level, verdict.rule, verdict.key, words.verdict_text(verdict), verdict.hint)


def _outcome(outcome: OutcomeReport, place: str) -> Issue:
    level = "error" if outcome.outcome == "failed" else "warning"
    said = [words.done_text(outcome), *outcome.error]
    said += [words.note_text(outcome)] if words.note_text(outcome) else []
    said += [f"request id {outcome.request_id}"] if outcome.request_id else []
    text = f"{outcome.key}: {': '.join(said)}"
    return _at(place, level, f"{outcome.outcome}-step", outcome.key, text, outcome.hint)


def _drift(change: ChangeReport) -> Iterator[Issue]:
    for drift in change.drift:
        if drift.what != "unmanaged":
            text = f"{change.key} {words.drift_text(drift)}"
            hint = _HELD if change.held else _EDITED
            yield _at(change.place, "warning", f"drift-{drift.what}", change.key, text, hint)


def _at(place: str, level: str, rule: str, key: str, text: str, hint: str = "") -> Issue:
    file, line, column = placed(place)
    return Issue(level, clean(rule), clean(key), clean(text), clean(hint), clean(file), line, column)


def placed(place: str) -> tuple[str, int, int]:
    """File, line and column of `file:line:col`, ("", 0, 0) for anything else."""
    parts = place.rsplit(":", 2)
    if len(parts) != 3 or parts[0] in ("", "-") or not (parts[1].isdecimal() and parts[2].isdecimal()):
        return "", 0, 0
    return parts[0], int(parts[1]), int(parts[2])


def capped(found: list[Issue], level: str, most: int) -> tuple[list[Issue], int]:
    """The issues of a level that a platform shows, and how many it would drop."""
    mine = [issue for issue in found if issue.level == level]
    # Platforms drop silently what is too much, so the last place goes to saying how many there are.
    kept = mine if len(mine) <= most else mine[: most - 1]
    return kept, len(mine) - len(kept)

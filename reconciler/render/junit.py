"""The report as JUnit XML: a suite for each Project, a test case for each resource and verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from reconciler.render import blocks, words
from reconciler.render.values import Line
from reconciler.render.words import clean, without_command
from reconciler.report import ChangeReport, Failed, OutcomeReport, ProjectReport, RunReport

_WIDTH = 120


@dataclass(frozen=True)
class _Case:
    """One test case. `fate` is "", failure, error or skipped; `message` one line, `text` the details."""

    name: str
    group: str
    fate: str = ""
    message: str = ""
    text: str = ""
    took_s: float = 0.0


def junit(report: RunReport) -> str:
    """Drift, refusals and failed steps are failures; what could not be decided is an error."""
    root = ET.Element("testsuites", name=f"reconciler {clean(report.command)}")
    if report.failed is not None:
        _suite(root, "reconciler", [_decided("reconciler", report.failed)])
    for project in report.projects:
        _suite(root, project.name, list(_cases(report.command, project)))
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode", short_empty_elements=True)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _suite(root: ET.Element, name: str, cases: Sequence[_Case]) -> None:
    suite = ET.SubElement(root, "testsuite", name=clean(name), tests=str(len(cases)))
    for word in ("failure", "error", "skipped"):
        count = sum(case.fate == word for case in cases)
        suite.set(word if word == "skipped" else word + "s", str(count))
    suite.set("time", f"{sum(case.took_s for case in cases):.3f}")
    for case in cases:
        _case(suite, case)


def _case(suite: ET.Element, case: _Case) -> None:
    element = ET.SubElement(
        suite, "testcase", classname=case.group, name=case.name, time=f"{case.took_s:.3f}"
    )
    if case.fate:
        found = ET.SubElement(element, case.fate, message=case.message)
        found.text = case.text
    elif case.text:
        ET.SubElement(element, "system-out").text = case.text


def _cases(command: str, project: ProjectReport) -> Iterator[_Case]:
    yield _decided(project.name, project.failed)
    outcomes: dict[str, list[OutcomeReport]] = {}
    for outcome in words.lasting(project.outcomes):
        outcomes.setdefault(outcome.key, []).append(outcome)
    for change in project.changes:
        if not words.is_unmanaged(change):
            yield _resource(command, change, outcomes.pop(change.key, []))
    for key, done in outcomes.items():
        yield _outcomes(key, done)
    for verdict in project.verdicts:
        refused = verdict.severity == "refuse"
        text = _text(blocks.verdict_lines([verdict]))
        key = clean(verdict.key or project.name)
        message = clean(verdict.message)
        fate = "failure" if refused else ""
        yield _Case(f"{key} {clean(verdict.rule)}", "policies", fate, message if refused else "", text)


def _decided(name: str, failed: Failed | None) -> _Case:
    if failed is None:
        return _Case(f"{clean(name)} can be decided", "projects")
    message = clean(failed.messages[0]) if failed.messages else "it failed"
    text = _text(blocks.failed_lines(failed))
    return _Case(f"{clean(name)} can be decided", "projects", "error", message, text)


def _resource(command: str, change: ChangeReport, done: list[OutcomeReport]) -> _Case:
    """One resource: what was done to it decides; else whether it was refused or drifted."""
    lines = [*blocks.drift_lines(change, _WIDTH), *blocks.change_lines(change, _WIDTH)]
    name, drift = clean(change.key), [drift for drift in change.drift if drift.what != "unmanaged"]
    if done:
        case = _outcomes(change.key, done)
        return _Case(name, "resources", case.fate, case.message, f"{_text(lines)}\n{case.text}", case.took_s)
    if change.refused:
        return _Case(name, "resources", "failure", words.heading(change), _text(lines))
    if drift and (command != "apply" or change.held):
        return _Case(name, "resources", "failure", f"{name} {words.drift_text(drift[0])}", _text(lines))
    return _Case(name, "resources", text=_text(lines))


def _outcomes(key: str, done: list[OutcomeReport]) -> _Case:
    text, took_s = _text(blocks.outcome_lines(done)), sum(outcome.duration_s for outcome in done)
    for word, fate in (("failed", "failure"), ("pending", "skipped"), ("skipped", "skipped")):
        for outcome in done:
            if outcome.outcome == word:
                why = clean(outcome.error[0]) if outcome.error else words.note_text(outcome)
                message = f"{words.done_text(outcome)}: {why}" if why else words.done_text(outcome)
                return _Case(clean(key), "resources", fate, message, text, took_s)
    return _Case(clean(key), "resources", text=text, took_s=took_s)


def _text(lines: Iterable[Line]) -> str:
    return "\n".join(_line(line) for line in lines)


def _line(line: Line) -> str:
    mark = f"{line.mark} " if line.mark else ""
    tail = f"  {line.tail}" if line.tail else ""
    return without_command(f"{' ' * line.indent}{mark}{line.text}{tail}")

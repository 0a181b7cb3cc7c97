"""The parts of one Project's report that have something to say, titled, in reading order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reconciler.render import blocks, words
from reconciler.render.closing import planned_line
from reconciler.render.values import Line
from reconciler.render.words import plural
from reconciler.report import ChangeReport, ExitCode, ProjectReport


@dataclass(frozen=True)
class Part:
    """Lines under a title, which may be empty. An `urgent` one says why the run did not do what was asked."""

    title: str
    lines: list[Line]
    urgent: bool = False


def parts(command: str, project: ProjectReport, width: int) -> list[Part]:
    """Everything to say about one Project; what stopped it comes last, next to the closing line."""
    found = [
        Part("Notes on the manifests", blocks.problem_lines(project.notes)),
        Part("Changed outside of Git since the last apply", _drift(project.changes, width)),
        *_planned(command, project, width),
        Part("What was done", blocks.outcome_lines(words.lasting(project.outcomes))),
        Part("Not ready", blocks.condition_lines(project)),
        *_verdicts(command, project),
        Part("", blocks.failed_lines(project.failed) if project.failed else [], urgent=True),
    ]
    return [part for part in found if part.lines]


def _drift(changes: Sequence[ChangeReport], width: int) -> list[Line]:
    return _apart(blocks.drift_lines(change, width) for change in changes)


def _apart(groups: Iterable[list[Line]]) -> list[Line]:
    """Groups with an empty line between them."""
    lines: list[Line] = []
    for group in groups:
        if group:
            lines += [*([Line()] if lines else []), *group]
    return lines


def _planned(command: str, project: ProjectReport, width: int) -> Iterator[Part]:
    """Changes, what stays as it is, and other people's agents; `drift` only counts the changes."""
    acting = [change for change in project.changes if words.acts(change)]
    others = [change for change in project.changes if words.is_unmanaged(change)]
    if command == "drift":
        pending = [change for change in acting if change.origin != "live"]
        if pending:
            count = plural(len(pending), "change is", "changes are")
            yield Part("", [Line(f"{count} pending in Git, see `reconciler plan`", style="dim")])
    else:
        steps = command != "apply" or project.observe
        title = "Planned changes" if command == "apply" else "Changes that apply would make"
        yield Part(title, _apart(blocks.change_lines(change, width, steps=steps) for change in acting))
        left = [change for change in project.changes if _left(change)]
        yield Part("Left as they are", blocks.left_lines(left))
    if others:
        yield Part("", [blocks.unmanaged_line(others)])


def _left(change: ChangeReport) -> bool:
    return not words.acts(change) and not change.drift and not words.is_unmanaged(change)


def _verdicts(command: str, project: ProjectReport) -> Iterator[Part]:
    """Warnings first, refusals last; `drift` answers one question only."""
    if command == "drift":
        return
    if project.observe:
        yield Part("", [Line("Mode observe: apply writes nothing in this Project.", style="dim", hang=0)])
    for severity, title in (("info", "Good to know"), ("warn", "Warnings"), ("refuse", "Refused")):
        found = [verdict for verdict in project.verdicts if verdict.severity == severity]
        if severity == "refuse" and command == "plan" and project.exit_code is ExitCode.REFUSED:
            # What is refused may be one of a hundred changes: say what the plan is all the same.
            yield Part("", [Line(planned_line(project.summary), style="bold")])
        yield Part(title, blocks.verdict_lines(found), urgent=severity == "refuse")

"""The report for a person at a terminal or in a log; colours only where asked for."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from reconciler.render import blocks, words
from reconciler.render.values import Line
from reconciler.render.words import clean, plural
from reconciler.report import ChangeReport, ExitCode, ProjectReport, RunReport

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "add": "32",
    "remove": "31",
    "change": "33",
    "move": "36",
    "warn": "33",
    "bad": "1;31",
    "good": "1;32",
    "hint": "36",
}


def text(report: RunReport, *, color: bool, width: int) -> str:
    """The report as text, its last line the one that scripts and people look for."""
    width = max(width, 40)
    lines = _header(report)
    for project in report.projects:
        lines += _project(report, project, width)
    if report.failed is not None:
        lines += [*blocks.failed_lines(report.failed), Line()]
    if len(report.projects) > 1:
        lines += _table(report)
    lines.append(Line(words.closing(report), style=_closing_style(report.exit_code)))
    return "".join(f"{line}\n" for line in _painted(_calm(lines), width, color))


def _closing_style(code: ExitCode) -> str:
    return {ExitCode.DONE: "good", ExitCode.PENDING: "bold"}.get(code, "bad")


def _header(report: RunReport) -> list[Line]:
    if not report.revision:
        return []
    commit, _, dirty = report.revision.partition("+")
    note = " with uncommitted changes" if dirty else ""
    return [Line(f"Commit {clean(commit[:12])}{note}", style="dim"), Line()]


def _project(report: RunReport, project: ProjectReport, width: int) -> list[Line]:
    several = len(report.projects) > 1
    lines: list[Line] = []
    if several:
        lines = [Line(f"Project {clean(project.name)}", style="bold", tail=clean(project.endpoint)), Line()]
    for title, block in _blocks(report.command, project, width):
        lines += [Line(title, style="bold"), Line()] if title else []
        lines += [*block, Line()]
    if several and len(lines) == 2:
        lines += [Line(words.result_word(report.command, project.exit_code), indent=2, style="dim"), Line()]
    return lines


Block = tuple[str, list[Line]]


def _blocks(command: str, project: ProjectReport, width: int) -> Iterable[Block]:
    """The parts of one Project that have something to say, in reading order."""
    found = [
        ("Notes on the manifests", blocks.problem_lines(project.notes)),
        ("Changed outside of Git since the last apply", _drift(project.changes, width)),
        *_planned(command, project, width),
        ("What was done", blocks.outcome_lines(project.outcomes)),
        ("Not ready", blocks.condition_lines(project)),
        ("", blocks.failed_lines(project.failed) if project.failed else []),
        *_verdicts(command, project),
    ]
    return [(title, block) for title, block in found if block]


def _drift(changes: Sequence[ChangeReport], width: int) -> list[Line]:
    return _apart(blocks.drift_lines(change, width) for change in changes)


def _apart(groups: Iterable[list[Line]]) -> list[Line]:
    """Groups with an empty line between them."""
    lines: list[Line] = []
    for group in groups:
        if group:
            lines += [*([Line()] if lines else []), *group]
    return lines


def _planned(command: str, project: ProjectReport, width: int) -> Iterable[Block]:
    """Changes, what stays as it is, and other people's agents; `drift` only counts the changes."""
    changes = project.changes
    acting = [change for change in changes if words.acts(change)]
    others = [change for change in changes if words.is_unmanaged(change)]
    left = [
        change
        for change in changes
        if not words.acts(change) and not change.drift and not words.is_unmanaged(change)
    ]
    if command == "drift":
        pending = [change for change in acting if change.origin != "live"]
        count = plural(len(pending), "change") + (" is" if len(pending) == 1 else " are")
        yield "", [Line(f"{count} pending in Git, see `reconciler plan`", style="dim")] if pending else []
    else:
        steps = command != "apply" or project.observe
        title = "Planned changes" if command == "apply" else "Changes that apply would make"
        yield title, _apart(blocks.change_lines(change, width, steps=steps) for change in acting)
        yield "Left as they are", blocks.left_lines(left)
    yield "", [blocks.unmanaged_line(others)] if others else []


def _verdicts(command: str, project: ProjectReport) -> Iterable[Block]:
    """Warnings first, refusals last, next to the last line; `drift` answers one question only."""
    if command == "drift":
        return
    refused = [verdict for verdict in project.verdicts if verdict.severity == "refuse"]
    others = [verdict for verdict in project.verdicts if verdict.severity != "refuse"]
    yield "Warnings", blocks.verdict_lines(others)
    yield "Refused", blocks.verdict_lines(refused)


_COLUMNS: Final = ("add", "change", "destroy", "adopt", "drifted", "refused", "failed", "pending")
_ALWAYS: Final = frozenset({"add", "change", "destroy"})


def _table(report: RunReport) -> list[Line]:
    """One row a Project, with the columns that have a number somewhere."""
    total = words.totals(report.projects)
    columns = [column for column in _COLUMNS if column in _ALWAYS or total.get(column)]
    names = max(len("Project"), *(len(clean(project.name)) for project in report.projects))
    head = f"{'Project':<{names}}  " + "  ".join(columns) + "  result"
    lines = [Line(head, style="dim")]
    for project in report.projects:
        cells = "  ".join(f"{project.summary.get(column, 0):>{len(column)}}" for column in columns)
        result = words.result_word(report.command, project.exit_code)
        lines.append(Line(f"{clean(project.name):<{names}}  {cells}  {result}"))
    return [*lines, Line()]


def _calm(lines: list[Line]) -> list[Line]:
    """Never two empty lines in a row, none at the start."""
    kept: list[Line] = []
    for line in lines:
        if line.text or (kept and kept[-1].text):
            kept.append(line)
    return kept


def _painted(lines: Iterable[Line], width: int, color: bool) -> Iterable[str]:
    for line in lines:
        if not line.text:
            yield ""
            continue
        yield from _one(line, width, color)


def _one(line: Line, width: int, color: bool) -> Iterable[str]:
    lead = " " * line.indent
    symbol = ""
    if line.mark:
        symbol = _paint(line.mark, blocks.style_of(line.mark), color) + " "
    style = line.style or (blocks.style_of(line.mark) if line.mark in ("+", "-") else "")
    used = line.indent + (2 if line.mark else 0)
    parts = [line.text]
    if line.hang >= 0 and used + len(line.text) > width:
        parts = textwrap.wrap(
            line.text,
            max(width - used, 24),
            subsequent_indent="",
            break_long_words=False,
            break_on_hyphens=False,
        )
    tail = f"  {line.tail}" if line.tail else ""
    rest = " " * max(line.indent + line.hang, 0)
    for number, part in enumerate(parts):
        start = lead + symbol if not number else rest
        end = ""
        if number == len(parts) - 1 and tail:
            if line.hang < 0 or len(part) + used + len(tail) <= width:
                end = _paint(tail, "dim", color)
            else:
                yield start + _paint(part, style, color)
                yield rest + _paint(line.tail, "dim", color)
                return
        yield start + _paint(part, style, color) + end


def _paint(text: str, style: str, color: bool) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if color and style in _CODES else text

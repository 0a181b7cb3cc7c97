"""The report for a person at a terminal or in a log; colours only where asked for."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Final

from reconciler.render import blocks, words
from reconciler.render.closing import closing
from reconciler.render.parts import parts
from reconciler.render.values import Line
from reconciler.render.words import clean, without_command
from reconciler.report import ExitCode, ProjectReport, RunReport

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
    lines.append(Line(closing(report), style=_closing_style(report.exit_code)))
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
    for part in parts(report.command, project, width):
        lines += [Line(part.title, style="bold"), Line()] if part.title else []
        lines += [*part.lines, Line()]
    if several and len(lines) == 2:
        lines += [Line(words.result_word(report.command, project.exit_code), indent=2, style="dim"), Line()]
    return lines


def _table(report: RunReport) -> list[Line]:
    """One row a Project, with the columns that have a number somewhere."""
    columns, rows = words.table(report)
    names = max(len("Project"), *(len(name) for name, _, _ in rows))
    head = f"{'Project':<{names}}  " + "  ".join(columns) + "  result"
    lines = [Line(head, style="dim")]
    for name, counts, result in rows:
        cells = "  ".join(f"{count:>{len(column)}}" for column, count in zip(columns, counts, strict=True))
        lines.append(Line(f"{name:<{names}}  {cells}  {result}"))
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
    """A line as it is printed, wrapped where it says how its rest hangs."""
    symbol = _paint(line.mark, blocks.style_of(line.mark), color) + " " if line.mark else ""
    style = line.style or (blocks.style_of(line.mark) if line.mark in ("+", "-") else "")
    used = line.indent + (2 if line.mark else 0)
    hanging = " " * (used + max(line.hang, 0))
    shown = _wrapped(line, width - used) or [""]
    tail = _paint(f"  {line.tail}", "dim", color) if line.tail else ""
    if tail and line.hang >= 0 and len(shown[-1]) + used + 2 + len(line.tail) > width:
        tail, below = "", hanging + _paint(line.tail, "dim", color)
    else:
        below = ""
    for number, part in enumerate(shown):
        lead = hanging if number else " " * line.indent + symbol
        end = tail if number == len(shown) - 1 else ""
        yield (lead + _paint(without_command(part), style, color) + end).rstrip()
    if below:
        yield below


def _wrapped(line: Line, room: int) -> list[str]:
    if line.hang < 0 or len(line.text) <= room:
        return [line.text]
    return textwrap.wrap(line.text, max(room - line.hang, 24), break_long_words=False, break_on_hyphens=False)


def _paint(text: str, style: str, color: bool) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if color and style in _CODES else text

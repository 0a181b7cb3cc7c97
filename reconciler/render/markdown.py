"""The report as a comment on a pull request: the result first, details folded, never past the limit.

Everything that a manifest or a live agent says stands in fences or code spans, where nothing is rendered:
no link, no mention, no HTML.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from reconciler.render import blocks, words
from reconciler.render.closing import closing
from reconciler.render.parts import Part, parts
from reconciler.render.values import Line
from reconciler.render.words import clean, without_command
from reconciler.report import RunReport

# GitHub takes 65,536 characters, Azure DevOps 150,000, GitLab 1,000,000; the rest is room for a footer.
MOST: Final = 60_000
# As many as fit beside the conversation; longer parts are folded.
_MOST_OPEN: Final = 12
_WIDTH: Final = 110
_MARKS: Final = {"+": "+", "-": "-", "~": "!", ">": "!", "!": "!"}
_LONGEST_MARKER: Final = 200
# Words that mean nothing to Markdown or to what a platform links by itself.
_PLAIN: Final = re.compile(r"[A-Za-z0-9 ,.;:!()'-]*")


def markdown(report: RunReport) -> str:
    """The report with a hidden marker in its first line, so that the same comment can be updated."""
    return document(report, MOST, marker=True)


def document(report: RunReport, most: int, *, marker: bool) -> str:
    """The report in at most `most` bytes; what does not fit is cut with a line that says so."""
    head = [f"<!-- reconciler:{_names(report)} -->", ""] if marker else []
    head += [_result(report), "", _meta(report), ""]
    if len(report.projects) > 1:
        head += [*_table(report), ""]
    page = _Page(most)
    page.add("".join(f"{line}\n" for line in head))
    if report.failed is not None:
        page.part(Part("", blocks.failed_lines(report.failed), urgent=True))
    for project in report.projects:
        found = parts(report.command, project, _WIDTH)
        if found and len(report.projects) > 1:
            page.add(f"### {code(project.name)}\n\n")
        for part in sorted(found, key=lambda part: not part.urgent):
            page.part(part)
    return page.text


def _names(report: RunReport) -> str:
    names = ",".join(re.sub(r"[^A-Za-z0-9._-]", "_", project.name) for project in report.projects)
    if len(names) <= _LONGEST_MARKER:
        return names
    return hashlib.sha256(names.encode()).hexdigest()


def _result(report: RunReport) -> str:
    line = closing(report)
    if line.startswith("Error: "):
        return f"**Error:** {code(line.removeprefix('Error: '))}"
    return f"**{line}**" if _PLAIN.fullmatch(line) else code(line)


def _meta(report: RunReport) -> str:
    commit, _, dirty = report.revision.partition("+")
    said = [code(f"reconciler {report.command}")]
    said += [f"commit {code(commit[:12])}{' with uncommitted changes' if dirty else ''}"] if commit else []
    if len(report.projects) == 1:
        said.append(f"Project {code(report.projects[0].name)}")
        if report.projects[0].digest:
            said.append(f"digest {code(report.projects[0].digest)}")
    return ", ".join(said)


def _table(report: RunReport) -> Iterator[str]:
    columns, rows = words.table(report)
    yield f"| Project | {' | '.join(columns)} | result |"
    yield f"|---|{'--:|' * len(columns)}---|"
    for name, counts, result in rows:
        cell = code(name).replace("|", "\\|")
        yield f"| {cell} | {' | '.join(map(str, counts))} | {result} |"


def code(text: str) -> str:
    """The text as a code span, in which nothing is rendered; its ticks are longer than any inside."""
    shown = clean(text) or " "
    ticks = "`" * (_longest_ticks(shown) + 1)
    return f"{ticks} {shown} {ticks}" if "`" in shown else f"{ticks}{shown}{ticks}"


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


@dataclass
class _Page:
    """Text that never grows beyond `most` bytes."""

    most: int
    pieces: list[str] = field(default_factory=list)
    used: int = 0
    full: bool = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def add(self, text: str) -> None:
        """Add a short piece, or end the page when there is no room for it and for saying so."""
        if not self.full:
            self.full = self._room() < _size(text)
            self._put(_CUT if self.full else text)

    def part(self, part: Part) -> None:
        """Add a part: its lines in a fence, folded when they are many, as many of them as fit."""
        if self.full:
            return
        lines = [_line(line) for line in part.lines]
        ticks = "`" * max(3, _longest_ticks("\n".join(lines)) + 1)
        before, after = _frame(part, len(lines), ticks)
        kept = list(_fitting(lines, self._room() - _size(before) - _size(after)))
        if kept:
            self._put(before + "".join(f"{line}\n" for line in kept) + after)
        if len(kept) < len(lines):
            self.full = True
            rest = f"**Cut here:** {len(lines) - len(kept)} more lines of this part. {_WHOLE}\n"
            self._put(rest if kept else _CUT)

    def _put(self, text: str) -> None:
        self.pieces.append(text)
        self.used += _size(text)

    def _room(self) -> int:
        return self.most - self.used - _RESERVE


_WHOLE: Final = "The whole report is what `--output json=FILE` writes."
_CUT: Final = f"**Cut here:** the report is longer. {_WHOLE}\n"
_RESERVE: Final = 200


def _size(text: str) -> int:
    return len(text.encode())


def _frame(part: Part, count: int, ticks: str) -> tuple[str, str]:
    title = part.title or "Details"
    if part.urgent or count <= _MOST_OPEN:
        shown = f"**{title}**\n\n" if part.title else ""
        return f"{shown}{ticks}diff\n", f"{ticks}\n\n"
    summary = f"<details><summary>{title} ({count} lines)</summary>\n\n"
    return f"{summary}{ticks}diff\n", f"{ticks}\n\n</details>\n\n"


def _fitting(lines: Iterable[str], room: int) -> Iterator[str]:
    for line in lines:
        room -= _size(line) + 1
        if room < 0:
            return
        yield line


def _line(line: Line) -> str:
    """A line with its symbol in the first column, where a diff fence paints it."""
    if not line.text:
        return ""
    tail = f"  {line.tail}" if line.tail else ""
    symbol = _MARKS.get(line.mark, " ")
    # A symbol that has no colour of its own is still worth seeing.
    own = f"{line.mark} " if line.mark and line.mark != symbol and line.mark not in "~! " else ""
    indent = " " * max(line.indent - 2, 0)
    return without_command(f"{symbol} {indent}{own}{line.text}{tail}")

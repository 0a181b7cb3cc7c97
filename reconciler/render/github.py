"""Annotations for GitHub Actions, as workflow commands in the log, and the step summary."""

from __future__ import annotations

from typing import Final

from reconciler.render import words
from reconciler.render.closing import closing
from reconciler.render.issues import Issue, capped, issues
from reconciler.render.markdown import document
from reconciler.report import RunReport

# What GitHub shows of one step, for each level; it drops the rest without a word.
_MOST: Final = 10
_COMMANDS: Final = {"error": "error", "warning": "warning", "note": "notice"}
# GitHub refuses a summary above 1 MiB as a whole; other commands of the step write into it, too.
_MOST_SUMMARY: Final = 1_000_000


def github(report: RunReport) -> str:
    """Workflow commands: at most ten a level, the tenth saying how many more there are."""
    found = issues(report)
    lines = []
    for level, command in _COMMANDS.items():
        # One place of the notices is for the result.
        kept, dropped = capped(found, level, _MOST - (level == "note"))
        lines += [_annotation(command, issue) for issue in kept]
        if dropped:
            text = f"{words.plural(dropped, f'more {command}')}, see the log or --format json"
            lines.append(_command(command, {"title": "reconciler"}, text))
    title = {"title": f"reconciler {words.clean(report.command)}"}
    lines.append(_command("notice", title, closing(report)))
    return "".join(f"{line}\n" for line in lines)


def step_summary(report: RunReport) -> str:
    """The report as Markdown for `GITHUB_STEP_SUMMARY`, below the size at which all of it would be lost."""
    return document(report, _MOST_SUMMARY, marker=False) + "\n"


def _annotation(command: str, issue: Issue) -> str:
    properties: dict[str, str] = {}
    if issue.file:
        properties = {"file": issue.file, "line": str(issue.line), "col": str(issue.column)}
    properties["title"] = issue.rule
    text = f"{issue.message}\n→ {issue.hint}" if issue.hint else issue.message
    return _command(command, properties, text)


def _command(name: str, properties: dict[str, str], text: str) -> str:
    said = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {said}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

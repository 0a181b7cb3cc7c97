"""Logging commands for Azure Pipelines: issues with places, and how the task ended."""

from __future__ import annotations

from typing import Final

from reconciler.render import words
from reconciler.render.closing import closing
from reconciler.render.issues import Issue, capped, issues
from reconciler.report import ExitCode, RunReport

# The timeline keeps a limited number of issues a task, and a person reads fewer.
_MOST: Final = 50
_RESULTS: Final = {ExitCode.DONE: "Succeeded", ExitCode.PENDING: "SucceededWithIssues"}


def azure_devops(report: RunReport) -> str:
    """Commands to print to the log; notes are left out, since the log has no level for them."""
    found = issues(report)
    lines = []
    for level in ("error", "warning"):
        kept, dropped = capped(found, level, _MOST)
        lines += [_issue(level, issue) for issue in kept]
        if dropped:
            text = f"{words.plural(dropped, f'more {level}')}, see --format json"
            lines.append(_command("task.logissue", {"type": level}, text))
    result = _RESULTS.get(report.exit_code, "Failed")
    lines.append(_command("task.complete", {"result": result}, closing(report)))
    return "".join(f"{line}\n" for line in lines)


def _issue(level: str, issue: Issue) -> str:
    properties = {"type": level}
    if issue.file:
        properties |= {
            "sourcepath": issue.file,
            "linenumber": str(issue.line),
            "columnnumber": str(issue.column),
        }
    properties["code"] = issue.rule
    text = f"{issue.message} → {issue.hint}" if issue.hint else issue.message
    return _command("task.logissue", properties, text)


def _command(name: str, properties: dict[str, str], text: str) -> str:
    said = "".join(f"{key}={_property(value)};" for key, value in properties.items())
    return f"##vso[{name} {said}]{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace("]", "%5D").replace(";", "%3B")

"""The last line of a run: what scripts wait for and people look at first."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.render import words
from reconciler.render.words import clean, plural
from reconciler.report import ExitCode, ProjectReport, RunReport


def closing(report: RunReport) -> str:
    """The last line of a run."""
    if report.failed is not None:
        return f"Error: {clean(report.failed.messages[0])}" if report.failed.messages else "Error."
    undecided = [project for project in report.projects if project.exit_code is ExitCode.ERROR]
    if undecided:
        return _undecided(undecided, len(report.projects))
    summary = words.totals(report.projects)
    if report.command == "apply":
        return _applied(report, summary)
    if report.exit_code is ExitCode.REFUSED:
        return _refused(report, summary)
    if report.command == "drift":
        return _drifted(report)
    if report.command == "validate":
        return f"Valid. {plural(summary.get('unchanged', 0), 'resource')} without a problem."
    if report.exit_code is ExitCode.DONE:
        return "No changes. Live agents match the manifests."
    return planned_line(summary)


def planned_line(summary: Mapping[str, int]) -> str:
    """`Plan: 1 to add, 2 to change, 0 to destroy.`"""
    parts = [f"{summary.get('add', 0)} to add", f"{summary.get('change', 0)} to change"]
    parts.append(f"{summary.get('destroy', 0)} to destroy")
    if summary.get("adopt"):
        parts.append(f"{summary['adopt']} to adopt")
    return f"Plan: {', '.join(parts)}."


def _undecided(projects: list[ProjectReport], of: int) -> str:
    first = projects[0].failed
    if of == 1:
        return f"Error: {clean(first.messages[0])}" if first and first.messages else "Error."
    names = ", ".join(clean(project.name) for project in projects[:5])
    more = f" and {len(projects) - 5} more" if len(projects) > 5 else ""
    return f"Error: {len(projects)} of {plural(of, 'Project')} could not be decided: {names}{more}"


def _refused(report: RunReport, summary: Mapping[str, int]) -> str:
    rules = sorted(
        {
            verdict.rule
            for project in report.projects
            for verdict in project.verdicts
            if verdict.severity == "refuse"
        }
    )
    by = f" by {', '.join(clean(rule) for rule in rules)}" if rules else ""
    if report.command == "validate":
        return f"Refused{by}."
    count = summary.get("refused", 0)
    what = f"Refused: {plural(count, 'change')}{by}" if count else f"Refused{by}"
    rest = sum(summary.get(word, 0) for word in ("add", "change", "destroy", "adopt"))
    if report.command == "apply":
        return f"{what}; nothing was written."
    left = f"; {plural(rest, 'other change')} can be applied" if rest else ""
    return f"{what}{left}."


def _done(summary: Mapping[str, int]) -> str:
    parts = [f"{summary.get('add', 0)} added", f"{summary.get('change', 0)} changed"]
    parts.append(f"{summary.get('destroy', 0)} destroyed")
    if summary.get("adopt"):
        parts.append(f"{summary['adopt']} adopted")
    return ", ".join(parts)


def _applied(report: RunReport, summary: Mapping[str, int]) -> str:
    if report.exit_code is ExitCode.REFUSED:
        return _refused(report, summary)
    if report.exit_code is ExitCode.PARTLY:
        return _incomplete(report, summary)
    if any(summary.get(word) for word in ("add", "change", "destroy", "adopt")):
        return f"Apply complete! Resources: {_done(summary)}."
    observed = sum(
        words.acts(change) for project in report.projects if project.observe for change in project.changes
    )
    observed = observed or len({o.key for p in report.projects if p.observe for o in p.outcomes})
    if observed:
        return f"Nothing applied: the mode is observe. {plural(observed, 'change')} would be made."
    if summary.get("drifted"):
        held = plural(summary["drifted"], "resource keeps", "resources keep")
        return f"No changes. {held} what was changed outside of Git."
    return "No changes. Live agents match the manifests."


def _incomplete(report: RunReport, summary: Mapping[str, int]) -> str:
    stalled = sum(c.type == "Stalled" and c.status for p in report.projects for c in p.conditions)
    failed = max(summary.get("failed", 0), stalled)
    skipped = sum(o.outcome == "skipped" for p in report.projects for o in words.lasting(p.outcomes))
    parts = [
        f"{failed} failed",
        f"{summary.get('pending', 0)} pending",
        f"{summary.get('refused', 0)} refused",
    ]
    if skipped:
        parts.append(f"{skipped} skipped")
    todo = "Mend what failed and run it again." if failed else "Run it again to go on."
    if not failed and summary.get("refused") and not (summary.get("pending") or skipped):
        todo = "The refusals say what lifts them."
    return f"Apply incomplete: {', '.join(parts)}; {_done(summary)}. {todo}"


def _drifted(report: RunReport) -> str:
    counts = words.counted_drift(change for project in report.projects for change in project.changes)
    if not counts:
        return "No drift. Live agents are as Git last left them."
    return f"Drift: {', '.join(f'{count} {what}' for what, count in counts.items())}."

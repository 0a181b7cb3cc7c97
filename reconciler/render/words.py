"""The words of a report: one sentence for each action, reason and result, the same in every format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from reconciler.kinds.kind import Action, Drift
from reconciler.report import ChangeReport, ExitCode, OutcomeReport, ProjectReport, RunReport, VerdictReport

MARKS: Final = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.ADOPT: "~",
    Action.DELETE: "-",
    Action.MOVE: ">",
    Action.NONE: " ",
}

_WILL: Final = {
    Action.CREATE: "be created",
    Action.UPDATE: "be updated",
    Action.ADOPT: "be adopted",
    Action.DELETE: "be destroyed",
    Action.MOVE: "have its traffic moved",
}

_REASONS: Final = {
    "missing": "it is not there",
    "changed": "manifest and live differ",
    "creating": "its version is starting",
    "failed": "its version did not start",
    "release": "an equal version exists",
    "drift": "an outside version took it",
    "redirected": "somebody moved it",
    "details": "endpoint, card or state differ",
    "mark": "it is equal and gets our mark",
    "removed": "it has no manifest",
    "pinned": "the pinned version does not exist",
    "kept": "kept without a manifest",
    "forgotten": "forgotten",
    "handed over": "handed over to another Project",
    "metadata": "only description or metadata differ",
    "lag": "the service does not show yet what was done",
    "not taken": "the service does not take the change",
}

_DRIFTS: Final = ("changed", "missing", "redirected", "disabled")

# Joiners that scripts and emoji need; every other invisible character may hide or reorder text.
_JOINERS: Final = "\u200c\u200d"


# Build servers obey `##vso[...]` and `##[...]` wherever a log line holds them.
SERVER_COMMAND: Final = re.compile(r"##(?=[A-Za-z]*\[)")


def clean(text: str) -> str:
    """The text on one line with every character visible and no command to a build server.

    Control, bidi and surrogate characters are escaped; joiners that scripts and emoji need stay.
    """
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char in _JOINERS else _escaped(char) for char in text)
    return SERVER_COMMAND.sub("# #", text) if "##" in text else text


def without_command(line: str) -> str:
    """A line of ours that GitHub's runner does not take for a command of the form `::name::`."""
    return line.replace("::", ": :", 1) if line.lstrip().startswith("::") else line


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 agent", "2 agents", "1,000 agents"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def when(at: int) -> str:
    """A time in Unix seconds as people and programs read it, "" for 0 or one outside the calendar."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}" if at else ""
    except (OverflowError, ValueError, OSError):
        return ""


def heading(change: ChangeReport) -> str:
    """`prod/Agent/x will be updated: manifest and live differ`."""
    will = _WILL.get(Action(change.action), "stay as it is")
    if change.refused:
        return f"{clean(change.key)} would {will}, but is refused: {reason(change)}"
    verb = "stays as it is" if change.action == Action.NONE else f"will {will}"
    return f"{clean(change.key)} {verb}: {reason(change)}"


def reason(change: ChangeReport) -> str:
    """Why, in words."""
    if change.reason == "missing" and any(drift.what == "missing" for drift in change.drift):
        return "somebody deleted it"
    return _REASONS.get(change.reason, clean(change.reason))


def mark(change: ChangeReport) -> str:
    """The symbol of a change."""
    return "!" if change.refused else MARKS[Action(change.action)]


def drift_text(drift: Drift) -> str:
    """What was done outside, to which version, when and by whom: one sentence without its subject."""
    version = clean(drift.version)
    match drift.what:
        case "missing":
            what = "was deleted"
        case "redirected":
            what = f"has its traffic on {version}" if version else "has its traffic moved"
        case "disabled":
            what = "was disabled"
        case _:
            what = f"was changed: version {version}" if version else "was changed"
    made = f", made {when(drift.at)}" if when(drift.at) else ""
    by = {"": "", "a copied mark": " by somebody else (with a copied mark)"}.get(drift.by)
    return what + made + (f" by {clean(drift.by)}" if by is None else by)


def place(text: str) -> str:
    """`file:line` of a place `file:line:col`, "" where there is no file."""
    return "" if not text or text.startswith("-:") else clean(text.rpartition(":")[0])


def counted_drift(changes: Iterable[ChangeReport]) -> dict[str, int]:
    """How many resources drifted in which way, in a fixed order; unmanaged ones do not count."""
    counts = Counter(
        what for change in changes for what in {drift.what for drift in change.drift} if what != "unmanaged"
    )
    return {what: counts[what] for what in (*_DRIFTS, *sorted(counts.keys() - set(_DRIFTS))) if counts[what]}


def is_unmanaged(change: ChangeReport) -> bool:
    """Whether this is somebody else's agent: information, neither a change nor drift."""
    return change.action == Action.NONE and change.reason == "unmanaged"


def acts(change: ChangeReport) -> bool:
    """Whether Git and the service ask for something here."""
    return change.action != Action.NONE


def totals(projects: Iterable[ProjectReport]) -> dict[str, int]:
    """The summaries of several Projects added up."""
    total: Counter[str] = Counter()
    for project in projects:
        total.update(project.summary)
    return dict(total)


def closing(report: RunReport) -> str:
    """The last line of a run."""
    if report.failed is not None:
        return f"Error: {clean(report.failed.messages[0])}" if report.failed.messages else "Error."
    undecided = [project for project in report.projects if project.exit_code is ExitCode.ERROR]
    if undecided:
        return _undecided(undecided, len(report.projects))
    summary = totals(report.projects)
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
        acts(change) for project in report.projects if project.observe for change in project.changes
    )
    observed = observed or len({o.key for p in report.projects if p.observe for o in p.outcomes})
    if observed:
        return f"Nothing applied: the mode is observe. {plural(observed, 'change')} would be made."
    if summary.get("drifted"):
        held = plural(summary["drifted"], "resource stays as it was", "resources stay as they were")
        return f"No changes. {held} changed outside of Git."
    return "No changes. Live agents match the manifests."


def _incomplete(report: RunReport, summary: Mapping[str, int]) -> str:
    stalled = sum(c.type == "Stalled" and c.status for p in report.projects for c in p.conditions)
    failed = max(summary.get("failed", 0), stalled)
    skipped = sum(outcome.outcome == "skipped" for p in report.projects for outcome in p.outcomes)
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
    counts = counted_drift(change for project in report.projects for change in project.changes)
    if not counts:
        return "No drift. Live agents are as Git last left them."
    return f"Drift: {', '.join(f'{count} {what}' for what, count in counts.items())}."


def done_text(outcome: OutcomeReport) -> str:
    """What one step did, in the past tense: `created version 8`, `failed add-version`."""
    version = f"version {clean(outcome.version)}" if outcome.version else ""
    match outcome.outcome:
        case "moved":
            return f"moved traffic to {version}".removesuffix(" to ")
        case "unchanged" | "skipped" | "pending" | "failed":
            return f"{outcome.outcome} {clean(outcome.step)}"
    return f"{clean(outcome.outcome)} {version}".strip()


def note_text(outcome: OutcomeReport) -> str:
    """The reason and the note of an outcome, "" where there is nothing to say."""
    said = outcome.outcome == "failed" and outcome.error
    return ": ".join(clean(part) for part in ("" if said else outcome.reason, outcome.note) if part)


_COLUMNS: Final = ("add", "change", "destroy", "adopt", "drifted", "refused", "failed", "pending")
_ALWAYS: Final = frozenset({"add", "change", "destroy"})


def table(report: RunReport) -> tuple[tuple[str, ...], list[tuple[str, tuple[int, ...], str]]]:
    """The columns that have a number somewhere; for each Project its name, counts and how it fared."""
    total = totals(report.projects)
    columns = tuple(column for column in _COLUMNS if column in _ALWAYS or total.get(column))
    rows = [
        (
            clean(project.name),
            tuple(project.summary.get(column, 0) for column in columns),
            result_word(report.command, project.exit_code),
        )
        for project in report.projects
    ]
    return columns, rows


def verdict_text(verdict: VerdictReport) -> str:
    """The message of a verdict, with the key in front unless the message names the resource."""
    named = verdict.key.split("/", 1)[-1] in verdict.message
    return clean(verdict.message if named else f"{verdict.key}: {verdict.message}")


def result_word(command: str, code: ExitCode) -> str:
    """How a Project fared, for a table."""
    match code:
        case ExitCode.DONE:
            return {"apply": "applied", "validate": "valid"}.get(command, "in sync")
        case ExitCode.PENDING:
            return "drift" if command == "drift" else "changes"
        case ExitCode.REFUSED:
            return "refused"
        case ExitCode.PARTLY:
            return "in part"
        case ExitCode.ERROR:
            return "error"

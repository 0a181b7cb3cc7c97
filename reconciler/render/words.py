"""The words of a report: one sentence for each action, reason and result, the same in every format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
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

REASONS: Final = {
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
    return REASONS.get(change.reason, clean(change.reason))


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


def lasting(outcomes: Sequence[OutcomeReport]) -> list[OutcomeReport]:
    """The outcomes that still stand: no stops that a later attempt got past, no mere readings."""
    kept: list[OutcomeReport] = []
    went_on: set[str] = set()
    repeated: set[tuple[str, str]] = set()
    for outcome in reversed(outcomes):
        stopped = outcome.outcome in _STOPPED
        over = outcome.key in went_on or (outcome.key, outcome.step) in repeated
        mere = outcome.step == "read" and outcome.outcome == "unchanged" and not outcome.note
        if not mere and not (stopped and over):
            kept.append(outcome)
        repeated.add((outcome.key, outcome.step))
        if outcome.step == "read" or not (stopped or outcome.reason == "NotTaken"):
            went_on.add(outcome.key)
    return kept[::-1]


_STOPPED: Final = frozenset({"pending", "skipped", "failed"})


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

"""The parts of a report as lines, for the formats that people read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from reconciler.errors import Problem
from reconciler.render import words
from reconciler.render.values import Line, field_lines
from reconciler.render.words import clean, plural
from reconciler.report import (
    ChangeReport,
    Condition,
    Failed,
    OutcomeReport,
    ProjectReport,
    VerdictReport,
)

_STYLES: Final = {"+": "add", "-": "remove", "~": "change", ">": "move", "!": "bad"}
# Drift is told with the symbols of what somebody did.
_DRIFT_MARKS: Final = {"missing": "-", "redirected": ">"}
_MOST_NAMED: Final = 5
# The same finding on a thousand agents is one finding.
_MOST_OF_A_RULE: Final = 20
_FIELD_INDENT: Final = 6
_VERDICTS: Final = {"refuse": ("!", "bad"), "warn": ("*", "warn")}
# Columns of outcomes, in characters: longer ones push their own line out, not all of them.
_MOST_KEY: Final = 60
_MOST_DONE: Final = 40
_MOST_ASIDE: Final = 32
_LEAST_TOLD_S: Final = 0.05


def change_lines(change: ChangeReport, width: int, *, steps: bool = True) -> list[Line]:
    """One change: its heading, its differences, and the steps to be taken now and later."""
    symbol = words.mark(change)
    place = _place(change.place)
    lines = [Line(words.heading(change), mark=symbol, indent=2, style="bold", tail=place, hang=2)]
    lines += _notes(change)
    if change.fields and any(change.fields == drift.fields for drift in change.drift):
        what = plural(len(change.fields), "difference")
        lines.append(Line(f"puts back what Git says: {what}, above", indent=_FIELD_INDENT, style="dim"))
    else:
        lines += _indented(field_lines(change.fields, width - _FIELD_INDENT - 2))
    return lines + (_step_lines(change) if steps else [])


def _indented(lines: Iterable[Line], by: int = _FIELD_INDENT) -> list[Line]:
    return [replace(line, indent=line.indent + by) for line in lines]


def _notes(change: ChangeReport) -> list[Line]:
    return [Line(clean(note), indent=_FIELD_INDENT, style="dim", hang=0) for note in change.notes]


def _step_lines(change: ChangeReport) -> list[Line]:
    lines = []
    number = 0
    for word, steps in (("now:", change.now), ("later:", change.later)):
        for position, step in enumerate(steps):
            number += 1
            label = word if not position else ""
            lines.append(Line(f"{label:<6} {number}. {clean(step)}", indent=_FIELD_INDENT, hang=10))
    return lines


def drift_lines(change: ChangeReport, width: int) -> list[Line]:
    """What was done outside of Git to one resource, told from Git's side."""
    lines: list[Line] = []
    for drift in change.drift:
        if drift.what == "unmanaged":
            continue
        text = f"{clean(change.key)} {words.drift_text(drift)}"
        lines.append(Line(text, mark=_DRIFT_MARKS.get(drift.what, "~"), indent=2, style="bold", hang=2))
        lines += _indented(field_lines(drift.fields, width - _FIELD_INDENT - 2, outside=True))
    if change.held:
        held = "held: it stays so until a change of this manifest makes a new version, or with --take-traffic"
        lines.append(Line(held, indent=_FIELD_INDENT, style="dim", hang=0))
    if lines and not words.acts(change):
        lines += _notes(change)
    return lines


def left_lines(changes: Sequence[ChangeReport]) -> list[Line]:
    """Resources that stay as they are though something was to say about them, one line each."""
    return [
        Line(
            f"{clean(change.key)}: {'; '.join(map(clean, change.notes)) or words.reason(change)}",
            indent=2,
            hang=2,
        )
        for change in changes
    ]


def unmanaged_line(changes: Sequence[ChangeReport]) -> Line:
    """Agents that are not ours: how many, and a few names."""
    names = ", ".join(clean(change.key.split("/", 1)[-1]) for change in changes[:_MOST_NAMED])
    more = f" and {len(changes) - _MOST_NAMED:,} more" if len(changes) > _MOST_NAMED else ""
    what = plural(len(changes), "live resource")
    verb = "is" if len(changes) == 1 else "are"
    return Line(f"{what} {verb} not managed here: {names}{more}", style="dim", hang=2)


def verdict_lines(verdicts: Sequence[VerdictReport]) -> list[Line]:
    """Verdicts by rule; a hint that a rule's verdicts share is said once, after them."""
    groups: dict[tuple[str, str, str], list[VerdictReport]] = defaultdict(list)
    for verdict in verdicts:
        groups[verdict.severity, verdict.rule, verdict.hint].append(verdict)
    lines = []
    for (severity, rule, hint), group in groups.items():
        symbol, style = _VERDICTS.get(severity, ("*", ""))
        for verdict in group[:_MOST_OF_A_RULE]:
            text = f"{clean(rule)}: {words.verdict_text(verdict)}"
            tail = _place(verdict.place)
            lines.append(Line(text, mark=symbol, indent=2, style=style, tail=tail, hang=0))
        if len(group) > _MOST_OF_A_RULE:
            rest = f"… {len(group) - _MOST_OF_A_RULE:,} more of {clean(rule)}, see --format json"
            lines.append(Line(rest, indent=4, style="dim"))
        if hint:
            lines.append(hint_line(hint, 4))
    return lines


def _place(place: str) -> str:
    short = words.place(place)
    return f"({short})" if short else ""


def hint_line(hint: str, indent: int) -> Line:
    """`→ what to do next`."""
    return Line(f"→ {clean(hint)}", indent=indent, style="hint", hang=2)


_OUTCOME_MARKS: Final = {
    "created": "+",
    "deleted": "-",
    "moved": ">",
    "failed": "!",
    "skipped": "!",
    "pending": "…",
    "unchanged": " ",
}


def outcome_lines(outcomes: Sequence[OutcomeReport]) -> list[Line]:
    """What every step did, one line each; a failed one with its errors, ids and remedy.

    What befell many resources in the same way is told at the first of them; the formats for programs have the
    ids of each.
    """
    first: dict[tuple[str, ...], str] = {}
    keys = min(max((len(clean(outcome.key)) for outcome in outcomes), default=0), _MOST_KEY)
    texts = min(max((len(words.done_text(outcome)) for outcome in outcomes), default=0), _MOST_DONE)
    lines = []
    for outcome in outcomes:
        symbol = _OUTCOME_MARKS.get(outcome.outcome, "~")
        what, note = words.done_text(outcome), words.note_text(outcome)
        took = f"{outcome.duration_s:,.1f} s" if outcome.duration_s >= _LEAST_TOLD_S else ""
        long = bool(outcome.error) or len(note) > _MOST_ASIDE
        like = first.setdefault(_alike(outcome), outcome.key) if long else outcome.key
        again = like != outcome.key
        aside = f"as {clean(_name(like))}" if again else note if len(note) <= _MOST_ASIDE else ""
        tail = f"{took:>8}  {aside}".rstrip()
        style = "bad" if symbol == "!" else ""
        gap = " " * (texts - len(what)) if tail else ""
        text = f"{clean(outcome.key):<{keys}}  {what}"
        lines.append(Line(text, mark=symbol, indent=2, tail=gap + tail if tail else "", style=style))
        if again:
            continue
        if note and not aside:
            lines.append(Line(note, indent=_FIELD_INDENT, hang=0))
        lines += _error_lines(outcome.error, outcome.code, outcome.request_id, outcome.hint)
    return lines


def _alike(outcome: OutcomeReport) -> tuple[str, ...]:
    """Equal for outcomes that differ in nothing but the resource, the time and the id of the request."""
    texts = (
        outcome.step,
        outcome.outcome,
        outcome.reason,
        outcome.code,
        outcome.hint,
        outcome.note,
        *outcome.error,
    )
    name = re.compile(rf"(?<![\w-]){re.escape(_name(outcome.key))}(?![\w-])")
    # An empty id is found between all characters.
    return tuple(name.sub("", text).replace(outcome.request_id or "\0", "") for text in texts)


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _error_lines(
    messages: Sequence[str], code: str, request_id: str, hint: str, indent: int = _FIELD_INDENT
) -> list[Line]:
    lines = [Line(clean(message), indent=indent, hang=2) for message in messages]
    said = " ".join(messages)
    facts = [f"code {clean(code)}"] if code and code not in said else []
    facts += [f"request id {clean(request_id)}"] if request_id and request_id not in said else []
    if facts:
        lines.append(Line(", ".join(facts), indent=indent, style="dim"))
    return [*lines, hint_line(hint, indent)] if hint else lines


def problem_lines(problems: Sequence[Problem]) -> list[Line]:
    """`file:line:col: path: message`, whole on one line so that editors find the place."""
    lines = []
    for problem in problems:
        where = f"{problem.place}: {problem.path}: " if problem.path else f"{problem.place}: "
        lines.append(Line(clean(where + problem.message)))
        if problem.hint:
            lines.append(hint_line(problem.hint, 2))
    return lines


def failed_lines(failed: Failed) -> list[Line]:
    """Why nothing could be decided: every problem, then the causes, ids and the remedy."""
    lines = problem_lines(failed.problems)
    # How many problems there are is what the last line says.
    first = [] if lines else failed.messages[:1]
    lines += [Line()] if lines else []
    lines += [Line(clean(message), style="bad", hang=2) for message in first]
    because = [f"because: {message}" for message in failed.messages[1:]]
    return lines + _error_lines(because, failed.code, failed.request_id, failed.hint, indent=2)


def condition_lines(project: ProjectReport) -> list[Line]:
    """Resources that are not ready, except those whose outcome or drift says it already."""
    told = {outcome.key for outcome in project.outcomes if outcome.error or outcome.outcome == "failed"}
    # A change that waits for the service says so among what was done.
    told |= {outcome.key for outcome in project.outcomes if outcome.reason in ("Throttled", "Stopped")}
    return [
        Line(_condition(item), mark="!" if item.type == "Stalled" else "…", indent=2, hang=2)
        for item in project.conditions
        if item.key and item.type != "Drifted" and item.key not in told
    ]


def _condition(condition: Condition) -> str:
    status = condition.type if condition.status else f"not {condition.type}"
    message = f": {clean(condition.message)}" if condition.message else ""
    return f"{clean(condition.key)} {status.lower()}, {clean(condition.reason)}{message}"


def style_of(mark: str) -> str:
    """How a symbol is painted."""
    return _STYLES.get(mark, "")

"""What a forge shows beside a commit, from the run that stands on it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from reconciler.render.words import plural
from reconciler.service.notify.forges import State, Status
from reconciler.service.records import RunRecord

_STATES: Final[Mapping[str, State]] = {
    "running": "pending",
    "pending": "pending",
    "interrupted": "pending",
    "unchanged": "success",
    "applied": "success",
    "observed": "success",
    "drifted": "failure",
    "refused": "failure",
    "partly": "failure",
    "failed": "error",
    "superseded": "error",
}
_OVER: Final = ("success", "failure", "error")


def status_of(run: RunRecord, link: str) -> Status | None:
    """The status of a run's commit; None for a run that stands on none.

    Args:
        link: the address of the dashboard, "" where it is not known.
    """
    if not run.commit or run.result not in _STATES:
        return None
    url = f"{link.rstrip('/')}/runs/{quote(run.id, safe='')}" if link else ""
    return Status(f"reconciler/{run.project}", _STATES[run.result], _said(run), url)


def is_over(status: Status) -> bool:
    """Whether nothing more is to come by itself."""
    return status.state in _OVER


def _said(run: RunRecord) -> str:
    count = run.summary.get
    match run.result:
        case "running":
            return "Reconciling"
        case "unchanged":
            return f"In sync: {plural(count('unchanged', 0), 'resource')}"
        case "applied":
            return f"Applied: {_done(run.summary)}"
        case "observed":
            todo = sum(count(word, 0) for word in ("add", "change", "destroy", "adopt"))
            return f"Nothing written: {plural(todo, 'change')} would be made"
        case "drifted":
            return f"Drift: {plural(count('drifted', 0), 'resource')} changed outside of Git"
        case "refused":
            return f"Refused: {plural(count('refused', 0), 'change')}, nothing was written"
        case "partly":
            parts = (f"{count(word, 0)} {word}" for word in ("failed", "pending", "refused") if count(word))
            return f"Incomplete: {', '.join(parts) or 'not all was done'}; {_done(run.summary)}"
        case "pending":
            return f"Waiting: {count('pending', 0)} pending; {_done(run.summary)}"
        case "superseded":
            return "Superseded by a newer commit"
        case "interrupted":
            return "Interrupted; it goes on with the next run"
    return f"Failed: {_why(run) or 'nothing could be decided'}"


def _why(run: RunRecord) -> str:
    """What the run failed with; "" where its report is not at hand, as in lists of runs."""
    failed = (run.report or {}).get("failed")
    return str(failed["messages"][0]) if failed else ""


def _done(summary: Mapping[str, int]) -> str:
    parts = [f"{summary.get(key, 0)} {word}" for key, word in _WORDS.items() if key != "adopt"]
    if summary.get("adopt"):
        parts.append(f"{summary['adopt']} adopted")
    return ", ".join(parts)


_WORDS: Final = {"add": "added", "change": "changed", "destroy": "destroyed", "adopt": "adopted"}

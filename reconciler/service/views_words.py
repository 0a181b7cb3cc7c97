"""The service's own words as people say them: why runs came, why resources are as they are, steps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from reconciler.render.words import REASONS
from reconciler.resource import Json
from reconciler.service.records import Health, ResourceRecord

# Why a Project got a turn: the first word of the reason that is kept.
_RUNS: Final = {
    "webhook": "told by a webhook",
    "poll": "the source was looked at",
    "commit": "a new commit",
    "newer": "a newer commit",
    "interval": "the regular look",
    "start": "the service started",
    "configuration": "the configuration changed",
    "requeue": "a release goes on",
    "check": "a second look after a change",
    "retry": "tried again after a failure",
    "failed": "tried again after a failure",
    "superseded": "something newer ended the run before",
}

# Steps of every kind, before and after the version is known.
_STEPS: Final = {
    "pin-traffic": ("pin the traffic", "pin the traffic to version {}"),
    "add-version": ("create a version", "create version {}"),
    "await-active": ("wait until the version is active", "wait until version {} is active"),
    "move-traffic": ("move the traffic", "move the traffic to version {}"),
    "retire-version": ("delete an old version", "delete old version {}"),
    "remove-failed": ("delete the failed version", "delete failed version {}"),
    "patch-details": ("change endpoint, card or state", ""),
    "enable": ("enable the agent", ""),
    "disable": ("disable the agent", ""),
    "delete-agent": ("delete the agent", ""),
    "read": ("look at the agent again", ""),
}

_DRIFTS: Final = {
    "changed": ("changed outside of Git", "changed outside of Git in version {}"),
    "missing": ("deleted outside of Git", ""),
    "redirected": ("its traffic was moved", "its traffic was moved to {}"),
    "disabled": ("disabled outside of Git", ""),
}

_MORE_REASONS: Final = {"equal": "", "unmanaged": "no manifest names it"}


def why_run(reasons: Iterable[str]) -> tuple[str, ...]:
    """Why a run came, each reason once; one that nobody knows is shown as it is."""
    return tuple(dict.fromkeys(map(_why_run, reasons)))


def _why_run(reason: str) -> str:
    first, _, rest = reason.partition(" ")
    if first == "manual":
        return f"asked for {rest}".rstrip()
    return _RUNS.get(first, reason)


def step_text(step: str, version: str = "") -> str:
    """What a step does: `create version 4`; one that nobody knows is shown as it is."""
    return _of(_STEPS, step, version) or step


def reason_text(reason: str) -> str:
    """The reason of a change: `its version did not start`."""
    return _MORE_REASONS.get(reason, REASONS.get(reason, reason))


def drift_text(what: str, version: str = "", by: str = "") -> str:
    """What was done outside of Git, and by whom as far as that is known."""
    text = _of(_DRIFTS, what, _shares(version) if what == "redirected" else version) or what
    who = {"a copied mark": "somebody else"}.get(by, by)
    return f"{text} by {who}" if who else text


def _shares(serving: str) -> str:
    """`version 7`, or `version 6 (90 %) and version 7 (10 %)` of `6:90,7:10`."""
    parts = [part.partition(":") for part in serving.split(",") if part]
    return " and ".join(
        f"version {number}" + (f" ({share} %)" if share else "") for number, _, share in parts
    )


def _of(table: Mapping[str, tuple[str, str]], name: str, version: str) -> str:
    plain, numbered = table.get(name, ("", ""))
    return numbered.format(version) if numbered and version else plain


def why_resource(record: ResourceRecord) -> str:
    """One line on why a resource is as it is, "" where there is nothing to say."""
    if record.health is Health.IN_SYNC and record.action != "none":
        # What was to be done has been done.
        return ""
    detail = record.detail
    change = detail.get("change")
    change = change if isinstance(change, Mapping) else {}
    if record.health is Health.REFUSED and not any(_refusals(detail)):
        return f"refused with the plan of the Project: {reason_text(record.reason)}"
    # A version that is made once more comes from a plan about the one that failed.
    failures = _failures(change) if record.health is Health.FAILED else ()
    for text in (*_refusals(detail), *failures, *_conditions(detail), *_drifts(change)):
        if text:
            return text
    return reason_text(record.reason)


def _refusals(detail: Mapping[str, Json]) -> Iterable[str]:
    return (_text(item, "message") for item in _items(detail, "verdicts") if item.get("severity") == "refuse")


def _failures(change: Mapping[str, Json]) -> Iterable[str]:
    """What the service says of a version that did not start: the first note of its change."""
    notes = change.get("notes")
    return (str(notes[0]),) if change.get("reason") == "failed" and isinstance(notes, list) and notes else ()


def _conditions(detail: Mapping[str, Json]) -> Iterable[str]:
    return (
        _text(item, "message")
        for item in _items(detail, "conditions")
        if item.get("type") in ("Stalled", "Reconciling", "Ready")
    )


def _drifts(change: Mapping[str, Json]) -> Iterable[str]:
    return (
        drift_text(_text(item, "what"), _text(item, "version"), _text(item, "by"))
        for item in _items(change, "drift")
        if item.get("what") != "unmanaged"
    )


def _items(value: Mapping[str, Json], name: str) -> Iterable[Mapping[str, Json]]:
    found = value.get(name)
    return (item for item in found if isinstance(item, Mapping)) if isinstance(found, list | tuple) else ()


def _text(value: Mapping[str, Json], name: str) -> str:
    found = value.get(name)
    return "" if found is None else str(found)

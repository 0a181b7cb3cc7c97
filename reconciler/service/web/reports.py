"""The report of a run as a page shows it: what changed, what was done, what was said. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.resource import Json
from reconciler.service.views_making import change_view, condition_views, outcome_views, verdict_views
from reconciler.service.views_models import ChangeView, DriftView
from reconciler.service.web.sides import Sides, sides

# Of a run that touched a whole fleet the first of each are shown; the API has the whole report.
_MOST: Final = 100
_MOST_FIELDS: Final = 12


@dataclass(frozen=True)
class Changed:
    """One resource that was not simply equal. `edits` are what somebody changed outside of Git, with the
    differences; `more_fields` counts differences that are not shown."""

    local: str
    change: ChangeView
    edits: tuple[tuple[DriftView, tuple[Sides, ...]], ...]
    fields: tuple[Sides, ...]
    more_fields: int


@dataclass(frozen=True)
class Told:
    """A thing that the report says of a resource."""

    local: str
    what: Any


@dataclass(frozen=True)
class Report:
    """A run's report, cut to what can be read. `more` counts what was left out, by its kind."""

    changes: tuple[Changed, ...]
    outcomes: tuple[Told, ...]
    verdicts: tuple[Told, ...]
    conditions: tuple[Told, ...]
    failed: Mapping[str, Json]
    more: Mapping[str, int]


def run_report(report: Mapping[str, Json]) -> Report:
    """The report; one that is empty, or of an older release, has less in it."""
    changes = [item for item in _items(report, "changes") if _says(item)]
    return Report(
        changes=tuple(_changed(item) for item in changes[:_MOST]),
        outcomes=_told(report, "outcomes", outcome_views),
        verdicts=_told(report, "verdicts", verdict_views),
        conditions=_told(report, "conditions", condition_views),
        failed=report.get("failed") or {},
        more={
            name: more
            for name, count in (
                ("changes", len(changes)),
                *((name, len(_items(report, name))) for name in ("outcomes", "verdicts", "conditions")),
            )
            if (more := count - _MOST) > 0
        },
    )


def _says(item: Mapping[str, Json]) -> bool:
    return item.get("action") != "none" or any(
        item.get(name) for name in ("fields", "drift", "held", "refused")
    )


def _changed(item: Mapping[str, Json]) -> Changed:
    change = change_view(item)
    assert change is not None, "a mapping is a change"
    fields = tuple(map(sides, change.fields[:_MOST_FIELDS]))
    edits = tuple((drift, tuple(map(sides, drift.fields[:_MOST_FIELDS]))) for drift in change.drift)
    return Changed(_local(item), change, edits, fields, max(0, len(change.fields) - _MOST_FIELDS))


def _told(report: Mapping[str, Json], name: str, views: Any) -> tuple[Told, ...]:
    items = _items(report, name)[:_MOST]
    return tuple(Told(_local(item), what) for item, what in zip(items, views(items), strict=True))


def _items(report: Mapping[str, Json], name: str) -> list[Mapping[str, Json]]:
    found = report.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _local(item: Mapping[str, Json]) -> str:
    """`Agent/NAME` of a key `PROJECT/Agent/NAME`; "" for the Project itself."""
    return str(item.get("key") or "").partition("/")[2]

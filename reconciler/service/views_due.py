"""What approving a Project's plan would do to which of its agents. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from reconciler.service.orders import LIFTABLE
from reconciler.service.records import ResourceRecord
from reconciler.service.views_making import verdict_views
from reconciler.service.views_words import why_resource

# By the action of the last plan; the gravest first.
_DEEDS: Final = {
    "delete": "Delete",
    "move": "Move the traffic of",
    "none": "Move back the traffic of",
    "adopt": "Take over",
    "update": "Change",
    "create": "Create",
}
# A version that starts or has failed: the plan waits, and does nothing.
_NOTHING: Final = ("creating", "failed")


@dataclass(frozen=True)
class DueView:
    """One agent of a plan that waits for approval. `stays`: what refuses it is not lifted by an approval, and
    `why` says what it is."""

    deed: str
    resource: str
    name: str
    why: str
    stays: bool


def due(records: Iterable[ResourceRecord]) -> tuple[DueView, ...]:
    """What is due: what would be done, the gravest first, and then what stays refused."""
    order = list(_DEEDS.values())
    found = [_due(record) for record in records if _acts(record)]
    return tuple(sorted(found, key=lambda one: (one.stays, order.index(one.deed), one.name)))


def _acts(record: ResourceRecord) -> bool:
    if record.action == "none":
        return record.reason == "redirected"
    return record.action in _DEEDS and record.reason not in _NOTHING


def _due(record: ResourceRecord) -> DueView:
    refusals = [one for one in verdict_views(record.detail.get("verdicts")) if one.severity == "refuse"]
    stays = any(refusal.rule not in LIFTABLE for refusal in refusals)
    return DueView(
        deed=_DEEDS[record.action],
        resource=record.resource,
        name=record.resource.partition("/")[2],
        why=why_resource(record) if refusals or record.action == "none" else "",
        stays=stays,
    )

"""Which rows of a list somebody wants to see, and in which order. Pure.

`sort` is "health" (also for ""): the worst first, then by name; or "name".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

SORTS: Final = ("health", "name")


@dataclass(frozen=True)
class ProjectFilter:
    """Which Projects, and in which order: `search` is a part of the name."""

    source: str = ""
    search: str = ""
    health: str = ""
    sort: str = ""

    def asked(self) -> dict[str, Any]:
        """As the store is asked."""
        return _asked(self)


@dataclass(frozen=True)
class ResourceFilter:
    """Which resources, and in which order: `search` is a part of the name or of a label, `kind` that of the
    definition."""

    search: str = ""
    health: str = ""
    kind: str = ""
    sort: str = ""

    def asked(self) -> dict[str, Any]:
        """As the store is asked."""
        return _asked(self)


@dataclass(frozen=True)
class RunFilter:
    """Which runs."""

    project: str = ""
    source: str = ""
    result: str = ""


@dataclass(frozen=True)
class EventFilter:
    """Which events; with `after_id` those behind it, oldest first."""

    project: str = ""
    resource: str = ""
    type: str = ""
    severity: str = ""
    after_id: int | None = None


@dataclass(frozen=True)
class AuditFilter:
    """Which lines of the audit log."""

    project: str = ""
    actor: str = ""


def _asked(wanted: ProjectFilter | ResourceFilter) -> dict[str, Any]:
    asked = dict(vars(wanted))
    return asked | {"worst_first": asked.pop("sort") != "name"}

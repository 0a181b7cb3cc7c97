"""A row for each resource of each Project."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from reconciler.service.records import FIRST, Page, ResourceRecord
from reconciler.service.store.database import Change, Query
from reconciler.service.store.parts import Part
from reconciler.service.store.rows import folded, text
from reconciler.service.store.schema import RESOURCES, WORST_FIRST_SQL

_REMOVE: Final = "DELETE FROM rc_resources WHERE project = ? AND resource = ?"
_COUNTS: Final = "SELECT health, count(*) FROM rc_resources WHERE project = ? GROUP BY health"


class Resources(Part):
    """The part of the store with the resources."""

    async def put_resources(
        self, project: str, changed: Sequence[ResourceRecord], gone: Collection[str]
    ) -> None:
        strangers = {record.project for record in changed} - {project}
        assert not strangers, f"rows of {sorted(strangers)} among those of {project}"
        # Sorted: two writers that lock the same rows in one order never wait for each other in a circle.
        rows = [RESOURCES.row(record) for record in sorted(changed, key=lambda record: record.resource)]
        names = [(text(project), text(name)) for name in sorted(set(gone))]
        changes = ([Change(_REMOVE, names)] if names else []) + (
            [Change(RESOURCES.put(), rows)] if rows else []
        )
        if changes:
            await self._put(*changes)

    async def resource(self, project: str, resource: str) -> ResourceRecord | None:
        return await self._one(RESOURCES, ("project = ?", project), ("resource = ?", resource))

    async def resources(
        self,
        project: str,
        *,
        search: str = "",
        health: str = "",
        kind: str = "",
        worst_first: bool = False,
        page: Page = FIRST,
    ) -> tuple[tuple[ResourceRecord, ...], int]:
        conditions = (
            ("project = ?", project),
            ("instr(words, ?) > 0", folded(search) or None),
            ("health = ?", health or None),
            ("definition_kind = ?", kind or None),
        )
        # Of one health all are alike, and the index on names needs no sorting.
        order = f"{WORST_FIRST_SQL}, resource" if worst_first and not health else "resource"
        return await self._page(RESOURCES, order, page, conditions)

    async def health_counts(self, project: str) -> dict[str, int]:
        (rows,) = await self._db.read(Query(_COUNTS, (text(project),)))
        return {health: int(number) for health, number in sorted(rows)}

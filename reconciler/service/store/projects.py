"""Sources, Projects, and what people said about Projects."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from reconciler.service.records import (
    FIRST,
    Approved,
    Page,
    Pin,
    ProjectRecord,
    Retry,
    SourceRecord,
    Suspension,
)
from reconciler.service.store.database import Change
from reconciler.service.store.parts import Part, deleted
from reconciler.service.store.rows import folded, text
from reconciler.service.store.schema import (
    APPROVALS,
    PINS,
    PROJECTS,
    RETRIES,
    SOURCES,
    SUSPENSIONS,
    WORST_FIRST_SQL,
)

_WANT: Final = (
    "INSERT INTO rc_projects (name, source, wanted, words) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET wanted = excluded.wanted"
)


class Projects(Part):
    """The part of the store with a row for each source and Project."""

    async def put_source(self, record: SourceRecord) -> None:
        await self._put(Change(SOURCES.put(), (SOURCES.row(record),)))

    async def source(self, name: str) -> SourceRecord | None:
        return await self._one(SOURCES, ("name = ?", name))

    async def sources(self) -> tuple[SourceRecord, ...]:
        return await self._all(SOURCES, "name")

    async def put_project(self, record: ProjectRecord, *, keep: Collection[str] = ()) -> None:
        # A run takes minutes, and a newer commit may be seen meanwhile: its row must not undo that.
        await self._put(Change(PROJECTS.put(keep=("wanted", *keep)), (PROJECTS.row(record),)))

    async def project(self, name: str) -> ProjectRecord | None:
        return await self._one(PROJECTS, ("name = ?", name))

    async def projects(
        self,
        *,
        source: str = "",
        search: str = "",
        health: str = "",
        worst_first: bool = False,
        page: Page = FIRST,
    ) -> tuple[tuple[ProjectRecord, ...], int]:
        conditions = (
            ("source = ?", source or None),
            ("instr(words, ?) > 0", folded(search) or None),
            ("health = ?", health or None),
        )
        # Of one health all are alike, and the index on names needs no sorting.
        order = f"{WORST_FIRST_SQL}, name" if worst_first and not health else "name"
        return await self._page(PROJECTS, order, page, conditions)

    async def want(self, source: str, projects: Collection[str], commit: str) -> None:
        # Sorted: two writers that lock the same rows in one order never wait for each other in a circle.
        rows = [(text(name), text(source), text(commit), folded(name)) for name in sorted(set(projects))]
        if rows:
            await self._put(Change(_WANT, rows))

    async def suspend(self, suspension: Suspension) -> None:
        await self._put(Change(SUSPENSIONS.put(), (SUSPENSIONS.row(suspension),)))

    async def resume(self, project: str) -> None:
        await self._put(deleted(SUSPENSIONS, ("project = ?", project)))

    async def suspension(self, project: str) -> Suspension | None:
        return await self._one(SUSPENSIONS, ("project = ?", project))

    async def suspensions(self) -> tuple[Suspension, ...]:
        return await self._all(SUSPENSIONS, "project")

    async def put_pin(self, pin: Pin) -> None:
        await self._put(Change(PINS.put(), (PINS.row(pin),)))

    async def remove_pin(self, pin: Pin) -> None:
        this = (
            ("project = ?", pin.project),
            ("resource = ?", pin.resource),
            ("expires_at = ?", pin.expires_at),
        )
        await self._put(deleted(PINS, *this))

    async def pins(self, project: str = "") -> tuple[Pin, ...]:
        return await self._all(PINS, "project, resource", ("project = ?", project or None))

    async def retry(self, retry: Retry) -> None:
        await self._put(Change(RETRIES.put(), (RETRIES.row(retry),)))

    async def retries(self, project: str) -> tuple[Retry, ...]:
        return await self._all(RETRIES, "resource", ("project = ?", project))

    async def take_retry(self, project: str, resource: str) -> None:
        await self._put(deleted(RETRIES, ("project = ?", project), ("resource = ?", resource)))

    async def approve(self, approved: Approved) -> None:
        await self._put(Change(APPROVALS.put(), (APPROVALS.row(approved),)))

    async def approved(self, project: str) -> Approved | None:
        return await self._one(APPROVALS, ("project = ?", project))

    async def take_approval(self, approved: Approved) -> None:
        this = (("project = ?", approved.project), ("digest = ?", approved.digest))
        await self._put(deleted(APPROVALS, *this))

"""Runs, events and the audit log, and what is forgotten of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Final

from reconciler.service.records import FIRST, AuditRecord, EventRecord, Page, RunRecord
from reconciler.service.store.database import Change, Query
from reconciler.service.store.parts import Part
from reconciler.service.store.rows import text
from reconciler.service.store.schema import AUDIT, EVENTS, RUNS

_INTERRUPT: Final = (
    "UPDATE rc_runs SET result = 'interrupted', ended_at = ?"
    " WHERE project = ? AND result = 'running' AND id <> ?"
)
# Places from 1 for the newest run of each Project; the one that goes on has not ended its history yet.
_OLD_RUNS: Final = (
    "SELECT id FROM (SELECT id, result, started_at,"
    " row_number() OVER (PARTITION BY project ORDER BY started_at DESC, id DESC) AS place FROM rc_runs)"
    " AS placed WHERE place > 1 AND result <> 'running' AND (place > ? OR started_at < ?)"
)
_BATCH: Final = 200
"""Rows that go in one transaction: about a millisecond, for which every other writer of a file waits."""

_REST_S: Final = 0.002
"""Between two transactions, so that who waits for the lock of the file gets it in between."""


class History(Part):
    """The part of the store that grows."""

    async def start_run(self, record: RunRecord) -> None:
        interrupt = (record.started_at, text(record.project), text(record.id))
        await self._put(Change(_INTERRUPT, (interrupt,)), Change(RUNS.put(), (RUNS.row(record),)))

    async def end_run(self, record: RunRecord) -> None:
        await self._put(Change(RUNS.put(), (RUNS.row(record),)))

    async def run(self, id: str) -> RunRecord | None:
        return await self._one(RUNS, ("id = ?", id))

    async def runs(
        self, *, project: str = "", source: str = "", result: str = "", page: Page = FIRST
    ) -> tuple[tuple[RunRecord, ...], int]:
        conditions = (
            ("project = ?", project or None),
            ("source = ?", source or None),
            ("result = ?", result or None),
        )
        return await self._page(RUNS, "started_at DESC, id DESC", page, conditions, without=("report",))

    async def add_events(self, events: Sequence[EventRecord]) -> None:
        if events:
            await self._put_in_order(Change(EVENTS.insert(), [EVENTS.row(event) for event in events]))

    async def events(
        self,
        *,
        project: str = "",
        resource: str = "",
        type: str = "",
        severity: str = "",
        after_id: int | None = None,
        page: Page = FIRST,
    ) -> tuple[tuple[EventRecord, ...], int]:
        conditions = (
            ("project = ?", project or None),
            ("resource = ?", resource or None),
            ("type = ?", type or None),
            ("severity = ?", severity or None),
            ("id > ?", after_id),
        )
        return await self._page(EVENTS, "id DESC" if after_id is None else "id", page, conditions)

    async def add_audit(self, record: AuditRecord) -> None:
        await self._put_in_order(Change(AUDIT.insert(), (AUDIT.row(record),)))

    async def audits(
        self, *, project: str = "", actor: str = "", page: Page = FIRST
    ) -> tuple[tuple[AuditRecord, ...], int]:
        return await self._page(
            AUDIT, "id DESC", page, (("project = ?", project or None), ("actor = ?", actor or None))
        )

    async def forget(self, *, runs: int, older_than: float, audit_older_than: float, now: float) -> int:
        (old,) = await self._db.read(Query(_OLD_RUNS, (max(runs, 1), older_than)))
        return (
            await self._forget_runs([id for (id,) in old])
            + await self._forget_rows("rc_events", "id", "at", older_than)
            + await self._forget_rows("rc_audit", "id", "at", audit_older_than)
            + await self._forget_rows("rc_approvals", "project", "expires_at", now)
            + await self._forget_rows("rc_retries", "project, resource", "expires_at", now)
            + await self._forget_rows("rc_seen", "scope, key", "until", now)
        )

    async def _forget_runs(self, ids: Sequence[str]) -> int:
        waiting, count = iter(ids), 0
        while batch := [(id,) for id in islice(waiting, _BATCH)]:
            count += sum(await self._put(Change("DELETE FROM rc_runs WHERE id = ?", batch)))
            await asyncio.sleep(_REST_S)
        return count

    async def _forget_rows(self, table: str, key: str, column: str, before: float) -> int:
        oldest = f"SELECT {key} FROM {table} WHERE {column} < ? ORDER BY {column}, {key} LIMIT {_BATCH}"
        count = 0
        while True:
            (gone,) = await self._put(
                Change(f"DELETE FROM {table} WHERE ({key}) IN ({oldest})", ((before,),))
            )
            count += gone
            if gone < _BATCH:
                return count
            await asyncio.sleep(_REST_S)

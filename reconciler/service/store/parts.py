"""What every part of the store does with its tables: put, get, list by pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, TypeVar

from reconciler.service.records import Page
from reconciler.service.store.database import Change, Database, Query, Row, Value
from reconciler.service.store.rows import Table, text

R = TypeVar("R")

_BUMP: Final = Change("UPDATE rc_pulse SET n = n + 1 WHERE one = 1")
_MAX_ROWS: Final = 1_000
# Farther than any list goes, and small enough for every database's numbers.
_MAX_OFFSET: Final = 10**9

# A condition of SQL with one `?`, and its value; None means that it does not matter.
Condition = tuple[str, Value | None]


class Part:
    """A part of the store: some tables of one database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def _put(self, *changes: Change) -> list[int]:
        """Write, and raise the pulse.

        Last, since on PostgreSQL its row is locked until the end of the transaction: whoever holds it
        waits for nothing more, so that writers cannot block each other for long, or for ever.
        """
        return (await self._db.write(*changes, _BUMP))[:-1]

    async def _put_in_order(self, *changes: Change) -> None:
        """Write with the pulse held throughout: the ids that the database gives out then grow in the order
        of the commits, and a reader that follows them misses none."""
        await self._db.write(_BUMP, *changes)

    async def _one(self, table: Table[R], *conditions: Condition) -> R | None:
        where, values = _where(conditions)
        (rows,) = await self._db.read(Query(table.select() + where, values))
        return table.record(rows[0]) if rows else None

    async def _all(self, table: Table[R], order: str, *conditions: Condition) -> tuple[R, ...]:
        where, values = _where(conditions)
        (rows,) = await self._db.read(Query(f"{table.select()}{where} ORDER BY {order}", values))
        return tuple(map(table.record, rows))

    async def _page(
        self,
        table: Table[R],
        order: str,
        page: Page,
        conditions: Iterable[Condition],
        *,
        without: Collection[str] = (),
    ) -> tuple[tuple[R, ...], int]:
        where, values = _where(conditions)
        limit = min(max(page.limit, 1), _MAX_ROWS)
        offset = min(max(page.offset, 0), _MAX_OFFSET)
        rows, counted = await self._db.read(
            Query(
                f"{table.select(without=without)}{where} ORDER BY {order} LIMIT ? OFFSET ?",
                (*values, limit, offset),
            ),
            Query(f"SELECT count(*) FROM {table.name}{where}", values),
        )
        return tuple(table.record(row, without=without) for row in rows), _number(counted)

    async def _number(self, sql: str, *values: Value) -> int:
        """The only value of a query, 0 without a row."""
        (rows,) = await self._db.read(Query(sql, tuple(map(_clean, values))))
        return _number(rows)


def deleted(table: Table[R], *conditions: Condition) -> Change:
    """Removes the rows that meet all conditions."""
    where, values = _where(conditions)
    return Change(f"DELETE FROM {table.name}{where}", (values,))


def _number(rows: list[Row]) -> int:
    return int(rows[0][0]) if rows else 0


def _where(conditions: Iterable[Condition]) -> tuple[str, tuple[Value, ...]]:
    used = [(sql, _clean(value)) for sql, value in conditions if value is not None]
    if not used:
        return "", ()
    return " WHERE " + " AND ".join(sql for sql, _ in used), tuple(value for _, value in used)


def _clean(value: Value) -> Value:
    # What is looked for is written as what was stored.
    return text(value) if isinstance(value, str) else value

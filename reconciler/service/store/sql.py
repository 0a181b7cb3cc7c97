"""The store over SQL: one class, whatever the database."""

from __future__ import annotations

from typing import Final

from reconciler.service.store.database import Change
from reconciler.service.store.history import History
from reconciler.service.store.projects import Projects
from reconciler.service.store.resources import Resources
from reconciler.service.store.rows import text

# A row of another one is taken over once its time is over, and only then; of several that try at once, the
# second sees the first one's time, since the row is locked until that has been committed.
_FIRST: Final = (
    "INSERT INTO rc_seen (scope, key, at, until) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (scope, key) DO UPDATE SET at = excluded.at, until = excluded.until"
    " WHERE rc_seen.at <= ?"
)
_MOVE: Final = (
    "INSERT INTO rc_cursors (name, n) VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET n = excluded.n WHERE rc_cursors.n < excluded.n"
)


class SqlStore(Projects, Resources, History):
    """The store of one database."""

    async def open(self) -> None:
        await self._db.open()

    async def close(self) -> None:
        await self._db.close()

    async def pulse(self) -> int:
        return await self._number("SELECT n FROM rc_pulse WHERE one = 1")

    async def first_time(self, scope: str, key: str, *, now: float, within_s: float) -> bool:
        row = (text(scope), text(key), now, now + within_s, now - within_s)
        return await self._db.write(Change(_FIRST, (row,))) == [1]

    async def cursor(self, name: str) -> int:
        return await self._number("SELECT n FROM rc_cursors WHERE name = ?", name)

    async def move_cursor(self, name: str, to: int) -> None:
        await self._db.write(Change(_MOVE, ((text(name), to),)))

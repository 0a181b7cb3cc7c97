"""What the store needs of a database: transactions of plain SQL with `?` for values.

Both drivers translate the few words that SQLite and PostgreSQL spell differently, and turn the errors of
their libraries into `StoreDown` (it may answer later) and `StateError` (it will not by itself).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Value = str | int | float | bytes
Row = tuple[Any, ...]

# Each entry brings the schema one version further; append only.
Migrations = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Query:
    """One `SELECT` and its values."""

    sql: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Change:
    """One statement that writes, run once for each row of values."""

    sql: str
    rows: Sequence[tuple[Value, ...]] = ((),)


class Database(Protocol):
    """One database with our tables in it.

    Raises (every method):
        StoreDown: it does not answer.
        StateError: it answers, and cannot be used: damaged, newer than this program, not ours to use.
    """

    async def open(self) -> None:
        """Connect and migrate. After a failure it may be called again."""
        ...

    async def close(self) -> None:
        """Let go of every connection. A second call does nothing."""
        ...

    async def read(self, *queries: Query) -> list[list[Row]]:
        """The rows of each query, all of one moment."""
        ...

    async def write(self, *changes: Change) -> list[int]:
        """Run all changes or none; how many rows each one touched."""
        ...

"""The tables of the replicas' queue: procrastinate's own, and one of ours beside them."""

from __future__ import annotations

from importlib import resources
from typing import Final

from procrastinate.schema import SchemaManager
from psycopg import AsyncConnection

from reconciler.errors import StateError
from reconciler.service.engine.server import Server

_FORMAT: Final = 1

_PREPARING: Final = 0x7263_7171
"""The advisory lock (any number that nobody else takes) of whoever prepares the tables."""

_TABLES: Final = (
    b"CREATE TABLE rq_schema (format INTEGER NOT NULL, procrastinate TEXT NOT NULL)",
    # Coalesced jobs drop their arguments, so what was asked stands here: each reason with the Unix time from
    # which it counts. `asked` grows with every trigger, so that a running turn knows of newer ones.
    b"CREATE TABLE rq_turns ("
    b'key TEXT COLLATE "C" PRIMARY KEY, asked BIGINT NOT NULL DEFAULT 0,'
    b" waiting JSONB NOT NULL DEFAULT '{}', running JSONB NOT NULL DEFAULT '{}',"
    b" failures INTEGER NOT NULL DEFAULT 0)",
)


async def apply_schema(url: str) -> None:
    """Bring the queue's tables up to date; nothing when they are. Two processes may do it at once.

    Raises:
        InvalidInput: the address cannot be read.
        StateError: the tables are another program's, or newer than this one, or may not be made.
        StoreDown: the database does not answer.
    """
    await prepare(Server(url))


async def prepare(server: Server) -> None:
    """As `apply_schema`, over a server that may be closed."""
    async with server.answering(), await server.connect() as db:
        await db.execute("SELECT pg_advisory_lock(%s)", (_PREPARING,))
        if await _there(db, "rq_schema"):
            await _upgrade(db, server.shown)
        else:
            await _create(db, server.shown)


async def _create(db: AsyncConnection, shown: str) -> None:
    if await _there(db, "procrastinate_jobs"):
        raise StateError(
            f"cannot use {shown} for the queue: another program keeps its procrastinate jobs there",
            hint="Give the service a database of its own.",
        )
    async with db.transaction():
        await db.execute(SchemaManager.get_schema().encode())
        for statement in _TABLES:
            await db.execute(statement)
        await db.execute("INSERT INTO rq_schema VALUES (%s, %s)", (_FORMAT, _migrations()[-1]))


async def _upgrade(db: AsyncConnection, shown: str) -> None:
    cursor = await db.execute("SELECT format, procrastinate FROM rq_schema")
    ((found, last),) = await cursor.fetchall()
    known = _migrations()
    if found > _FORMAT or last > known[-1]:
        raise StateError(
            f"cannot use the queue {shown}: its tables are newer than this program",
            hint="Run the newer release that made them, or choose another database.",
        )
    for name in known:
        if name > last:
            # One by one: what one adds to a type, the next may use only after a commit.
            async with db.transaction():
                await db.execute((_folder() / name).read_bytes())
                await db.execute("UPDATE rq_schema SET procrastinate = %s", (name,))


async def _there(db: AsyncConnection, table: str) -> bool:
    cursor = await db.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
    ((there,),) = await cursor.fetchall()
    return bool(there)


def _migrations() -> list[str]:
    """The names of procrastinate's migrations, which are applied in this order."""
    return sorted(file.name for file in _folder().iterdir() if file.name.endswith(".sql"))


def _folder() -> resources.abc.Traversable:
    return resources.files("procrastinate.sql") / "migrations"

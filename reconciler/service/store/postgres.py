"""The store's database on a PostgreSQL server, shared by replicas and by their queue."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from reconciler.errors import InvalidInput, StateError
from reconciler.service.store import StoreDown
from reconciler.service.store.database import Change, Migrations, Query, Row

ANSWER_S: Final = 5.0
"""How long a call waits for a connection: over a fail-over of a second or two, and no longer."""

_WHOLE_S: Final = 15.0
"""How long a call may take in all. A server that is paused, or a network that swallows, answers nothing."""

_CONNECTIONS: Final = 6
"""At most, of one process; calls take milliseconds, and servers in the cloud allow few dozen in all."""

# A server that vanished without a word is noticed in about ten seconds instead of the kernel's hours.
_CONNECT: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "reconciler",
}
# Nothing here takes seconds, whatever waits longer than that is stuck.
_SESSION: Final = (
    b"SELECT set_config('statement_timeout', '30s', false), set_config('lock_timeout', '10s', false),"
    b" set_config('idle_in_transaction_session_timeout', '30s', false)"
)
_ONE_MOMENT: Final = b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

_MIGRATING: Final = 0x7263_736D
"""The advisory lock (any number that nobody else takes) of whoever brings the schema up to date."""

_SPELLED: Final = {
    # Names sort by their bytes as in SQLite and Python, not by the server's language.
    "NAME": 'TEXT COLLATE "C"',
    "SERIAL_ID": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "instr(": "strpos(",
    "?": "%s",
}
_WORD: Final = re.compile(r"\b(?:NAME|SERIAL_ID)\b|\binstr\(|\?")


class PostgresDatabase:
    """One database on a server, by a few connections that come back after an outage.

    Args:
        url: as libpq knows it; what it leaves out comes from `PGPASSWORD` and the like.
        prefix: of our tables, among which may be those of others.

    Raises:
        InvalidInput: libpq cannot read the address.
    """

    def __init__(self, url: str, migrations: Migrations, *, prefix: str) -> None:
        try:
            given = conninfo_to_dict(url)
            # What the address says itself, it knows better.
            self._address = make_conninfo("", **{**_CONNECT, **given})
        except psycopg.Error:
            # Not chained: libpq's message quotes the address, with the password in it.
            raise InvalidInput(
                "`store` is no address that PostgreSQL knows",
                hint="Write `postgresql://USER@HOST:5432/DATABASE`, with `%40` for an `@` inside a name;"
                " keep the password in `PGPASSWORD`.",
            ) from None
        self._shown = f"{given.get('dbname') or 'database'} on {given.get('host') or 'this machine'}"
        self._migrations, self._prefix = migrations, prefix
        self._pool: AsyncConnectionPool[AsyncConnection] | None = None

    async def open(self) -> None:
        await self.close()
        # Every failure reaches a caller as an error; the driver's own lines would only repeat it.
        logging.getLogger("psycopg").setLevel(logging.CRITICAL)
        async with self._translated():
            # Outside the pool, whose error would not say why the server was not reached.
            async with await AsyncConnection.connect(self._address, autocommit=True) as db:
                await self._migrate(db)
            pool = AsyncConnectionPool(
                self._address,
                kwargs={"autocommit": True},
                min_size=1,
                max_size=_CONNECTIONS,
                timeout=ANSWER_S,
                # Short, since the pauses between attempts double: nobody would notice the end of an outage.
                reconnect_timeout=ANSWER_S,
                configure=_configure,
                check=AsyncConnectionPool.check_connection,
                open=False,
            )
            try:
                await pool.open(wait=True, timeout=ANSWER_S)
            except BaseException:
                await pool.close()
                raise
        self._pool = pool

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def read(self, *queries: Query) -> list[list[Row]]:
        async with self._connection() as db:
            if len(queries) == 1:
                return [await _rows(db, queries[0])]
            async with db.transaction():
                await db.execute(_ONE_MOMENT)
                return [await _rows(db, query) for query in queries]

    async def write(self, *changes: Change) -> list[int]:
        async with self._connection() as db, db.transaction():
            counts = []
            for change in changes:
                async with db.cursor() as cursor:
                    if len(change.rows) == 1:
                        await cursor.execute(_spelled(change.sql), change.rows[0])
                    else:
                        await cursor.executemany(_spelled(change.sql), change.rows)
                    counts.append(cursor.rowcount)
            return counts

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        if self._pool is None:
            raise StoreDown(f"the store {self._shown} is closed", hint="Open it first.")
        async with self._translated(), asyncio.timeout(_WHOLE_S), self._pool.connection() as db:
            yield db

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            psycopg.errors.ReadOnlySqlTransaction,  # a standby: the fail-over goes on
            TimeoutError,
        ) as e:
            raise StoreDown(
                f"the store {self._shown} does not answer",
                hint="Check that the server runs and can be reached from here, and user, password and TLS.",
            ) from e
        except psycopg.Error as e:
            raise StateError(
                f"cannot use the store {self._shown}",
                hint="Check that its user may create and use tables there, and that nobody changed ours.",
            ) from e

    async def _migrate(self, db: AsyncConnection) -> None:
        async with db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
            found = await self._version(db)
            if found == len(self._migrations):
                return
            if not found:
                await db.execute(_sql(f"CREATE TABLE {self._prefix}schema (version BIGINT NOT NULL)"))
                await db.execute(_sql(f"INSERT INTO {self._prefix}schema (version) VALUES (0)"))
            for statements in self._migrations[found:]:
                for statement in statements:
                    await db.execute(_spelled(statement))
            await db.execute(_sql(f"UPDATE {self._prefix}schema SET version = %s"), (len(self._migrations),))

    async def _version(self, db: AsyncConnection) -> int:
        """The schema's version, 0 for a database without our tables."""
        table = f"{self._prefix}schema"
        ((there,),) = await _rows(db, Query("SELECT to_regclass(?) IS NOT NULL", (table,)))
        if not there:
            return 0
        ((version,),) = await _rows(db, Query(f"SELECT version FROM {table}"))
        if version > len(self._migrations):
            raise StateError(
                f"cannot use the store {self._shown}: its schema has version {version},"
                f" this program knows {len(self._migrations)}",
                hint="Run the newer release that wrote it, or choose another database.",
            )
        return int(version)


async def _configure(db: AsyncConnection) -> None:
    await db.execute(_SESSION)


async def _rows(db: AsyncConnection, query: Query) -> list[Row]:
    cursor = await db.execute(_spelled(query.sql), query.values)
    return await cursor.fetchall()


@lru_cache(maxsize=256)
def _spelled(sql: str) -> bytes:
    """The statement in PostgreSQL's words."""
    return _sql(_WORD.sub(lambda match: _SPELLED[match[0]], sql))


def _sql(sql: str) -> bytes:
    # Bytes, since psycopg takes text only where a type checker sees that nothing was put into it.
    return sql.encode()

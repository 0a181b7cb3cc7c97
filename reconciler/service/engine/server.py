"""Connections to the PostgreSQL server that replicas share, and its failures in our words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from reconciler.errors import InvalidInput, StateError
from reconciler.service.store import StoreDown

ANSWER_S: Final = 5.0
"""How long a call waits for a connection: over a fail-over of a second or two, and no longer."""

_WHOLE_S: Final = 15.0
"""How long a transaction may take. A server that is paused, or a network that swallows, answers nothing."""

_CONNECTIONS: Final = 4
"""Of the pool, at most; a process has three more that stay open: for its locks, and to hear twice."""

# A server that vanished without a word is noticed in about ten seconds instead of the kernel's hours.
_CONNECT: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "reconciler turns",
}

# A process that stands still in the middle of a transaction must not hold a key's row against the others.
_SESSION: Final = (
    b"SELECT set_config('idle_in_transaction_session_timeout', '3s', false),"
    b" set_config('lock_timeout', '10s', false), set_config('statement_timeout', '15s', false)"
)


class Server:
    """One database on a server.

    Args:
        url: as libpq knows it.

    Raises:
        InvalidInput: libpq cannot read the address.
    """

    def __init__(self, url: str) -> None:
        try:
            given = conninfo_to_dict(url)
            self._address = make_conninfo("", **{**_CONNECT, **given})
        except psycopg.Error:
            # Not chained: libpq's message quotes the address, with the password in it.
            raise InvalidInput(
                "`store` is no address that PostgreSQL knows",
                hint="Write `postgresql://USER@HOST:5432/DATABASE`; keep the password in `PGPASSWORD`.",
            ) from None
        self.shown = f"{given.get('dbname') or 'database'} on {given.get('host') or 'this machine'}"
        self._pool: AsyncConnectionPool[AsyncConnection] | None = None
        # One connection is left to procrastinate, and a storm waits here longer than the pool would let it.
        self._places = asyncio.Semaphore(_CONNECTIONS - 1)
        # What fails is told once, by us.
        for name in ("psycopg", "procrastinate"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    @property
    def pool(self) -> AsyncConnectionPool[AsyncConnection]:
        assert self._pool is not None
        return self._pool

    async def open(self) -> None:
        """Open the pool; nothing when it is.

        Raises:
            StoreDown: the server does not answer.
        """
        if self._pool is not None:
            return
        pool = AsyncConnectionPool(
            self._address,
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
            async with self.answering():
                await pool.open(wait=True, timeout=ANSWER_S)
        except BaseException:
            await pool.close()
            raise
        self._pool = pool

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def connect(self) -> AsyncConnection:
        """A connection beside the pool, which commits each statement by itself."""
        async with self.answering():
            return await AsyncConnection.connect(self._address, autocommit=True)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool, whose changes are kept when the block ends well."""
        if self._pool is None:
            raise StoreDown(f"the queue {self.shown} is closed", hint="The service stops; try again.")
        async with (
            self.answering(),
            asyncio.timeout(_WHOLE_S),
            self._places,
            self._pool.connection() as db,
        ):
            yield db

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """What the server does not answer within the block is `StoreDown`, what it refuses `StateError`."""
        try:
            yield
        except (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            psycopg.errors.ReadOnlySqlTransaction,  # a standby: the fail-over goes on
            psycopg.errors.IdleInTransactionSessionTimeout,  # we stood still, see `_SESSION`
            TimeoutError,
        ) as error:
            raise StoreDown(
                f"the queue {self.shown} does not answer",
                hint="Check that the server runs and can be reached from here, and user, password and TLS.",
            ) from error
        except psycopg.Error as error:
            raise StateError(
                f"cannot use the queue {self.shown}",
                hint="Check that its user may create and use tables there, and that nobody changed ours.",
            ) from error


async def _configure(db: AsyncConnection) -> None:
    await db.execute(_SESSION)
    await db.commit()

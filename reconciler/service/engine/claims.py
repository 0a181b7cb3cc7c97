"""Which keys this process has to itself: locks of the server that end with the process, however it ends."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection

from reconciler.service.engine import Turn
from reconciler.service.engine.server import Server
from reconciler.service.store import StoreDown

ANSWER_S: Final = 4.0
"""How long the server may take to say that the locks are still ours. Shorter than the 11 s after which it
gives up a client that it cannot reach, so that we stop before anybody else may begin."""

_LATE_S: Final = 0.5
"""For an answer that came while this process stood still, and waits to be read."""

_SESSION: Final = (
    b"SELECT set_config('tcp_keepalives_idle', '5', false),"
    b" set_config('tcp_keepalives_interval', '2', false), set_config('tcp_keepalives_count', '3', false),"
    b" set_config('idle_session_timeout', '0', false), set_config('statement_timeout', '0', false)"
)
# Any number, the same everywhere: it keeps our locks apart from those of others.
LOCK_OF: Final = "hashtextextended({}, 42)"
_TAKE: Final = f"SELECT pg_try_advisory_lock({LOCK_OF.format('%s::text')})".encode()
_RELEASE: Final = f"SELECT pg_advisory_unlock({LOCK_OF.format('%s::text')})".encode()

Row = tuple[Any, ...]


class Claims:
    """Locks of one session on a connection of its own; when it breaks, all are lost at once.

    A session may take a lock twice: who uses this keeps apart what runs in one process.
    """

    def __init__(self, db: AsyncConnection, shown: str) -> None:
        self._db, self._shown = db, shown
        self._loop = asyncio.get_running_loop()
        self._asking: set[asyncio.Task[list[Row]]] = set()
        self.lost = asyncio.Event()
        # Another number for the same socket: the driver watches its own while it waits for an answer.
        self._socket = os.dup(db.fileno())
        self._checking: asyncio.Task[bool] | None = None
        self._watch()

    @classmethod
    async def open(cls, server: Server) -> Claims:
        """A new session without locks.

        Raises:
            StoreDown: the server does not answer.
        """
        claims = cls(await server.connect(), server.shown)
        try:
            await claims.ask(_SESSION)
        except BaseException:
            await claims.close()
            raise
        return claims

    async def take(self, key: str) -> bool:
        """Whether the key is ours now; False where another process has it.

        Raises:
            StoreDown: the session is lost.
        """
        ((taken,),) = await self.ask(_TAKE, key)
        return bool(taken)

    async def release(self, key: str) -> None:
        """Give the key back; a lost session has done so."""
        if not self.lost.is_set():
            try:
                await self.ask(_RELEASE, key)
            except StoreDown:
                return

    async def alive(self) -> bool:
        """Whether everything taken is still ours, asked right now."""
        try:
            await self.ask(b"SELECT 1")
        except StoreDown:
            return False
        return True

    async def ask(self, sql: bytes, *values: object) -> list[Row]:
        """Rows of a statement in this session. Any failure loses the session.

        Raises:
            StoreDown: the session is lost.
        """
        if self.lost.is_set():
            raise self._gone()
        # Apart from the caller, who may be cancelled: a lock that was taken then must not go unnoticed.
        asking = asyncio.create_task(self._rows(sql, values))
        self._asking.add(asking)
        self._loop.remove_reader(self._socket)
        asking.add_done_callback(self._answered)
        await asyncio.wait({asking}, timeout=ANSWER_S)
        if not asking.done():
            await asyncio.wait({asking}, timeout=_LATE_S)
        if not asking.done():
            self.lost.set()
            asking.cancel()
            raise self._gone()
        try:
            return asking.result()
        except (psycopg.Error, asyncio.CancelledError) as error:
            raise self._gone() from error

    async def _rows(self, sql: bytes, values: tuple[object, ...]) -> list[Row]:
        cursor = await self._db.execute(sql, values)
        return await cursor.fetchall()

    def _answered(self, asking: asyncio.Task[list[Row]]) -> None:
        self._asking.discard(asking)
        if asking.cancelled() or asking.exception() is not None:
            self.lost.set()
        self._watch()

    def _watch(self) -> None:
        """While nobody asks, the server says nothing unless the session ends: hear it at once."""
        if not self._asking and not self.lost.is_set():
            self._loop.add_reader(self._socket, self._heard)

    def _heard(self) -> None:
        self._loop.remove_reader(self._socket)
        self._checking = asyncio.create_task(self.alive())

    def _gone(self) -> StoreDown:
        return StoreDown(
            f"the locks on {self._shown} are lost", hint="Check the server; turns start again with it."
        )

    async def close(self) -> None:
        """End the session, and with it every lock."""
        self.lost.set()
        self._loop.remove_reader(self._socket)
        for asking in self._asking:
            asking.cancel()
        os.close(self._socket)
        await self._db.close()


@dataclass
class Claimed(Turn):
    """A turn whose key is ours as long as the session lives."""

    claims: Claims = field(kw_only=True)

    async def holds(self) -> bool:
        return not self.lost.is_set() and await self.claims.alive() and not self.lost.is_set()

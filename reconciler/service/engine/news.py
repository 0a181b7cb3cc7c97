"""Hear at once of triggers for keys that run, whichever process was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

import psycopg

from reconciler.service.engine.ledger import NEWS
from reconciler.service.engine.server import Server
from reconciler.service.store import StoreDown

_RETRY_S: Final = 0.5


async def listen(server: Server, heard: Callable[[str, int], None]) -> NoReturn:
    """Tell `heard` key and number of each trigger, until cancelled.

    A broken connection is replaced; what it missed comes by the engine's own looks.
    """
    while True:
        try:
            async with await server.connect() as db:
                await db.execute(f"LISTEN {NEWS}".encode())
                async for notice in db.notifies():
                    number, _, key = notice.payload.partition(" ")
                    heard(key, int(number))
        except (psycopg.Error, StoreDown):
            await asyncio.sleep(_RETRY_S)

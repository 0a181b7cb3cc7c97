"""What keys are asked for, as one SQLite file: each write is one transaction that a crash cannot halve."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from reconciler.errors import StateError
from reconciler.service.store import StoreDown

Demand = dict[str, float]
"""Reasons of one key, each with the Unix time from which it counts; {} for nothing asked."""

_FORMAT: Final = 1
_BUSY_TIMEOUT_S: Final = 10.0

_PUT: Final = "INSERT OR REPLACE INTO asked (key, reasons) VALUES (?, ?)"
_REMOVE: Final = "DELETE FROM asked WHERE key = ?"


class QueueFile:
    """The file, open; made when absent.

    Raises:
        StateError: it is damaged, not writable, or newer than this program.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="queue-writer")
        try:
            # One thread at a time: this one now, the pool's afterwards.
            self._db = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._unusable() from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable() from error
        except BaseException:
            self._db.close()
            raise

    def _unusable(self) -> StateError:
        return StateError(
            f"cannot use the queue {self._path}",
            hint="Check who may write there and the space on its disk. It may be removed while the service"
            " is stopped: at the start every source and Project is looked at again.",
        )

    def _prepare(self) -> None:
        ((found,),) = self._db.execute("PRAGMA user_version")
        if found > _FORMAT:
            raise StateError(
                f"cannot use the queue {self._path}: its format is {found}, this program knows {_FORMAT}",
                hint="Run the newer release that wrote it, or choose another path for the store.",
            )
        self._db.execute("PRAGMA journal_mode = WAL")
        # Small and seldom written: an fsync for each commit costs little, and then a power cut loses nothing.
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS asked (key TEXT PRIMARY KEY, reasons TEXT NOT NULL)")
        self._db.execute(f"PRAGMA user_version = {_FORMAT}")

    def read(self) -> dict[str, Demand]:
        """Everything asked, by key."""
        try:
            rows = self._db.execute("SELECT key, reasons FROM asked").fetchall()
            return {
                key: {str(r): float(due) for r, due in json.loads(reasons).items()} for key, reasons in rows
            }
        except (sqlite3.Error, ValueError, AttributeError) as error:
            self._db.close()
            raise self._unusable() from error

    async def write(self, demands: Mapping[str, Demand]) -> None:
        """Replace what is asked of these keys, all or nothing.

        Raises:
            StoreDown: it could not be written.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._write, demands)
        except sqlite3.Error as error:
            raise StoreDown(
                f"cannot write the queue {self._path}",
                hint="Check the space on its disk, and that no other program holds it.",
            ) from error

    def _write(self, demands: Mapping[str, Demand]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(_REMOVE, [(key,) for key, demand in demands.items() if not demand])
            self._db.executemany(
                _PUT, [(key, json.dumps(demand)) for key, demand in demands.items() if demand]
            )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, self._db.close)
        self._pool.shutdown(wait=False)

"""The store's database as one SQLite file: nothing to install, one service process, any number of readers."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from reconciler.errors import StateError
from reconciler.service.store import StoreDown
from reconciler.service.store.database import Change, Migrations, Query, Row

T = TypeVar("T")

BUSY_TIMEOUT_S: Final = 10.0
"""How long a write waits for another process, such as a backup; our own transactions take milliseconds."""

_SPELLED: Final = {"NAME": "TEXT", "SERIAL_ID": "INTEGER PRIMARY KEY AUTOINCREMENT"}
_WORD: Final = re.compile(r"\b(?:NAME|SERIAL_ID)\b")


def check_place(path: Path) -> None:
    """Refuse a path where no file can be: SQLite would only say that it cannot open it, now and for ever.

    Raises:
        StateError: its folder does not exist, or it is one.
    """
    if not path.parent.is_dir():
        root = "" if path.is_absolute() else f"; from the root it is `sqlite:////{path}`"
        raise StateError(
            f"cannot use the store {path}: its folder does not exist",
            hint=f"Make it (`mkdir -p {path.parent}`), or choose another path{root}.",
        )
    if path.is_dir():
        raise StateError(
            f"cannot use the store {path}: it is a folder", hint="Name a file in it, such as `store.db`."
        )


class SqliteDatabase:
    """One file in write-ahead mode: writes in one thread, reads in another, which never waits for them.

    Args:
        path: created when absent; its folder must exist.
        prefix: of our tables; a file with other tables only belongs to another program.
    """

    def __init__(self, path: Path, migrations: Migrations, *, prefix: str) -> None:
        self._path, self._migrations, self._prefix = path, migrations, prefix
        self._writer: _Thread | None = None
        self._reader: _Thread | None = None

    async def open(self) -> None:
        await self.close()
        check_place(self._path)
        writer, reader = _Thread(self._path, "store-writer"), _Thread(self._path, "store-reader")
        try:
            await self._run(writer, self._prepare)
            await self._run(reader, lambda db: db.execute("PRAGMA query_only = ON"))
        except BaseException:
            await asyncio.gather(writer.close(), reader.close())
            raise
        self._writer, self._reader = writer, reader

    async def close(self) -> None:
        threads = [thread for thread in (self._writer, self._reader) if thread is not None]
        self._writer = self._reader = None
        for thread in threads:
            await thread.close()

    async def read(self, *queries: Query) -> list[list[Row]]:
        return await self._run(self._reader, partial(_read, queries))

    async def write(self, *changes: Change) -> list[int]:
        return await self._run(self._writer, partial(_write, changes))

    async def _run(self, thread: _Thread | None, work: Callable[[sqlite3.Connection], T]) -> T:
        if thread is None:
            raise StoreDown(f"the store {self._path} is closed", hint="Open it first.")
        try:
            return await thread.run(work)
        except sqlite3.OperationalError as e:
            raise StoreDown(
                f"the store {self._path} cannot be used now",
                hint="Check who may write there, the space on its disk, and that no other program holds it.",
            ) from e
        except sqlite3.DatabaseError as e:
            raise StateError(
                f"cannot use the store {self._path}",
                hint="It is damaged or no SQLite file: put a copy back, or choose another path.",
            ) from e

    def _prepare(self, db: sqlite3.Connection) -> None:
        # Before anything is written: a file that is not for us stays as it is, byte by byte.
        old = self._version(db) < len(self._migrations)
        _use_wal(db)
        if old:
            self._migrate(db)
        # A suspension or rollback that was confirmed outlives a power cut, for some milliseconds a write.
        db.execute("PRAGMA synchronous = FULL")

    def _version(self, db: sqlite3.Connection) -> int:
        """The schema's version, 0 for an empty file.

        Raises:
            StateError: it is newer than this program, or the file is another program's.
        """
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if f"{self._prefix}schema" not in tables:
            if tables and not any(name.startswith(self._prefix) for name in tables):
                raise StateError(
                    f"cannot use the store {self._path}: it is the database of another program",
                    hint="Choose another path for the store.",
                )
            return 0
        ((version,),) = db.execute(f"SELECT version FROM {self._prefix}schema")
        if version > len(self._migrations):
            raise StateError(
                f"cannot use the store {self._path}: its schema has version {version},"
                f" this program knows {len(self._migrations)}",
                hint="Run the newer release that wrote it, or choose another path.",
            )
        return int(version)

    def _migrate(self, db: sqlite3.Connection) -> None:
        with _transaction(db, write=True):
            found = self._version(db)
            if found == len(self._migrations):  # another process was faster
                return
            if found:
                self._copy_aside(found)
            else:
                db.execute(f"CREATE TABLE {self._prefix}schema (version BIGINT NOT NULL)")
                db.execute(f"INSERT INTO {self._prefix}schema (version) VALUES (0)")
            for statements in self._migrations[found:]:
                for statement in statements:
                    db.execute(_WORD.sub(lambda match: _SPELLED[match[0]], statement))
            db.execute(f"UPDATE {self._prefix}schema SET version = ?", (len(self._migrations),))

    def _copy_aside(self, version: int) -> None:
        backup = self._path.with_name(f"{self._path.name}.bak-v{version}")
        # A reader of its own sees the last commit, which is what must be kept.
        with closing(sqlite3.connect(self._path)) as source, closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)


class _Thread:
    """A thread with a connection of its own, which is opened on first use."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._with, work)

    def _with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._db is None:
            self._db = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        return work(self._db)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, self._close)
        self._pool.shutdown(wait=False)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()


def _read(queries: tuple[Query, ...], db: sqlite3.Connection) -> list[list[Row]]:
    with _transaction(db, write=False):
        return [db.execute(query.sql, query.values).fetchall() for query in queries]


def _write(changes: tuple[Change, ...], db: sqlite3.Connection) -> list[int]:
    with _transaction(db, write=True):
        return [db.executemany(change.sql, change.rows).rowcount for change in changes]


@contextmanager
def _transaction(db: sqlite3.Connection, *, write: bool) -> Iterator[None]:
    """All of the block or nothing. A write takes the lock at the start, so it never has to begin again."""
    db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # A full disk has rolled back already.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging. SQLite does not wait for a lock here, so we do."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as e:
            # The low byte is the kind; the rest says why.
            if e.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)

"""The SQLite file that holds everything the sandbox knows. Two processes may use one file at once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from reconciler.sandbox.errors import SandboxError

APPLICATION_ID = 0x464E4459
"""Written into the file's header, so that another program's database is never taken for ours."""

BUSY_TIMEOUT_S = 10.0
"""How long a write waits for the other process; its transactions take milliseconds."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE config (scope TEXT PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE faults (
        id INTEGER PRIMARY KEY, rule BLOB NOT NULL,
        left INTEGER, skip INTEGER NOT NULL, hits INTEGER NOT NULL);
    CREATE TABLE buckets (project TEXT PRIMARY KEY, tokens REAL NOT NULL, at REAL NOT NULL);
    CREATE TABLE resources (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        project TEXT NOT NULL, collection TEXT NOT NULL, name TEXT NOT NULL,
        rank REAL NOT NULL, listed_from REAL NOT NULL, deleted_at REAL,
        next_number INTEGER NOT NULL DEFAULT 1, turns INTEGER NOT NULL DEFAULT 0,
        kind TEXT NOT NULL, details BLOB NOT NULL,
        body BLOB, settles_at REAL, settled_body BLOB);
    CREATE UNIQUE INDEX resource_names ON resources (project, collection, name) WHERE deleted_at IS NULL;
    CREATE INDEX resource_order ON resources (project, collection, rank, name);
    CREATE TABLE versions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        resource_id INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
        version TEXT NOT NULL, number INTEGER, created_at INTEGER NOT NULL,
        listed_from REAL NOT NULL, deleted_at REAL,
        settles_at REAL, outcome TEXT NOT NULL, error BLOB,
        content BLOB NOT NULL, metadata BLOB NOT NULL, description TEXT NOT NULL, code_sha TEXT);
    CREATE UNIQUE INDEX version_names ON versions (resource_id, version) WHERE deleted_at IS NULL;
    CREATE INDEX version_numbers ON versions (resource_id, number);
    CREATE TABLE zips (sha TEXT PRIMARY KEY, content BLOB NOT NULL);
    """,
    """
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        resource_id INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
        name TEXT NOT NULL, version TEXT NOT NULL, idle_s REAL NOT NULL,
        created_at REAL NOT NULL, last_accessed_at REAL NOT NULL, stopped_at REAL,
        UNIQUE (resource_id, name));
    CREATE TABLE session_files (
        session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        path TEXT NOT NULL, content BLOB NOT NULL, modified_at REAL NOT NULL,
        PRIMARY KEY (session_id, path));
    CREATE TABLE documents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        project TEXT NOT NULL, collection TEXT NOT NULL, name TEXT NOT NULL, parent TEXT, body BLOB NOT NULL,
        UNIQUE (project, collection, name));
    CREATE INDEX document_parents ON documents (project, collection, parent, id);
    CREATE INDEX resource_tombstones ON resources (deleted_at) WHERE deleted_at IS NOT NULL;
    CREATE INDEX version_tombstones ON versions (deleted_at) WHERE deleted_at IS NOT NULL;
    """,
    """
    CREATE TABLE former_details (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        resource_id INTEGER NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
        details BLOB NOT NULL, replaced_at REAL NOT NULL);
    CREATE INDEX former_details_order ON former_details (resource_id, replaced_at, id);
    """,
)
"""Append only: entry N brings a file from schema N to N+1."""


class State:
    """One connection to the state file, for the thread that opened it.

    Args:
        path: created when absent; its folder must exist.

    Raises:
        SandboxError: the file cannot be written, belongs to another program, or was written by a newer
            sandbox. Such a file is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        except sqlite3.Error as e:
            raise _unusable(path) from e
        self._db.row_factory = sqlite3.Row
        try:
            self._prepare()
        except sqlite3.Error as e:
            self._db.close()
            raise _unusable(path) from e
        except SandboxError:
            self._db.close()
            raise

    def close(self) -> None:
        """Release the file. A second call does nothing."""
        self._db.close()

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing; a reader sees one moment of the file throughout.

        A write takes the lock at the start, so what it checks cannot change before it acts.
        """
        self._db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _prepare(self) -> None:
        db = self._db
        db.execute("PRAGMA foreign_keys = ON")
        self._check_owner()
        _use_wal(db)
        # Without an fsync per commit a killed process still loses nothing; only a power cut could.
        db.execute("PRAGMA synchronous = NORMAL")
        if _version(db) < len(MIGRATIONS):
            self._migrate()

    def _check_owner(self) -> None:
        version = _version(self._db)
        if version > len(MIGRATIONS):
            raise SandboxError(
                f"cannot open {self._path}: its schema has version {version},"
                f" this sandbox knows {len(MIGRATIONS)}",
                hint="Use the newer release that wrote it, or start with another state file.",
            )
        (owner,) = self._db.execute("PRAGMA application_id").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and owner != APPLICATION_ID:
            raise SandboxError(
                f"cannot open {self._path}: it is the database of another program",
                hint="Choose another path for the state file.",
            )

    def _migrate(self) -> None:
        with self.transaction(write=True) as db:
            found = _version(db)
            if found >= len(MIGRATIONS):  # the other process was faster
                return
            if found:
                self._copy_aside(found)
            for script in MIGRATIONS[found:]:
                for statement in filter(str.strip, script.split(";")):
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _copy_aside(self, version: int) -> None:
        backup = self._path.with_name(f"{self._path.name}.bak-v{version}")
        # A reader of its own sees the last commit, which is what must be kept.
        with closing(sqlite3.connect(self._path)) as source, closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging. SQLite does not wait for a lock here, so we do."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as e:
            if (
                e.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                or time.monotonic() > deadline
            ):
                raise
            time.sleep(0.005)


def _unusable(path: Path) -> SandboxError:
    return SandboxError(
        f"cannot open the state file {path}",
        hint="The folder must exist and be writable, and the file must be a sandbox's own or absent.",
    )

"""From the address in the configuration to a store, and the migration that a deployment runs first."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reconciler.errors import InvalidInput, StateError
from reconciler.service.store import Store
from reconciler.service.store.database import Database
from reconciler.service.store.schema import MIGRATIONS, PREFIX
from reconciler.service.store.sql import SqlStore
from reconciler.service.store.sqlite import SqliteDatabase, check_place

_HINT: Final = (
    "Write `sqlite:///var/store.db` for a file (four slashes where its path begins with one), or"
    " `postgresql://USER@HOST/DATABASE` for replicas; keep the password in `PGPASSWORD`."
)


def open_store(url: str) -> Store:
    """The store at an address, still closed: `await store.open()` connects.

    Args:
        url: `sqlite:///PATH`, where a relative PATH counts from the working directory, or a PostgreSQL
            address as libpq knows them (`postgresql://USER@HOST:PORT/DATABASE?sslmode=require`).

    Raises:
        InvalidInput: it is neither; the message never holds the address, which may hold a password.
        StateError: PostgreSQL's driver is not installed.
    """
    path = sqlite_path(url)
    if path is None:
        return SqlStore(_postgres(url))
    return SqlStore(SqliteDatabase(path, MIGRATIONS, prefix=PREFIX))


def sqlite_path(url: str) -> Path | None:
    """The file at an address of a store, None for a PostgreSQL server.

    Raises:
        InvalidInput: it is neither; the message never holds the address, which may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise InvalidInput("`store` is no address", hint=_HINT)
    if scheme in ("postgresql", "postgres"):
        return None
    if scheme != "sqlite":
        raise InvalidInput(f"`store` is an address of `{scheme[:20]}://`, which keeps no store", hint=_HINT)
    path = rest.removeprefix("/")
    if not rest.startswith("/") or path in ("", "/") or path.endswith("/"):
        raise InvalidInput("`store` names no file", hint=_HINT)
    if path == ":memory:" or "?" in path or "#" in path or "\x00" in path:
        raise InvalidInput("`store` has a path that is no plain file", hint=_HINT)
    return Path(path)


def place_problem(url: str) -> str:
    """Why the store could not be opened on this machine as it is now; "" for a server, which is not asked."""
    path = sqlite_path(url)
    try:
        if path is not None:
            check_place(path)
    except StateError as error:
        return f"{error}. {error.hint}"
    return ""


async def migrate(url: str) -> None:
    """Bring the schema of a store up to date, and on PostgreSQL that of the replicas' queue.

    Every start does the first by itself; this is for who may alter tables where the service may not.

    Raises:
        InvalidInput, StateError: as `open_store`.
        StoreDown: the database does not answer.
    """
    store = open_store(url)
    try:
        await store.open()
    finally:
        await store.close()
    if sqlite_path(url) is None:
        from reconciler.service.engine.schema import apply_schema

        await apply_schema(url)


def _postgres(url: str) -> Database:
    try:
        from reconciler.service.store.postgres import PostgresDatabase
    except ImportError as e:
        raise StateError(
            "cannot use PostgreSQL: its driver is not installed",
            hint="Install it: pip install 'foundry-reconciler[replicas]'",
        ) from e
    return PostgresDatabase(url, MIGRATIONS, prefix=PREFIX)

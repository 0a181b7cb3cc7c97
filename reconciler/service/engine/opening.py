"""From the address of the store to the engine that goes with it: a file has one process, a server many."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from reconciler.errors import StateError
from reconciler.service.engine import Engine
from reconciler.service.engine.failing import Pauses

GRACE_S: Final = 10.0
"""How long running turns get after a stop; well within the 30 s that Kubernetes gives a pod."""


def open_engine(
    store_url: str, *, concurrency: int, grace_s: float = GRACE_S, pauses: Pauses | None = None
) -> Engine:
    """The engine for a store's address.

    Args:
        store_url: one that `open_store` took; embedded for `sqlite:`, replicas for `postgresql:`.
        concurrency: how many turns run at once in this process.

    Raises:
        StateError: another process works on this file, it cannot be used, or what PostgreSQL needs is not
            installed.
    """
    scheme, _, rest = store_url.partition("://")
    if scheme == "sqlite":
        from reconciler.service.engine.embedded import Embedded

        # By whatever name: two processes that took different locks would both write.
        path = Path(rest.removeprefix("/")).resolve()
        return Embedded(path, concurrency=concurrency, grace_s=grace_s, pauses=pauses)
    try:
        from reconciler.service.engine.replicas import Replicas
    except ImportError as error:
        raise StateError(
            "cannot share turns over PostgreSQL: its driver or procrastinate is not installed",
            hint="Install them: pip install 'foundry-reconciler[replicas]'",
        ) from error
    return Replicas(store_url, concurrency=concurrency, grace_s=grace_s, pauses=pauses)


async def apply_schema(store_url: str) -> None:
    """Bring the tables of the replicas' queue up to date; nothing for a file, or when they are.

    Raises:
        InvalidInput: the address cannot be read.
        StateError: the tables are another program's, newer than this one, or may not be made.
        StoreDown: the database does not answer.
    """
    if not store_url.startswith("sqlite:"):
        from reconciler.service.engine.schema import apply_schema

        await apply_schema(store_url)


def pooler_problem(store_url: str) -> str:
    """What is wrong with an address that leads to PgBouncer, "" for nothing.

    Locks and notifications belong to a session, and PgBouncer in transaction mode, which managed servers
    offer on port 6432, gives each transaction another one.
    """
    try:
        port = urlsplit(store_url).port
    except ValueError:
        return ""
    if port != 6432 or store_url.startswith("sqlite:"):
        return ""
    return (
        "`store` leads to port 6432, where PgBouncer usually listens: the locks of replicas do not work"
        " through its transaction mode. Use the server's own port, 5432."
    )

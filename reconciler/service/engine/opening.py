"""From the address of the store to the engine that goes with it: a file has one process, a server many."""

from __future__ import annotations

from pathlib import Path
from typing import Final

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

        path = Path(rest.removeprefix("/"))
        return Embedded(path, concurrency=concurrency, grace_s=grace_s, pauses=pauses)
    raise StateError(f"there is no engine for a store of `{scheme[:20]}://` yet")

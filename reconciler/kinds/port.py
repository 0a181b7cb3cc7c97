"""The I/O side of a kind, implemented in `foundry/`. `apply` and `live` get a mapping of these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Final, Protocol, TypeVar

from reconciler.resource import Done, Key, Live

C_contra = TypeVar("C_contra", contravariant=True)


def _always() -> bool:
    return True


# Whether a write may still be sent. Whoever begins it says so; it is asked again where it is sent, since it
# may have waited long for its turn (rule P7).
MAY_SEND: Final[ContextVar[Callable[[], bool]]] = ContextVar("may_send", default=_always)


class Port(Protocol[C_contra]):
    """Reads and single attempts at writes for one kind in one project. Errors are `ServiceError`s."""

    def list(self) -> AsyncIterator[Live]:
        """Every live resource, complete or an error (rule I2)."""
        ...

    async def read(self, name: str) -> Live | None:
        """One resource as it is now, None when the service does not know it."""
        ...

    async def deepen(self, live: Live, numbers: tuple[str, ...] | None) -> Live:
        """The same resource with the named versions read, or with all: for None, and where one is gone."""
        ...

    async def do(self, key: Key, call: C_contra) -> Done:
        """One attempt at one call, sent once."""
        ...

    async def download_code(self, name: str, number: str) -> bytes:
        """The code zip of one version; only kinds with code have any."""
        ...

    async def settled(self, key: Key, call: C_contra) -> Done | None:
        """The outcome of a call whose answer was lost, found by reading; None when it did not happen."""
        ...

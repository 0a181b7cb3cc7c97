"""What each process does for itself, minute by minute: close what is idle, give memory back."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from typing import Final

from reconciler.service.connections import Connections

_EVERY_S: Final = 60.0


async def tidy(connections: Connections, stop: asyncio.Event, every_s: float = _EVERY_S) -> None:
    """Tidy up every `every_s` seconds until the stop."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every_s)
        await connections.close_idle()
        await asyncio.to_thread(give_back)


def give_back() -> None:
    """Return freed memory to the system, where the C library can (glibc).

    It keeps what threads freed, in an arena for each. Measured: a busy process whose allocations stayed at
    34 MB grew by up to 1 MB a minute.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

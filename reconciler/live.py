"""Read live state through the ports: whole, or for some keys. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from typing import Any, TypeVar

from reconciler.kinds.port import Port
from reconciler.resource import Key, Live, LiveState

T = TypeVar("T")

Ports = Mapping[str, Port[Any]]


async def read_all(ports: Ports, project: str) -> LiveState:
    """Every resource of every kind, complete.

    Raises:
        ServiceError: a list could not be read to its end; nothing may be decided from a part of it.
    """
    items: dict[Key, Live] = {}
    for kind in sorted(ports):
        async for live in ports[kind].list():
            items[live.key] = live
    return LiveState(items, complete=True)


async def read_some(ports: Ports, keys: Collection[Key], workers: int) -> LiveState:
    """The named resources as they are now; complete for them, and it says nothing of any other."""
    found = await _each(sorted(keys), lambda key: ports[key.kind].read(key.name), workers)
    return LiveState({live.key: live for live in found if live is not None}, complete=True)


async def deepened(
    ports: Ports, live: LiveState, wanted: Mapping[Key, tuple[str, ...] | None], workers: int
) -> LiveState:
    """The state with more versions read of the named resources."""

    async def one(key: Key) -> Live | None:
        return await ports[key.kind].deepen(live.items[key], wanted[key])

    found = await _each(sorted(wanted), one, workers)
    items = dict(live.items)
    items.update({there.key: there for there in found if there is not None})
    return LiveState(items, live.complete)


async def unless(
    ends: asyncio.Event, reading: Coroutine[Any, Any, T], within_s: float | None = None
) -> T | None:
    """What the reading came to; None when it was ended, or the time was up, before.

    A reading may wait long for a service that takes no more requests for now.

    Raises:
        ReconcilerError: the reading failed.
    """
    task, ending = asyncio.create_task(reading), asyncio.create_task(ends.wait())
    try:
        await asyncio.wait({task, ending}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        return None if ends.is_set() or not task.done() else task.result()
    finally:
        task.cancel()
        ending.cancel()
        await asyncio.gather(task, ending, return_exceptions=True)


async def _each(keys: list[Key], read: Any, workers: int) -> list[Live | None]:
    gate = asyncio.Semaphore(workers)

    async def one(key: Key) -> Live | None:
        async with gate:
            found: Live | None = await read(key)
            return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(key)) for key in keys]
    except ExceptionGroup as errors:
        # The first failure decides: reads that fail together fail for one reason.
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return [task.result() for task in tasks]

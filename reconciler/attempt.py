"""One step against the service: sent once, and when its answer is lost, found out by reading (rule P5)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from reconciler.errors import Conflict, ServiceBroken, ServiceError, ServiceUnreachable
from reconciler.kinds.port import Port
from reconciler.resource import Done, Step

# Rule P5: a create that meets another writer is tried again this often, after a reading each time.
_MOST_CONFLICTS: Final = 5


@dataclass(frozen=True)
class Patience:
    """How long to look for the outcome of a write without an answer, in seconds.

    A lost answer may still be on its way through the service; an answer 5xx says it gave up already.
    """

    lost_s: float = 30.0
    broken_s: float = 5.0
    first_s: float = 0.2


async def attempt(
    port: Port[Any], step: Step[Any], patience: Patience, may_go_on: Callable[[], Awaitable[bool]]
) -> Done:
    """The outcome of one step.

    Args:
        may_go_on: whether it may be sent once more, asked right before: looking takes time.

    Raises:
        ServiceError: it was refused, or nobody knows what became of it after looking and one more attempt.
    """
    try:
        return await port.do(step.key, step.call)
    except Conflict as error:
        return await _through_conflicts(port, step, patience, error, may_go_on)
    except (ServiceUnreachable, ServiceBroken) as error:
        if step.gate:
            raise
        done = await _look(port, step, patience, error)
        if done is not None:
            return done
        if not await may_go_on():
            raise
    try:
        return await port.do(step.key, step.call)
    except (ServiceUnreachable, ServiceBroken) as error:
        done = await _look(port, step, patience, error)
        if done is None:
            raise
        return done


async def _look(port: Port[Any], step: Step[Any], patience: Patience, error: ServiceError) -> Done | None:
    """Read with growing pauses until the outcome shows, or the patience ends."""
    wait_s = patience.first_s
    left_s = patience.lost_s if isinstance(error, ServiceUnreachable) else patience.broken_s
    while True:
        try:
            done = await port.settled(step.key, step.call)
        except (ServiceUnreachable, ServiceBroken):
            done = None
        if done is not None or left_s <= 0:
            return done
        await asyncio.sleep(min(wait_s, left_s))
        left_s -= wait_s
        wait_s *= 2


async def _through_conflicts(
    port: Port[Any],
    step: Step[Any],
    patience: Patience,
    error: Conflict,
    may_go_on: Callable[[], Awaitable[bool]],
) -> Done:
    """A conflict means that somebody wrote at the same time: read, and only then try again."""
    last: ServiceError = error
    for round_ in range(_MOST_CONFLICTS):
        done = await port.settled(step.key, step.call)
        if done is not None:
            return done
        await asyncio.sleep(random.uniform(0, patience.first_s * 2**round_))
        if not await may_go_on():
            break
        try:
            return await port.do(step.key, step.call)
        except Conflict as again:
            last = again
    raise last

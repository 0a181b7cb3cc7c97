"""Hand hints to the engine without ever waiting long for it, and lose none while it cannot take them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import structlog

from reconciler.service.engine import Engine

T = TypeVar("T")

# A caller waits this long; with what the store may take it stays under the second that providers get.
PATIENCE_S: Final = 0.4
# A trigger is one small write. One that takes longer has lost its connection.
_LONGEST_S: Final = 30.0
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0

log = structlog.get_logger()


async def within(work: Coroutine[Any, Any, T], timeout_s: float) -> asyncio.Task[T]:
    """The work as a task that ended in time, or that was told to end and is not waited for.

    `wait_for` would wait for the end of what it cancels, which is for ever where that is stuck.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_heard)
    await asyncio.wait({task}, timeout=timeout_s)
    if not task.done():
        task.cancel()
    return task


def succeeded(task: asyncio.Task[Any]) -> bool:
    """Whether the task ended, with a result."""
    return task.done() and not task.cancelled() and task.exception() is None


def _heard(task: asyncio.Task[Any]) -> None:
    """Look at the error, or asyncio complains later that nobody did."""
    if not task.cancelled():
        task.exception()


class Hints:
    """Triggers keys for webhooks. Hints for one key that come while one is being written share the next.

    A hint that could not be written is kept in memory and tried again until it is; it ends with the
    process, whose successor looks at every source when it starts.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[str, list[asyncio.Future[bool]]] = {}
        self._writers: dict[str, asyncio.Task[None]] = {}

    async def give(self, key: str) -> bool:
        """Whether the trigger was written down in time; if not, it is remembered."""
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(written)
        if key not in self._writers:
            self._writers[key] = asyncio.create_task(self._write(key))
        await asyncio.wait({written}, timeout=PATIENCE_S)
        return written.done() and written.result()

    async def _write(self, key: str) -> None:
        try:
            while asked := self._waiting.pop(key, []):
                pause_s = _FIRST_PAUSE_S
                while not await self._written(key):
                    _answer(asked, written=False)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                    # Before the next try, so that it answers these as well.
                    asked = self._waiting.pop(key, [])
                _answer(asked, written=True)
        finally:
            # In the same breath as the last look at `_waiting`: a hint in between would find no writer.
            del self._writers[key]

    async def _written(self, key: str) -> bool:
        task = await within(self._engine.trigger(key, "webhook"), _LONGEST_S)
        if succeeded(task):
            return True
        error = task.exception() if task.done() and not task.cancelled() else None
        log.warning("webhook_remembered", key=key, error=type(error).__name__ if error else "timeout")
        return False


def _answer(asked: list[asyncio.Future[bool]], *, written: bool) -> None:
    for future in asked:
        if not future.done():
            future.set_result(written)

"""Hints reach the engine, soon where it answers and some time where it does not."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import pytest

from reconciler.service.engine import Engine
from reconciler.service.webhooks.hints import Hints, succeeded, within

from .world import Asked


def hinting() -> tuple[Hints, Asked]:
    engine = Asked()
    return Hints(cast(Engine, engine)), engine


async def eventually(engine: Asked, count: int) -> None:
    for _ in range(200):
        if len(engine.triggers) >= count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(engine.triggers)


async def test_a_hint_triggers_once() -> None:
    hints, engine = hinting()

    assert await hints.give("source/a")
    assert await hints.give("source/a")
    assert engine.triggers == [("source/a", "webhook")] * 2


async def test_hints_at_once_share_a_trigger_that_comes_after_them() -> None:
    hints, engine = hinting()

    assert all(await asyncio.gather(*(hints.give("source/a") for _ in range(500))))
    assert 1 <= len(engine.triggers) <= 2


async def test_a_hint_during_a_write_gets_one_of_its_own() -> None:
    """The write under way may have been read already, so it answers nothing that came later."""
    hints, engine = hinting()
    gate = asyncio.Event()
    plain = engine.trigger

    async def slow(key: str, reason: str, *, after_s: float = 0.0) -> bool:
        await gate.wait()
        return await plain(key, reason)

    engine.trigger = slow  # type: ignore[method-assign]
    first = asyncio.ensure_future(hints.give("source/a"))
    await asyncio.sleep(0.01)
    second = asyncio.ensure_future(hints.give("source/a"))
    await asyncio.sleep(0.01)
    gate.set()

    assert await first
    assert await second
    assert len(engine.triggers) == 2


@pytest.mark.parametrize("mode", ["down", "broken"])
async def test_a_hint_that_cannot_be_written_is_tried_again(mode: str) -> None:
    hints, engine = hinting()
    engine.mode = mode
    started = time.monotonic()
    assert not await hints.give("source/a")
    assert time.monotonic() - started < 0.2
    assert not await hints.give("source/a")

    engine.mode = "works"
    await eventually(engine, 1)
    assert await hints.give("source/a")
    await asyncio.sleep(0.05)
    assert len(engine.triggers) == 2


async def test_one_source_that_waits_holds_up_no_other() -> None:
    hints, engine = hinting()
    engine.mode = "stuck"
    assert not await hints.give("source/a")
    engine.mode = "works"

    started = time.monotonic()
    assert await hints.give("source/b")
    assert time.monotonic() - started < 0.1


async def test_a_sender_that_goes_away_takes_no_hint_with_it() -> None:
    hints, engine = hinting()
    sender = asyncio.ensure_future(hints.give("source/a"))
    await asyncio.sleep(0)
    sender.cancel()

    await eventually(engine, 1)


async def test_what_is_late_is_not_waited_for() -> None:
    engine = Asked()
    engine.mode = "deaf"
    started = time.monotonic()

    task = await within(engine.trigger("source/a", "webhook"), 0.05)

    assert not succeeded(task)
    assert time.monotonic() - started < 0.5
    await asyncio.wait({task})

"""What every engine promises."""

from __future__ import annotations

import asyncio
import time
from itertools import count, pairwise

import pytest

from reconciler.service.engine import Again, Queue, Turn
from reconciler.service.engine.failing import Pauses
from reconciler.service.store import StoreDown
from tests.service.engine.stage import Make, at_once, serving


def gate() -> tuple[asyncio.Event, asyncio.Event]:
    """One event that a turn sets when it runs, and one that lets it end."""
    return asyncio.Event(), asyncio.Event()


async def test_a_trigger_gives_a_turn_that_knows_why(make: Make) -> None:
    async with serving(make()) as stage:
        assert await stage.engine.trigger("project/a", "webhook")
        await stage.until(lambda: stage.ended["project/a"] == 1)
        assert stage.turns("project/a")[0].reasons == ("webhook",)
        await stage.quiet()
        assert await stage.engine.queue() == Queue(due=0, later=0, running=0)


async def test_what_was_triggered_before_it_served_gets_its_turn(make: Make) -> None:
    engine = make()
    assert await engine.trigger("project/a", "start")
    async with serving(engine) as stage:
        await stage.until(lambda: stage.ended["project/a"] == 1)


async def test_triggers_that_wait_are_one_turn_with_all_reasons(make: Make) -> None:
    engine = make()
    news = [
        await engine.trigger("project/a", reason) for reason in ("poll", "webhook", "poll", "manual by me")
    ]
    assert news == [True, False, False, False]
    assert await engine.queue() == Queue(due=1, later=0, running=0)
    async with serving(engine) as stage:
        await stage.until(lambda: stage.ended["project/a"] == 1)
        await stage.quiet()
        (turn,) = stage.turns("project/a")
        assert sorted(turn.reasons) == ["manual by me", "poll", "webhook"]


async def test_a_trigger_during_a_turn_gives_one_more_after_it(make: Make) -> None:
    runs, go = gate()

    async def play(turn: Turn) -> None:
        runs.set()
        await go.wait()

    async with serving(make(), play) as stage:
        await stage.engine.trigger("project/a", "first")
        await runs.wait()
        assert await stage.engine.trigger("project/a", "second")
        assert not await stage.engine.trigger("project/a", "third")
        assert await stage.engine.queue() == Queue(due=1, later=0, running=1)
        await asyncio.sleep(0.1)
        assert len(stage.turns("project/a")) == 1
        go.set()
        await stage.until(lambda: stage.ended["project/a"] == 2)
        assert [turn.reasons for turn in stage.turns("project/a")] == [("first",), ("second", "third")]


async def test_a_running_turn_hears_of_a_newer_trigger_within_a_second(make: Make) -> None:
    runs, heard = gate()

    async def play(turn: Turn) -> None:
        if turn.reasons == ("first",):
            assert not turn.newer.is_set()
            runs.set()
            await turn.newer.wait()
            heard.set()

    async with serving(make(), play) as stage:
        await stage.engine.trigger("project/a", "first")
        await runs.wait()
        await stage.engine.trigger("project/b", "not the same key")
        await asyncio.sleep(0.1)
        assert not heard.is_set()
        await stage.engine.trigger("project/a", "second")
        await asyncio.wait_for(heard.wait(), 1.0)
        await stage.until(lambda: stage.ended["project/a"] == 2)


async def test_a_later_trigger_waits_and_an_earlier_one_pulls_it_forward(make: Make) -> None:
    async with serving(make()) as stage:
        assert await stage.engine.trigger("project/a", "interval", after_s=60)
        assert await stage.engine.queue() == Queue(due=0, later=1, running=0)
        assert not await stage.engine.trigger("project/a", "still later", after_s=90)
        await asyncio.sleep(0.1)
        assert not stage.began
        asked = time.monotonic()
        assert not await stage.engine.trigger("project/a", "webhook")
        await stage.until(lambda: stage.ended["project/a"] == 1)
        await stage.quiet()
        (turn,) = stage.turns("project/a")
        assert turn.at - asked < 1.0
        # What would have counted only later is no reason of this turn, and is answered by it.
        assert turn.reasons == ("webhook",)
        assert await stage.engine.queue() == Queue(due=0, later=0, running=0)


async def test_a_later_trigger_does_not_hold_back_the_turn_that_waits(make: Make) -> None:
    async with serving(make()) as stage:
        asked = time.monotonic()
        await stage.engine.trigger("project/a", "soon", after_s=0.3)
        await stage.engine.trigger("project/a", "later", after_s=60)
        await stage.until(lambda: stage.ended["project/a"] == 1)
        assert 0.3 <= stage.turns("project/a")[0].at - asked < 2.0


async def test_again_gives_the_next_turn_by_itself(make: Make) -> None:
    numbers = count(1)

    async def play(turn: Turn) -> Again | None:
        return Again(0.2, "requeue") if next(numbers) < 3 else None

    async with serving(make(), play) as stage:
        await stage.engine.trigger("project/a", "start")
        await stage.until(lambda: stage.ended["project/a"] == 3)
        await stage.quiet()
        turns = stage.turns("project/a")
        assert [turn.reasons for turn in turns] == [("start",), ("requeue",), ("requeue",)]
        assert all(after.at - before.at >= 0.2 for before, after in pairwise(turns))


async def test_a_trigger_during_a_turn_comes_before_its_again(make: Make) -> None:
    runs, go = gate()

    async def play(turn: Turn) -> Again | None:
        runs.set()
        await go.wait()
        return Again(60, "interval") if turn.reasons == ("start",) else None

    async with serving(make(), play) as stage:
        await stage.engine.trigger("project/a", "start")
        await runs.wait()
        await stage.engine.trigger("project/a", "webhook")
        go.set()
        await stage.until(lambda: stage.ended["project/a"] == 2)
        assert stage.turns("project/a")[1].reasons == ("webhook",)


@pytest.mark.parametrize(
    "error", [RuntimeError("poison"), asyncio.CancelledError()], ids=["error", "cancelled"]
)
async def test_a_turn_that_raises_comes_again_and_stops_nobody(make: Make, error: BaseException) -> None:
    numbers = count(1)

    async def play(turn: Turn) -> None:
        if turn.key == "project/poison" and next(numbers) < 3:
            raise error

    async with serving(make(pauses=Pauses(first_s=0.2, longest_s=0.2)), play) as stage:
        await stage.engine.trigger("project/poison", "start")
        for number in range(5):
            await stage.engine.trigger(f"project/{number}", "start")
        await stage.until(lambda: stage.ended.total() == 8)
        await stage.quiet()
        assert [turn.reasons for turn in stage.turns("project/poison")] == [
            ("start",),
            ("failed",),
            ("failed",),
        ]


async def test_a_key_that_rests_after_a_failure_comes_at_once_when_triggered(make: Make) -> None:
    async def play(turn: Turn) -> None:
        if turn.reasons == ("start",):
            raise RuntimeError("poison")

    async with serving(make(pauses=Pauses(first_s=1e6, longest_s=1e6)), play) as stage:
        await stage.engine.trigger("project/a", "start")
        await stage.until(lambda: stage.ended["project/a"] == 1)
        await stage.quiet()
        await stage.engine.trigger("project/a", "manual")
        await stage.until(lambda: stage.ended["project/a"] == 2)
        assert stage.turns("project/a")[1].reasons == ("manual",)


async def test_no_more_turns_run_at_once_than_allowed(make: Make) -> None:
    async def play(turn: Turn) -> None:
        await asyncio.sleep(0.1)

    async with serving(make(concurrency=3), play) as stage:
        for number in range(9):
            await stage.engine.trigger(f"project/{number}", "start")
        await stage.until(lambda: stage.ended.total() == 9)
        assert stage.most == 3


async def test_a_turn_that_never_ends_leaves_the_other_places_free(make: Make) -> None:
    async def play(turn: Turn) -> None:
        if turn.key == "project/endless":
            await asyncio.Event().wait()

    async with serving(make(concurrency=2, grace_s=0.1), play) as stage:
        await stage.engine.trigger("project/endless", "start")
        for number in range(10):
            await stage.engine.trigger(f"project/{number}", "start")
        await stage.until(lambda: stage.ended.total() == 10)


async def test_a_stop_lets_running_turns_end_and_starts_no_more(make: Make) -> None:
    runs, go = gate()
    engine, stop, ended = make(concurrency=1, grace_s=5.0), asyncio.Event(), []

    async def work(turn: Turn) -> None:
        runs.set()
        await go.wait()
        ended.append(turn)

    serve = asyncio.create_task(engine.serve(work, stop))
    await engine.trigger("project/a", "start")
    await runs.wait()
    await engine.trigger("project/b", "start")
    stop.set()
    await asyncio.sleep(0.1)
    assert not serve.done()
    go.set()
    await asyncio.wait_for(serve, 3.0)
    assert [turn.key for turn in ended] == ["project/a"]
    assert not ended[0].newer.is_set()
    assert not ended[0].lost.is_set()
    assert not engine.ready
    assert await engine.queue() == Queue(due=1, later=0, running=0)
    await engine.close()


async def test_a_turn_that_outlasts_the_grace_is_cancelled_and_comes_to_whoever_is_next(make: Make) -> None:
    runs, never = gate()
    engine, stop = make(grace_s=0.1), asyncio.Event()

    async def work(turn: Turn) -> None:
        runs.set()
        await never.wait()

    serve = asyncio.create_task(engine.serve(work, stop))
    await engine.trigger("project/a", "webhook")
    await runs.wait()
    stop.set()
    await asyncio.wait_for(serve, 3.0)
    await engine.close()
    async with serving(make()) as stage:
        await stage.until(lambda: stage.ended["project/a"] == 1)
        assert stage.turns("project/a")[0].reasons == ("webhook",)


async def test_what_waits_survives_a_restart_with_its_moment(make: Make) -> None:
    engine = make()
    await engine.trigger("project/now", "webhook")
    await engine.trigger("project/later", "interval", after_s=60)
    await engine.close()
    async with serving(make()) as stage:
        await stage.until(lambda: stage.ended["project/now"] == 1)
        await stage.quiet()
        assert await stage.engine.queue() == Queue(due=0, later=1, running=0)
        assert not stage.turns("project/later")


async def test_a_turn_holds_its_key_while_it_runs(make: Make) -> None:
    held = []

    async def play(turn: Turn) -> None:
        held.append(await turn.holds())

    async with serving(make(), play) as stage:
        await stage.engine.trigger("project/a", "start")
        await stage.until(lambda: stage.ended["project/a"] == 1)
    assert held == [True]


async def test_a_closed_engine_takes_no_triggers(make: Make) -> None:
    async with serving(make(), at_once) as stage:
        engine = stage.engine
    with pytest.raises(StoreDown, match="closed"):
        await engine.trigger("project/a", "late")

"""What only the shared engine promises: keys kept apart between processes, whatever becomes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from reconciler.errors import StateError
from reconciler.service.engine import Queue, Turn
from reconciler.service.engine.replicas import Replicas
from reconciler.service.engine.schema import apply_schema
from reconciler.service.engine.server import Server
from reconciler.service.store import StoreDown
from tests.service.engine.stage import Make, Play, Stage, at_once, serving

LOCK_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as db:
        cursor = db.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def both(make: Make, play: Play) -> AsyncIterator[Stage]:
    """Two engines over one database on one stage; the second one serves, too."""
    second, stop = make(), asyncio.Event()
    async with serving(make(), play) as stage:
        task = asyncio.create_task(second.serve(stage.work, stop))
        await stage.until(lambda: second.ready)
        try:
            yield stage
        finally:
            stop.set()
            await task
            await second.close()


async def test_a_running_turn_hears_of_a_trigger_on_another_replica(replicas: Make) -> None:
    runs, heard, other = asyncio.Event(), asyncio.Event(), replicas()

    async def play(turn: Turn) -> None:
        if turn.reasons == ("first",):
            runs.set()
            await turn.newer.wait()
            heard.set()

    async with serving(replicas(), play) as stage:
        await other.trigger("project/a", "first")
        await runs.wait()
        await other.trigger("project/a", "second")
        await asyncio.wait_for(heard.wait(), 1.0)
        await stage.until(lambda: stage.ended["project/a"] == 2)
    await other.close()


async def test_newer_triggers_are_seen_within_a_second_without_notifications(
    replicas: Make, postgres_url: str
) -> None:
    runs, heard = asyncio.Event(), asyncio.Event()

    async def play(turn: Turn) -> None:
        runs.set()
        await turn.newer.wait()
        heard.set()

    async with serving(replicas(), play) as stage:
        await stage.engine.trigger("project/a", "first")
        await runs.wait()
        # As a trigger, but without its news.
        execute(postgres_url, "UPDATE rq_turns SET asked = asked + 1")
        await asyncio.wait_for(heard.wait(), 1.0)


async def test_two_replicas_share_the_turns_and_never_a_key(replicas: Make) -> None:
    async def play(turn: Turn) -> None:
        await asyncio.sleep(0.3)

    async with both(replicas, play) as stage:
        for number in range(60):
            await stage.engine.trigger(f"project/{number % 12}", f"{number}")
        await stage.until(lambda: {r for seen in stage.began for r in seen.reasons} == {*map(str, range(60))})
        await stage.quiet()
        assert stage.most > 4, "one of them did everything"


async def test_a_turn_whose_lock_is_lost_is_told_cancelled_and_comes_again(
    replicas: Make, postgres_url: str
) -> None:
    held: list[bool] = []
    runs, told_s, turns = asyncio.Event(), [], []

    async def play(turn: Turn) -> None:
        turns.append(turn)
        if len(turns) == 1:
            held.append(await turn.holds())
            runs.set()
            await turn.lost.wait()
            told_s.append(time.monotonic())
            held.append(await turn.holds())
            await asyncio.sleep(60)

    async with serving(replicas(), play) as stage:
        await stage.engine.trigger("project/a", "webhook")
        await runs.wait()
        cut = time.monotonic()
        execute(postgres_url, LOCK_SESSIONS)
        await stage.until(lambda: stage.ended["project/a"] == 2)
        assert told_s[0] - cut < 1.0
        assert held == [True, False]
        assert turns[1].reasons == ("webhook",)
        assert stage.engine.ready


async def test_a_turn_asks_the_server_whether_it_holds_its_key(replicas: Make, postgres_url: str) -> None:
    """Even when nothing had time to tell it: right before a write."""
    held: list[bool] = []

    async def play(turn: Turn) -> None:
        if not held:
            held.append(await turn.holds())
            execute(postgres_url, LOCK_SESSIONS)  # blocks the loop, so that nothing else can notice
            held.append(await turn.holds())

    async with serving(replicas(), play) as stage:
        await stage.engine.trigger("project/a", "webhook")
        await stage.until(lambda: len(held) == 2)
        assert held == [True, False]
        await stage.until(lambda: stage.ended["project/a"] == 1 and stage.engine.ready)


async def test_all_connections_ended_at_once_are_replaced(replicas: Make, postgres_url: str) -> None:
    async with serving(replicas()) as stage:
        await stage.engine.trigger("project/a", "before")
        await stage.until(lambda: stage.ended["project/a"] == 1)
        execute(
            postgres_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        await stage.engine.trigger("project/a", "after")
        await stage.until(lambda: stage.ended["project/a"] == 2)


async def test_a_job_that_a_dead_process_left_is_taken_over(replicas: Make, postgres_url: str) -> None:
    engine = replicas()
    await engine.trigger("project/a", "webhook")
    # As a process that died right after it had got the job.
    execute(postgres_url, "UPDATE procrastinate_jobs SET status = 'doing'")
    async with serving(engine) as stage:
        began = time.monotonic()
        await stage.until(lambda: stage.ended["project/a"] == 1)
        assert 1.0 < stage.turns("project/a")[0].at - began < 3.0
        assert stage.turns("project/a")[0].reasons == ("webhook",)


async def test_a_key_that_another_process_has_is_tried_again_until_it_is_free(
    replicas: Make, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('project/a', 42))")
        async with serving(replicas()) as stage:
            await stage.engine.trigger("project/a", "webhook")
            await stage.engine.trigger("project/b", "webhook")
            await stage.until(lambda: stage.ended["project/b"] == 1)
            await asyncio.sleep(0.3)
            assert not stage.turns("project/a")
            other.execute("SELECT pg_advisory_unlock_all()")
            await stage.until(lambda: stage.ended["project/a"] == 1)
            assert stage.turns("project/a")[0].reasons == ("webhook",)


async def test_a_process_that_stands_still_in_a_transaction_blocks_a_key_for_seconds_only(
    replicas: Make, postgres_url: str
) -> None:
    engine, still = replicas(), Server(postgres_url)
    await engine.trigger("project/a", "webhook")

    async def stand_still() -> None:
        async with still.transaction() as db:
            await db.execute("SELECT FROM rq_turns FOR UPDATE")
            async with asyncio.timeout(4.5):
                assert not await engine.trigger("project/a", "poll")
            await db.execute("SELECT 1")

    try:
        await still.open()
        with pytest.raises(StoreDown):
            await stand_still()
    finally:
        await still.close()


async def test_jobs_that_are_done_are_removed(replicas: Make, postgres_url: str) -> None:
    async with serving(replicas()) as stage:
        for number in range(10):
            await stage.engine.trigger(f"project/{number}", "webhook")
        await stage.until(lambda: stage.ended.total() == 10)
        await stage.quiet()
    assert execute(postgres_url, "SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    assert execute(postgres_url, "SELECT count(*) FROM procrastinate_events") == [(0,)]
    assert execute(postgres_url, "SELECT count(*) FROM procrastinate_workers") == [(0,)]


async def test_reasons_are_told_as_postgresql_can_keep_them(replicas: Make) -> None:
    async with serving(replicas()) as stage:
        await stage.engine.trigger("project/a", "manual by \x00Zoë\ud800 % {}")
        await stage.until(lambda: stage.ended["project/a"] == 1)
        assert stage.turns("project/a")[0].reasons == ("manual by Zoë? % {}",)


async def test_a_stop_hands_over_at_once(replicas: Make) -> None:
    runs, ends = asyncio.Event(), asyncio.Event()

    async def endless(turn: Turn) -> None:
        runs.set()
        await ends.wait()

    async with serving(replicas()) as stage:
        leaver, stop = replicas(grace_s=0.2), asyncio.Event()
        stage.play = endless
        await stage.engine.trigger("project/a", "webhook")
        await runs.wait()
        task = asyncio.create_task(leaver.serve(at_once, stop))
        await stage.until(lambda: leaver.ready)
        stop.set()
        asked = time.monotonic()
        await task
        assert time.monotonic() - asked < 1.0
        await leaver.close()
        ends.set()
        await stage.until(lambda: stage.ended["project/a"] == 1)


# The tables


async def test_processes_that_start_together_make_the_tables_once(postgres_url: str) -> None:
    await asyncio.gather(*(apply_schema(postgres_url) for _ in range(6)))
    assert execute(postgres_url, "SELECT count(*) FROM rq_schema") == [(1,)]
    engine = Replicas(postgres_url, concurrency=1)
    assert await engine.queue() == Queue(0, 0, 0)
    await engine.close()


async def test_newer_migrations_of_procrastinate_are_applied(postgres_url: str) -> None:
    await apply_schema(postgres_url)
    ((newest,),) = execute(postgres_url, "SELECT procrastinate FROM rq_schema")
    # As a release of ours left it that came with the procrastinate before.
    before = "03.04.00_01_pre_add_retry_failed_job_procedure.sql"
    execute(postgres_url, f"UPDATE rq_schema SET procrastinate = '{before}'")
    trigger = "procrastinate_trigger_status_events_update_v1"
    execute(postgres_url, f"DROP TRIGGER {trigger} ON procrastinate_jobs")
    await apply_schema(postgres_url)
    assert execute(postgres_url, "SELECT procrastinate FROM rq_schema") == [(newest,)]
    assert execute(postgres_url, f"SELECT count(*) FROM pg_trigger WHERE tgname = '{trigger}'") == [(1,)]


@pytest.mark.parametrize(
    ("spoil", "message", "hint"),
    [
        pytest.param(
            "UPDATE rq_schema SET format = 2", "newer than this program", "newer release", id="newer"
        ),
        pytest.param(
            "UPDATE rq_schema SET procrastinate = '99.sql'", "newer than", "newer release", id="procrastinate"
        ),
        pytest.param("DROP TABLE rq_schema", "another program keeps", "database of its own", id="foreign"),
    ],
)
async def test_tables_that_are_not_ours_to_use_are_refused(
    postgres_url: str, spoil: str, message: str, hint: str
) -> None:
    await apply_schema(postgres_url)
    execute(postgres_url, spoil)
    with pytest.raises(StateError, match=message) as refused:
        await apply_schema(postgres_url)
    assert hint in refused.value.hint
    engine = Replicas(postgres_url, concurrency=1)
    with pytest.raises(StateError, match=message):
        await engine.trigger("project/a", "webhook")
    await engine.close()


async def test_a_server_that_is_not_there_is_down_with_a_remedy() -> None:
    engine = Replicas("postgresql://someone:hunter2@127.0.0.1:9/nothing", concurrency=1)
    with pytest.raises(StoreDown, match=r"nothing on 127\.0\.0\.1 does not answer") as down:
        await engine.trigger("project/a", "webhook")
    assert "Check that the server runs" in down.value.hint
    assert "hunter2" not in f"{down.value} {down.value.__cause__}"
    assert not engine.ready
    stop = asyncio.Event()
    task = asyncio.create_task(engine.serve(at_once, stop))
    await asyncio.sleep(0.5)
    assert not task.done()
    stop.set()
    await asyncio.wait_for(task, 5.0)
    await engine.close()

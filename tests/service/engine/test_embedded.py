"""What only the engine of one process promises: one file, one process, no crash that loses anything."""

from __future__ import annotations

import asyncio
import json
import resource as resource_limits
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from reconciler.errors import StateError
from reconciler.service.engine import Queue, Turn
from reconciler.service.engine.embedded import Embedded
from reconciler.service.store import StoreDown
from tests.service.engine.stage import serving

# Triggers, says so, and lives on until it is killed; with `serve` in a turn that never ends.
CHILD = """
import asyncio, sys
from pathlib import Path
from reconciler.service.engine.embedded import Embedded

async def main(path, *keys):
    engine = Embedded(Path(path), concurrency=1)
    async def work(turn):
        print("running", turn.key, flush=True)
        await asyncio.Event().wait()
    if keys[0] == "serve":
        serving = asyncio.create_task(engine.serve(work, asyncio.Event()))
    for key in keys[1:]:
        await engine.trigger(key, "webhook")
    print("written", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def child(path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    while (heard := process.stdout.readline()) != f"{line}\n":
        assert heard, f"it ended before it said {line!r}"


async def test_a_second_process_is_refused_at_once_and_told_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with child(path, "wait") as process:
        said(process, "written")
        asked = time.monotonic()
        with pytest.raises(StateError, match=r"another process of the service uses .*store\.db") as refused:
            Embedded(path, concurrency=1)
        assert time.monotonic() - asked < 1.0
        assert "Stop it first" in refused.value.hint
        assert "PostgreSQL" in refused.value.hint
    engine = Embedded(path, concurrency=1)
    with pytest.raises(StateError, match="another process"):
        Embedded(path, concurrency=1)
    await engine.close()
    await Embedded(path, concurrency=1).close()


async def test_a_kill_loses_no_trigger_and_begins_the_interrupted_turn_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with child(path, "serve", "project/a", "project/b", "project/c") as process:
        said(process, "running project/a")
        said(process, "written")
        process.send_signal(signal.SIGKILL)
        process.wait()
    async with serving(Embedded(path, concurrency=1)) as stage:
        await stage.until(lambda: stage.ended.total() == 3)
        assert {turn.key for turn in stage.began} == {"project/a", "project/b", "project/c"}
        assert all(turn.reasons == ("webhook",) for turn in stage.began)
        await stage.quiet()


async def test_an_idle_engine_costs_nothing(tmp_path: Path) -> None:
    async with serving(Embedded(tmp_path / "store.db", concurrency=4)) as stage:
        for number in range(100):
            await stage.engine.trigger(f"project/{number}", "interval", after_s=600)
        await asyncio.sleep(0.1)
        before = time.thread_time()
        await asyncio.sleep(1.0)
        assert time.thread_time() - before < 0.01


async def test_the_file_forgets_what_was_answered(tmp_path: Path) -> None:
    async with serving(Embedded(tmp_path / "store.db", concurrency=4)) as stage:
        for number in range(20):
            await stage.engine.trigger(f"project/{number}", "webhook")
        await stage.quiet()
    with closing(sqlite3.connect(tmp_path / "store.db.queue")) as db:
        assert db.execute("SELECT count(*) FROM asked").fetchall() == [(0,)]


async def test_a_clock_that_people_set_moves_nothing(tmp_path: Path) -> None:
    """What waits is written with the time of day; while it runs a clock of its own counts."""
    engine = Embedded(tmp_path / "store.db", concurrency=1)
    await engine.trigger("project/a", "interval", after_s=0.2)
    await engine.close()
    with closing(sqlite3.connect(tmp_path / "store.db.queue")) as db, db:
        ((text,),) = db.execute("SELECT reasons FROM asked").fetchall()
        (due,) = json.loads(text).values()
        assert abs(due - time.time() - 0.2) < 5.0
    async with serving(Embedded(tmp_path / "store.db", concurrency=1)) as stage:
        await stage.until(lambda: stage.ended["project/a"] == 1)


async def test_a_storm_of_reasons_keeps_some_and_gives_the_turn(tmp_path: Path) -> None:
    engine = Embedded(tmp_path / "store.db", concurrency=1)
    for number in range(200):
        await engine.trigger("project/a", f"commit {number}")
    async with serving(engine) as stage:
        await stage.until(lambda: stage.ended["project/a"] == 1)
        assert len(stage.turns("project/a")[0].reasons) == 50
        await stage.quiet()


async def test_a_full_disk_refuses_triggers_and_stops_no_turn(tmp_path: Path) -> None:
    async with serving(Embedded(tmp_path / "store.db", concurrency=1)) as stage:
        await stage.engine.trigger("project/a", "before")
        await stage.until(lambda: stage.ended["project/a"] == 1)
        with _files_no_larger_than(100):
            with pytest.raises(StoreDown, match=r"cannot write the queue .*store\.db\.queue") as down:
                await stage.engine.trigger("project/a", "on a full disk")
            assert "space on its disk" in down.value.hint
        await stage.engine.trigger("project/a", "after")
        await stage.until(lambda: any("after" in turn.reasons for turn in stage.turns("project/a")))
        await stage.quiet()


@contextmanager
def _files_no_larger_than(size: int) -> Iterator[None]:
    """Make writes fail as on a full disk, for this process and this block."""
    soft, hard = resource_limits.getrlimit(resource_limits.RLIMIT_FSIZE)
    resource_limits.setrlimit(resource_limits.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource_limits.setrlimit(resource_limits.RLIMIT_FSIZE, (soft, hard))


def _damaged(path: Path) -> None:
    path.with_name("store.db.queue").write_text("no database" * 1000)


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path.with_name("store.db.queue"))) as db:
        db.execute("PRAGMA user_version = 2")


def _nonsense(path: Path) -> None:
    with closing(sqlite3.connect(path.with_name("store.db.queue"))) as db, db:
        db.execute("CREATE TABLE asked (key TEXT PRIMARY KEY, reasons TEXT NOT NULL)")
        db.execute("INSERT INTO asked VALUES ('project/a', 'no json')")


def _folder(path: Path) -> None:
    path.with_name("store.db.lock").mkdir()


@pytest.mark.parametrize(
    ("spoil", "message", "hint"),
    [
        pytest.param(_damaged, r"cannot use the queue .*store\.db\.queue", "may be removed", id="damaged"),
        pytest.param(_nonsense, r"cannot use the queue .*store\.db\.queue", "may be removed", id="nonsense"),
        pytest.param(_newer, "its format is 2, this program knows 1", "newer release", id="newer"),
        pytest.param(_folder, r"cannot open .*store\.db\.lock", "let the service write", id="no-lock"),
    ],
)
def test_a_queue_that_cannot_be_used_says_why_and_what_to_do(
    tmp_path: Path, spoil: object, message: str, hint: str
) -> None:
    path = tmp_path / "store.db"
    spoil(path)  # type: ignore[operator]
    for _ in range(2):  # the refused one holds nothing
        with pytest.raises(StateError, match=message) as refused:
            Embedded(path, concurrency=1)
        assert hint in refused.value.hint


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot open") as refused:
        Embedded(tmp_path / "missing" / "store.db", concurrency=1)
    assert f"Make the folder {tmp_path / 'missing'}" in refused.value.hint


async def test_a_turn_that_takes_no_cancellation_does_not_stop_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.service.engine.embedded._CANCEL_S", 0.2)
    engine, stop, runs, release = (
        Embedded(tmp_path / "store.db", concurrency=1, grace_s=0.1),
        *[asyncio.Event() for _ in range(3)],
    )

    async def work(turn: Turn) -> None:
        runs.set()
        while not release.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(engine.serve(work, stop))
    await engine.trigger("project/a", "webhook")
    await runs.wait()
    stop.set()
    await asyncio.wait_for(task, 3.0)
    release.set()
    await asyncio.sleep(0.1)
    assert await engine.queue() == Queue(0, 0, 0)
    await engine.close()

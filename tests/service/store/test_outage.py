"""A store whose database goes away says so, and works again when it is back."""

from __future__ import annotations

import asyncio
import resource as resource_limits
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from reconciler.service.store import StoreDown
from reconciler.service.store.opening import open_store
from tests.postgres import own_server
from tests.service.store.records import project, resource


async def test_a_server_that_crashes_is_down_until_it_is_back() -> None:
    with own_server() as server:
        store = open_store(server.create())
        await store.open()
        await store.put_project(project())
        # Several connections, all of which break.
        await asyncio.gather(*(store.pulse() for _ in range(20)))

        server.crash()
        calls = [store.put_project(project("lost")), store.pulse(), store.projects()]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, StoreDown) for result in results), results

        await asyncio.to_thread(server.start)
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await store.project("prod") == project()
                    break
                except StoreDown:
                    await asyncio.sleep(0.1)
        assert await store.project("lost") is None
        await store.put_project(project("after"))
        assert await store.project("after") == project("after")
        await store.close()


async def test_a_connection_that_was_ended_is_replaced_unseen(postgres_url: str) -> None:
    store = open_store(postgres_url)
    await store.open()
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await store.put_project(project())
    assert await store.project("prod") == project()
    await store.close()


async def test_reads_go_on_while_another_process_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}")
    await store.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(store.put_project(project()))
        assert await store.project("prod") is None
        assert not writing.done()
        other.execute("COMMIT")
        await writing
    assert await store.project("prod") == project()
    await store.close()


async def test_a_full_disk_is_an_outage_that_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}")
    await store.open()
    await store.put_project(project())
    with _files_no_larger_than(200_000):
        with pytest.raises(StoreDown, match="cannot be used now") as down:
            await store.put_resources(
                "prod", [resource(f"Agent/{n}", reason="x" * 500) for n in range(1000)], []
            )
        assert await store.project("prod") == project()
    assert "space on its disk" in down.value.hint
    await store.put_project(project("after"))
    assert await store.project("after") == project("after")
    assert await store.resources("prod") == ((), 0)
    await store.close()


@contextmanager
def _files_no_larger_than(size: int) -> Iterator[None]:
    """Make writes fail as on a full disk, for this process and this block."""
    soft, hard = resource_limits.getrlimit(resource_limits.RLIMIT_FSIZE)
    resource_limits.setrlimit(resource_limits.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource_limits.setrlimit(resource_limits.RLIMIT_FSIZE, (soft, hard))


async def test_closing_ends_every_thread(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    await store.open()
    await store.pulse()
    assert any(thread.name.startswith("store-") for thread in threading.enumerate())
    await store.close()
    await asyncio.sleep(0.05)
    assert not any(thread.name.startswith("store-") for thread in threading.enumerate())

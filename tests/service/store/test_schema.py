"""A database keeps the version of its schema: older is migrated, newer and foreign is left as it is."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from reconciler.errors import ReconcilerError, StateError, explain
from reconciler.service.store import StoreDown
from reconciler.service.store.database import Change, Database, Migrations, Query
from reconciler.service.store.opening import migrate, open_store
from reconciler.service.store.postgres import PostgresDatabase
from reconciler.service.store.schema import MIGRATIONS, PREFIX
from reconciler.service.store.sqlite import SqliteDatabase
from tests.service.store.child import KEYS, first_of
from tests.service.store.records import project

ADDED = (*MIGRATIONS, ("CREATE TABLE rc_added (one BIGINT)", "UPDATE rc_projects SET reason = 'migrated'"))
BROKEN = (*MIGRATIONS, ("CREATE TABLE rc_added (one BIGINT)", "UPDATE rc_never SET one = 1"))


def database(url: str, migrations: Migrations) -> Database:
    """The database at an address, for a program that knows these migrations."""
    if url.startswith("sqlite:///"):
        return SqliteDatabase(Path(url.removeprefix("sqlite:///")), migrations, prefix=PREFIX)
    return PostgresDatabase(url, migrations, prefix=PREFIX)


@pytest.mark.rule("P10")
async def test_an_older_schema_is_migrated_with_what_is_in_it(url: str) -> None:
    store = open_store(url)
    await store.open()
    await store.put_project(project())
    await store.close()

    newer = database(url, ADDED)
    await newer.open()
    assert await newer.read(Query("SELECT name, reason FROM rc_projects")) == [[("prod", "migrated")]]
    await newer.write(Change("INSERT INTO rc_added (one) VALUES (1)"))
    await newer.close()


@pytest.mark.rule("P10")
async def test_a_newer_schema_is_refused_untouched(url: str) -> None:
    newer = database(url, ADDED)
    await newer.open()
    await newer.close()
    before = _content(url)
    with pytest.raises(StateError, match=_versions(len(MIGRATIONS))) as refused:
        await open_store(url).open()
    assert "newer release" in refused.value.hint
    assert _content(url) == before


async def test_a_migration_that_fails_changes_nothing(url: str) -> None:
    store = open_store(url)
    await store.open()
    await store.put_project(project())
    await store.close()
    with pytest.raises(ReconcilerError):
        await database(url, BROKEN).open()
    again = database(url, ADDED)
    await again.open()
    assert await again.read(Query("SELECT reason FROM rc_projects")) == [[("migrated",)]]
    await again.close()


@pytest.mark.rule("P10")
async def test_a_file_is_copied_before_it_is_migrated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(url)
    await store.open()
    await store.put_project(project(reason="as it was"))
    await store.close()
    newer = database(url, ADDED)
    await newer.open()
    await newer.close()
    shutil.copy(tmp_path / f"store.db.bak-v{len(MIGRATIONS)}", tmp_path / "copy.db")
    copy = open_store(f"sqlite:///{tmp_path / 'copy.db'}")
    await copy.open()
    assert await copy.project("prod") == project(reason="as it was")
    await copy.close()


async def test_processes_that_start_together_migrate_once_and_agree_on_who_was_first(url: str) -> None:
    first, second = first_of(url, 2)
    assert sorted([*first, *second], key=int) == KEYS


async def test_our_tables_leave_those_of_others_alone(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE runs (id TEXT)")
    store = open_store(postgres_url)
    await store.open()
    await store.close()
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    ours = {name for (name,) in found} - {"runs"}
    assert ours
    assert all(name.startswith(PREFIX) for name in ours)


async def test_names_sort_by_their_bytes_whatever_the_language_of_the_server(postgres_url: str) -> None:
    store = open_store(postgres_url)
    await store.open()
    await store.close()
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute(
            "SELECT table_name || '.' || column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND collation_name = 'C'"
        ).fetchall()
    sorted_by = {"rc_sources.name", "rc_projects.name", "rc_suspensions.project", "rc_pins.resource"}
    assert {name for (name,) in found} >= sorted_by | {"rc_resources.resource", "rc_runs.id"}


async def test_migrating_prepares_a_database_for_a_service_that_may_not_alter_it(url: str) -> None:
    await migrate(url)
    await migrate(url)
    store = open_store(url)
    await store.open()
    assert await store.pulse() == 1
    await store.close()


async def test_migrating_prepares_the_queue_of_replicas_too(postgres_url: str) -> None:
    await migrate(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        ((there,),) = connection.execute("SELECT to_regclass('procrastinate_jobs') IS NOT NULL").fetchall()
    assert there


async def test_the_file_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE books (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(StateError, match="the database of another program") as refused:
        await open_store(f"sqlite:///{path}").open()
    assert "another path" in refused.value.hint
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_text("listen: 127.0.0.1:8080\n" * 100)
    with pytest.raises(StateError, match="cannot use the store") as refused:
        await open_store(f"sqlite:///{path}").open()
    assert "damaged or no SQLite file" in refused.value.hint
    assert path.read_text() == "listen: 127.0.0.1:8080\n" * 100


async def test_a_file_whose_folder_is_missing_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="its folder does not exist") as refused:
        await open_store(f"sqlite:///{tmp_path}/var/store.db").open()
    assert f"mkdir -p {tmp_path}/var" in refused.value.hint
    with pytest.raises(StateError, match="its folder does not exist") as refused:
        await open_store("sqlite:///no-such-folder/store.db").open()
    assert "`sqlite:////no-such-folder/store.db`" in refused.value.hint
    with pytest.raises(StateError, match="it is a folder"):
        await open_store(f"sqlite:///{tmp_path}").open()


async def test_a_store_that_is_closed_says_so(url: str) -> None:
    with pytest.raises(StoreDown, match="is closed") as down:
        await open_store(url).pulse()
    assert down.value.retryable


async def test_a_user_who_may_not_make_tables_is_told(postgres_url: str) -> None:
    role = f"reader_{urlsplit(postgres_url).path[1:]}"
    reader = f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-c%20role%3D{role}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        admin.execute(f"CREATE ROLE {role}")
        try:
            with pytest.raises(StateError, match="cannot use the store") as refused:
                await open_store(reader).open()
        finally:
            admin.execute(f"DROP ROLE {role}")
    assert "create and use tables" in refused.value.hint
    assert any("InsufficientPrivilege" in line for line in explain(refused.value))


def _versions(known: int) -> str:
    return f"its schema has version {known + 1}, this program knows {known}"


def _content(url: str) -> object:
    """Everything that a database holds, to compare."""
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///")).read_bytes()
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        version = connection.execute("SELECT version FROM rc_schema").fetchall()
    return tables, version

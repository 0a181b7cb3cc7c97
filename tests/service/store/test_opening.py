"""Addresses of stores: what is wrong is said with a remedy, and never with the password."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import InvalidInput, ReconcilerError, explain
from reconciler.service.store import StoreDown
from reconciler.service.store.opening import open_store, sqlite_path

SECRET = "hunter2-very-secret"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("", "no address", id="empty"),
        pytest.param("store.db", "no address", id="a-path"),
        pytest.param(f"user:{SECRET}@host/db", "no address", id="no-scheme"),
        pytest.param("sqlite://", "names no file", id="sqlite-without-path"),
        pytest.param("sqlite:///", "names no file", id="sqlite-with-empty-path"),
        pytest.param("sqlite:////", "names no file", id="sqlite-at-the-root"),
        pytest.param("sqlite://store.db", "names no file", id="sqlite-with-two-slashes"),
        pytest.param("sqlite:///var/", "names no file", id="sqlite-folder"),
        pytest.param("sqlite:///:memory:", "no plain file", id="sqlite-in-memory"),
        pytest.param("sqlite:///a.db?mode=ro", "no plain file", id="sqlite-with-options"),
        pytest.param(f"mysql://u:{SECRET}@h/db", "`mysql://`, which keeps no store", id="other-database"),
        pytest.param(f"postgresql://u:{SECRET}@h:port/db?x=1", "PostgreSQL knows", id="unknown-option"),
        pytest.param(f"postgresql://u:{SECRET}@[h/db", "PostgreSQL knows", id="broken-host"),
        pytest.param(f"postgresql://u:{SECRET}%zz@h/db", "PostgreSQL knows", id="broken-escape"),
    ],
)
def test_a_wrong_address_is_explained_without_its_password(url: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        open_store(url)
    said = "\n".join([*explain(refused.value), refused.value.hint, repr(refused.value.__context__)])
    assert message in said
    assert "postgresql://" in refused.value.hint
    assert SECRET not in "\n".join([*explain(refused.value), refused.value.hint])


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_a_server_that_is_not_there_is_down_and_its_password_hidden(scheme: str) -> None:
    store = open_store(f"{scheme}://ada:{SECRET}@127.0.0.1:1/prod")
    with pytest.raises(StoreDown, match=r"prod on 127\.0\.0\.1 does not answer") as down:
        await store.open()
    said = "\n".join([*explain(down.value), down.value.hint])
    assert "Connection refused" in said
    assert "server runs" in said
    assert SECRET not in said
    await store.close()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/store.db", Path("var/store.db")),
        ("sqlite:////var/lib/store.db", Path("/var/lib/store.db")),
        ("sqlite:///./mein Lager.db", Path("mein Lager.db")),
        ("postgresql://host/db", None),
        ("postgres:///db?host=/run/postgresql", None),
    ],
)
def test_the_address_of_a_file_is_told_from_that_of_a_server(url: str, path: Path | None) -> None:
    assert sqlite_path(url) == path


def test_without_the_driver_postgres_names_what_to_install() -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from reconciler.service.store.opening import open_store\n"
        "from reconciler.errors import StateError\n"
        "try: open_store('postgresql://h/db')\n"
        "except StateError as e: print(e, e.hint)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "its driver is not installed" in said
    assert "pip install 'foundry-reconciler[replicas]'" in said


def test_a_file_needs_no_driver() -> None:
    script = (
        "import sys\nfrom reconciler.service.store.opening import open_store\n"
        "open_store('sqlite:///x.db')\n"
        "assert not {'psycopg', 'psycopg_pool', 'procrastinate'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_errors_of_the_store_have_remedies() -> None:
    assert issubclass(StoreDown, ReconcilerError)
    assert StoreDown.retryable

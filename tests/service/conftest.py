"""What tests of the service share: a PostgreSQL server for the session, a database for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import Server, shared_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running PostgreSQL: that of `DATABASE_URL`, or one that all workers share."""
    with shared_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Server) -> Iterator[str]:
    """The address of an empty database."""
    with postgres.database() as url:
        yield url

"""Engines of both kinds for the contract, each over a queue of its own, closed after the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.service.engine import Engine
from reconciler.service.engine.embedded import Embedded
from reconciler.service.engine.replicas import Replicas
from tests.service.engine.stage import Make


@asynccontextmanager
async def _closed_after(new: Callable[..., Engine]) -> AsyncIterator[Make]:
    """Makes engines, and closes those that a failed test left open: their pools would go on for ever."""
    made: list[Engine] = []

    def make(**options: Any) -> Engine:
        made.append(new(**{"concurrency": 4, "grace_s": 1.0} | options))
        return made[-1]

    yield make
    for engine in made:
        await engine.close()


@pytest.fixture(params=["embedded", "replicas"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes engines over one queue. The embedded kind allows one at a time."""
    if request.param == "embedded":
        async with _closed_after(lambda **options: Embedded(tmp_path / "store.db", **options)) as make:
            yield make
    else:
        url = request.getfixturevalue("postgres_url")
        async with _closed_after(lambda **options: Replicas(url, **options)) as make:
            yield make


@pytest.fixture
async def replicas(postgres_url: str) -> AsyncIterator[Make]:
    """Makes engines that share one database."""
    async with _closed_after(lambda **options: Replicas(postgres_url, **options)) as make:
        yield make

"""A store on a file, sessions, and forges that run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from reconciler.service.store import Store
from reconciler.service.store.opening import open_store
from tests.service.notify.places import PAUSES, SERVERS, Place, opened
from tests.service.notify.reviews import Review, reviewing
from tests.world import World


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open store with nothing in it."""
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """A session that ends with the test."""
    async with ClientSession() as opened:
        yield opened


@pytest.fixture(params=sorted(SERVERS))
async def place(request: pytest.FixtureRequest, session: ClientSession) -> AsyncIterator[Place]:
    """Each of the forges."""
    PAUSES.clear()
    async with opened(request.param, session) as there:
        yield there


@pytest.fixture
async def review(world: World, store: Store, session: ClientSession, tmp_path: Path) -> AsyncIterator[Review]:
    """A repository with pull requests."""
    async with reviewing(world, store, session, tmp_path) as there:
        yield there

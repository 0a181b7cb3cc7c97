"""Dashboards for each test: one that serves this machine, one where people sign in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.web import seed
from tests.service.web.front import SIGN_IN, Front, front


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Front]:
    async with front(tmp_path) as made:
        await seed.fill(made.store)
        made.agents.update(seed.lives())
        yield made


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Front]:
    async with front(tmp_path) as made:
        yield made


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Front]:
    async with front(tmp_path, SIGN_IN) as made:
        await seed.fill(made.store)
        yield made

"""A service's web side for each test: one that serves this machine, and one where people sign in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.api.world import ROLES, Front, fill, front


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Front]:
    async with front(tmp_path) as running:
        await fill(running)
        yield running


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Front]:
    async with front(tmp_path, {"tokens": "tokens.yaml", "roles": ROLES}) as running:
        await fill(running)
        yield running

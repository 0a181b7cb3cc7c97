"""Sign-in over a real store; see `tests/service/api/world.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.api.conftest import guarded, local
from tests.service.api.world import Front, fill, front
from tests.service.auth.provider import CLIENT, Provider

__all__ = ["guarded", "local"]

HTTPS = "https://reconciler.example.com"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """An OpenID provider on this machine."""
    async with Provider.running() as running:
        yield running


@pytest.fixture
async def signing(tmp_path: Path, provider: Provider) -> AsyncIterator[Front]:
    """A service behind https where people of the provider sign in."""
    auth = {
        "oidc": {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": {"env": "CLIENT_SECRET"}},
        "tokens": "tokens.yaml",
        "session_key": {"env": "KEY"},
        "roles": [
            {"role": "operator", "projects": ["prod"], "groups": ["operators"]},
            {"role": "admin", "users": ["root@example.com"], "tokens": ["root"]},
        ],
    }
    async with front(tmp_path, auth, public_url=HTTPS) as running:
        await fill(running)
        provider.now = running.deps.now
        yield running

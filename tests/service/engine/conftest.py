"""Engines of both kinds for the contract, each over a queue of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.service.engine.embedded import Embedded
from reconciler.service.engine.replicas import Replicas
from tests.service.engine.stage import Make


@pytest.fixture(params=["embedded", "replicas"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes engines over one queue. The embedded kind allows one at a time."""
    options: dict[str, Any] = {"concurrency": 4, "grace_s": 1.0}
    if request.param == "embedded":
        return lambda **more: Embedded(tmp_path / "store.db", **options | more)
    url = request.getfixturevalue("postgres_url")
    return lambda **more: Replicas(url, **options | more)


@pytest.fixture
def replicas(postgres_url: str) -> Make:
    """Makes engines that share one database."""
    return lambda **more: Replicas(postgres_url, **{"concurrency": 4, "grace_s": 1.0} | more)

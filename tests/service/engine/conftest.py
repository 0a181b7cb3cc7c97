"""Engines of both kinds for the contract, each over a queue of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.service.engine import Engine
from reconciler.service.engine.embedded import Embedded
from tests.service.engine.stage import Make


@pytest.fixture(params=["embedded"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes engines over one queue. The embedded kind allows one at a time."""

    def embedded(**options: object) -> Engine:
        return Embedded(tmp_path / "store.db", **{"concurrency": 4, "grace_s": 1.0, **options})

    return embedded

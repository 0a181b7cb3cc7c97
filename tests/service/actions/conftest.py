"""Actions over a real store; see `tests/service/api/world.py`."""

from __future__ import annotations

from tests.service.api.conftest import guarded, local

__all__ = ["guarded", "local"]

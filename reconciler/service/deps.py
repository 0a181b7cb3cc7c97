"""What the web side of the service works with: the store, the engine, and the configuration in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.service.config import Configured
from reconciler.service.engine import Engine
from reconciler.service.metrics import Metrics
from reconciler.service.store import Store


@dataclass(frozen=True)
class Deps:
    """One process of the service. `now` is in Unix seconds; `replica` names the process."""

    configured: Configured
    store: Store
    engine: Engine
    metrics: Metrics
    now: Callable[[], float]
    replica: str

"""What becomes of a turn that raises: it is told, and its key waits longer each time it happens again."""

from __future__ import annotations

import random
from dataclasses import dataclass

import structlog

from reconciler.errors import explain
from reconciler.service.engine import Again

log = structlog.get_logger("reconciler")


@dataclass(frozen=True)
class Pauses:
    """How long a key rests after a turn that raised, in seconds: at most `first_s`, then twice that, …"""

    first_s: float = 5.0
    longest_s: float = 900.0

    def after(self, failures: int) -> float:
        """The pause after that many turns in a row (from 1) that raised.

        Any part of the whole, so that keys which failed together do not come back together.
        """
        return random.uniform(0.0, min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 32)))


def failed(key: str, error: BaseException, failures: int, pauses: Pauses) -> Again:
    """Log a turn that raised, and say when the key's next one is due."""
    again = Again(pauses.after(failures), "failed")
    log.error(
        "turn_failed",
        key=key,
        error_type=type(error).__name__,
        error=explain(error),
        failures=failures,
        next_in_s=round(again.after_s, 1),
    )
    return again

"""What is told of a step as soon as it has ended: a line of the log, and a span."""

from __future__ import annotations

from typing import Final

import structlog

from reconciler.apply import Outcome
from reconciler.service import tracing

log = structlog.get_logger("reconciler")

# A version that starts is asked for again and again; its end is news.
_LEVELS: Final = {"pending": "debug", "failed": "warning"}


def step_ended(outcome: Outcome) -> None:
    """Tell of it; give this to a run as its `progress`."""
    say = getattr(log, _LEVELS.get(outcome.outcome, "info"))
    say(
        "step_applied",
        key=str(outcome.key),
        step=outcome.step,
        outcome=outcome.outcome,
        version=outcome.version,
        reason=outcome.reason,
        took_s=round(outcome.duration_s, 3),
    )
    tracing.step(outcome)

"""What a person or a log sees while an apply runs: on standard error, so that the report stays clean."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.apply import Outcome
    from reconciler.plan import Plan


class Progress:
    """A line for each step that did something; on a terminal also how far the run is.

    Waiting is said once for each agent, however often it is looked at.
    """

    def __init__(self, log_level: str) -> None:
        self._log = _log(log_level)
        self._status: Any = None
        self._waiting: set[str] = set()
        self._done: set[str] = set()
        self._all = 0

    @contextmanager
    def of(self, plan: Plan) -> Iterator[None]:
        """Show how far the plan is while the block runs."""
        self._all = sum(bool(planned.steps) for planned in plan.planned)
        if not (sys.stderr.isatty() and self._all):
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(self._line()) as self._status:
            yield
        self._status = None

    def __call__(self, outcome: Outcome) -> None:
        """Hear of one step."""
        key = str(outcome.key)
        waits = outcome.outcome == "pending"
        said = waits and key in self._waiting
        (self._waiting.add if waits else self._waiting.discard)(key)
        if not waits:
            self._done.add(key)
        if self._log is not None:
            self._log.info(
                "step_applied",
                key=key,
                step=outcome.step,
                outcome=outcome.outcome,
                version=outcome.version,
                reason=outcome.reason,
                took_s=outcome.duration_s,
            )
        if self._status is not None:
            self._status.update(self._line())
        if not said:
            version = f" version {outcome.version}" if outcome.version else ""
            why = f" ({outcome.reason})" if waits and outcome.reason else ""
            self._say(f"  {key}: {outcome.step} {outcome.outcome}{version}{why}")

    def _say(self, line: str) -> None:
        if self._status is not None:
            self._status.console.print(line, markup=False, highlight=False)
        else:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def _line(self) -> str:
        waiting = f", {len(self._waiting)} waiting" if self._waiting else ""
        return f"{len(self._done - self._waiting)} of {self._all} agents{waiting}"


def _log(level: str) -> Any:
    """The step log, None at the default level: importing it costs a tenth of a second."""
    if level not in ("info", "debug"):
        return None
    import structlog

    from reconciler.log import set_up

    set_up(level)
    return structlog.get_logger("reconciler")

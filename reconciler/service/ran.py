"""One turn of a Project and everything that came out of it, before it is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from reconciler.apply import Outcome
from reconciler.errors import ReconcilerError, SourceError, Throttled
from reconciler.plan import Plan
from reconciler.reconcile import Inputs
from reconciler.report import ProjectRun
from reconciler.service.records import Approved, Pin, ProjectRecord, RunRecord
from reconciler.tally import final_outcomes

# Runs that come by themselves and find nothing are no history; they would push the releases out of it.
_ROUTINE: Final = ("interval", "requeue", "check", "retry", "poll", "superseded")

# Changes, outcomes and conditions of one run that its record keeps; the rows keep what is so now.
_MOST_KEPT: Final = 1000

# Runs in a row that the service puts off before that counts as a failure: with its pauses about a minute.
_MOST_PUT_OFF: Final = 4

# Hears of every run that is kept, when it begins to write and when it ends.
Tell = Callable[[RunRecord], Awaitable[None]]


@dataclass(frozen=True)
class Ran:
    """One turn of a Project and everything that came out of it.

    `commit` decided; `newest` is the newest one where its errors keep it from that. `whole` says that every
    resource was looked at. `superseded`: ended because something newer came;
    `interrupted`: because the process ends. `unused` is an approval of another plan than the one there was;
    `approval`: a person let exactly this plan through. `ends_release`: earlier turns waited for versions to
    start, and nothing waits any more. `changes_at`: when the clock wants something else, 0 for never.
    """

    id: str
    row: ProjectRecord
    reasons: tuple[str, ...]
    started_at: float
    commit: str = ""
    newest: str = ""
    hold: str = ""
    changes_at: float = 0.0
    asked: str = ""
    inputs: Inputs | None = None
    plan: Plan | None = None
    outcomes: tuple[Outcome, ...] = ()
    run: ProjectRun | None = None
    whole: bool = True
    superseded: bool = False
    interrupted: bool = False
    ends_release: bool = False
    unused: Approved | None = None
    approval: Approved | None = None
    error: ReconcilerError | None = None
    pins_over: tuple[Pin, ...] = ()

    @property
    def about(self) -> str:
        """The commit that people are told of: what they pushed last, also where an older one holds."""
        return self.newest or self.commit

    @property
    def routine(self) -> bool:
        """Whether nobody asked for this run."""
        return all(reason.startswith(_ROUTINE) for reason in self.reasons)

    @property
    def wrote(self) -> bool:
        """Whether anything changed at the service."""
        return any(
            outcome.well and outcome.outcome not in ("unchanged", "activated") for outcome in self.outcomes
        )

    @property
    def broken(self) -> bool:
        """Whether the next try should come soon and then later and later: something may pass by itself."""
        if self.error is not None:
            return True
        ended = self.superseded or self.interrupted
        return any(outcome.open and outcome.retryable for outcome in self.outcomes) and not ended

    @property
    def blind(self) -> bool:
        """Whether nothing new is known of the Project: the source could not be read, or the service asked us
        to come again later. A service that asks so again and again has failed.
        """
        later = isinstance(self.error, Throttled) and self.row.failures < _MOST_PUT_OFF
        return later or isinstance(self.error, SourceError)

    @property
    def result(self) -> str:
        """One word for the run, see `RunRecord`."""
        if self.run is None or self.run.failed is not None:
            return "failed"
        open_ = [outcome for outcome in final_outcomes(self.run.outcomes) if outcome.open]
        if self.superseded or self.interrupted:
            return "superseded" if self.superseded else "interrupted"
        if any(outcome.outcome == "failed" for outcome in open_):
            return "partly"
        plan = self.plan
        if plan is not None and plan.observe:
            return "observed" if plan.steps else "drifted" if held(plan) else "unchanged"
        if plan is not None and plan.refused:
            return "partly" if self.wrote else "refused"
        if open_:
            return "pending"
        if self.wrote or self.ends_release:
            return "applied"
        return "drifted" if plan is not None and held(plan) else "unchanged"


def cut(value: dict[str, Any]) -> dict[str, Any]:
    """The report as it is kept: of thousands of changes the first ones, and how many there were."""
    parts = {part: len(value[part]) for part in ("changes", "outcomes", "conditions")}
    if max(parts.values()) <= _MOST_KEPT:
        return value
    return {**value, **{part: value[part][:_MOST_KEPT] for part in parts}, "cut": parts}


def held(plan: Plan) -> bool:
    return any(item.change.held for item in plan.planned)

"""A status on each pull request: what merging it would do, for reviewers and for branch protection.

One for each source, never for each Project: a status that is required must come to every pull request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from reconciler.errors import Problem
from reconciler.loading import problems_of
from reconciler.render.closing import closing
from reconciler.render.words import plural
from reconciler.report import ExitCode, RunReport
from reconciler.service.notify.forges import Forge, ForgeError, PullRequest, Status
from reconciler.service.notify.judging import Judged
from reconciler.service.store import Store

log = structlog.get_logger("reconciler")

# Low bits of what the store keeps: which status is shown. Above them is when, so that it only grows.
_BITS: Final = 20
_MASK: Final = (1 << _BITS) - 1
_FIRST_PAUSE_S: Final = 60.0
_LONGEST_PAUSE_S: Final = 900.0


@dataclass
class BesidePulls:
    """The statuses of one source's pull requests during one look at them. Nothing here ever fails a plan.

    Args:
        count: told of each message to the forge: `status` or `comment`, and `sent` or `failed`.
    """

    source: str
    forge: Forge
    store: Store
    link: str
    now: Callable[[], float]
    count: Callable[[str, str], None] = field(default=lambda channel, result: None)
    # How long the forge wants to be left alone; None while it takes what it gets.
    rest_s: float | None = None

    async def planning(self, pull: PullRequest) -> None:
        """Show that a plan is being made, unless something is shown for this head already."""
        if not await self.store.cursor(self._cursor(pull)):
            await self.show(pull, Status("", "pending", "Planning"))

    async def show(self, pull: PullRequest, status: Status) -> bool:
        """Whether the forge shows this now, or has refused it for good; False when it is worth another try.

        Raises:
            StoreDown: the store does not answer.
        """
        news = _fingerprint(status)
        if await self.store.cursor(self._cursor(pull)) & _MASK == news:
            return True
        if self.rest_s is not None:
            return False
        link = f"{self.link.rstrip('/')}/" if self.link else ""
        try:
            await self.forge.set_pull_status(
                pull, replace(status, context=f"reconciler/plan/{self.source}", target_url=link)
            )
        except ForgeError as error:
            self.rest_s = error.retry_after_s if error.retryable else None
            self.count("status", "failed")
            log.warning(
                "status_not_set",
                source=self.source,
                number=pull.number,
                error=str(error),
                hint=error.hint,
            )
            return not error.retryable
        self.count("status", "sent")
        await self.store.move_cursor(self._cursor(pull), int(self.now() * 1000) << _BITS | news)
        return True

    def _cursor(self, pull: PullRequest) -> str:
        return f"pull-status/{self.source}/{pull.number}/{pull.head}"


def _fingerprint(status: Status) -> int:
    """What tells one status of a commit from another, as a number that is never 0."""
    said = hashlib.sha256(f"{status.state} {status.description}".encode()).digest()
    return int.from_bytes(said[:4]) % _MASK + 1


@dataclass
class Tries:
    """When a plan that could not be made is tried again. One process knows it; a new one begins at once."""

    _failed: dict[str, tuple[float, float]] = field(default_factory=dict)
    _ended: dict[str, float] = field(default_factory=dict)

    def due(self, key: str, now: float) -> bool:
        """Whether it may be tried now."""
        return now >= self._failed.get(key, (0.0, 0.0))[1]

    def failed(self, key: str, now: float, at_least_s: float = 0.0) -> None:
        """Wait a minute, and twice as long after each further failure, up to 15 minutes."""
        before_s = self._failed.get(key, (0.0, 0.0))[0]
        pause_s = min(_LONGEST_PAUSE_S, before_s * 2) or _FIRST_PAUSE_S
        self._failed[key] = (pause_s, now + max(pause_s, at_least_s))

    def ended(self, key: str, now: float) -> None:
        """It ended the whole look: the next one begins with others, so that they are not held up."""
        self._ended[key] = now

    def order(self, key: str) -> float:
        """By what to sort: 0 for what ended no look, else when it did."""
        return self._ended.get(key, 0.0)

    def keep(self, keys: Collection[str]) -> None:
        """Forget every other one."""
        self._failed = {key: value for key, value in self._failed.items() if key in keys}
        self._ended = {key: value for key, value in self._ended.items() if key in keys}


# Neither a success, since anybody could come around a required plan by a fork, nor a failure.
FROM_A_FORK: Final = Status(
    "", "pending", "Not planned: it comes from a fork; push its branch here for a plan"
)


def plan_status(report: RunReport, found: Judged, *, unmade: bool) -> Status:
    """What a plan says beside its pull request, without context and address.

    Args:
        unmade: part of it could not be read, which says nothing about the manifests.
    """
    problems = _problems(report, found)
    if problems:
        most = f"{plural(len(problems), 'problem')}, the first: " if len(problems) > 1 else ""
        return Status("", "failure", f"Invalid: {most}{problems[0]}")
    said = closing(report)
    if unmade:
        return Status("", "error", said)
    if report.exit_code not in (ExitCode.DONE, ExitCode.PENDING):
        return Status("", "failure", said)
    if not report.projects:
        said = "No changes: no Project that is looked after here changes."
    notes = len({note.project for note in found.notes})
    if notes:
        said += f" {plural(notes, 'Project')} to look at: see the comment."
    return Status("", "success", said)


def _problems(report: RunReport, found: Judged) -> list[Problem]:
    """What is wrong with the manifests, also where the valid ones would be applied."""
    of_all = report.failed.problems if report.failed else ()
    of_files = (problem for one in found.broken for problem in one.problems)
    return [*of_all, *of_files, *(item for project in found.looked_at for item in problems_of(project))]

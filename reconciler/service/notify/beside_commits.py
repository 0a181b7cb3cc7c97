"""Keep the statuses beside commits up to date, in the background: a slow forge delays no run."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from reconciler.service.deps import Deps
from reconciler.service.notify.forges import Forge, ForgeError, Status
from reconciler.service.notify.statuses import is_over, status_of
from reconciler.service.records import Page, RunRecord
from reconciler.service.store import StoreDown

log = structlog.get_logger("reconciler")

_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# Runs that ended so long ago have had their chance to be told by the process that ran them.
_OVERDUE_S: Final = 30.0
_TOO_LATE_S: Final = 3600.0
_PAUSE_S: Final = 60.0
_LOOKED_AT: Final = Page(limit=100)


@dataclass(frozen=True)
class _Said:
    """What a forge shows for a Project."""

    commit: str
    status: Status

    def same(self, other: _Said) -> bool:
        """Whether it looks the same; the run behind the link may be another one."""
        mine, theirs = self.status, other.status
        shown = (mine.state, mine.description) == (theirs.state, theirs.description)
        return shown and self.commit == other.commit


class BesideCommits:
    """Statuses of every source that has a forge. The newest of a Project counts; at most one waits.

    A status that says what is there already is not sent: GitHub keeps 1,000 for a commit.

    Args:
        forge_of: the forge of a source, None where it has none.
        link: the address of the dashboard, "" where it is not known.
    """

    def __init__(self, deps: Deps, forge_of: Callable[[str], Forge | None], link: Callable[[], str]) -> None:
        self._deps = deps
        self._forge_of = forge_of
        self._link = link
        self._said: dict[str, _Said] = {}
        self._waiting: dict[str, dict[str, tuple[RunRecord, _Said]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # By source: when its forge may be asked again after it did not take one.
        self._resume_at: dict[str, float] = {}

    def tell(self, run: RunRecord) -> bool:
        """Have the status of this run shown; False when there is nothing to say."""
        status = status_of(run, self._link())
        if status is None or not _COMMIT.fullmatch(run.commit) or self._forge_of(run.source) is None:
            return False
        if self._deps.now() < self._resume_at.get(run.source, 0.0):
            return False
        news, there = _Said(run.commit, status), self._said.get(run.project)
        queue = self._waiting.setdefault(run.source, {})
        # A run that begins on a commit that was judged before says nothing yet.
        begins = run.result == "running" and there is not None and there.commit == run.commit
        if begins or (there is not None and there.same(news) and run.project not in queue):
            return False
        queue[run.project] = (run, news)
        if run.source not in self._tasks:
            task = asyncio.create_task(self._send_all(run.source))
            self._tasks[run.source] = task
            task.add_done_callback(lambda _: self._tasks.pop(run.source, None))
        return True

    async def _send_all(self, source: str) -> None:
        queue = self._waiting[source]
        try:
            while queue:
                project = next(iter(queue))
                run, news = queue.pop(project)
                await self._send(run, news)
        except ForgeError as error:
            # What waited is in the store: `catch_up` comes back to the runs that ended.
            queue.clear()
            pause_s = max(_PAUSE_S, error.retry_after_s)
            self._resume_at[source] = self._deps.now() + pause_s
            self._deps.metrics.reports.labels("status", "failed").inc()
            log.warning("status_not_set", source=source, error=str(error), hint=error.hint)
            with contextlib.suppress(StoreDown):
                await self._deps.engine.trigger("outbox", "status", after_s=pause_s)
        except StoreDown:
            queue.clear()

    async def _send(self, run: RunRecord, news: _Said) -> None:
        forge = self._forge_of(run.source)
        if forge is None:
            return
        await forge.set_status(news.commit, news.status)
        self._deps.metrics.reports.labels("status", "sent").inc()
        self._said[run.project] = news
        if is_over(news.status):
            await self._deps.store.move_cursor(_cursor(run.project), _position(run))

    async def catch_up(self, now: float) -> bool:
        """Tell of runs that ended and whose status was not shown: its process died, or the forge was away.

        Returns whether one is on its way, so that another look is due.
        """
        runs, _ = await self._deps.store.runs(page=_LOOKED_AT)
        newest: dict[str, RunRecord] = {}
        for run in runs:
            newest.setdefault(run.project, run)
        told = False
        for run in newest.values():
            if not run.ended_at or not _OVERDUE_S < now - run.ended_at < _TOO_LATE_S:
                continue
            if self._forge_of(run.source) is None or run.project in self._waiting.get(run.source, {}):
                continue
            if await self._deps.store.cursor(_cursor(run.project)) < _position(run):
                told = self.tell(run) or told
        return told

    async def close(self, grace_s: float) -> None:
        """Wait so long for what is on its way, and drop the rest."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _cursor(project: str) -> str:
    return f"status/{project}"


def _position(run: RunRecord) -> int:
    return int(run.started_at * 1000)

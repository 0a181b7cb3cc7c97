"""The versions of a resource on a time line: read now where that works, else what the last run left."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from reconciler.errors import ReconcilerError
from reconciler.remedies import remedy
from reconciler.resource import Key, Live, Mark, Version
from reconciler.service.records import ResourceRecord
from reconciler.service.views_making import moment
from reconciler.service.views_models import Author, MarkView, Timeline, VersionErrorView, VersionView

# Reads one agent with its versions now; None when it is not there. Called with Project and `Agent/NAME`.
Look = Callable[[str, str], Awaitable[Live | None]]

# A page that is looked at by many, or that reloads with every event, asks the service once in this time.
FRESH_S: Final = 15.0
# A page must not wait for a service that is down; what the last run left is better than nothing.
TIMEOUT_S: Final = 4.0
_MOST_KEPT: Final = 256
# Looks under way at once: they share the pace of the endpoint with the runs, which come first.
_MOST_AT_ONCE: Final = 16


class Looks:
    """Live looks at single agents, each kept for a quarter of a minute and never asked twice at once."""

    def __init__(self, look: Look | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], tuple[float, float, asyncio.Task[Live | None]]]
        self._kept = OrderedDict()
        self._under_way: set[asyncio.Task[Live | None]] = set()

    async def live(self, project: str, resource: str, changed_at: float = 0.0) -> tuple[Live | None, str]:
        """The agent, and why it could not be read, "" when it was.

        Args:
            changed_at: of its row; what was seen before a run changed that is not shown after it.
        """
        if self._look is None:
            return None, "the service is not asked from here"
        task = self._task(self._look, (project, resource), changed_at)
        if task is None:
            return None, "too many agents are being looked at just now"
        try:
            # Shielded: whoever asked first may go away, and others wait for the same answer.
            return await asyncio.wait_for(asyncio.shield(task), TIMEOUT_S), ""
        except TimeoutError:
            return None, f"the service did not answer within {TIMEOUT_S:g} s"
        except ReconcilerError as error:
            return None, str(error)

    def forget(self, project: str, resource: str) -> None:
        """Ask again next time."""
        self._kept.pop((project, resource), None)

    def _task(self, look: Look, key: tuple[str, str], changed_at: float) -> asyncio.Task[Live | None] | None:
        """The look at this agent, one that is fresh or a new one; None where too many are under way."""
        now = self._clock()
        at, row_at, kept = self._kept.get(key, (0.0, 0.0, None))
        if kept is not None and row_at == changed_at and now - at < FRESH_S and not _failed(kept):
            return kept
        if len(self._under_way) >= _MOST_AT_ONCE:
            return None
        task = asyncio.ensure_future(_asked(look, *key))
        # Where nobody waits any more, its failure is nobody's news.
        task.add_done_callback(_failed)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        self._kept[key] = (now, changed_at, task)
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return task


async def _asked(look: Look, project: str, resource: str) -> Live | None:
    return await look(project, resource)


def _failed(task: asyncio.Task[Live | None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def timeline(live: Live, owners: Collection[str], pinned: str, now: float) -> Timeline:
    """The versions of an agent that was read now.

    Args:
        owners: names that are ours in marks.
        pinned: the version that a rollback holds, "" for none.
    """
    shares = dict(live.traffic)
    latest = live.latest.number if live.latest else ""
    versions = tuple(
        VersionView(
            number=version.number,
            health=str(version.health),
            created_at=moment(version.created_at),
            by=author(live.key, version, owners),
            commit=version.mark.commit if version.mark and _genuine(live.key, version) else "",
            share=shares.get(version.number, 0),
            latest=version.number == latest,
            pinned=version.number == pinned,
            draft=version.draft,
            mark=_mark(version.mark, live.key, version.number),
            error=_error(version),
        )
        for version in live.known
    )
    note = "" if live.all_versions else "older versions were not read"
    return Timeline(versions=versions, complete=live.all_versions, old=False, read_at=moment(now), note=note)


def author(key: Key, version: Version, owners: Collection[str]) -> Author:
    """Who made a version, as far as its mark tells (rule M2)."""
    if version.mark is None:
        return "unknown"
    if not version.mark.genuine(key, version.number):
        return "portal"
    return "us" if version.mark.owner in owners else "unknown"


def _genuine(key: Key, version: Version) -> bool:
    return version.mark is not None and version.mark.genuine(key, version.number)


def _mark(mark: Mark | None, key: Key, number: str) -> MarkView | None:
    if mark is None:
        return None
    return MarkView(
        owner=mark.owner,
        resource=mark.resource,
        base=mark.base,
        pinned=mark.pinned,
        file=mark.file,
        time=moment(mark.time),
        genuine=mark.genuine(key, number),
    )


def _error(version: Version) -> VersionErrorView | None:
    failure = version.failure
    if failure is None:
        return None
    return VersionErrorView(code=failure.code, message=failure.message, hint=remedy(failure.code))


def remembered(record: ResourceRecord, pinned: str, why: str) -> Timeline:
    """What the store has of an agent's versions: those that serve, the latest, and the pinned one."""
    shares = _shares(record.serving)
    numbers = {number for number in (*shares, record.latest, pinned) if number}
    versions = tuple(
        VersionView(
            number=number,
            health="unknown",
            created_at=None,
            by="unknown",
            commit="",
            share=shares.get(number, 0),
            latest=number == record.latest,
            pinned=number == pinned,
            draft=False,
            mark=None,
            error=None,
        )
        for number in sorted(numbers, key=lambda text: int(text) if text.isdecimal() else -1, reverse=True)
    )
    note = f"{why}; this is what the last change of this row left"
    return Timeline(versions=versions, complete=False, old=True, read_at=moment(record.changed_at), note=note)


def _shares(serving: str) -> dict[str, int]:
    """Shares by version of `7` or `6:90,7:10`."""
    shares = {}
    for part in filter(None, serving.split(",")):
        number, _, share = part.partition(":")
        shares[number] = int(share) if share.isdecimal() else 100
    return shares

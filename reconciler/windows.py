"""When a service or a pipeline may write: sync windows of a Project (rule W1). Pure: the time is an argument.

A window is open from each moment that its `cron` names, for `duration`. As in Argo CD, a denying window beats
every allowing one, and where there is any allowing window, nothing is written outside of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, StrictBool, StrictStr

from reconciler.strict_model import Strict
from reconciler.suggest import did_you_mean

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_DURATION: Final = re.compile(r"([1-9][0-9]{0,4})(m|h|d)")
_UNITS_S: Final = {"m": 60, "h": 3600, "d": 86400}
# A longer one is a suspension, or a Project that observes.
_LONGEST_S: Final = 31 * 86400
_CRON_FIELDS: Final = 5
_CRON_HINT: Final = "Write minute, hour, day, month and weekday, such as `0 8 * * 1-5`."
# More than clocks are ever moved by.
_SLACK: Final = timedelta(hours=3)
# How far ahead a change is looked for. With the next two this bounds the cost to about a second, for windows
# that open every minute and never let anything through; usual ones take a millisecond.
_FAR: Final = timedelta(days=400)
_MOST_EDGES: Final = 1_000
_MOST_OPENINGS: Final = 10_000
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


def _text(check: Callable[[str], None]) -> BeforeValidator:
    def validate(value: Any) -> Any:
        if isinstance(value, str):
            check(value)
        return value

    return BeforeValidator(validate)


def _duration(value: str) -> None:
    match = _DURATION.fullmatch(value)
    if match is None or int(match[1]) * _UNITS_S[match[2]] > _LONGEST_S:
        raise ValueError(f"`{value[:20]}` is no duration | Write `30m`, `8h` or `2d`; at most 31d.")


def _cron(value: str) -> None:
    from cronsim import CronSim, CronSimError

    fields = len(value.split())
    if fields != _CRON_FIELDS:
        raise ValueError(f"`{value[:80]}` is no time: it takes five fields, not {fields} | {_CRON_HINT}")
    try:
        first = next(CronSim(value, datetime(2000, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        raise ValueError(f"`{value[:80]}` is no time: {str(error).lower()} | {_CRON_HINT}") from error
    if first is None:
        raise ValueError(f"`{value[:80]}` never comes | Check day and month.")


def _zone(value: str) -> None:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        hint = did_you_mean(value, available_timezones(), "Write `UTC` or a name such as `Europe/Berlin`.")
        raise ValueError(f"there is no time zone `{value[:60]}` | {hint}") from error


class WindowSpec(Strict):
    """A time in which writing is allowed or denied, again and again.

    `cron` says when it opens in `time_zone`, `duration` for how long. With `manual`, what a person asks the
    service for goes through while it is closed.
    """

    kind: Literal["allow", "deny"]
    cron: Annotated[StrictStr, _text(_cron)]
    duration: Annotated[StrictStr, _text(_duration)]
    time_zone: Annotated[StrictStr, _text(_zone)] = "UTC"
    manual: StrictBool = False

    @property
    def lasts(self) -> timedelta:
        """How long it stays open, in time that passes: a change of clocks neither adds nor takes an hour."""
        match = _DURATION.fullmatch(self.duration)
        assert match is not None, "checked when it was read"
        return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])

    def __str__(self) -> str:
        return f"{self.kind} {self.cron} for {self.duration} ({self.time_zone})"


@dataclass(frozen=True)
class Open:
    """Whether writing is allowed, why not, and until when that holds.

    `until` is in Unix seconds, None where it does not change as far as can be seen; `opens` is the same for
    people where it is closed: `2026-11-23 08:00 Europe/Berlin`, "" with None.
    """

    open: bool
    why: str = ""
    until: float | None = None
    opens: str = ""


def open_at(windows: Sequence[WindowSpec], now: float, *, manual: bool = False) -> Open:
    """Whether these windows let a run write at `now` (Unix seconds).

    Args:
        manual: a person asked for the run; windows with `manual: true` let it through.
    """
    if not windows:
        return Open(True)
    at = datetime.fromtimestamp(now, UTC)
    spells = [_Spells(window, at) for window in windows]
    closing = _closing(spells, at, manual)
    change = _change(spells, at, manual)
    until = None if change is None else change.timestamp()
    if closing is None:
        return Open(True, until=until)
    what, zone = closing
    if change is None:
        return Open(False, f"{what}, and no end of that is in sight")
    opens = _shown(change, zone)
    return Open(False, f"{what} until {opens}", until, opens)


class _Spells:
    """The times in which one window is open, walked through forwards; openings that overlap are one spell."""

    def __init__(self, window: WindowSpec, at: datetime) -> None:
        self.window = window
        self._openings = _starts(window, at - window.lasts)
        self._next = next(self._openings, None)
        self._begin = self._end = at

    def holds(self, at: datetime) -> bool:
        """Whether the window is open then; never asked about an earlier time than before."""
        self._walk(at)
        return self._begin <= at < self._end

    def edge(self, at: datetime) -> datetime | None:
        """When it closes if it is open, else when it opens; later than `at`."""
        if not self.holds(at):
            return self._begin if self._begin > at else None
        # An end beyond everything stands for one that nobody sees.
        return self._end

    def _walk(self, at: datetime) -> None:
        while self._end <= at and self._next is not None:
            self._begin = self._next
            self._end = self._begin + self.window.lasts
            for count, start in enumerate(self._openings):
                self._next = start
                if start > self._end:
                    return
                self._end = start + self.window.lasts
                if count > _MOST_OPENINGS or self._end - at > _FAR:
                    self._end = _NEVER
                    break
            self._next = None


def _closing(spells: Sequence[_Spells], at: datetime, manual: bool) -> tuple[str, str] | None:
    """Why it is closed and in which zone to say it; None when it is open."""
    denying = [each.window for each in spells if each.window.kind == "deny" and each.holds(at)]
    if denying:
        if manual and all(window.manual for window in denying):
            return None
        return f"the sync window `{denying[0]}` is in force", denying[0].time_zone
    allowing = [each for each in spells if each.window.kind == "allow"]
    if not allowing or any(each.holds(at) for each in allowing):
        return None
    if manual and any(each.window.manual for each in allowing):
        return None
    return "outside of the sync windows", allowing[0].window.time_zone


def _change(spells: Sequence[_Spells], at: datetime, manual: bool) -> datetime | None:
    """When open becomes closed, or closed open; None when that is not in sight."""
    was_open, far, edge = _closing(spells, at, manual) is None, at + _FAR, at
    for _ in range(_MOST_EDGES):
        edges = [found for each in spells if (found := each.edge(edge)) is not None]
        if not edges or (edge := min(edges)) > far:
            return None
        if (_closing(spells, edge, manual) is None) != was_open:
            return edge
    return None


def _starts(window: WindowSpec, after: datetime) -> Iterator[datetime]:
    """Every opening later than `after`, in UTC and in order; some may come twice.

    As in Debian's cron, an opening in the hour that is left out in spring comes right after it, and one in
    the hour that comes twice in autumn comes in the first of the two. Where minute or hour begins with `*`,
    every minute that passes counts instead.
    """
    from zoneinfo import ZoneInfo

    from cronsim import CronSim

    zone = ZoneInfo(window.time_zone)
    around = {(after + shift).astimezone(zone).utcoffset() for shift in (-_SLACK, timedelta(), _SLACK)}
    begin = (after if len(around) == 1 else after - _SLACK).astimezone(zone)
    passing = any(part.startswith("*") for part in window.cron.split()[:2])
    later: list[datetime] = []
    # By the clock on the wall: the library's own way with zones loses openings where clocks move by half
    # an hour (cronsim 2.8, Lord Howe).
    for wall in CronSim(window.cron, begin.replace(tzinfo=None)):
        moments = _moments(wall, zone, passing)
        for moment in moments:
            heappush(later, moment)
        while moments and later and later[0] <= moments[0]:
            found = heappop(later)
            if found > after:
                yield found
    yield from (found for found in sorted(later) if found > after)


def _moments(wall: datetime, zone: ZoneInfo, passing: bool) -> list[datetime]:
    """When the clock on the wall shows this, in UTC: once, twice in autumn, in spring not at all or after."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return [first, second] if passing and second > first else [first]
    return [] if passing else _moments(wall + timedelta(minutes=1), zone, passing)


def _shown(at: datetime, time_zone: str) -> str:
    from zoneinfo import ZoneInfo

    zone: ZoneInfo = ZoneInfo(time_zone)
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M} {time_zone}"

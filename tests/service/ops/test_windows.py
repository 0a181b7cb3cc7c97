"""When sync windows let a run write (rule W1): tables over changes of clocks, laws against brute force."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.windows import Open, WindowSpec, open_at

pytestmark = pytest.mark.rule("W1")
BERLIN = "Europe/Berlin"


def window(kind: str, cron: str, duration: str, zone: str = "UTC", **more: Any) -> WindowSpec:
    return WindowSpec.model_validate(
        {"kind": kind, "cron": cron, "duration": duration, "time_zone": zone, **more}
    )


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


OFFICE = window("allow", "0 8 * * 1-5", "8h", BERLIN)
LUNCH = window("deny", "0 12 * * *", "1h", BERLIN)
FREEZE = window("deny", "0 0 20 12 *", "14d", BERLIN, manual=True)


@pytest.mark.parametrize(
    ("windows", "when", "is_open", "until"),
    [
        pytest.param((), "2026-11-23T03:00", True, None, id="no-windows-no-limits"),
        pytest.param((OFFICE,), "2026-11-23T07:59", False, "2026-11-23T08:00", id="before-it-opens"),
        pytest.param((OFFICE,), "2026-11-23T08:00", True, "2026-11-23T16:00", id="as-it-opens"),
        pytest.param((OFFICE,), "2026-11-23T16:00", False, "2026-11-24T08:00", id="as-it-closes"),
        pytest.param((OFFICE,), "2026-11-27T20:00", False, "2026-11-30T08:00", id="over-the-weekend"),
        pytest.param((OFFICE, LUNCH), "2026-11-23T12:30", False, "2026-11-23T13:00", id="deny-beats-allow"),
        pytest.param((OFFICE, LUNCH), "2026-11-23T09:00", True, "2026-11-23T12:00", id="until-the-deny"),
        pytest.param((OFFICE, LUNCH), "2026-11-21T12:30", False, "2026-11-23T08:00", id="both-close-it"),
        pytest.param((LUNCH,), "2026-11-23T03:00", True, "2026-11-23T12:00", id="deny-alone-leaves-the-rest"),
        pytest.param((FREEZE,), "2026-12-31T23:00", False, "2027-01-03T00:00", id="longer-than-a-day"),
    ],
)
def test_open_at(windows: tuple[WindowSpec, ...], when: str, is_open: bool, until: str | None) -> None:
    found = open_at(windows, at(when))

    assert found.open is is_open
    assert found.until == (None if until is None else at(until))
    assert bool(found.why) is not is_open


# In Berlin clocks went from 02:00 to 03:00 on 2026-03-29 and from 03:00 back to 02:00 on 2026-10-25.
@pytest.mark.parametrize(
    ("cron", "duration", "now", "fold", "is_open"),
    [
        pytest.param("30 2 * * *", "1h", "2026-03-29T01:59", 0, False, id="spring-before-the-gap"),
        pytest.param("30 2 * * *", "1h", "2026-03-29T03:00", 0, True, id="spring-opens-after-the-gap"),
        pytest.param("30 2 * * *", "1h", "2026-03-29T04:00", 0, False, id="spring-lasts-its-hour"),
        pytest.param("0 1 * * *", "2h", "2026-03-29T03:59", 0, True, id="spring-gap-takes-no-hour"),
        pytest.param("0 1 * * *", "2h", "2026-03-29T04:00", 0, False, id="spring-gap-gives-no-hour"),
        pytest.param("30 2 * * *", "30m", "2026-10-25T02:30", 0, True, id="autumn-first-of-both"),
        pytest.param("30 2 * * *", "30m", "2026-10-25T02:00", 1, False, id="autumn-closed-between"),
        pytest.param("30 2 * * *", "30m", "2026-10-25T02:30", 1, False, id="autumn-once-only"),
        pytest.param("0 1 * * *", "2h", "2026-10-25T02:59", 0, True, id="autumn-two-hours-pass"),
        pytest.param("0 1 * * *", "2h", "2026-10-25T02:00", 1, False, id="autumn-hour-is-not-doubled"),
        pytest.param("0 * * * *", "10m", "2026-10-25T02:05", 0, True, id="autumn-hourly-first"),
        pytest.param("0 * * * *", "10m", "2026-10-25T02:05", 1, True, id="autumn-hourly-second"),
    ],
)
def test_changes_of_clocks(cron: str, duration: str, now: str, fold: int, is_open: bool) -> None:
    assert open_at([window("allow", cron, duration, BERLIN)], at(now, fold=fold)).open is is_open


def test_clocks_that_move_by_half_an_hour_lose_no_opening() -> None:
    """On Lord Howe they went from 02:00 back to 01:30 on 2026-04-05."""
    zone = "Australia/Lord_Howe"
    early = open_at([window("allow", "0 */6 * * *", "45m", zone)], at("2026-04-05T00:50", zone))

    assert early.until == at("2026-04-05T06:00", zone)
    assert early.opens == f"2026-04-05 06:00 {zone}"


@pytest.mark.parametrize(
    ("windows", "when", "is_open"),
    [
        pytest.param((OFFICE,), "2026-11-21T12:00", False, id="allow-without-manual"),
        pytest.param(
            (window("allow", "0 8 * * 1-5", "8h", BERLIN, manual=True),), "2026-11-21T12:00", True, id="allow"
        ),
        pytest.param(
            (OFFICE, window("allow", "0 3 * * 0", "1h", manual=True)),
            "2026-11-21T12:00",
            True,
            id="one-of-two",
        ),
        pytest.param((FREEZE,), "2026-12-24T12:00", True, id="deny-with-manual"),
        pytest.param((FREEZE, LUNCH), "2026-12-24T12:30", False, id="every-deny-in-force-must-agree"),
        pytest.param((FREEZE, LUNCH), "2026-12-24T14:00", True, id="a-deny-not-in-force-does-not-count"),
    ],
)
def test_what_a_person_asks_for_goes_through_where_windows_say_so(
    windows: tuple[WindowSpec, ...], when: str, is_open: bool
) -> None:
    assert open_at(windows, at(when), manual=True).open is is_open
    assert not open_at(windows, at(when)).open


@pytest.mark.parametrize(
    ("windows", "when", "why"),
    [
        pytest.param(
            (OFFICE,),
            "2026-11-21T12:00",
            "outside of the sync windows until 2026-11-23 08:00 Europe/Berlin",
            id="outside",
        ),
        pytest.param(
            (LUNCH,),
            "2026-11-21T12:00",
            "the sync window `deny 0 12 * * * for 1h (Europe/Berlin)` is in force until 2026-11-21 13:00 "
            "Europe/Berlin",
            id="denied",
        ),
        pytest.param(
            (window("deny", "* * * * *", "1h"),),
            "2026-11-21T12:00",
            "the sync window `deny * * * * * for 1h (UTC)` is in force, and no end of that is in sight",
            id="for-ever",
        ),
    ],
)
def test_it_says_why_it_is_closed_and_until_when(
    windows: tuple[WindowSpec, ...], when: str, why: str
) -> None:
    assert open_at(windows, at(when)).why == why


MINUTES = st.sampled_from(["0", "30", "15,45", "*/20", "*", "59"])
HOURS = st.sampled_from(["0", "1", "2", "3", "2,3", "23", "*", "*/6", "1-3"])
DAYS = st.sampled_from(["*", "*", "28", "29", "25"])
WEEKDAYS = st.sampled_from(["*", "*", "1-5", "0", "7", "6,0"])
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
WINDOWS = st.builds(
    lambda kind, minute, hour, day, weekday, duration, zone, manual: window(
        kind, f"{minute} {hour} {day} * {weekday}", duration, zone, manual=manual
    ),
    st.sampled_from(["allow", "deny"]),
    MINUTES,
    HOURS,
    DAYS,
    WEEKDAYS,
    st.sampled_from(["1m", "10m", "45m", "1h", "3h", "26h"]),
    ZONES,
    st.booleans(),
)
# Days around changes of clocks on both halves of the earth, and one without any.
BEGINNINGS = st.sampled_from(
    [
        datetime(2026, 3, 28, 12, tzinfo=UTC),
        datetime(2026, 10, 24, 12, tzinfo=UTC),
        datetime(2026, 11, 1, 0, tzinfo=UTC),
        datetime(2026, 4, 4, 6, tzinfo=UTC),
        datetime(2026, 10, 3, 6, tzinfo=UTC),
        datetime(2026, 6, 15, tzinfo=UTC),
    ]
)
MINUTE = timedelta(minutes=1)


def values(field: str, least: int, most: int) -> set[int]:
    """What one field of cron stands for, read by rules of its own."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("", "", "") if span == "*" else span.partition("-")
        low = int(first) if first else least
        high = int(last) if last else low if first else most
        found |= set(range(low, high + 1, int(step or 1)))
    return found


def openings(spec: WindowSpec, begin: datetime, end: datetime) -> set[datetime]:
    """Every opening from `begin` to `end`, by looking at each minute of the wall clock or of real time."""
    minute, hour, day, _, weekday = spec.cron.split()
    minutes, hours, days = values(minute, 0, 59), values(hour, 0, 23), values(day, 1, 31)
    weekdays = {number % 7 for number in values(weekday, 0, 7)}
    zone = ZoneInfo(spec.time_zone)

    def due(wall: datetime) -> bool:
        if wall.minute not in minutes or wall.hour not in hours:
            return False
        on_day, on_weekday = wall.day in days, wall.isoweekday() % 7 in weekdays
        return on_day and on_weekday if "*" in (day[0], weekday[0]) else on_day or on_weekday

    count = int((end - begin) / MINUTE) + 1
    if minute.startswith("*") or hour.startswith("*"):
        # Every minute that passes counts, also those of an hour that comes twice.
        passing = (begin + MINUTE * number for number in range(count))
        return {moment for moment in passing if due(moment.astimezone(zone))}
    found = set()
    wall = begin.astimezone(zone).replace(tzinfo=None) - timedelta(hours=4)
    for asked in (wall + MINUTE * number for number in range(count + 8 * 60)):
        if due(asked):
            shown = asked
            while shown.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != shown:
                # Left out in spring: the first minute after the gap.
                shown += MINUTE
            found.add(shown.replace(tzinfo=zone).astimezone(UTC))
    return {moment for moment in found if begin <= moment <= end}


def brute(windows: list[WindowSpec], now: datetime, manual: bool, opened: list[set[datetime]]) -> bool:
    active = [
        spec
        for spec, starts in zip(windows, opened, strict=True)
        if any(start <= now < start + spec.lasts for start in starts)
    ]
    denies = [spec for spec in active if spec.kind == "deny"]
    allows = [spec for spec in windows if spec.kind == "allow"]
    if denies:
        return manual and all(spec.manual for spec in denies)
    if not allows or any(spec.kind == "allow" for spec in active):
        return True
    return manual and any(spec.manual for spec in allows)


@settings(max_examples=15, deadline=None)
@given(st.lists(WINDOWS, min_size=1, max_size=3), BEGINNINGS, st.booleans(), st.data())
def test_it_agrees_with_looking_at_every_minute(
    windows: list[WindowSpec], begin: datetime, manual: bool, data: st.DataObject
) -> None:
    end = begin + timedelta(hours=30)
    opened = [openings(spec, begin - timedelta(hours=30), end) for spec in windows]
    minutes = data.draw(st.lists(st.integers(0, 30 * 60 - 1), min_size=12, max_size=12))
    for minute in minutes:
        now = begin + MINUTE * minute
        assert open_at(windows, now.timestamp(), manual=manual).open is brute(windows, now, manual, opened), (
            now
        )


@settings(max_examples=30, deadline=None)
@given(st.lists(WINDOWS, min_size=1, max_size=3), BEGINNINGS, st.integers(0, 2 * 86400))
def test_until_is_the_first_moment_at_which_the_answer_changes(
    windows: list[WindowSpec], begin: datetime, second: int
) -> None:
    now = begin.timestamp() + second
    found = open_at(windows, now)
    if found.until is None:
        return
    assert found.until > now
    assert open_at(windows, found.until).open is not found.open
    for share in (0.1, 0.5, 0.9, 0.999):
        assert open_at(windows, now + (found.until - 1 - now) * share).open is found.open


def test_windows_that_never_close_or_open_cost_little() -> None:
    began = time.perf_counter()
    for kind in ("allow", "deny"):
        found = open_at([window(kind, "* * * * *", "31d", BERLIN)], at("2026-11-23T12:00"))
        assert found == Open(kind == "allow", found.why)
    assert time.perf_counter() - began < 2

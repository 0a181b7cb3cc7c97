"""Calls for each minute and bytes at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.service.webhooks.limits import Buckets, Room, peer


def test_a_bucket_gives_its_calls_at_once_and_then_as_they_come_back() -> None:
    buckets = Buckets()

    assert [buckets.take("a", 3, 100.0) for _ in range(4)] == [0, 0, 0, 20]
    assert buckets.take("b", 3, 100.0) == 0
    assert buckets.wait_s("a", 3, 119.0) == 1
    assert buckets.take("a", 3, 120.0) == 0
    assert buckets.take("a", 3, 120.0) == 20


def test_a_call_that_was_given_back_can_be_taken_again() -> None:
    buckets = Buckets()
    buckets.take("a", 1, 0.0)
    buckets.give_back("a", 1, 0.0)
    buckets.give_back("a", 1, 0.0)

    assert [buckets.take("a", 1, 0.0) for _ in range(2)] == [0, 60]


def test_a_clock_set_back_closes_no_bucket_for_long() -> None:
    buckets = Buckets()
    assert [buckets.take("a", 60, 1_000.0) for _ in range(60)] == [0] * 60

    assert buckets.take("a", 60, 10.0) == 1
    assert buckets.take("a", 60, 11.0) == 0


def test_a_higher_limit_holds_at_once() -> None:
    buckets = Buckets()
    assert buckets.take("a", 1, 0.0) == 0

    assert buckets.wait_s("a", 1, 1.0) == 59
    assert buckets.wait_s("a", 600, 1.0) == 0


def test_strangers_do_not_fill_the_memory() -> None:
    buckets = Buckets()
    for number in range(20_000):
        buckets.take(f"10.{number}", 5, 0.0)

    assert len(buckets._left) == 10_000


@given(st.integers(1, 1_000), st.lists(st.floats(0, 30), max_size=60))
def test_nobody_gets_more_than_twice_the_limit_in_a_minute(per_minute: int, pauses: list[float]) -> None:
    buckets, now, taken = Buckets(), 0.0, []
    for pause in pauses:
        now += pause
        if buckets.take("a", per_minute, now) == 0:
            taken.append(now)

    assert all(sum(start <= at < start + 60 for at in taken) <= 2 * per_minute for start in taken)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.1", "::ffff:a00:1"),
        ("", ""),
        ("unix", "unix"),
        ("x" * 500, "x" * 100),
    ],
)
def test_a_peer_is_an_address_or_a_network(host: str, expected: str) -> None:
    assert peer(host) == expected


def test_room_is_taken_whole_or_not_at_all() -> None:
    room = Room(10)

    assert room.take(6)
    assert not room.take(5)
    assert room.take(4)
    room.give_back(10)
    assert room.take(10)

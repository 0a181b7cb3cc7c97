"""The short way to see that an agent is in sync comes to what the whole comparison comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds.agent import AGENT
from reconciler.kinds.kind import Action, Change
from reconciler.resource import Desired, Live
from tests.properties.lives import live_of
from tests.properties.looking import looking
from tests.properties.manifests import desired_of, specs
from tests.properties.test_deciding import CTX, FLAGS, made_by_us, pairs


def both_ways(desired: Desired, live: Live, flags: dict[str, bool]) -> tuple[list[Any], list[Any]]:
    """What is looked at and found with the latest version as a list tells it, and as if read by its number.

    What was read one by one takes the long way.
    """
    ctx = replace(CTX, **flags)
    listed = replace(live, versions=(), all_versions=False)
    read = replace(listed, versions=(live.latest,) if live.latest else ())
    return found(desired, listed, ctx), found(desired, read, ctx)


def found(desired: Desired, live: Live, ctx: Any) -> list[Any]:
    change: Change = AGENT.compare(desired.key, desired, live, ctx)
    return [AGENT.looks(desired, live, ctx), replace(change, live=None)]


@looking(300)
@given(pairs(), FLAGS)
def test_the_short_way_agrees_with_the_long_one(pair: tuple[Desired, Live], flags: dict[str, bool]) -> None:
    short, long = both_ways(*pair, flags)
    assert short == long


@looking(300)
@given(specs(), FLAGS, st.booleans())
def test_the_short_way_agrees_with_the_long_one_on_what_we_made(
    spec: Any, flags: dict[str, bool], bare: bool
) -> None:
    desired = desired_of("bot", spec)
    if bare:
        desired = replace(desired, details={}, enabled=None)
    short, long = both_ways(desired, live_of(made_by_us(desired)), flags)
    assert short == long
    if bare and not desired.lifecycle.protect and not desired.release.version:
        assert (short[0], short[1].action) == ((), Action.NONE)

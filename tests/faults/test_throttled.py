"""A service that takes no more writes for now: the run waits for as long as it may, and says what is left."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.world import World


def refuse(world: World, action: dict[str, Any], **rule: Any) -> None:
    world.own("PUT", "faults", [{"match": rule, "action": {"status": 429, **action}}])


@pytest.mark.rule("P4", "P5")
def test_writes_that_are_told_to_wait_are_pending_when_the_time_is_up(world: World) -> None:
    """Of forty agents only some are under way when the first is refused: the rest waits behind it."""
    for number in range(40):
        world.agent(f"bot-{number:02}")
    world.commit()
    refuse(world, {"headers": {"Retry-After": "60"}}, method="POST")

    began_at = time.monotonic()
    result = world.run("apply", str(world.repo), "--timeout", "1")
    took_s = time.monotonic() - began_at

    assert took_s < 15
    assert result.exit_code == 4
    assert "40 pending" in result.last_line
    assert "add-version pending (Throttled)" in result.stderr
    assert "Throttled: cannot create a version of agent bot-00" in result.stdout
    assert "refuses requests for now and asks to wait 60 s" in " ".join(result.stdout.split())
    world.own("DELETE", "faults")
    assert world.apply().exit_code == 0
    assert len(world.names()) == 40
    world.in_sync()


@pytest.mark.rule("P5")
def test_a_run_goes_on_when_the_service_takes_writes_again(world: World) -> None:
    world.agent("triage")
    world.commit()
    action = {"status": 429, "headers": {"Retry-After": "16"}}
    world.own("PUT", "faults", [{"match": {"method": "POST"}, "times": 1, "action": action}])

    result = world.run("apply", str(world.repo), "--timeout", "60")

    assert result.exit_code == 0, result.stdout
    assert world.numbers("triage") == ["1"]
    world.in_sync()

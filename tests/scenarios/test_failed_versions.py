"""Stories about versions that did not start: what waits with them, and what never does (rules R4, C6)."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.world import Result, World, hosted, prompt

CARD: Final = {"version": "2", "skills": []}
FAILS: Final = {"outcome": "failed", "error": {"code": "image_pull_failed", "message": "no such image"}}
STARTS: Final = {"outcome": "active", "error": None}


def image(tag: int) -> dict[str, Any]:
    return hosted(f"registry.example.com/bot:{tag}")


def selector(**shares: int) -> dict[str, Any]:
    """The `endpoint` of a manifest that says the traffic itself: `selector(v1=100)`."""
    rules = [
        {"type": "FixedRatio", "agent_version": number.lstrip("v"), "traffic_percentage": share}
        for number, share in shares.items()
    ]
    return {"version_selector": {"version_selection_rules": rules}}


def failed(world: World, **spec: Any) -> Result:
    """Version 1 runs and serves; the commit that asks for image 2 and `spec` makes one that never starts."""
    world.agent("bot", image(1))
    world.commit()
    assert world.apply().exit_code == 0
    world.settings(provisioning=FAILS)
    world.agent("bot", image(2), **spec)
    world.commit()
    return world.apply()


def rests(world: World, code: int = 4) -> Result:
    """One more run writes nothing and still says why."""
    world.forget()
    result = world.apply()
    assert (result.exit_code, world.writes()) == (code, []), result.stdout
    assert "no such image" in result.stdout
    return result


@pytest.mark.rule("R4", "C6")
def test_endpoint_and_card_wait_for_the_version_that_they_describe(world: World) -> None:
    assert failed(world, card=CARD).exit_code == 4
    rests(world)
    plan = world.plan()

    assert plan.exit_code == 2
    assert "endpoint, card and enabling wait until a version of this manifest runs" in plan.stdout
    assert "agent_card" not in world.live("bot")  # type: ignore[operator]

    world.settings(provisioning=STARTS)
    assert world.apply("--retry-failed").exit_code == 0
    assert world.live("bot")["agent_card"]["version"] == "2"  # type: ignore[index]
    world.in_sync()


@pytest.mark.rule("R4", "C6")
def test_a_card_of_a_later_commit_waits_too(world: World) -> None:
    failed(world)
    world.agent("bot", image(2), card=CARD)
    world.commit()

    rests(world)

    world.agent("bot", image(1), card=CARD)
    world.commit()
    assert world.apply().exit_code == 0
    assert world.live("bot")["agent_card"]["version"] == "2"  # type: ignore[index]
    world.in_sync()


@pytest.mark.rule("R4", "C6")
@pytest.mark.parametrize("when", ["later", "same-commit"])
def test_disabling_never_waits_for_a_version(world: World, when: str) -> None:
    """It is the emergency brake: the newest version failed, and the one that serves shall stop as well."""
    if when == "same-commit":
        result = failed(world, state="disabled", card=CARD)
    else:
        failed(world, card=CARD)
        world.agent("bot", image(2), state="disabled", card=CARD)
        world.commit()
        world.forget()
        result = world.apply()
        assert world.writes() == ["POST /agents/bot:disable"]

    assert (result.exit_code, "no such image" in result.stdout) == (4, True)
    assert world.live("bot")["state"] == "disabled"  # type: ignore[index]
    rests(world)


@pytest.mark.rule("R4", "C6")
def test_enabling_waits_for_a_version_that_runs(world: World) -> None:
    world.agent("bot", image(1), state="disabled")
    world.commit()
    world.apply()
    world.settings(provisioning=FAILS)
    world.agent("bot", image(2), state="enabled")
    world.commit()

    assert world.apply().exit_code == 4
    rests(world)
    assert world.live("bot")["state"] == "disabled"  # type: ignore[index]


@pytest.mark.rule("R4", "C6")
def test_a_new_agent_is_disabled_before_its_version_may_start(world: World) -> None:
    """Afterwards it would have answered for as long as the gate takes, or for ever where that never opens."""
    world.settings(provisioning=FAILS)
    world.agent("bot", image(1), state="disabled", card=CARD)
    world.commit()
    world.forget()

    assert world.apply().exit_code == 4
    assert world.writes() == ["POST /agents/bot/versions", "POST /agents/bot:disable"]
    rests(world)


@pytest.mark.rule("R1", "R4")
def test_traffic_that_git_says_itself_goes_back_past_a_failed_version(world: World) -> None:
    """Nothing but the commit could move it away from what went wrong."""
    for tag in (1, 2):
        world.agent("bot", image(tag))
        world.commit()
        world.apply()
    world.settings(provisioning=FAILS)
    by_hand = {"release": {"strategy": "manual"}, "card": CARD}
    world.agent("bot", image(3), endpoint=selector(v2=100), **by_hand)
    world.commit()
    assert world.apply().exit_code == 4

    world.agent("bot", image(3), endpoint=selector(v1=100), **by_hand)
    world.commit()
    world.forget()

    assert world.apply().exit_code == 4
    assert world.writes() == ["PATCH /agents/bot"]
    assert world.traffic("bot") == [("1", 100)]
    assert "agent_card" not in world.live("bot")  # type: ignore[operator]
    rests(world)


@pytest.mark.rule("R1", "R4")
@pytest.mark.parametrize("text", ["newest", "older"])
def test_traffic_never_moves_to_a_failed_version_even_where_git_says_so(world: World, text: str) -> None:
    failed(world)
    world.settings(provisioning=STARTS)
    definition = image(2) if text == "newest" else image(1)
    world.agent("bot", definition, release={"strategy": "manual"}, endpoint=selector(v1=50, v2=50), card=CARD)
    world.commit()

    result = rests(world)

    assert world.traffic("bot") == [("1", 100)]
    assert "name a version that runs in `endpoint.version_selector`" in result.stdout + world.plan().stdout
    world.forget()
    assert world.apply("--retry-failed").exit_code == 4
    assert world.writes() == []


@pytest.mark.rule("R3", "R4")
@pytest.mark.parametrize("names", ["v1", "v2"])
def test_where_git_says_the_traffic_a_new_version_serves_nothing_before_it_runs(
    world: World, names: str
) -> None:
    """Without a selector the service would give everything to the newest version at once."""
    world.agent("bot", image(1))
    world.commit()
    world.apply()
    world.settings(provisioning=FAILS)
    by_hand = {"release": {"strategy": "manual"}, "endpoint": selector(**{names: 100})}
    world.agent("bot", image(2), **by_hand)
    world.commit()

    assert world.apply().exit_code == 4
    assert world.traffic("bot") == [("1", 100)]
    rests(world)


@pytest.mark.rule("R4", "R5")
def test_a_failed_version_that_git_names_is_not_made_anew(world: World) -> None:
    """It would get another number, and Git would name one that is gone."""
    failed(world)
    world.settings(provisioning=STARTS)
    world.agent("bot", image(2), release={"version": "2"})
    world.commit()

    result = rests(world)
    assert "name a version that runs in `release.version`" in world.plan().stdout
    world.forget()
    assert world.apply("--retry-failed").exit_code == 4
    assert world.writes() == [], result.stdout

    world.agent("bot", image(2), release={"version": "1"})
    world.commit()
    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("R4")
def test_a_failed_prompt_agent_is_no_different(world: World) -> None:
    """Only hosted versions start; where another kind fails, the same holds."""
    world.seed(
        {
            "name": "triage",
            "versions": [{"definition": prompt(), "status": "failed", "error": FAILS["error"]}],
        }
    )
    world.agent("triage", card=CARD)
    world.commit()

    rests(world)

"""Stories about versions and traffic (rules R1 to R8). Each ends with a run that has nothing to do."""

from __future__ import annotations

import pytest

from tests.world import World, hosted, prompt


@pytest.mark.rule("R1")
def test_prompt_agents_are_released_at_once(world: World) -> None:
    world.agent("triage")
    world.commit()

    assert world.apply().exit_code == 0
    world.agent("triage", prompt("Answer at length."))
    world.commit()
    result = world.apply()

    assert result.exit_code == 0
    assert result.last_line == "Apply complete! Resources: 0 added, 1 changed, 0 destroyed."
    assert world.numbers("triage") == ["2", "1"]
    assert world.traffic("triage") == []
    world.in_sync()


@pytest.mark.rule("R1")
def test_direct_moves_a_live_selector_too(world: World) -> None:
    world.agent("triage")
    world.commit()
    world.apply()
    world.select("triage", v1=100)

    world.agent("triage", prompt("Answer at length."))
    world.commit()

    assert world.apply().exit_code == 0
    assert world.traffic("triage") == [("2", 100)]
    world.in_sync()


@pytest.mark.rule("R1")
def test_manual_takes_traffic_from_the_manifest_only(world: World) -> None:
    world.agent("triage")
    world.commit()
    world.apply()
    world.agent("triage", prompt("Two"))
    world.commit()
    world.apply()
    rules = [
        {"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 90},
        {"type": "FixedRatio", "agent_version": "2", "traffic_percentage": 10},
    ]
    selector = {"version_selector": {"version_selection_rules": rules}}
    world.agent("triage", prompt("Two"), release={"strategy": "manual"}, endpoint=selector)
    world.commit()

    assert world.apply().exit_code == 0
    assert world.traffic("triage") == [("1", 90), ("2", 10)]
    assert world.numbers("triage") == ["2", "1"]
    world.in_sync()


@pytest.mark.rule("R2")
def test_git_revert_moves_traffic_back_and_creates_nothing(world: World) -> None:
    world.agent("bot", hosted("registry.example.com/bot:1"))
    world.commit()
    world.apply()
    world.agent("bot", hosted("registry.example.com/bot:2"))
    world.commit()
    world.apply()
    assert world.traffic("bot") == [("2", 100)]

    world.git("revert", "--no-edit", "HEAD")
    world.forget()
    result = world.apply()

    assert result.exit_code == 0, result.stdout
    assert world.writes() == ["PATCH /agents/bot"]
    assert world.traffic("bot") == [("1", 100)]
    assert world.numbers("bot") == ["2", "1"]
    world.in_sync()


@pytest.mark.rule("R2")
def test_revert_creates_anew_where_the_service_takes_no_selector(world: World) -> None:
    world.agent("triage", prompt("One"))
    world.commit()
    world.apply()
    world.agent("triage", prompt("Two"))
    world.commit()
    world.apply()
    world.settings(selector={"prompt": "refused"})

    world.git("revert", "--no-edit", "HEAD")
    result = world.apply()

    assert result.exit_code == 0, result.stdout
    assert world.numbers("triage") == ["3", "2", "1"]
    world.in_sync()


@pytest.mark.rule("R2")
def test_a_copied_version_never_gets_traffic(world: World) -> None:
    world.agent("bot", hosted("registry.example.com/bot:1"))
    world.commit()
    world.apply()
    world.agent("bot", hosted("registry.example.com/bot:2"))
    world.commit()
    world.apply()
    world.settings(dedupe={"hosted": "off"})
    # Somebody makes what Git is about to want; nobody knows what they made it from.
    world.edit("bot", keep_metadata=True, container_configuration={"image": "registry.example.com/bot:3"})
    world.agent("bot", hosted("registry.example.com/bot:3"))
    world.commit()

    assert world.apply().exit_code == 0
    assert world.traffic("bot") == [("4", 100)]
    world.in_sync()


@pytest.mark.rule("R3")
def test_traffic_stays_on_the_old_version_until_the_new_one_is_active(world: World) -> None:
    world.agent("bot", hosted("registry.example.com/bot:1"))
    world.commit()
    world.apply()
    world.settings(provisioning={"delay_s": 1.0})
    world.agent("bot", hosted("registry.example.com/bot:2"))
    world.commit()
    world.forget()

    plan = world.json("plan")["changes"][0]["steps"]
    assert plan["now"] == [
        "pin traffic to version 1",
        "create a version",
        "wait until the new version is active",
    ]
    assert plan["later"] == ["move traffic from 1 to the new version"]
    world.forget()
    assert world.apply().exit_code == 0

    writes = world.writes()
    assert writes == ["PATCH /agents/bot", "POST /agents/bot/versions", "PATCH /agents/bot"]
    assert world.traffic("bot") == [("2", 100)]
    world.in_sync()


@pytest.mark.rule("R4")
def test_a_failed_version_keeps_traffic_and_is_not_made_again(world: World) -> None:
    world.agent("bot", hosted("registry.example.com/bot:1"))
    world.commit()
    world.apply()
    error = {"code": "image_pull_failed", "message": "no such image"}
    world.settings(provisioning={"outcome": "failed", "error": error})
    world.agent("bot", hosted("registry.example.com/bot:2"))
    world.commit()

    first = world.apply()
    assert first.exit_code == 4
    assert "image_pull_failed" in first.stdout
    assert "no such image" in first.stdout
    assert world.traffic("bot") == [("1", 100)]
    world.forget()
    second = world.apply()
    assert second.exit_code == 4
    assert "image_pull_failed" in second.stdout
    assert world.writes() == []
    assert world.plan().exit_code == 2

    world.settings(provisioning={"outcome": "active", "error": None})
    assert world.apply("--retry-failed").exit_code == 0
    assert world.traffic("bot")[0][0] != "1"
    world.in_sync()


@pytest.mark.rule("R4")
def test_plan_says_that_a_version_is_still_starting(world: World) -> None:
    world.settings(provisioning={"delay_s": 30})
    world.agent("bot", hosted())
    world.commit()

    assert world.run("apply", str(world.repo), "--timeout", "0.5").exit_code == 4
    world.forget()
    report = world.json("plan")

    assert report["exit"] == 2
    assert [c["type"] for c in report["conditions"] if c["key"]] == ["Reconciling"]
    assert world.writes() == []


@pytest.mark.rule("R5")
def test_traffic_moved_by_hand_is_shown_and_held(world: World) -> None:
    world.agent("bot", hosted("registry.example.com/bot:1"))
    for image in ("bot:1", "bot:2", "bot:3"):
        world.agent("bot", hosted(f"registry.example.com/{image}"))
        world.commit()
        world.apply()
    world.select("bot", v1=100)

    drift = world.json("drift")
    assert drift["exit"] == 2
    assert drift["changes"][0]["drift"][0]["what"] == "redirected"
    world.forget()
    assert world.apply().exit_code == 0
    assert world.writes() == []
    assert world.plan().exit_code == 2

    assert world.apply("--take-traffic").exit_code == 0
    assert world.traffic("bot") == [("3", 100)]
    world.in_sync()


@pytest.mark.rule("R5")
def test_a_split_is_held_until_git_moves(world: World) -> None:
    for image in ("bot:1", "bot:2"):
        world.agent("bot", hosted(f"registry.example.com/{image}"))
        world.commit()
        world.apply()
    world.select("bot", v1=50, v2=50)
    world.forget()
    assert world.apply().exit_code == 0
    assert world.writes() == []

    world.agent("bot", hosted("registry.example.com/bot:3"))
    world.commit()
    assert world.apply().exit_code == 0
    assert world.traffic("bot") == [("3", 100)]
    world.in_sync()


@pytest.mark.rule("R5")
def test_a_version_pinned_in_git_gets_the_traffic(world: World) -> None:
    for image in ("bot:1", "bot:2"):
        world.agent("bot", hosted(f"registry.example.com/{image}"))
        world.commit()
        world.apply()
    world.agent("bot", hosted("registry.example.com/bot:2"), release={"version": "1"})
    world.commit()

    assert world.apply().exit_code == 0
    assert world.traffic("bot") == [("1", 100)]
    world.in_sync()


@pytest.mark.rule("R6")
def test_an_outside_version_without_traffic_is_no_drift(world: World) -> None:
    for image in ("bot:1", "bot:2"):
        world.agent("bot", hosted(f"registry.example.com/{image}"))
        world.commit()
        world.apply()
    world.edit("bot", cpu="2", memory="4Gi")

    assert world.drift().exit_code == 0
    world.in_sync()


@pytest.mark.rule("R7")
def test_old_versions_of_ours_are_retired_and_nobody_elses(world: World) -> None:
    release = {"keep": 2, "keep_days": 0}
    for number in range(1, 4):
        world.agent("triage", prompt(f"Take {number}"), release=release)
        world.commit()
        world.apply()
    world.edit("triage", instructions="from the portal")
    world.clock += 10
    for number in range(4, 7):
        world.agent("triage", prompt(f"Take {number}"), release=release)
        world.commit()
        world.apply()

    kept = world.numbers("triage")
    assert "4" in kept, "the portal's version is not ours to delete"
    assert "1" not in kept
    assert kept[0] == "7"
    world.in_sync()


@pytest.mark.rule("R7")
def test_at_the_limit_of_versions_old_ones_make_room_once(world: World) -> None:
    world.settings(max_versions=3)
    for number in range(1, 4):
        world.agent("triage", prompt(f"Take {number}"), release={"keep": 1, "keep_days": 0})
        world.commit()
        assert world.apply().exit_code == 0
    world.agent("triage", prompt("Take 4"), release={"keep": 1, "keep_days": 0})
    world.commit()

    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("R8")
def test_a_failed_only_version_is_never_deleted_to_repair_it(world: World) -> None:
    world.settings(provisioning={"outcome": "failed", "error": {"code": "CodeError", "message": "no"}})
    world.agent("bot", hosted())
    world.commit()
    assert world.apply().exit_code == 4
    guid = world.live("bot")["versions"]["latest"]["agent_guid"]  # type: ignore[index]
    world.forget()

    assert world.apply("--retry-failed").exit_code == 4
    assert not [line for line in world.writes() if line.startswith("DELETE")]
    assert world.live("bot")["versions"]["latest"]["agent_guid"] == guid  # type: ignore[index]


@pytest.mark.rule("R5")
def test_a_pin_in_git_moves_traffic_from_a_split(world: World) -> None:
    for image in ("bot:1", "bot:2", "bot:3"):
        world.agent("bot", hosted(f"registry.example.com/{image}"))
        world.commit()
        world.apply()
    world.select("bot", v1=50, v3=50)
    world.agent("bot", hosted("registry.example.com/bot:3"), release={"version": "2"})
    world.commit()

    assert world.apply().exit_code == 0
    assert world.traffic("bot") == [("2", 100)]
    world.in_sync()


@pytest.mark.rule("R2")
def test_revert_creates_anew_where_the_service_ignores_a_selector(world: World) -> None:
    for text in ("One", "Two"):
        world.agent("triage", prompt(text))
        world.commit()
        world.apply()
    world.settings(selector={"prompt": "ignored"})
    world.git("revert", "--no-edit", "HEAD")

    result = world.apply()

    assert result.exit_code == 0, result.stdout
    assert world.numbers("triage") == ["3", "2", "1"]
    world.in_sync()


@pytest.mark.rule("P6")
def test_an_equal_version_of_somebody_does_not_hide_ours(world: World) -> None:
    """Ours is still starting when an equal one appears above it; nothing is made a second time."""
    world.settings(dedupe={"hosted": "off"})
    world.agent("bot", hosted("registry.example.com/bot:1"))
    world.commit()
    world.apply()
    world.agent("bot", hosted("registry.example.com/bot:2"))
    world.commit()
    world.settings(provisioning={"delay_s": 30})
    world.run("apply", str(world.repo), "--timeout", "0.5")
    world.settings(provisioning={"delay_s": 0})
    world.edit("bot", keep_metadata=True)
    world.forget()

    world.run("apply", str(world.repo), "--timeout", "0.5")

    assert world.writes() == []


@pytest.mark.rule("C4")
def test_metadata_alone_waits_also_with_unknown_fields_of_the_service(world: World) -> None:
    world.settings(server_added={"unknown": {"zz": 1}})
    world.agent("bot", hosted(), description="One")
    world.commit()
    world.apply()
    world.agent("bot", hosted(), description="Two")
    world.commit()

    world.in_sync()

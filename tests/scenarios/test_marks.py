"""Stories about marks and comparing (rules M1 to M5, C1 to C7)."""

from __future__ import annotations

import json

import pytest

from tests.world import OWNER, World, hosted, prompt


@pytest.mark.rule("M1")
def test_every_version_we_make_says_who_made_it_from_what(world: World) -> None:
    world.agent("triage")
    commit = world.commit()
    world.apply()

    text = world.versions("triage")[0]["metadata"]["reconciler"]
    mark = json.loads(text)

    assert len(text) <= 512
    assert (mark["v"], mark["owner"], mark["for"]) == (1, OWNER, "Agent/triage")
    assert (mark["base"], mark["commit"], mark["time"]) == ("0", commit, world.clock)
    assert mark["spec"].startswith("1:")
    assert mark["file"] == "agents/triage.yaml"
    world.in_sync()


@pytest.mark.rule("M1")
def test_an_unreadable_mark_is_no_mark_and_no_crash(world: World) -> None:
    definition = prompt("Same")
    world.seed({"name": "triage", "versions": [{"definition": definition, "metadata": {"reconciler": "{]"}}]})
    world.agent("triage", definition)
    world.commit()

    report = world.json("plan")

    assert report["exit"] == 0
    assert report["summary"]["unmarked"] == 1


@pytest.mark.rule("M2")
def test_a_copied_mark_only_means_comparing_in_full(world: World) -> None:
    world.agent("triage")
    world.commit()
    world.apply()
    world.edit("triage", keep_metadata=True, instructions="from the portal")

    drift = world.json("drift")["changes"][0]["drift"][0]

    assert (drift["what"], drift["version"], drift["by"]) == ("changed", "2", "a copied mark")
    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("M3")
@pytest.mark.rule("C1")
def test_what_the_service_adds_never_makes_a_difference(world: World) -> None:
    world.settings(server_added={"unknown": {"brand_new": {"a": [1, 2]}, "region": "x"}})
    world.agent("triage", prompt(tools=[{"type": "code_interpreter"}]))
    world.agent("bot", hosted())
    world.commit()

    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("M4")
def test_another_owners_agent_is_refused_unless_taken_over(world: World) -> None:
    world.agent("triage", prompt("One"))
    world.commit()
    world.apply()
    world.project(owner="somebody/else")
    world.agent("triage", prompt("Two"))
    world.commit()
    world.forget()

    refused = world.apply()
    assert refused.exit_code == 3
    assert "--take-over" in refused.stdout
    assert world.writes() == []

    assert world.apply("--take-over").exit_code == 0
    world.in_sync()


@pytest.mark.rule("M4")
def test_owner_aliases_count_as_ours(world: World) -> None:
    world.agent("triage", prompt("One"))
    world.commit()
    world.apply()
    world.project(owner="new/name", owner_aliases=[OWNER])
    world.agent("triage", prompt("Two"))
    world.commit()

    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("M5")
def test_an_equal_agent_without_mark_is_left_as_it_is(world: World) -> None:
    world.call("POST", "/agents/triage/versions", {"definition": prompt("Same")})
    world.agent("triage", prompt("Same"))
    world.commit()
    world.forget()

    assert world.apply().exit_code == 0
    assert world.writes() == []
    assert world.json("plan")["summary"]["unmarked"] == 1

    assert world.apply("--mark").exit_code == 0
    assert world.json("plan")["summary"]["unmarked"] == 0
    world.in_sync()


@pytest.mark.rule("M5")
def test_a_different_agent_without_mark_is_adopted(world: World) -> None:
    body = {"definition": prompt("Theirs"), "metadata": {"enableVnextExperience": "true", "team": "x"}}
    world.call("POST", "/agents/triage/versions", body)
    world.agent("triage", prompt("Ours"))
    world.commit()

    plan = world.plan()
    assert plan.last_line == "Plan: 0 to add, 0 to change, 0 to destroy, 1 to adopt."
    assert world.apply().exit_code == 0
    metadata = world.versions("triage")[0]["metadata"]
    assert metadata["enableVnextExperience"] == "true"
    assert "team" not in metadata
    world.in_sync()


@pytest.mark.rule("C2")
def test_null_and_listed_empties_mean_absent(world: World) -> None:
    world.seed(
        {"name": "triage", "versions": [{"definition": prompt("Same"), "metadata": {}, "description": ""}]}
    )
    world.agent("triage", prompt("Same", temperature=None))
    world.commit()

    world.in_sync()


@pytest.mark.rule("C2")
def test_an_empty_list_that_means_something_is_a_difference(world: World) -> None:
    tool = {"type": "mcp", "server_label": "docs", "server_url": "https://example.com/mcp"}
    world.seed({"name": "triage", "definition": prompt("Same", tools=[{**tool, "allowed_tools": []}])})
    world.agent("triage", prompt("Same", tools=[tool]))
    world.commit()

    change = world.json("plan")["changes"][0]

    assert change["action"] == "adopt"
    assert change["fields"] == [
        {"op": "remove", "path": "/definition/tools/0/allowed_tools", "desired": None, "live": []}
    ]


@pytest.mark.rule("C3")
def test_ignored_paths_keep_what_serves(world: World) -> None:
    world.agent("triage", prompt("One", temperature=0.1))
    world.commit()
    world.apply()
    world.edit("triage", temperature=0.9)
    ignore = {"ignore": ["/definition/temperature"]}
    world.agent("triage", prompt("Two", temperature=0.1), lifecycle=ignore)
    world.commit()

    assert world.apply().exit_code == 0
    assert world.versions("triage")[0]["definition"]["temperature"] == 0.9
    world.in_sync()


@pytest.mark.rule("C4")
def test_metadata_alone_waits_on_hosted_and_is_tried_on_others(world: World) -> None:
    world.agent("bot", hosted(), description="One")
    world.agent("triage", prompt(), description="One")
    world.commit()
    world.apply()
    world.agent("bot", hosted(), description="Two")
    world.agent("triage", prompt(), description="Two")
    world.commit()

    assert world.apply().exit_code == 0
    assert world.numbers("bot") == ["1"]
    assert world.numbers("triage") == ["2", "1"]
    world.in_sync()


@pytest.mark.rule("C5")
def test_what_the_service_does_not_take_is_not_called_created(world: World) -> None:
    world.settings(dedupe={"prompt": "latest-definition"})
    world.agent("triage", prompt(), description="One")
    world.commit()
    world.apply()
    world.agent("triage", prompt(), description="Two")
    world.commit()

    report = world.json("apply")

    outcome = report["outcomes"][0]
    assert (outcome["outcome"], outcome["reason"]) == ("unchanged", "NotTaken")
    assert "/description" in outcome["note"]
    assert "ignore" in outcome["note"]
    assert report["exit"] == 4
    assert world.numbers("triage") == ["1"]


@pytest.mark.rule("C6")
def test_only_the_stated_mutable_part_is_managed(world: World) -> None:
    card = {"description": "Sorts mail", "version": "1.0", "skills": []}
    world.agent("triage", card=card)
    world.commit()
    assert world.apply().exit_code == 0
    world.in_sync()

    world.call("PATCH", "/agents/triage", {"agent_card": {"description": "Other"}})
    drift = world.json("drift")
    assert drift["exit"] == 2
    assert drift["changes"][0]["fields"][0]["path"] == "/agent_card/description"
    world.forget()
    assert world.apply().exit_code == 0
    assert world.writes() == ["PATCH /agents/triage"]
    world.in_sync()

    world.agent("triage", card=None)
    world.commit()
    assert world.apply().exit_code == 0
    assert "agent_card" not in (world.live("triage") or {})
    world.in_sync()


@pytest.mark.rule("C6")
@pytest.mark.parametrize("status", [200, 204])
def test_the_state_follows_the_manifest(world: World, status: int) -> None:
    world.settings(enable_status=status)
    world.agent("triage", state="disabled")
    world.commit()
    assert world.apply().exit_code == 0
    assert (world.live("triage") or {})["configuration_state"] == "disabled"
    world.in_sync()

    world.agent("triage", state="enabled")
    world.commit()
    assert world.apply().exit_code == 0
    world.in_sync()
    world.call("POST", "/agents/triage:disable")
    drift = world.json("drift")
    assert (drift["exit"], drift["changes"][0]["drift"][0]["what"]) == (2, "disabled")
    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("C7")
def test_another_kind_of_definition_is_refused_unless_allowed(world: World) -> None:
    world.agent("triage")
    world.commit()
    world.apply()
    world.agent("triage", hosted())
    world.commit()
    world.forget()

    refused = world.apply()
    assert refused.exit_code == 3
    assert "allow_kind_change" in refused.stdout
    assert world.writes() == []

    world.agent("triage", hosted(), lifecycle={"allow_kind_change": True})
    world.commit()
    assert world.apply().exit_code == 0
    assert world.traffic("triage") == [("2", 100)]
    world.in_sync()

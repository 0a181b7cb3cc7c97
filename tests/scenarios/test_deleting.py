"""Stories about deleting (rules D1 to D5, I4, I6): what is refused, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world import World, hosted, manifest, prompt


def many(world: World, count: int) -> None:
    for number in range(count):
        world.agent(f"a{number:02}", prompt(f"Number {number}"))
    world.commit()
    assert world.apply().exit_code == 0


def drop(world: World, *numbers: int) -> None:
    world.remove(*(f"agents/a{number:02}.yaml" for number in numbers))
    world.commit("Remove")
    world.forget()


@pytest.mark.rule("D1")
def test_one_manifest_of_ten_removed_deletes_one_agent(world: World) -> None:
    many(world, 10)
    drop(world, 3)

    result = world.apply()

    assert result.exit_code == 0
    assert world.writes() == ["DELETE /agents/a03"]
    assert result.last_line == "Apply complete! Resources: 0 added, 0 changed, 1 destroyed."
    world.in_sync()


@pytest.mark.rule("D1")
def test_an_agent_without_our_mark_is_never_deleted(world: World) -> None:
    many(world, 4)
    world.call("POST", "/agents/portal/versions", {"definition": prompt("Mine")})
    drop(world, 0)

    assert world.apply().exit_code == 0
    assert world.writes() == ["DELETE /agents/a00"]
    assert "portal" in world.names()
    world.in_sync()


@pytest.mark.rule("D1")
@pytest.mark.parametrize("keep_metadata", [True, False], ids=["copied mark", "no mark"])
def test_an_edited_agent_counts_as_protected(world: World, keep_metadata: bool) -> None:
    many(world, 4)
    world.edit("a00", keep_metadata=keep_metadata, instructions="from the portal")
    drop(world, 0)

    refused = world.apply()
    assert refused.exit_code == 3
    assert world.writes() == []
    assert "--delete-edited" in refused.stdout
    assert "version 2 was made by somebody else" in refused.stdout

    assert world.apply("--delete-edited").exit_code == 0
    assert "a00" not in world.names()
    world.in_sync()


@pytest.mark.rule("D1")
def test_a_copy_of_our_agent_under_another_name_is_not_ours(world: World) -> None:
    many(world, 3)
    latest = world.live("a00")["versions"]["latest"]  # type: ignore[index]
    copy = {"definition": latest["definition"], "metadata": latest["metadata"]}
    world.call("POST", "/agents/copy/versions", copy)

    assert world.apply("--allow-rename").exit_code == 0
    assert "copy" in world.names()
    world.in_sync()


@pytest.mark.rule("D2")
@pytest.mark.parametrize(
    ("count", "dropped"),
    [
        pytest.param(3, (0, 1), id="two-of-three"),
        pytest.param(8, tuple(range(6)), id="six-of-eight"),
        pytest.param(4, (0, 1, 2, 3), id="all"),
    ],
)
def test_more_deletions_than_the_limits_delete_nothing(
    world: World, count: int, dropped: tuple[int, ...]
) -> None:
    many(world, count)
    drop(world, *dropped)

    result = world.apply()

    assert result.exit_code == 3, result.stdout
    assert world.writes() == []
    assert len(world.names()) == count


@pytest.mark.rule("D2")
def test_the_limit_names_counts_flag_and_key(world: World) -> None:
    many(world, 3)
    drop(world, 0, 1)

    text = world.apply().stdout

    assert "2 of 3 owned agents (67 %)" in text
    assert "sync.limits.deletes_percent: 30" in text
    assert "--max-deletes 2" in text
    assert "prod/Agent/a00 would be destroyed" in text, "the plan is shown before it is refused"

    assert world.apply("--max-deletes", "2").exit_code == 0
    assert world.names() == ["a02"]
    world.in_sync()


@pytest.mark.rule("D2")
def test_six_of_a_hundred_are_refused_together(world: World) -> None:
    many(world, 100)
    drop(world, *range(6))

    result = world.apply()

    assert result.exit_code == 3
    assert "sync.limits.deletes: 5" in result.stdout
    assert world.writes() == []


@pytest.mark.rule("D2")
def test_refused_deletions_do_not_stop_the_rest(world: World) -> None:
    many(world, 3)
    world.agent("new")
    drop(world, 0, 1)

    assert world.apply().exit_code == 4
    assert world.writes() == ["POST /agents/new/versions"]


@pytest.mark.rule("D3")
def test_protection_outlives_the_manifest(world: World) -> None:
    many(world, 4)
    world.agent("safe", prompt("Keep me"), lifecycle={"protect": True})
    world.commit()
    world.apply()
    world.remove("agents/safe.yaml")
    world.commit()
    world.forget()

    result = world.apply()

    assert result.exit_code == 3
    assert "protected" in result.stdout
    assert world.writes() == []


@pytest.mark.rule("D3")
def test_the_project_protects_and_forgets_by_name(world: World) -> None:
    many(world, 5)
    world.project(sync={"protect": ["a00"]})
    drop(world, 0)
    assert world.apply().exit_code == 3

    world.project(sync={"forget": ["a00"]})
    world.commit()
    assert world.apply().exit_code == 0
    assert world.writes() == []
    assert "a00" in world.names()
    world.in_sync()


@pytest.mark.rule("D3")
def test_on_remove_keep_leaves_the_agent(world: World) -> None:
    many(world, 4)
    world.agent("kept", prompt("Stay"), lifecycle={"on_remove": "keep"})
    world.commit()
    world.apply()
    world.remove("agents/kept.yaml")
    world.commit()
    world.forget()

    assert world.apply().exit_code == 0
    assert world.writes() == []
    world.in_sync()


@pytest.mark.rule("D4")
def test_a_name_another_project_desires_is_handed_over(world: World) -> None:
    many(world, 4)
    body = {"endpoint": world.endpoint, "owner": "other", "resources": ["other/*.yaml"]}
    world.write(
        "other.yaml",
        {"apiVersion": "reconciler/v1", "kind": "Project", "metadata": {"name": "other"}, "spec": body},
    )
    (world.repo / "other").mkdir()
    (world.repo / "agents/a00.yaml").rename(world.repo / "other/a00.yaml")
    world.project(resources=["agents/*.yaml"])
    world.commit()
    world.forget()

    world.apply("-p", "prod")

    assert "DELETE /agents/a00" not in world.writes()
    assert "a00" in world.names()


@pytest.mark.rule("D4")
def test_a_rename_loses_the_identity_and_is_refused(world: World) -> None:
    many(world, 4)
    (world.repo / "agents/a00.yaml").unlink()
    world.agent("renamed", prompt("Number 0"))
    world.commit()
    world.forget()

    refused = world.apply()
    assert refused.exit_code == 3
    assert "--allow-rename" in refused.stdout
    assert world.writes() == []

    assert world.apply("--allow-rename").exit_code == 0
    assert world.writes() == ["POST /agents/renamed/versions", "DELETE /agents/a00"]
    world.in_sync()


@pytest.mark.rule("D4")
def test_deletions_wait_until_everything_new_is_active(world: World) -> None:
    many(world, 4)
    world.settings(provisioning={"outcome": "failed", "error": {"code": "CodeError", "message": "no"}})
    world.agent("bot", hosted())
    drop(world, 0)

    assert world.apply().exit_code == 4
    assert "a00" in world.names()


@pytest.mark.rule("D5")
def test_prune_off_leaves_what_has_no_manifest(world: World) -> None:
    many(world, 4)
    world.project(sync={"prune": False})
    drop(world, 0)

    assert world.apply().exit_code == 0
    assert world.writes() == []
    world.in_sync()


@pytest.mark.rule("D5")
def test_active_sessions_stop_a_deletion_unless_forced(world: World) -> None:
    many(world, 3)
    world.agent("bot", hosted())
    world.commit()
    world.apply()
    world.call("POST", "/agents/bot/endpoint/sessions", {})
    world.remove("agents/bot.yaml")
    world.commit()

    held = world.apply()
    assert held.exit_code == 4
    assert "active sessions" in held.stdout
    assert "bot" in world.names()

    assert world.apply("--force-sessions").exit_code == 0
    assert "bot" not in world.names()
    world.in_sync()


@pytest.mark.rule("I4")
def test_narrowing_never_deletes(world: World) -> None:
    many(world, 4)
    drop(world, 0)

    assert world.apply("--only", "Agent/a01").exit_code == 0
    assert world.apply("--selector", "team=nobody").exit_code in (1, 3)
    assert world.writes() == []
    assert "a00" in world.names()


@pytest.mark.rule("I6")
def test_no_manifests_never_mean_delete_all(world: World, tmp_path: Path) -> None:
    many(world, 1)
    drop(world, 0)

    refused = world.apply()
    assert refused.exit_code == 3
    assert "--allow-empty" in refused.stdout
    assert world.names() == ["a00"]

    empty = tmp_path / "empty"
    empty.mkdir()
    assert world.run("apply", str(empty)).exit_code == 1
    world.project(resources=["nothing/*.yaml"])
    world.commit()
    assert world.apply().exit_code == 3
    assert world.writes() == []

    assert world.apply("--allow-empty").exit_code == 0
    assert world.names() == []


@pytest.mark.rule("I6")
def test_allow_empty_does_not_lift_the_limits(world: World) -> None:
    many(world, 4)
    drop(world, 0, 1, 2, 3)

    assert world.apply("--allow-empty").exit_code == 3
    assert world.writes() == []


@pytest.mark.rule("I1")
def test_a_broken_file_writes_and_deletes_nothing(world: World) -> None:
    many(world, 4)
    world.write("agents/a00.yaml", "kind: Agent\n  broken: [")
    world.commit()
    world.forget()

    result = world.apply()

    assert result.exit_code == 1
    assert "agents/a00.yaml:2:" in result.stdout + result.stderr
    assert world.requests() == {}


@pytest.mark.rule("I1")
def test_on_invalid_skip_applies_the_rest_and_deletes_nothing(world: World) -> None:
    many(world, 4)
    world.project(sync={"on_invalid": "skip"})
    world.agent("a01", prompt("Other"))
    world.write(
        "agents/a02.yaml",
        {
            "apiVersion": "reconciler/v1",
            "kind": "Agent",
            "metadata": {"name": "a02"},
            "spec": {"definition": {"kind": "promt"}},
        },
    )
    drop(world, 0)

    assert world.apply().exit_code == 4
    assert world.writes() == ["POST /agents/a01/versions"]
    assert world.names() == ["a00", "a01", "a02", "a03"]

    # A file that is no YAML names no agent at all; its agent must not count as removed.
    world.write("agents/a02.yaml", "kind: [")
    world.forget()
    assert world.apply().exit_code == 4
    assert world.writes() == []


@pytest.mark.rule("D2")
def test_updating_most_agents_of_this_very_commit_is_refused(world: World) -> None:
    """The commit that made them wants them otherwise: something else than Git moved, for all at once."""
    world.environ["TONE"] = "brief"
    world.project(values_from_env=["TONE"])
    for number in range(10):
        world.write(
            f"agents/a{number}.yaml",
            manifest("Agent", f"a{number}", {"definition": prompt(), "description": {"$text": "Be ${TONE}"}}),
        )
    world.commit()
    assert world.apply().exit_code == 0
    world.environ["TONE"] = "verbose"
    world.forget()

    refused = world.apply()

    assert refused.exit_code == 3
    assert "sync.limits.updates_percent: 50" in refused.stdout
    assert world.writes() == []
    world.commit("A commit that moves Git")
    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("M4")
def test_what_another_owner_took_over_is_not_ours_to_delete(world: World) -> None:
    many(world, 4)
    world.project(owner="somebody/else")
    world.commit()
    world.agent("a00", prompt("Theirs now"))
    world.commit()
    assert world.apply("--only", "Agent/a00", "--take-over").exit_code == 0
    world.project()
    drop(world, 0)

    assert world.apply("--delete-edited").exit_code == 0
    assert world.writes() == []
    assert "a00" in world.names()


@pytest.mark.rule("D4")
def test_the_same_name_on_another_endpoint_is_another_agent(world: World) -> None:
    many(world, 5)
    world.write(
        "dev.yaml",
        manifest("Project", "dev", {"endpoint": "sandbox://dev", "owner": "x", "resources": ["agents/*"]}),
    )
    world.project(resources=["agents/*.yaml", "!agents/a00.yaml"])
    world.commit()
    world.forget()

    assert world.apply("-p", "prod").exit_code == 0
    assert world.writes() == ["DELETE /agents/a00"]


@pytest.mark.rule("D4")
def test_an_agent_that_moves_to_a_project_where_it_cannot_be_read_is_not_deleted(world: World) -> None:
    world.project(resources=["agents/*.yaml"])
    world.project("other", resources=["other/*.yaml"])
    world.write("other/b.yaml", manifest("Agent", "b", {"definition": prompt()}))
    many(world, 4)
    (world.repo / "agents/a00.yaml").rename(world.repo / "other/a00.yaml")
    text = (world.repo / "other/a00.yaml").read_text()
    world.write("other/a00.yaml", text + "]")
    world.commit("Move one")
    world.forget()

    result = world.apply()
    assert result.exit_code == 1, "the other Project has a problem"
    assert "other/a00.yaml:" in result.stdout + result.stderr
    assert "cannot be read and may make another Project want any agent" in result.stdout
    assert world.writes() == []

    world.write("other/a00.yaml", text)
    world.commit("Correct it")
    assert world.apply().exit_code == 0
    assert world.numbers("a00") == ["1"], "it was handed over"
    world.in_sync()

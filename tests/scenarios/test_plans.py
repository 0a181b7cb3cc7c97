"""Stories about plans, digests, races and stopping (rules P1 to P9, P11, I2, I3, I5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.world import World, hosted, prompt


@pytest.mark.rule("P1")
def test_the_digest_reviewed_before_the_merge_holds_after_it(world: World) -> None:
    world.agent("triage")
    world.commit()
    before = world.json("plan")["digest"]
    world.commit("Merge, with another commit and time")

    assert world.json("plan")["digest"] == before
    world.agent("triage", prompt("Other"))
    world.commit()
    assert world.json("plan")["digest"] != before


@pytest.mark.rule("P2")
def test_a_plan_file_is_a_receipt_that_apply_compares_with(world: World, tmp_path: Path) -> None:
    world.agent("triage", prompt("secret words of the prompt"))
    world.commit()
    file = tmp_path / "plan.json"
    assert world.plan("--out", str(file)).exit_code == 2
    assert "secret words" not in file.read_text()

    world.agent("triage", prompt("Changed since"))
    world.commit()
    stale = world.run("apply", str(file))
    assert stale.exit_code == 3
    assert "reviewed" in stale.stdout
    assert world.names() == []

    assert world.plan("--out", str(file)).exit_code == 2
    assert world.run("apply", str(file)).exit_code == 0
    world.in_sync()


@pytest.mark.rule("P2")
def test_plan_digest_is_compared_too(world: World) -> None:
    world.agent("triage")
    world.commit()
    digest = world.json("plan")["digest"]

    assert world.apply("--plan-digest", "0" * 64).exit_code == 3
    assert world.names() == []
    assert world.apply("--plan-digest", digest).exit_code == 0
    world.in_sync()


@pytest.mark.rule("P2")
def test_a_reviewed_agent_is_described_when_its_version_runs(world: World) -> None:
    """A new agent has some of its endpoint by itself, so less of it is left to set than was shown."""
    world.settings(provisioning={"delay_s": 0.3})
    world.agent("bot", hosted(), endpoint={"protocol_configuration": {"responses": {}, "a2a": {}}})
    world.commit()
    digest = world.json("plan")["digest"]

    result = world.apply("--plan-digest", digest)

    assert result.exit_code == 0, result.stdout
    world.in_sync()


@pytest.mark.rule("P2")
def test_a_reviewed_release_goes_through_its_later_steps(world: World) -> None:
    world.agent("bot", hosted("registry.example.com/bot:1"))
    world.commit()
    world.apply()
    world.agent("bot", hosted("registry.example.com/bot:2"))
    world.commit()
    digest = world.json("plan")["digest"]

    assert world.apply("--plan-digest", digest).exit_code == 0
    assert world.traffic("bot") == [("2", 100)]
    world.in_sync()


@pytest.mark.rule("P3")
def test_an_older_checkout_does_not_overwrite_a_newer_one(world: World) -> None:
    world.agent("triage", prompt("One"))
    old = world.commit()
    world.agent("triage", prompt("Two"))
    world.commit()
    world.apply()
    world.git("checkout", "-q", old)
    world.forget()

    refused = world.apply()
    assert refused.exit_code == 3
    assert "--allow-older" in refused.stdout
    assert world.writes() == []

    assert world.apply("--allow-older").exit_code == 0
    world.in_sync()


@pytest.mark.rule("P3")
def test_an_older_checkout_deletes_nothing_it_does_not_know(world: World) -> None:
    for name in ("a", "b", "c", "d"):
        world.agent(name)
    old = world.commit()
    world.agent("new", prompt("Later"))
    world.commit()
    world.apply()
    world.git("checkout", "-q", old)
    world.forget()

    assert world.apply().exit_code == 3
    assert world.writes() == []
    assert "new" in world.names()


@pytest.mark.rule("P4")
def test_an_edit_between_plan_and_write_is_seen(world: World) -> None:
    """The list lags, so the plan believes that the agent is missing; the reading before the write knows."""
    world.agent("triage")
    world.commit()
    world.apply()
    world.settings(list_lag_s=3600)
    world.forget()
    assert world.apply().exit_code == 0
    assert world.writes() == []


@pytest.mark.rule("P5")
@pytest.mark.parametrize(
    "action",
    [
        pytest.param({"status": 500, "after_commit": True}, id="500-after-commit"),
        pytest.param({"status": 503}, id="503-before-commit"),
        pytest.param({"drop": True, "after_commit": True}, id="lost-answer"),
        pytest.param({"drop": True}, id="lost-request"),
        pytest.param({"status": 429, "headers": {"Retry-After": "0"}}, id="429"),
        pytest.param({"status": 409}, id="409-before-commit"),
        pytest.param({"status": 409, "after_commit": True}, id="409-after-commit"),
    ],
)
def test_a_write_of_unknown_outcome_happens_once(world: World, action: dict[str, object]) -> None:
    rule = {"match": {"method": "POST", "project": world.name}, "times": 1, "action": action}
    world.own("PUT", "faults", [rule])
    world.agent("triage")
    world.commit()

    result = world.apply()

    assert result.exit_code == 0, result.stdout
    assert world.numbers("triage") == ["1"]
    world.own("DELETE", "faults")
    world.in_sync()


@pytest.mark.rule("P7")
def test_a_failed_agent_stops_only_itself(world: World) -> None:
    rule = {
        "match": {"method": "POST", "path": "/agents/bad/versions", "project": world.name},
        "action": {"status": 400, "body": {"error": {"code": "invalid_payload", "message": "no"}}},
    }
    world.own("PUT", "faults", [rule])
    for name in ("a", "bad", "c"):
        world.agent(name)
    world.commit()

    result = world.apply()

    assert result.exit_code == 4
    assert "invalid_payload" in result.stdout
    assert world.names() == ["a", "c"]
    world.own("DELETE", "faults")
    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("P8")
def test_observe_shows_everything_and_writes_nothing(world: World) -> None:
    world.project(sync={"mode": "observe"})
    world.agent("triage")
    world.commit()
    world.forget()

    report = world.json("apply")

    assert report["exit"] == 0
    assert {outcome["outcome"] for outcome in report["outcomes"]} == {"skipped"}
    assert world.writes() == []


@pytest.mark.rule("P9")
def test_drift_and_pending_change_are_told_apart_and_shown_together(world: World) -> None:
    world.agent("triage", prompt("One"))
    world.commit()
    world.apply()
    version = world.edit("triage", instructions="from the portal")

    only_drift = world.json("plan")["changes"][0]
    assert (only_drift["origin"], only_drift["action"]) == ("live", "move")
    assert only_drift["drift"][0]["version"] == version
    assert only_drift["drift"][0]["by"] == "somebody else"

    world.agent("triage", prompt("Two"))
    world.commit()
    both = world.json("plan")["changes"][0]
    assert (both["origin"], both["action"]) == ("both", "update")
    assert both["drift"][0]["fields"][0]["live"] == "from the portal"

    assert world.apply().exit_code == 0
    assert world.drift().exit_code == 0
    world.in_sync()


@pytest.mark.rule("P9")
def test_a_pending_change_alone_is_no_drift(world: World) -> None:
    world.agent("triage", prompt("One"))
    world.commit()
    world.apply()
    world.agent("triage", prompt("Two"))
    world.commit()

    assert world.drift().exit_code == 0
    assert world.plan().exit_code == 2


@pytest.mark.rule("P9")
def test_an_agent_that_somebody_deleted_is_missing(world: World) -> None:
    world.agent("a")
    world.agent("b")
    world.commit()
    world.apply()
    world.call("DELETE", "/agents/a")

    report = world.json("drift")

    assert report["exit"] == 2
    assert report["changes"][0]["drift"][0]["what"] == "missing"
    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("P11")
def test_what_a_failed_version_says_of_its_environment_is_masked(world: World) -> None:
    world.environ["TEAM_KEY"] = "geheim-4711"
    world.project(values_from_env=["TEAM_KEY"])
    error = {"code": "image_pull_failed", "message": "cannot start with geheim-4711"}
    world.settings(provisioning={"delay_s": 0.1, "outcome": "failed", "error": error})
    world.agent("desk", hosted(environment_variables={"KEY": {"$value": "TEAM_KEY"}}))
    world.commit()

    for command in ("apply", "plan"):
        result = world.run(command, str(world.repo), "--format", "json")
        assert "cannot start with ***" in result.stdout
        assert "geheim" not in result.stdout + result.stderr, command


@pytest.mark.rule("P11")
def test_values_from_the_environment_are_never_shown(world: World) -> None:
    secret = "hunter2-very-secret"
    world.environ["API_TOKEN"] = secret
    world.project(values_from_env=["API_TOKEN"], policies={"secret-in-version": "warn"})
    variables = {"SERVICE_TOKEN": {"$value": "API_TOKEN"}}
    world.agent("bot", hosted(environment_variables=variables))
    world.commit()

    for command in ("plan", "apply", "drift"):
        for format in ("text", "json", "markdown", "github", "junit", "sarif"):
            result = world.run(command, str(world.repo), "--format", format)
            assert secret not in result.stdout + result.stderr, (command, format)
    assert "secret-in-version" in world.plan().stdout


@pytest.mark.rule("I2")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"data": [], "has_more": True, "object": "list"}, id="more-without-cursor"),
        pytest.param({"object": "list"}, id="no-list"),
    ],
)
def test_an_incomplete_list_decides_nothing(world: World, page: dict[str, object]) -> None:
    world.agent("triage")
    world.commit()
    rule = {
        "match": {"method": "GET", "path": "/agents", "project": world.name},
        "action": {"status": 200, "body": page},
    }
    world.own("PUT", "faults", [rule])

    result = world.apply()

    assert result.exit_code == 1
    assert "completely" in result.stdout
    assert world.writes() == []


@pytest.mark.rule("I3")
def test_a_refused_agent_blocks_itself_and_deletions_and_nothing_else(world: World) -> None:
    for name in ("a", "b", "c", "d"):
        world.agent(name)
    world.commit()
    world.apply()
    world.agent("a", hosted())
    world.agent("b", prompt("Other"))
    world.remove("agents/c.yaml")
    world.commit()
    world.forget()

    assert world.apply().exit_code == 4
    assert world.writes() == ["POST /agents/b/versions"]


@pytest.mark.rule("I5")
def test_names_equal_but_for_case_are_an_error(world: World) -> None:
    world.call("POST", "/agents/Triage/versions", {"definition": prompt("Theirs")})
    world.agent("triage")
    world.commit()
    world.forget()

    assert world.apply().exit_code == 3
    assert world.writes() == []

    world.write(
        "agents/second.yaml", (world.repo / "agents/triage.yaml").read_text().replace("triage", "TRIAGE")
    )
    world.commit()
    assert world.apply().exit_code == 1


@pytest.mark.rule("P6")
def test_two_applies_started_together_end_in_one_state(world: World) -> None:
    """The second writer's create is answered with a number one too high, because the first came between."""
    world.agent("triage", prompt("One"))
    world.commit()
    world.apply()
    world.agent("triage", prompt("Two"))
    world.commit()
    slow = {
        "match": {"method": "POST", "path": "/agents/triage/versions", "project": world.name},
        "times": 2,
        "action": {"delay_s": 0.5},
    }
    world.own("PUT", "faults", [slow])

    exits = _together(world)

    assert set(exits) <= {0, 4}
    world.own("DELETE", "faults")
    world.apply()
    assert len(world.numbers("triage")) <= 3
    world.in_sync()


def _together(world: World) -> list[int]:
    import os
    import subprocess
    import sys

    command = [sys.executable, "-m", "reconciler", "apply", str(world.repo), "--format", "json"]
    environ = {**os.environ, "RECONCILER_CACHE": str(world.repo.parent / "cache")}
    running = [
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert json.loads(out)["format"], err
    return [process.returncode for process in running]

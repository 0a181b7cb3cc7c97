"""Ctrl-C and SIGTERM during an apply of many agents, as a CI system sends them (rule P7)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.world import WRITES, World, hosted, manifest, prompt

# The service takes this long for each request, so that writes are under way when the signal comes.
LATENCY_S = 0.3
# A signal needs a moment to become a decision.
NOTICED_S = 0.6


def started(world: World) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "reconciler", "apply", str(world.repo), "--format", "json"]
    environ = {
        **os.environ,
        "RECONCILER_CACHE": str(world.repo.parent / "cache"),
        # A few at once of many, so that most have not begun.
        "RECONCILER_CONCURRENCY": "4",
    }
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.rule("P7")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_signal_ends_an_apply_in_order(world: World, number: signal.Signals) -> None:
    for index in range(20):
        definition = hosted(f"r.example.com/bot:{index}") if index % 2 else prompt(f"Number {index}")
        world.agent(f"bot-{index:02}", definition)
    world.commit()
    world.settings(latency_s=LATENCY_S)
    world.forget()
    process = started(world)
    while len(world.writes()) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)

    sent_at = time.time()
    process.send_signal(number)
    out, err = process.communicate(timeout=15)

    assert time.time() - sent_at < 5
    assert process.returncode == 4, err
    assert "Traceback" not in err
    late = [row for row in world.log() if row["method"] in WRITES and row["at"] > sent_at + NOTICED_S]
    assert late == []
    report = json.loads(out)["projects"][0]
    outcomes = {outcome["outcome"] for outcome in report["outcomes"]}
    assert {"created", "skipped"} <= outcomes
    made = {
        outcome["key"].rpartition("/")[2] for outcome in report["outcomes"] if outcome["outcome"] == "created"
    }
    assert made <= set(world.names())
    assert len(world.names()) < 20

    world.settings(latency_s=0)
    assert world.apply().exit_code == 0
    assert {tuple(world.numbers(name)) for name in world.names()} == {("1",)}
    world.in_sync()


def stopped_while_it_waits(world: World, number: signal.Signals) -> tuple[float, int, dict[str, Any], str]:
    """An apply that is asked to stop while the service lets it wait: seconds, exit code, report, errors."""
    process = started(world)
    while not any(row["status"] == 429 for row in world.log()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    # The answer is on its way.
    time.sleep(0.5)
    sent_at = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return time.monotonic() - sent_at, process.returncode, json.loads(out), err


WAIT: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "30"}}


@pytest.mark.rule("P7")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_signal_ends_an_apply_that_waits_to_look_again(world: World, number: signal.Signals) -> None:
    world.agent("triage", hosted())
    world.commit()
    world.settings(provisioning={"delay_s": 2})
    # After the list, the agent as it is before its first version, and the version that starts.
    world.own("PUT", "faults", [{"match": {"method": "GET", "skip": 3}, "action": WAIT}])
    world.forget()

    took_s, code, report, err = stopped_while_it_waits(world, number)

    assert took_s < 5, err
    assert code == 4, err
    assert "Traceback" not in err
    outcomes = [(outcome["step"], outcome["outcome"]) for outcome in report["projects"][0]["outcomes"]]
    assert outcomes == [("add-version", "created"), ("await-active", "pending")]
    world.own("DELETE", "faults")
    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("P7")
def test_a_signal_between_two_projects_tells_what_was_done_to_the_first(world: World) -> None:
    second = World(world.url, f"{world.name}-second", world.repo)
    world.write("zz.yaml", manifest("Project", "zz", {"endpoint": second.endpoint, "owner": "other"}))
    world.agent("triage")
    world.commit()
    second.own("PUT", "faults", [{"match": {"method": "GET"}, "action": WAIT}])
    process = started(world)
    while not any(row["status"] == 429 for row in second.log()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=5)

    first, other = json.loads(out)["projects"]
    assert process.returncode == 1, err
    assert [outcome["outcome"] for outcome in first["outcomes"]] == ["created"]
    assert other["failed"]["messages"] == ["the run was asked to stop before this Project was looked at"]
    assert "Run it again" in other["failed"]["hint"]
    second.own("DELETE", "faults")
    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.rule("P7")
@pytest.mark.parametrize("retry_after", [True, False], ids=["told", "untold"])
def test_no_write_that_waits_for_its_turn_starts_after_a_signal(world: World, retry_after: bool) -> None:
    """A service with a limit lets many writes wait that the run has begun already."""
    for index in range(30):
        world.agent(f"bot-{index:02}")
    world.commit()
    world.settings(rate_limit={"per_second": 8, "burst": 8, "retry_after": retry_after})
    command = [sys.executable, "-m", "reconciler", "apply", str(world.repo), "--format", "json"]
    environ = {**os.environ, "RECONCILER_CACHE": str(world.repo.parent / "cache")}
    process = subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while sum(row["status"] == 200 for row in world.log() if row["method"] in WRITES) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)

    sent_at = time.time()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=15)

    assert time.time() - sent_at < 5
    assert process.returncode == 4, err
    late = [row for row in world.log() if row["method"] in WRITES and row["at"] > sent_at + NOTICED_S]
    assert late == []
    world.settings(rate_limit=None)
    made = {
        outcome["key"]
        for outcome in json.loads(out)["projects"][0]["outcomes"]
        if outcome["outcome"] == "created"
    }
    assert len(made) == len(world.names())
    assert world.apply().exit_code == 0
    assert {tuple(world.numbers(name)) for name in world.names()} == {("1",)}
    world.in_sync()

"""Ctrl-C and SIGTERM during an apply of many agents, as a CI system sends them (rule P7)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.world import WRITES, World, hosted, prompt

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

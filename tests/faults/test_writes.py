"""Every fault of the service on every kind of write: nothing twice, nothing hidden; the next run heals."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from reconciler.attempt import Patience
from reconciler.report import ExitCode
from reconciler.sandbox import Sandbox
from tests.crash import story
from tests.properties.running import Applied, apply, everything, inputs, plan
from tests.world import World

Json = Any
pytestmark = pytest.mark.rule("P5", "P7")

_numbers = itertools.count(1)
QUICK: Final = Patience(lost_s=0.4, broken_s=0.1, first_s=0.01)


@dataclass(frozen=True)
class Write:
    """One kind of write: the agent of the story whose change needs it, and the request."""

    agent: str
    method: str
    path: str
    skip: int = 0

    def rule(self, action: Json, times: int | None = 1) -> Json:
        """The rule that makes this write meet a fault."""
        match = {"method": self.method, "path": self.path, "skip": self.skip}
        return {"match": match, "times": times, "action": action}


WRITES: Final[Mapping[str, Write]] = {
    "create": Write("created", "POST", "/agents/created/versions"),
    "create-version": Write("direct", "POST", "/agents/direct/versions"),
    "create-from-code": Write("coded", "POST", "/agents/coded/versions"),
    "pin": Write("pinned", "PATCH", "/agents/pinned"),
    "move": Write("pinned", "PATCH", "/agents/pinned", skip=1),
    "move-back": Write("reverted", "PATCH", "/agents/reverted"),
    "patch-details": Write("card", "PATCH", "/agents/card"),
    "enable": Write("enabled", "POST", "/agents/enabled:enable"),
    "disable": Write("disabled", "POST", "/agents/disabled:disable"),
    "retire": Write("retired", "DELETE", "/agents/retired/versions/1"),
    "remove-failed": Write("again", "DELETE", "/agents/again/versions/2"),
    "delete-agent": Write("removed", "DELETE", "/agents/removed"),
}

DONE: Final = frozenset({ExitCode.DONE})
PARTLY: Final = frozenset({ExitCode.PARTLY})
EITHER: Final = DONE | PARTLY


@dataclass(frozen=True)
class Fault:
    """What the service does to the write once (or as often as `times` says), and how the run may end."""

    action: Json
    exits: frozenset[ExitCode] = DONE
    times: int | None = 1


_CONFLICT: Final = {"status": 409, "code": "conflict"}

# Faults that end by themselves: the run gets through.
PASSING: Final[Mapping[str, Fault]] = {
    "slow": Fault({"delay_s": 0.2}),
    "429-with-retry-after": Fault({"status": 429, "headers": {"Retry-After": "0"}}, times=2),
    "429-without-retry-after": Fault({"status": 429}),
    "500-before": Fault({"status": 500}),
    "503-after": Fault({"status": 503, "after_commit": True}),
    "lost-before": Fault({"drop": True}),
    "lost-after": Fault({"drop": True, "after_commit": True}),
    # What a conflict on a delete means the service says with its own word: sessions (rule D5).
    "409-before": Fault(_CONFLICT, EITHER),
    "409-after": Fault({**_CONFLICT, "after_commit": True}, EITHER),
}
# Faults that stay: the run says so, and whoever clears them finds the next run healing.
LASTING: Final[Mapping[str, Fault]] = {
    "401": Fault({"status": 401, "code": "unauthorized"}, PARTLY, None),
    "403": Fault({"status": 403, "code": "UserError"}, PARTLY, None),
    # A delete that is told 404 has nothing to delete.
    "404": Fault({"status": 404, "code": "not_found"}, EITHER, None),
    "500-for-ever": Fault({"status": 500, "code": "server_error"}, PARTLY, None),
    "lost-for-ever": Fault({"drop": True}, PARTLY, None),
    "409-for-ever": Fault(_CONFLICT, PARTLY, None),
}


def begun(sandbox: Sandbox, write: Write, dedupe: str = "off") -> World:
    world = World(sandbox.url, f"f{os.getpid()}-{next(_numbers)}", Path("-"))
    story.start(world, dedupe=dedupe, names=[write.agent])
    return world


def run_of(world: World, write: Write) -> Applied:
    return apply(inputs(world, story.wanted([write.agent]), retry_failed=True), patience=QUICK)


def healed(world: World, write: Write, made_before: int) -> None:
    """Without the fault the next run gets to the end; at most one version is spare."""
    world.own("DELETE", "faults")
    run = run_of(world, write)
    assert run.exit_code is ExitCode.DONE, "\n".join(map(str, run.outcomes))
    then = plan(inputs(world, story.wanted([write.agent]), retry_failed=True))
    assert [step.text for step in then.steps] == []
    assert _newest(world) <= made_before + 2


def _newest(world: World) -> int:
    return max((numbers[-1] for numbers in story.numbers(everything(world)).values()), default=0)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_stops_nothing(sandbox: Sandbox, write: Write, fault: Fault) -> None:
    world = begun(sandbox, write)
    before = _newest(world)
    world.own("PUT", "faults", [write.rule(fault.action, fault.times)])

    run = run_of(world, write)

    done = "\n".join(map(str, run.outcomes))
    assert world.own("GET", "faults")["rules"][0]["hits"] >= 1, "the write never came"
    deleting = write.method == "DELETE"
    assert run.exit_code in (fault.exits if deleting else DONE), done
    assert _newest(world) <= before + 1 + (write.method == "POST"), done
    healed(world, write, before)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
def test_a_fault_that_stays_is_told_and_repeated_by_nobody(
    sandbox: Sandbox, write: Write, fault: Fault
) -> None:
    world = begun(sandbox, write)
    before = _newest(world)
    world.own("PUT", "faults", [write.rule(fault.action, fault.times)])

    run = run_of(world, write)

    done = "\n".join(map(str, run.outcomes))
    # A retirement that has to wait for a session is done another day and holds up nothing (rule R7).
    waits = write is WRITES["retire"] and fault is LASTING["409-for-ever"]
    exits = EITHER if waits else fault.exits if write.method == "DELETE" else PARTLY
    assert run.exit_code in exits, done
    for outcome in run.outcomes:
        if outcome.outcome == "failed":
            assert outcome.hint, done
            assert outcome.error, done
            status = fault.action.get("status")
            assert not status or outcome.request_id, done
            assert fault.action.get("code", "") in outcome.code, done
    assert _newest(world) <= before + 1, done
    assert world.own("GET", "faults")["rules"][0]["hits"] <= 6
    healed(world, write, before)


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
def test_a_limit_costs_time_and_changes_nothing_else(sandbox: Sandbox, told: bool) -> None:
    """Most requests of the run are refused at first; no write is lost, and none is sent twice."""
    limited, free = (World(sandbox.url, f"l{os.getpid()}-{next(_numbers)}", Path("-")) for _ in range(2))
    runs = []
    for world, limit in ((free, {}), (limited, {"per_second": 30, "burst": 15, "retry_after": told})):
        story.start(world, dedupe="off")
        world.settings(rate_limit=limit or None)
        world.forget()
        runs.append(apply(inputs(world, story.wanted(), retry_failed=True)))
        world.settings(rate_limit=None)

    assert [run.exit_code for run in runs] == [ExitCode.DONE, ExitCode.DONE]
    assert any(row["status"] == 429 for row in limited.log())
    assert story.ends(limited, everything) == story.ends(free, everything)
    done = [row["path"] for row in limited.log() if row["method"] == "POST" and row["status"] != 429]
    assert len(done) == len(set(done))
    assert plan(inputs(limited, story.wanted())).steps == ()

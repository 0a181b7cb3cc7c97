"""A process killed at any request leaves what the next run finishes (rules P4 to P7, D1, R3).

`before`: killed before the request arrived. `sent`: it is under way when the process dies, and is carried
out later, while the next run is at work already. `committed`: it was carried out and nobody heard the answer.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from reconciler.kinds.kind import Action
from reconciler.sandbox import Sandbox
from tests.crash import child, story
from tests.properties.running import apply, everything, inputs, plan
from tests.world import WRITES as METHODS
from tests.world import World

Json = Any
pytestmark = [pytest.mark.crash, pytest.mark.rule("P5", "P7")]

# Longer than a case takes: the request is held until its client is dead.
_HELD_S: Final = 8.0
# Long enough for the next run to have begun, short enough to meet it.
_LATE_S: Final = 0.15
MOMENTS: Final = {
    "before": {"delay_s": _HELD_S, "drop": True},
    "sent": {"delay_s": _LATE_S},
    "committed": {"delay_s": _HELD_S, "after_commit": True},
}
# Where the mark counts as well, a create that is sent again is the same one only if it says the same.
BY_METADATA: Final = "latest-definition+metadata+description"
MODES: Final = ("off", "latest-definition", BY_METADATA)

# Every write of the undisturbed run, in order.
WRITES: Final = (
    "DELETE /agents/again/versions/2",
    "POST /agents/again/versions",
    "PATCH /agents/again",
    "PATCH /agents/card",
    "PATCH /agents/coded",
    "POST /agents/coded/versions",
    "PATCH /agents/coded #2",
    "POST /agents/created/versions",
    "PATCH /agents/created",
    "POST /agents/direct/versions",
    "POST /agents/disabled:disable",
    "POST /agents/enabled/versions",
    "POST /agents/enabled:enable",
    "PATCH /agents/manual",
    "POST /agents/manual/versions",
    "PATCH /agents/pinned",
    "POST /agents/pinned/versions",
    "PATCH /agents/pinned #2",
    "PATCH /agents/pinned-prompt",
    "POST /agents/pinned-prompt/versions",
    "PATCH /agents/pinned-prompt #2",
    "POST /agents/retired/versions",
    "DELETE /agents/retired/versions/1",
    "PATCH /agents/reverted",
    "POST /agents/selected/versions",
    "PATCH /agents/selected",
    "DELETE /agents/removed",
)

_numbers = itertools.count(1)
_spawn = multiprocessing.get_context("forkserver")
_spawn.set_forkserver_preload(["azure.ai.projects.aio", "azure.ai.projects.models", "tests.crash.child"])


@dataclass(frozen=True)
class Undisturbed:
    """The run that nobody killed: its requests in order, and how it ended."""

    requests: tuple[str, ...]
    ends: Json
    numbers: dict[str, list[int]]


def begun(sandbox: Sandbox, mode: str) -> World:
    world = World(sandbox.url, f"k{os.getpid()}-{next(_numbers)}", Path("-"))
    story.start(world, dedupe=mode)
    world.forget()
    return world


def requests_of(world: World) -> tuple[str, ...]:
    """`METHOD path` of every request; the second of the same writes is numbered."""
    seen: dict[str, int] = {}
    found = []
    for row in world.log():
        line = f"{row['method']} {row['path'].split('?')[0].split(world.name)[-1]}"
        seen[line] = seen.get(line, 0) + 1
        again = row["method"] in METHODS and seen[line] > 1
        found.append(f"{line} #{seen[line]}" if again else line)
    return tuple(found)


@pytest.fixture(scope="module")
def undisturbed(sandbox: Sandbox) -> dict[str, Undisturbed]:
    return {mode: _run_to_the_end(sandbox, mode) for mode in MODES}


def _run_to_the_end(sandbox: Sandbox, mode: str) -> Undisturbed:
    world = begun(sandbox, mode)
    process = _spawn.Process(target=child.main, args=(world.url, world.name))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    requests = requests_of(world)
    held = everything(world)
    return Undisturbed(requests, story.ends(world, everything), story.numbers(held))


def killed_at(world: World, index: int, moment: str) -> None:
    """Run the child until the request of that index (from 0) is at the service, and kill it there."""
    rule = {"match": {"skip": index}, "times": 1, "action": MOMENTS[moment]}
    world.own("PUT", "faults", [rule])
    process = _spawn.Process(target=child.main, args=(world.url, world.name))
    process.start()
    try:
        deadline = time.monotonic() + 30
        while not _arrived(world, index):
            assert time.monotonic() < deadline, world.log()
            assert process.exitcode is None, "the child ended before that request"
            time.sleep(0.004)
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)


def _arrived(world: World, index: int) -> bool:
    """Whether the rule met the request; asked twice, since its commit comes one turn of the loop later."""
    if not world.own("GET", "faults")["rules"][0]["hits"]:
        return False
    return bool(world.own("GET", "faults")["rules"][0]["hits"])


def recovered(world: World, before: Undisturbed, moment: str) -> None:
    """The next run finishes what the killed one began, and a run after it has nothing to do."""
    given = inputs(world, story.wanted(), retry_failed=True)
    if moment == "sent":
        # The write of the dead process may still land behind this run; the one after it tells.
        apply(given)
        time.sleep(_LATE_S)
    run = apply(given)
    done = "\n".join(map(str, run.outcomes))
    assert run.exit_code == 0, done
    assert story.ends(world, everything) == before.ends, done
    _few_versions(world, before, done)
    then = plan(given)
    assert [
        item.key.name for item in then.planned if item.steps or item.change.action is not Action.NONE
    ] == []


def _few_versions(world: World, before: Undisturbed, done: str) -> None:
    """At most one version too many; old ones may stay, since only a run that releases something retires."""
    for name, numbers in story.numbers(everything(world)).items():
        made = [number for number in numbers if number > max(before.numbers[name])]
        assert len(made) <= 1, (name, numbers, done)


@pytest.mark.parametrize("mode", MODES)
def test_the_undisturbed_run_makes_these_writes(undisturbed: dict[str, Undisturbed], mode: str) -> None:
    requests = undisturbed[mode].requests
    assert tuple(line for line in requests if line.split()[0] in METHODS) == WRITES


CASES: Final = [
    pytest.param(
        mode,
        write,
        moment,
        id=f"{mode}-{write}-{moment}",
        marks=pytest.mark.xdist_group(f"crash-{mode}"),
    )
    for mode in MODES
    for write in WRITES
    for moment in MOMENTS
    # What the service takes for the same decides about creates alone, and before a write as while reading.
    if mode != BY_METADATA or (write.endswith("/versions") and moment != "before")
]
PARTS: Final = [
    pytest.param(part, marks=pytest.mark.xdist_group(f"crash-{MODES[part % 2]}")) for part in range(4)
]


@pytest.mark.parametrize(("mode", "write", "moment"), CASES)
def test_the_next_run_finishes_what_a_killed_one_began(
    sandbox: Sandbox, undisturbed: dict[str, Undisturbed], mode: str, write: str, moment: str
) -> None:
    world = begun(sandbox, mode)

    killed_at(world, undisturbed[mode].requests.index(write), moment)

    recovered(world, undisturbed[mode], moment)


@pytest.mark.parametrize("part", PARTS)
def test_a_run_killed_while_reading_has_changed_nothing_halfway(
    sandbox: Sandbox, undisturbed: dict[str, Undisturbed], part: int
) -> None:
    """One reading before each write and one after the last: in between nothing changes at the service."""
    before = undisturbed[BY_METADATA]
    lines = (*before.requests, "the end")
    reads = [
        index
        for index, line in enumerate(lines[:-1])
        if line.startswith("GET") and not lines[index + 1].startswith("GET")
    ]
    for index in reads[part::4]:
        world = begun(sandbox, BY_METADATA)
        killed_at(world, index, "before")
        recovered(world, before, "before")

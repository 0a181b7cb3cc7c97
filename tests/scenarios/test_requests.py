"""How many requests a run makes: lists only when nothing is to do (design: speed and size)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.world import World, hosted, manifest, prompt

DEFINITIONS: dict[str, dict[str, Any]] = {
    "prompt": prompt("Same"),
    "hosted": hosted(),
    "workflow": {"kind": "workflow", "workflow": "kind: Workflow\n"},
    "external": {"kind": "external"},
    "voice": {"kind": "voice", "model_type": "managed", "model": "gpt-realtime"},
}
COUNT = 1000


def definition(number: int) -> dict[str, Any]:
    kinds = list(DEFINITIONS)
    return DEFINITIONS[kinds[number % len(kinds)]]


def test_a_thousand_agents_in_sync_cost_eleven_requests(world: World) -> None:
    """Then some serve an older version than their latest, and one is edited behind our back."""
    world.settings(provisioning={"delay_s": 0})
    documents = [manifest("Agent", f"a{n:04}", {"definition": definition(n)}) for n in range(COUNT)]
    world.write("agents/all.yaml", "\n---\n".join(json.dumps(document) for document in documents))
    world.commit()
    assert world.apply().exit_code == 0
    for number in range(0, COUNT, 100):
        world.select(f"a{number:04}", v1=100)

    world.in_sync()
    assert world.requests() == {"GET /agents": COUNT // 100 + 1}

    for number in range(0, COUNT, 100):
        if definition(number)["kind"] == "prompt":
            world.edit(f"a{number:04}", instructions="outside, without traffic")
    behind = sum(definition(number)["kind"] == "prompt" for number in range(0, COUNT, 100))
    world.in_sync()
    assert sum(world.requests().values()) == COUNT // 100 + 1 + behind

    world.edit("a0005", instructions="behind our back")
    drift = world.json("drift")
    assert drift["exit"] == 2
    assert [change["key"] for change in drift["changes"]] == ["prod/Agent/a0005"]


@pytest.mark.parametrize("behind", [1, 4])
def test_an_agent_that_serves_an_older_version_costs_one_request_more(world: World, behind: int) -> None:
    for number in range(10):
        world.agent(f"a{number}", prompt("One"))
    world.commit()
    world.apply()
    for number in range(behind):
        world.select(f"a{number}", v1=100)
        world.edit(f"a{number}", instructions="outside")

    world.in_sync()

    assert world.requests() == {
        "GET /agents": 2,
        "GET /agents/{agent_name}/versions/{agent_version}": behind,
    }

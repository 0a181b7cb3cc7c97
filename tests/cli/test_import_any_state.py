"""Whatever states a project is in: after an import a plan says no changes, or the folder was left alone."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.kinds.agent.desire import fingerprint
from reconciler.mark import encode
from reconciler.resource import Mark
from reconciler.sandbox import Sandbox
from tests.world import OWNER, World, hosted, prompt

_numbers = itertools.count()
DEFINITIONS = [
    prompt("One."),
    prompt("Two.", temperature=0.5),
    hosted(),
    hosted("registry.example.com/other:2"),
    {"kind": "workflow", "workflow": "kind: workflow\n"},
    prompt("New.", preview_of_tomorrow={"x": [1]}),
]


@st.composite
def agents(draw: st.DrawFn) -> dict[str, Any]:
    """One agent with up to five versions, some of them marked, and traffic wherever it may go."""
    name = draw(st.sampled_from(["a", "b-2", "Triage"]))
    count = draw(st.integers(1, 5))
    start = draw(st.integers(0, len(DEFINITIONS) - 1))
    versions = []
    for number in range(1, count + 1):
        definition = draw(st.sampled_from([DEFINITIONS[start], *DEFINITIONS]))
        metadata = dict(draw(st.sampled_from([{}, {"team": "x"}, {"enableVnextExperience": "true"}])))
        mark = draw(st.sampled_from(["", "", "ours", "copied", "foreign", "unreadable"]))
        if mark:
            metadata["reconciler"] = marked(mark, name, number, definition, metadata)
        status = draw(st.sampled_from(["active", "active", "active", "failed", "creating"]))
        versions.append({"definition": definition, "metadata": metadata, "status": status})
    agent: dict[str, Any] = {"name": name, "versions": versions}
    shares = draw(st.sampled_from([(), (), (100,), (90, 10), (50, 30, 20)]))
    if shares and len(shares) <= count:
        numbers = draw(st.permutations([str(number) for number in range(1, count + 1)]))
        rules = zip(numbers, shares, strict=False)
        agent["selector"] = [{"agent_version": one, "traffic_percentage": share} for one, share in rules]
    agent["state"] = draw(st.sampled_from(["enabled", "disabled"]))
    return agent


def marked(mark: str, name: str, number: int, definition: dict[str, Any], metadata: dict[str, str]) -> str:
    if mark == "unreadable":
        return "{"
    form = {"definition": definition, **({"metadata": dict(metadata)} if metadata else {})}
    return encode(
        Mark(
            owner="someone/else#prod" if mark == "foreign" else OWNER,
            resource=f"Agent/{name}" if mark != "copied" else "Agent/other",
            spec=fingerprint(form),
            base=str(number - 1),
            pinned=str(max(number - 1, 1)) if number > 1 else "",
            commit="0" * 40,
            time=1_700_000_000 + number,
        )
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(agents(), min_size=1, max_size=3, unique_by=lambda agent: agent["name"]))
def test_a_plan_after_an_import_says_no_changes(sandbox: Sandbox, live: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(sandbox.url, f"any-{next(_numbers)}", Path(folder) / "repo")
        world.start(sync={"prune": False})
        world.seed(*live)

        done = world.run("import", str(world.repo))

        assert "would still change" not in done.stdout, done.stdout
        assert done.exit_code == (4 if "Left out:" in done.stdout else 0), done.stdout + done.stderr
        if (world.repo / "agents").exists():
            world.commit()
            world.in_sync()

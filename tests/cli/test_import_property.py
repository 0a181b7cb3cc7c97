"""Whatever an agent holds: the manifest that is written loads to what the service has."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from reconciler.cli.importing.checking import in_memory
from reconciler.cli.importing.manifests import Agent, Shape, Written, unfit, write
from reconciler.cli.starter import project_manifest
from reconciler.desired import load
from reconciler.kinds.agent.normal import normal
from reconciler.kinds.registry import KINDS
from reconciler.resource import Desired, Key, Live, Version, canonical
from tests.cli.test_yaml_text import texts, values

PROJECT = project_manifest("p", "sandbox://p", "o", "observe", ("agents/*.yaml",))
many_lines = st.lists(texts, min_size=45, max_size=60).map("\n".join)
pairs = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda key: key != "reconciler"), texts, max_size=14
)


def loaded(written: Written) -> Desired:
    files = {"project.yaml": PROJECT.encode(), **written.files}
    (project,) = load(in_memory(files, ""), environ={}, kinds=KINDS)
    assert not project.problems, (project.problems, written.files)
    return project.resources[0]


def live_of(form: dict[str, Any]) -> Live:
    return Live(Key("p", "Agent", "it"), Version("1", form))


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(texts | many_lines, values, texts, pairs)
def test_the_manifest_loads_to_the_live_form(
    prompt: str, default: Any, description: str, metadata: dict[str, str]
) -> None:
    definition = {
        "kind": "prompt",
        "model": "m",
        "instructions": prompt,
        "structured_inputs": {"x": {"description": "d", "default_value": default}},
    }
    form = {"definition": definition, "description": description, "metadata": metadata}
    agent = Agent(live_of(form))
    assume(unfit(agent) is None)

    written = write(agent, Shape())

    assert isinstance(written, Written)
    assert canonical(normal(loaded(written).form, "it")) == canonical(normal(form, "it"))

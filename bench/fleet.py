"""Agents of all kinds, the same on every run: as manifests, as live agents, as calls of the SDK."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from reconciler.kinds.agent.desire import fingerprint
from reconciler.mark import MARK_KEY, encode
from reconciler.resource import Mark

PROJECT: Final = "bench"
OWNER: Final = "git.example.com/team/agents#bench"
KINDS: Final = ("prompt", "hosted", "workflow", "external", "voice")
_RULES: Final = (
    "Read the whole question before you answer. Name the document that an answer comes from. "
    "When two documents disagree, say so and quote both. Hand over to a person when money is involved. "
)


def name_of(index: int) -> str:
    """The name of the agent with that number."""
    return f"agent-{index:06d}"


def definition(index: int) -> dict[str, Any]:
    """A definition of about 800 bytes; five in a row are of five kinds."""
    kind = KINDS[index % len(KINDS)]
    match kind:
        case "hosted":
            return {
                "kind": kind,
                "cpu": "1",
                "memory": "2Gi",
                "container_configuration": {
                    "image": f"registry.example.com/desk-{index}@sha256:{index:064x}"
                },
                "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}],
                "environment_variables": {f"OPTION_{n:02}": f"choice {n} of desk {index}" for n in range(14)},
            }
        case "workflow":
            steps = (f"  - kind: SendActivity\n    activity: Stage {n} of {index}\n" for n in range(14))
            return {"kind": kind, "workflow": "kind: workflow\nactions:\n" + "".join(steps)}
        case "external":
            return {"kind": kind, "otel_agent_id": f"partner-{index}"}
        case "voice":
            model = {"model_type": "managed", "model": "gpt-realtime"}
            return {"kind": kind, **model, "instructions": f"You answer line {index}. " + _RULES * 3}
        case _:
            return {
                "kind": kind,
                "model": "gpt-5-mini",
                "instructions": f"You are desk {index}. " + _RULES * 3,
                "temperature": 0.3,
                "tools": [_LOOK_UP],
            }


_LOOK_UP: Final[dict[str, Any]] = {
    "type": "function",
    "name": "look_up",
    "description": "Look up a case by its number",
    "parameters": {
        "type": "object",
        "properties": {"case": {"type": "string"}},
        "required": ["case"],
        "additionalProperties": False,
    },
    "strict": True,
}


def form(index: int) -> dict[str, Any]:
    """What a create of the agent with that number would send."""
    return {"definition": definition(index), "description": f"Desk {index}", "metadata": {"team": "desks"}}


def write_manifests(folder: Path, endpoint: str, count: int) -> None:
    """One Project and `count` agents, a YAML file each below `agents/`."""
    (folder / "agents").mkdir(parents=True)
    project = {"endpoint": endpoint, "owner": OWNER, "resources": ["agents/**/*.yaml"]}
    (folder / "project.yaml").write_text(manifest("Project", PROJECT, project))
    for index in range(count):
        text = manifest("Agent", name_of(index), form(index))
        (folder / "agents" / f"{name_of(index)}.yaml").write_text(text)


def manifest(kind: str, name: str, spec: dict[str, Any]) -> str:
    body = {"apiVersion": "reconciler/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return yaml.dump(body, Dumper=yaml.CSafeDumper, sort_keys=False, width=100)


def in_sync(numbers: range, *, outside: int = 0, marked: bool = True) -> list[dict[str, Any]]:
    """Live agents that are as desired, as the sandbox is seeded: one version, and traffic is on it.

    Args:
        outside: so many of them have a second version that somebody else made and that gets no traffic.
        marked: whether the version carries our mark; without it both sides are compared in full.
    """
    return [_live(index, outside=index < outside, marked=marked) for index in numbers]


def _live(index: int, *, outside: bool, marked: bool) -> dict[str, Any]:
    wanted = form(index)
    versions = [wanted]
    if marked:
        resource = f"Agent/{name_of(index)}"
        mark = Mark(OWNER, resource, fingerprint(wanted), "0", commit="0" * 40, time=1_780_000_000)
        versions = [{**wanted, "metadata": {**wanted["metadata"], MARK_KEY: encode(mark)}}]
    if outside:
        versions.append({"definition": {**wanted["definition"], "rai_config": {"rai_policy_name": "Other"}}})
    rule = {"agent_version": "1", "traffic_percentage": 100}
    return {"name": name_of(index), "versions": versions, "selector": [rule]}

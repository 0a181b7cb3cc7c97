"""Definitions and bodies that tests send."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def prompt(text: str = "Be brief.", **fields: Any) -> Json:
    """A version body of a prompt agent."""
    return {"definition": {"kind": "prompt", "model": "gpt-4.1-mini", "instructions": text}, **fields}


def hosted(image: str = "acr.example/a:1", **fields: Any) -> Json:
    """A version body of a container-based hosted agent."""
    definition = {
        "kind": "hosted",
        "cpu": "1",
        "memory": "2Gi",
        "container_configuration": {"image": image},
        "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}],
    }
    return {"definition": definition, **fields}


def code_definition() -> Json:
    """The definition of a code-based hosted agent."""
    return {
        "kind": "hosted",
        "cpu": "1",
        "memory": "2Gi",
        "code_configuration": {
            "runtime": "python_3_13",
            "entry_point": ["python", "main.py"],
            "dependency_resolution": "bundled",
        },
    }


BODIES: dict[str, Json] = {
    "prompt": prompt(),
    "hosted": hosted(),
    "workflow": {"definition": {"kind": "workflow", "workflow": "kind: workflow\n"}},
    "external": {"definition": {"kind": "external", "otel_agent_id": "mine"}},
    "voice": {"definition": {"kind": "voice", "model_type": "managed", "model": "gpt-realtime"}},
}
"""One valid version body of each kind."""


def shares(**per_cent: int) -> Json:
    """A PATCH body that splits traffic: `shares(v1=90, v2=10)`."""
    rules = [
        {"type": "FixedRatio", "agent_version": version[1:], "traffic_percentage": share}
        for version, share in per_cent.items()
    ]
    return {"agent_endpoint": {"version_selector": {"version_selection_rules": rules}}}

"""What an agent's definition names: models, connections, indexes, stores, other agents. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reconciler.resource import Json, JsonObject

# Source: azure-ai-projects 2.10, the fields of agent definitions and tools that hold a name or id.
_NAMING: Final = {
    "model": "Model",
    "project_connection_id": "Connection",
    "registry_connection_id": "Connection",
    "vector_store_ids": "VectorStore",
    "memory_store_name": "MemoryStore",
    "toolbox_name": "Toolbox",
    "index_name": "Index",
    "index_asset_id": "Index",
    "rai_policy_name": "Guardrail",
    "agent_name": "Agent",
}
# A workflow is YAML in a string; its actions name agents as `agent: {name: X}` or on two lines.
_INVOKED: Final = re.compile(r"\bagent:\s*(?:\{\s*|\n\s+)name:\s*[\"']?([A-Za-z0-9][A-Za-z0-9-]{0,62})")
_MOST_CHARS: Final = 200


def references(form: JsonObject) -> tuple[str, ...]:
    """The resources that a definition names, as `Kind/name`, sorted, each once.

    A name that is an id with slashes counts by its last part.
    """
    return tuple(sorted(set(_walk(form.get("definition")))))


def _walk(value: Json) -> Iterator[str]:
    match value:
        case dict():
            for key, item in value.items():
                if key in _NAMING:
                    yield from _named(_NAMING[key], item)
                elif key == "workflow" and isinstance(item, str):
                    yield from (f"Agent/{name}" for name in _INVOKED.findall(item))
                yield from _walk(item)
        case list():
            for item in value:
                yield from _walk(item)


def _named(kind: str, value: Json) -> Iterator[str]:
    for name in value if isinstance(value, list) else [value]:
        if isinstance(name, str) and (last := name.rstrip("/").rsplit("/", 1)[-1]):
            yield f"{kind}/{last[:_MOST_CHARS]}"

"""One plausible example of every tool, and the error when one of its keys loses its last letter."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler import schema
from reconciler.resource import JsonObject

CONNECTION = {"project_connection_id": "/connections/c"}
FILTER = {"type": "eq", "key": "lang", "value": "en"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
BINDING = {
    "type": "storage_queue",
    "storage_queue": {"queue_service_endpoint": "https://q", "queue_name": "n"},
}
OPENAPI = {"name": "weather", "spec": {"openapi": "3.1.0"}, "auth": {"type": "anonymous"}}

# Tool, its keys besides `type`, the key to misspell; "" where a tool has no key of its own.
TOOLS: list[tuple[str, dict[str, Any], str]] = [
    ("a2a", {"a2a_version": "1.0", "base_url": "https://a"}, "base_url"),
    ("a2a_preview", {"base_url": "https://a", "agent_card_path": "/card"}, "agent_card_path"),
    ("apply_patch", {"allowed_callers": ["direct"]}, "allowed_callers"),
    ("azure_ai_search", {"azure_ai_search": {"indexes": [{"index_name": "i"}]}}, "azure_ai_search"),
    (
        "azure_function",
        {
            "azure_function": {
                "function": {"name": "f", "parameters": PARAMETERS},
                "input_binding": BINDING,
                "output_binding": BINDING,
            }
        },
        "azure_function",
    ),
    (
        "bing_custom_search_preview",
        {"bing_custom_search_preview": {"search_configurations": [{**CONNECTION, "instance_name": "i"}]}},
        "bing_custom_search_preview",
    ),
    ("bing_grounding", {"bing_grounding": {"search_configurations": [CONNECTION]}}, "bing_grounding"),
    ("browser_automation", {"browser_automation": {"connection": CONNECTION}}, "browser_automation"),
    (
        "browser_automation_preview",
        {"browser_automation_preview": {"connection": CONNECTION}},
        "browser_automation_preview",
    ),
    (
        "capture_structured_outputs",
        {"outputs": {"name": "n", "description": "d", "schema": PARAMETERS, "strict": True}},
        "outputs",
    ),
    ("code_interpreter", {"container": {"type": "auto", "memory_limit": "4g"}}, "container"),
    ("computer", {}, ""),
    (
        "computer_use_preview",
        {"environment": "linux", "display_width": 800, "display_height": 600},
        "display_width",
    ),
    (
        "custom",
        {"name": "n", "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"}},
        "format",
    ),
    (
        "fabric_dataagent_preview",
        {"fabric_dataagent_preview": {"project_connections": [CONNECTION]}},
        "fabric_dataagent_preview",
    ),
    ("fabric_iq_preview", {**CONNECTION, "require_approval": "never"}, "project_connection_id"),
    (
        "file_search",
        {"vector_store_ids": ["vs"], "filters": {"type": "and", "filters": [FILTER]}},
        "vector_store_ids",
    ),
    ("function", {"name": "f", "parameters": PARAMETERS, "strict": False}, "parameters"),
    ("github_copilot_toolset_preview", {"configs": [{"name": "shell", "enabled": False}]}, "configs"),
    ("image_generation", {"model": "gpt-image-9", "size": "640x640", "quality": "low"}, "quality"),
    ("local_shell", {"name": "n"}, "name"),
    (
        "mcp",
        {
            "server_label": "github",
            "server_url": "https://m",
            "headers": {"X-Any": "1"},
            "allowed_tools": ["issues"],
            "require_approval": {"always": {"read_only": False}},
        },
        "server_label",
    ),
    (
        "memory_search_preview",
        {"memory_store_name": "m", "scope": "user", "search_options": {"max_memories": 3}},
        "memory_store_name",
    ),
    ("microsoft_copilot_toolset_preview", {"default_config": {"enabled": True}}, "default_config"),
    (
        "namespace",
        {
            "name": "n",
            "description": "d",
            "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}],
        },
        "tools",
    ),
    ("openapi", {"openapi": OPENAPI}, "openapi"),
    ("programmatic_tool_calling", {}, ""),
    (
        "sharepoint_grounding_preview",
        {"sharepoint_grounding_preview": {"project_connections": [CONNECTION]}},
        "sharepoint_grounding_preview",
    ),
    ("shell", {"environment": {"type": "local", "skills": []}}, "environment"),
    ("tool_search", {"execution": "client", "parameters": PARAMETERS}, "execution"),
    ("web_iq_preview", {**CONNECTION, "server_label": "w"}, "server_label"),
    (
        "web_search",
        {"user_location": {"type": "approximate", "country": "NO"}, "filters": {"allowed_domains": ["x.no"]}},
        "user_location",
    ),
    ("web_search_preview", {"search_content_types": ["text"]}, "search_content_types"),
    ("work_iq_preview", CONNECTION, "project_connection_id"),
]

every_tool = pytest.mark.parametrize(("kind", "keys", "misspelt"), TOOLS, ids=[tool[0] for tool in TOOLS])


def agent_with(*tools: JsonObject) -> JsonObject:
    return {"kind": "prompt", "model": "m", "tools": list(tools)}


def test_no_tool_is_forgotten() -> None:
    known = schema.definition_schema()["$defs"]["Tool"]["properties"]["type"]["enum"]
    assert [tool[0] for tool in TOOLS] == known
    assert len(known) == 34


@every_tool
def test_tool_passes(kind: str, keys: JsonObject, misspelt: str) -> None:
    assert schema.check_definition(agent_with({"type": kind, **keys})) == ()


@every_tool
def test_misspelt_key_of_a_tool_is_named_with_its_tool(kind: str, keys: JsonObject, misspelt: str) -> None:
    typo = misspelt[:-1] or "surplus"
    wrong = {"type": kind, **{key: value for key, value in keys.items() if key != misspelt}, typo: 1}
    (finding,) = schema.check_definition(agent_with({"type": "computer"}, wrong))
    assert finding.path == ("tools", 1, typo)
    assert finding.message == f"unknown key `{typo}` of `type: {kind}`"
    assert finding.hint.startswith(f"Did you mean `{misspelt}`?" if misspelt else "Known are `type`.")


@every_tool
def test_misspelt_tool_is_named_with_the_nearest(kind: str, keys: JsonObject, misspelt: str) -> None:
    typo = kind[:-1] + "#"
    (finding,) = schema.check_definition(agent_with({"type": typo, **keys}))
    assert finding.path == ("tools", 0, "type")
    assert finding.message == f"unknown `type` `{typo}`"
    assert finding.hint == f"Did you mean `{kind}`?"

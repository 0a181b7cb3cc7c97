"""What the service refuses in names, definitions, metadata and endpoints. Pure; every rule raises a 400."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from reconciler.sandbox.errors import ApiError, invalid
from reconciler.sandbox.settings import KINDS
from reconciler.sandbox.wire import Json

NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
MAX_TOOLS = 128
MAX_DESCRIPTION = 512

TIERS = {("0.5", "1Gi"), ("1", "2Gi"), ("2", "4Gi")}
"""Sizes of hosted agents, checked by `strict` only.

Source: error text of the service in azure-dev#8271; whether every region checks it is unknown.
"""

FIELDS: dict[str, frozenset[str]] = {
    "prompt": frozenset(
        [
            "harness",
            "model",
            "instructions",
            "skills",
            "temperature",
            "top_p",
            "reasoning",
            "tools",
            "tool_choice",
            "text",
            "structured_inputs",
        ]
    ),
    "hosted": frozenset(
        [
            "cpu",
            "memory",
            "environment_variables",
            "container_configuration",
            "protocol_versions",
            "code_configuration",
            "telemetry_config",
            "session_configuration",
            "enable_memory_snapshot",
            "container_protocol_versions",
        ]
    ),
    "workflow": frozenset({"workflow"}),
    "external": frozenset({"otel_agent_id"}),
    "voice": frozenset(
        [
            "model_type",
            "model",
            "conversation_engine",
            "instructions",
            "greeting",
            "audio",
            "soundscape",
            "output_modalities",
            "max_output_tokens",
            "include",
            "interim_response",
            "avatar",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "structured_inputs",
            "subagent_config",
            "store",
        ]
    ),
}
"""Top-level keys of each kind beside `kind` and `rai_config`. Source: models of azure-ai-projects 2.10."""

TYPES: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "instructions": (str,),
    "temperature": (int, float),
    "top_p": (int, float),
    "tools": (list,),
    "cpu": (str,),
    "memory": (str,),
    "environment_variables": (dict,),
    "protocol_versions": (list,),
    "workflow": (str,),
    "otel_agent_id": (str,),
    "structured_inputs": (dict,),
}


def check_name(name: str, level: str) -> None:
    """Refuse names that are not 1 to 63 letters, digits and inner hyphens, unless `level` is off."""
    if level != "off" and not NAME.fullmatch(name):
        raise invalid(
            f"Agent name '{name}' must start and end with a letter or digit, hold only letters, digits and"
            " hyphens, and have at most 63 characters.",
            "agent_name",
        )


def definition_of(body: Json) -> Json:
    """The `definition` of a request body, with a `kind`. Asked for at every validation level."""
    definition = body.get("definition")
    if not isinstance(definition, dict):
        raise invalid("'definition' is required and must be an object.", "definition")
    if not isinstance(definition.get("kind"), str):
        raise invalid("'definition.kind' is required.", "definition.kind")
    return definition


def check_definition(definition: Json, level: str) -> None:
    """Refuse a definition without what its kind needs; `strict` refuses also what no kind knows."""
    if level == "off":
        return
    kind = definition["kind"]
    if kind not in KINDS:
        raise invalid(f"Agent kind '{kind}' is not one of: {', '.join(KINDS)}.", "definition.kind")
    for key, types in TYPES.items():
        value = definition.get(key)
        if (
            key in FIELDS[kind]
            and value is not None
            and (not isinstance(value, types) or isinstance(value, bool))
        ):
            raise invalid(f"'{key}' has the wrong type.", f"definition.{key}")
    _check_tools(definition.get("tools"))
    match kind:
        case "prompt":
            _need_text(definition, "model", "definition")
        case "hosted":
            _check_hosted(definition)
        case "voice":
            if not definition.get("conversation_engine") and not (
                definition.get("model_type") and definition.get("model")
            ):
                raise invalid(
                    "Voice agents need 'model_type' and 'model', or 'conversation_engine'.", "definition"
                )
    if level == "strict":
        _check_strict(definition)


def _check_tools(tools: Any) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise invalid("'tools' must be a list.", "definition.tools")
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            raise invalid("Each tool must be an object with a type.", f"tools[{index}].type")
    if len(tools) > MAX_TOOLS:
        raise ApiError(
            400, f"At most {MAX_TOOLS} tools per agent.", code="tool_limit_exceeded", param="tools"
        )


def _check_hosted(definition: Json) -> None:
    _need_text(definition, "cpu", "definition")
    _need_text(definition, "memory", "definition")
    container, code = definition.get("container_configuration"), definition.get("code_configuration")
    if (container is None) == (code is None):
        raise invalid(
            "Hosted agents need exactly one of 'container_configuration' and 'code_configuration'.",
            "definition",
        )
    if container is not None:
        _need_text(container, "image", "definition.container_configuration")
    if code is not None:
        _need_text(code, "runtime", "definition.code_configuration")
        entry = code.get("entry_point")
        if not isinstance(entry, list) or not entry or not all(isinstance(part, str) for part in entry):
            raise invalid(
                "'entry_point' must be a list of strings.", "definition.code_configuration.entry_point"
            )
    variables = definition.get("environment_variables") or {}
    for name, value in variables.items():
        if not isinstance(value, str):
            raise invalid(
                "Environment variables must be strings.", f"definition.environment_variables.{name}"
            )


def _check_strict(definition: Json) -> None:
    kind = definition["kind"]
    unknown = sorted(set(definition) - FIELDS[kind] - {"kind", "rai_config"})
    if unknown:
        raise invalid(f"Unknown field '{unknown[0]}' for kind {kind}.", f"definition.{unknown[0]}")
    if kind == "hosted":
        if (definition["cpu"], definition["memory"]) not in TIERS:
            raise invalid("CPU and Memory must be specified as a valid resource tier.", "definition.cpu")
        if definition.get("container_protocol_versions"):
            raise invalid("'container_protocol_versions' is no longer accepted.", "definition")


def _need_text(holder: Any, key: str, path: str) -> None:
    value = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(value, str) or not value:
        raise invalid(f"'{key}' is required and must be a string.", f"{path}.{key}")


def metadata_of(body: Json, level: str) -> dict[str, str]:
    """`metadata` of a request body: at most 16 pairs, keys of 64 and values of 512 characters."""
    metadata = body.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise invalid("'metadata' must be an object.", "metadata")
    if level != "off":
        if len(metadata) > 16:
            raise invalid("'metadata' holds at most 16 pairs.", "metadata")
        for key, value in metadata.items():
            if not isinstance(value, str) or len(value) > 512:
                raise invalid("Metadata values are strings of at most 512 characters.", f"metadata.{key}")
            if len(key) > 64:
                raise invalid("Metadata keys have at most 64 characters.", "metadata")
    return metadata


def description_of(body: Json, level: str) -> str:
    """`description` of a request body, empty when absent."""
    description = body.get("description")
    if description is None:
        return ""
    if not isinstance(description, str):
        raise invalid("'description' must be a string.", "description")
    if level != "off" and len(description) > MAX_DESCRIPTION:
        raise invalid(f"'description' has at most {MAX_DESCRIPTION} characters.", "description")
    return description


SELECTOR = "agent_endpoint.version_selector"


def check_selector(selector: Any, releases: Collection[str]) -> None:
    """Refuse a selector whose shares are not whole, do not sum to 100, or name no released version.

    Source: inferred; no recording shows a selector being refused. Drafts cannot be targets (service docs).
    """
    if not isinstance(selector, dict) or not isinstance(selector.get("version_selection_rules"), list):
        raise invalid("'version_selection_rules' must be a list.", f"{SELECTOR}.version_selection_rules")
    total, seen = 0, set()
    for index, rule in enumerate(selector["version_selection_rules"]):
        path = f"{SELECTOR}.version_selection_rules[{index}]"
        if not isinstance(rule, dict) or rule.get("type") != "FixedRatio":
            raise invalid("The only rule type is FixedRatio.", f"{path}.type")
        version, share = rule.get("agent_version"), rule.get("traffic_percentage")
        if type(share) is not int or not 0 <= share <= 100:
            raise invalid(
                "'traffic_percentage' must be a whole number, 0 to 100.", f"{path}.traffic_percentage"
            )
        if not isinstance(version, str) or version not in releases:
            raise invalid(f"Version '{version}' is not a released version.", f"{path}.agent_version")
        if version in seen:
            raise invalid(f"Version '{version}' appears twice.", f"{path}.agent_version")
        seen.add(version)
        total += share
    if total != 100:
        raise invalid(
            f"Traffic percentages must sum to 100, not {total}.", f"{SELECTOR}.version_selection_rules"
        )

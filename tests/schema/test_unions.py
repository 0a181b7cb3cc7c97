"""A slip inside a choice is told of the branch that was meant, never of the choice as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler import schema
from reconciler.errors import Finding
from reconciler.resource import JsonObject
from tests.schema.cases import FILES, HOSTED, MCP, NEWER, NO_HINT, VOICE, prompt, said, tool

# Every union, by its name in the schema, with what is said about the branch that was meant.
UNIONS: list[tuple[str, JsonObject, str, str, str]] = [
    ("AgentDefinition", {"kind": "promt"}, "kind", "unknown `kind` `promt`", "Did you mean `prompt`?"),
    (
        "AgentDefinition",
        {"kind": 1},
        "kind",
        "expected text, found a number",
        "Put it in quotes.",
    ),
    ("Tool", tool({"type": "mpc"}), "tools.0.type", "unknown `type` `mpc`", "Did you mean `mcp`?"),
    ("Tool", prompt(tools=["mcp"]), "tools.0", "expected a mapping, found text", NO_HINT),
    (
        "Tool",
        prompt(tools=[{"vector_store_ids": []}]),
        "tools.0",
        "`type` is missing",
        "Did you mean `type: file_search`?",
    ),
    (
        "Tool",
        prompt(tools=[{"server_label": "x", "tpye": "mcp"}]),
        "tools.0.tpye",
        "unknown key `tpye`",
        "Did you mean `type`?",
    ),
    (
        "AgentHarness",
        prompt(harness={"type": "github_copilot"}),
        "harness.type",
        "unknown `type` `github_copilot`",
        "Did you mean `github_copilot_preview`?",
    ),
    (
        "ToolChoiceParam",
        prompt(tool_choice={"type": "functoin"}),
        "tool_choice.type",
        "unknown `type` `functoin`",
        "Did you mean `function`?",
    ),
    (
        "ToolChoiceParam",
        prompt(tool_choice=["auto"]),
        "tool_choice",
        "expected text or a mapping, found a list",
        NO_HINT,
    ),
    (
        "ToolChoiceParam",
        prompt(tool_choice={"type": "function"}),
        "tool_choice",
        "`name` is missing, `type: function` needs it",
        NO_HINT,
    ),
    (
        "TextResponseFormat",
        prompt(text={"format": {"type": "json_schema", "name": "n", "schema": {}, "stricter": True}}),
        "text.format.stricter",
        "unknown key `stricter` of `type: json_schema`",
        "Did you mean `strict`?",
    ),
    (
        "OpenApiAuthDetails",
        tool({"type": "openapi"}, openapi={"name": "n", "spec": {}, "auth": {"type": "managed_identity"}}),
        "tools.0.openapi.auth",
        "`security_scheme` is missing, `type: managed_identity` needs it",
        NO_HINT,
    ),
    (
        "MCPTool.allowed_tools",
        tool(MCP, allowed_tools={"tool_name": ["a"]}),
        "tools.0.allowed_tools.tool_name",
        "unknown key `tool_name`",
        "Did you mean `tool_names`?",
    ),
    (
        "MCPTool.allowed_tools",
        tool(MCP, allowed_tools=["a", 1]),
        "tools.0.allowed_tools.1",
        "expected text, found a number",
        "Put it in quotes.",
    ),
    (
        "MCPTool.allowed_tools",
        tool(MCP, allowed_tools="a"),
        "tools.0.allowed_tools",
        "expected a list or a mapping, found text",
        NO_HINT,
    ),
    (
        "MCPTool.require_approval",
        tool(MCP, require_approval="alway"),
        "tools.0.require_approval",
        "unknown `require_approval` `alway`",
        "Did you mean `always`?",
    ),
    (
        "MCPTool.require_approval",
        tool(MCP, require_approval={"never": ["a"]}),
        "tools.0.require_approval.never",
        "expected a mapping, found a list",
        NO_HINT,
    ),
    (
        "FabricIQPreviewTool.require_approval",
        tool({"type": "fabric_iq_preview", "project_connection_id": "c"}, require_approval=True),
        "tools.0.require_approval",
        "expected text or a mapping, found true or false",
        "Put it in quotes.",
    ),
    (
        "WebIQPreviewTool.require_approval",
        tool({"type": "web_iq_preview", "project_connection_id": "c"}, require_approval={"allways": {}}),
        "tools.0.require_approval.allways",
        "unknown key `allways`",
        "Did you mean `always`?",
    ),
    (
        "Filters",
        tool(FILES, filters={"type": "and", "filters": [{"type": "eqq", "key": "k", "value": 1}]}),
        "tools.0.filters.filters.0.type",
        "unknown `type` `eqq`",
        "Did you mean `eq`?",
    ),
    (
        "Filters",
        tool(FILES, filters={"type": "or", "filter": []}),
        "tools.0.filters.filter",
        "unknown key `filter`",
        "Did you mean `filters`?",
    ),
    (
        "ComparisonFilter.value",
        tool(FILES, filters={"type": "in", "key": "k", "value": [True]}),
        "tools.0.filters.value.0",
        "expected a number or text, found true or false",
        "Put it in quotes.",
    ),
    (
        "CodeInterpreterTool.container",
        tool({"type": "code_interpreter"}, container={"file_ids": []}),
        "tools.0.container",
        "`type` is missing, `type: auto` needs it",
        "Write `type: auto`.",
    ),
    (
        "ContainerNetworkPolicyParam",
        tool(
            {"type": "code_interpreter"},
            container={"type": "auto", "network_policy": {"type": "allowlist", "allowed_domain": []}},
        ),
        "tools.0.container.network_policy.allowed_domain",
        "unknown key `allowed_domain` of `type: allowlist`",
        "Did you mean `allowed_domains`?",
    ),
    (
        "CustomToolParamFormat",
        tool(
            {"type": "custom", "name": "n"}, format={"type": "grammar", "definition": "d", "syntax": "regexp"}
        ),
        "tools.0.format.syntax",
        "unknown `syntax` `regexp`",
        "Did you mean `regex`?",
    ),
    (
        "FunctionShellToolParamEnvironment",
        tool({"type": "shell"}, environment={"type": "container_reference"}),
        "tools.0.environment",
        "`container_id` is missing, `type: container_reference` needs it",
        NO_HINT,
    ),
    (
        "ContainerSkill",
        tool(
            {"type": "shell"},
            environment={"type": "container_auto", "skills": [{"type": "skill_reference", "skil_id": "s"}]},
        ),
        "tools.0.environment.skills.0.skil_id",
        "unknown key `skil_id` of `type: skill_reference`",
        "Did you mean `skill_id`?",
    ),
    (
        "NamespaceToolParam.tools",
        tool(
            {"type": "namespace", "name": "n", "description": "d"},
            tools=[{"type": "custom", "name": "n", "strict": True}],
        ),
        "tools.0.tools.0.strict",
        "unknown key `strict` of `type: custom`",
        "Known are `type`, `name`, `async`, `description`, `format`, `defer_loading` and `allowed_callers`. "
        + NEWER,
    ),
    (
        "TelemetryEndpoint",
        {**HOSTED, "telemetry_config": {"endpoints": [{"kind": "otlp"}]}},
        "telemetry_config.endpoints.0.kind",
        "unknown `kind` `otlp`",
        "Did you mean `OTLP`?",
    ),
    (
        "TelemetryEndpointAuth",
        {
            **HOSTED,
            "telemetry_config": {
                "endpoints": [
                    {
                        "kind": "OTLP",
                        "data": ["Metrics"],
                        "endpoint": "https://o",
                        "protocol": "Grpc",
                        "auth": {"type": "header", "header_name": "h", "secret_id": "s"},
                    }
                ]
            },
        },
        "telemetry_config.endpoints.0.auth",
        "`secret_key` is missing, `type: header` needs it",
        NO_HINT,
    ),
    (
        "VoiceAgentTool",
        {**VOICE, "tools": [{"type": "toolbox", "toolbox_name": "t", "toolbox_versoin": "1"}]},
        "tools.0.toolbox_versoin",
        "unknown key `toolbox_versoin` of `type: toolbox`",
        "Did you mean `toolbox_version`?",
    ),
    (
        "VoiceAgentSystemTool",
        {**VOICE, "tools": [{"type": "system", "name": "end_conversatoin"}]},
        "tools.0.name",
        "unknown `name` `end_conversatoin`",
        "Did you mean `end_conversation`?",
    ),
    (
        "VoiceAgentToolChoice",
        {**VOICE, "tool_choice": "requird"},
        "tool_choice",
        "unknown `tool_choice` `requird`",
        "Did you mean `required`?",
    ),
    (
        "VoiceAgentToolChoice",
        {**VOICE, "tool_choice": {"type": "mcp"}},
        "tool_choice",
        "`server_label` is missing, `type: mcp` needs it",
        NO_HINT,
    ),
    (
        "VoiceAgentMaxOutputTokens",
        {**VOICE, "max_output_tokens": "4096"},
        "max_output_tokens",
        "unknown `max_output_tokens` `4096`",
        f"Known are `inf`. {NEWER}",
    ),
    (
        "VoiceAgentMcpTool.allowed_tools",
        {**VOICE, "tools": [{**MCP, "allowed_tools": {"read_only": "yes"}}]},
        "tools.0.allowed_tools.read_only",
        "expected true or false, found text",
        NO_HINT,
    ),
    (
        "VoiceAgentMcpTool.require_approval",
        {**VOICE, "tools": [{**MCP, "require_approval": "nevr"}]},
        "tools.0.require_approval",
        "unknown `require_approval` `nevr`",
        "Did you mean `never`?",
    ),
    (
        "VoiceConversationEngine",
        {**VOICE, "conversation_engine": {"type": "hosted_agent", "nam": "x"}},
        "conversation_engine.nam",
        "unknown key `nam` of `type: hosted_agent`",
        "Did you mean `name`?",
    ),
    (
        "VoiceAgentGreetingConfig",
        {**VOICE, "greeting": {"type": "template", "prompt": "Hello"}},
        "greeting.prompt",
        "unknown key `prompt` of `type: template`",
        f"Known are `type` and `text`. {NEWER}",
    ),
    (
        "RealtimeAudioFormats",
        {**VOICE, "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
        "audio.input.format.rate",
        "unknown `rate` `16000`",
        f"Known are `24000`. {NEWER}",
    ),
    (
        "VoiceAgentTurnDetectionConfig",
        {**VOICE, "audio": {"input": {"turn_detection": {"type": "server_vad", "treshold": 0.5}}}},
        "audio.input.turn_detection.treshold",
        "unknown key `treshold` of `type: server_vad`",
        "Did you mean `threshold`?",
    ),
    (
        "VoiceAgentInterimResponseConfig",
        {**VOICE, "interim_response": {"type": "static_interim_response", "texts": "one"}},
        "interim_response.texts",
        "expected a list, found text",
        "Write a list with one item.",
    ),
    (
        "VersionSelectionRule",
        {"version_selector": {"version_selection_rules": [{"type": "FixedRatio", "agent_version": 7}]}},
        "version_selector.version_selection_rules.0",
        "`traffic_percentage` is missing, `type: FixedRatio` needs it",
        NO_HINT,
    ),
    (
        "AgentEndpointAuthorizationScheme",
        {"authorization_schemes": [{"type": "Entr"}]},
        "authorization_schemes.0.type",
        "unknown `type` `Entr`",
        "Did you mean `Entra`?",
    ),
]


def findings_of(value: JsonObject) -> tuple[Finding, ...]:
    return (schema.check_definition if "kind" in value else schema.check_endpoint)(value)


def choices(document: JsonObject) -> Iterator[str]:
    """The name of every choice of a schema: `Tool`, or `MCPTool.allowed_tools` for one without a name."""
    for name, node in document["$defs"].items():
        if "allOf" in node:
            yield name
        for key, child in node.get("properties", {}).items():
            if "allOf" in child.get("items", child):
                # A choice between a type and a choice with a name: the name says it.
                refs = {option["then"].get("$ref", "") for option in child.get("allOf", ())}
                named = [ref.removeprefix("#/$defs/") for ref in refs if "allOf" in target(document, ref)]
                yield named[0] if named else f"{name}.{key}"


def target(document: JsonObject, ref: str) -> JsonObject:
    node: JsonObject = document["$defs"].get(ref.removeprefix("#/$defs/"), {})
    return node


def test_no_union_is_forgotten() -> None:
    documents = (schema.definition_schema(), schema.endpoint_schema(), schema.card_schema())
    assert {union for union, *_ in UNIONS} == {name for one in documents for name in choices(one)}


@pytest.mark.parametrize(
    ("value", "path", "message", "hint"),
    [pytest.param(*row[1:], id=f"{row[0]}-{number}") for number, row in enumerate(UNIONS)],
)
def test_error_is_about_the_branch_that_was_meant(
    value: JsonObject, path: str, message: str, hint: str
) -> None:
    assert (path, message, hint) in [said(finding) for finding in findings_of(value)]

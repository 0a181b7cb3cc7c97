"""The table of routes below a project, and how a path finds its row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.sandbox import (
    agent_versions,
    agents,
    code,
    conversations,
    readonly,
    responses,
    rest_only,
    session_files,
    sessions,
)
from reconciler.sandbox.wire import Handler

KIB = 1024
JSON_MAX_BYTES = 8 * 1024 * KIB
"""Bigger JSON bodies are answered with 413. Far above 128 tools of any sane size; it bounds memory."""


@dataclass(frozen=True)
class Route:
    """One operation. `template` uses the parameter names of the SDK; a last segment may end in `:verb`."""

    method: str
    template: str
    handler: Handler
    max_bytes: int = JSON_MAX_BYTES
    max_form_bytes: int = JSON_MAX_BYTES
    api_version: bool = True
    segments: tuple[tuple[str, str], ...] = field(init=False)
    """Per segment (literal, suffix) or ("{param}", suffix)."""

    def __post_init__(self) -> None:
        parts = []
        for segment in self.template.strip("/").split("/"):
            if segment.startswith("{"):
                name, _, suffix = segment.partition("}")
                parts.append((name + "}", suffix))
            else:
                parts.append((segment, ""))
        object.__setattr__(self, "segments", tuple(parts))

    @property
    def writes(self) -> bool:
        """Whether the handler may change the state."""
        return self.method != "GET"


AGENT = "/agents/{agent_name}"
VERSION = AGENT + "/versions/{agent_version}"
SESSION = AGENT + "/endpoint/sessions/{session_id}"
FILES = AGENT + "/endpoint/sessions/{agent_session_id}/files"
RESPONSE = "/responses/{response_id}"
CONVERSATION = "/conversations/{conversation_id}"
ITEM = CONVERSATION + "/items/{item_id}"


def _openai(base: str, create_response: Handler, *, api_version: bool) -> tuple[Route, ...]:
    """The OpenAI routes below `base`: they exist below the project and below each agent."""
    table: tuple[tuple[str, str, Handler], ...] = (
        ("POST", "/responses", create_response),
        ("GET", RESPONSE, responses.get_response),
        ("DELETE", RESPONSE, responses.delete_response),
        ("POST", RESPONSE + "/cancel", responses.cancel_response),
        ("GET", RESPONSE + "/input_items", responses.list_input_items),
        ("POST", "/conversations", conversations.create_conversation),
        ("GET", CONVERSATION, conversations.get_conversation),
        ("POST", CONVERSATION, conversations.update_conversation),
        ("DELETE", CONVERSATION, conversations.delete_conversation),
        ("POST", CONVERSATION + "/items", conversations.create_items),
        ("GET", CONVERSATION + "/items", conversations.list_items),
        ("GET", ITEM, conversations.get_item),
        ("DELETE", ITEM, conversations.delete_item),
    )
    return tuple(
        Route(method, base + template, handler, api_version=api_version)
        for method, template, handler in table
    )


ROUTES = (
    Route("GET", "/agents", agents.list_agents),
    Route("POST", "/agents", rest_only.create_agent, max_form_bytes=code.MAX_BYTES),
    Route("POST", "/agents:import", rest_only.import_agent),
    Route("POST", "/agents:generate", rest_only.generate_agent),
    Route("GET", AGENT, agents.get_agent),
    Route("POST", AGENT, rest_only.update_agent, max_form_bytes=code.MAX_BYTES),
    Route("PATCH", AGENT, agents.update_details),
    Route("DELETE", AGENT, agent_versions.delete_agent),
    Route("POST", AGENT + ":enable", agents.enable),
    Route("POST", AGENT + ":disable", agents.disable),
    Route("POST", AGENT + "/import", rest_only.import_into_agent),
    Route("GET", AGENT + "/code:download", code.download),
    Route("POST", AGENT + "/versions", agent_versions.create_version, max_form_bytes=code.MAX_BYTES),
    Route("POST", AGENT + "/versions:import", rest_only.import_version),
    Route("GET", AGENT + "/versions", agent_versions.list_versions),
    Route("GET", VERSION, agent_versions.get_version),
    Route("DELETE", VERSION, agent_versions.delete_version),
    Route("GET", VERSION + "/sessions/{session_id}:logstream", sessions.log_stream),
    Route("POST", AGENT + "/endpoint/sessions", sessions.create_session),
    Route("GET", AGENT + "/endpoint/sessions", sessions.list_sessions),
    Route("GET", SESSION, sessions.get_session),
    Route("DELETE", SESSION, sessions.delete_session),
    Route("POST", SESSION + ":stop", sessions.stop_session),
    Route("PUT", FILES + "/content", session_files.upload, max_bytes=session_files.MAX_BYTES),
    Route("GET", FILES + "/content", session_files.download),
    Route("GET", FILES, session_files.list_files),
    Route("DELETE", FILES, session_files.delete),
    *_openai("/openai/v1", responses.create_for_project, api_version=False),
    *_openai(AGENT + "/endpoint/protocols/openai", responses.create_for_agent, api_version=True),
    Route("GET", "/connections", readonly.lister(readonly.CONNECTIONS)),
    Route("GET", "/connections/{name}", readonly.getter(readonly.CONNECTIONS)),
    Route("GET", "/deployments", readonly.lister(readonly.DEPLOYMENTS)),
    Route("GET", "/deployments/{name}", readonly.getter(readonly.DEPLOYMENTS)),
)
"""Every route of a project. Source: operations of azure-ai-projects 2.10."""


def _by_shape() -> dict[tuple[str, int], list[Route]]:
    shapes: dict[tuple[str, int], list[Route]] = {}
    for route in ROUTES:
        shapes.setdefault((route.method, len(route.segments)), []).append(route)
    for candidates in shapes.values():
        # `/agents/x:enable` is not the agent `x:enable`: longer suffixes are tried first.
        candidates.sort(key=lambda route: -max(len(suffix) for _, suffix in route.segments))
    return shapes


_SHAPES = _by_shape()


def match(method: str, segments: list[str]) -> tuple[Route, Mapping[str, str]] | None:
    """The route for decoded path segments below the project, with its parameters; None when there is none."""
    for route in _SHAPES.get((method, len(segments)), ()):
        params: dict[str, str] = {}
        for (pattern, suffix), segment in zip(route.segments, segments, strict=True):
            if pattern[0] != "{":
                if segment != pattern:
                    break
            elif segment.endswith(suffix) and len(segment) > len(suffix):
                params[pattern[1:-1]] = segment.removesuffix(suffix)
            else:
                break
        else:
            return route, params
    return None

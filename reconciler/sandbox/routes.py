"""The table of routes below a project, and how a path finds its row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.sandbox import agent_versions, agents
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

ROUTES = (
    Route("GET", "/agents", agents.list_agents),
    Route("GET", AGENT, agents.get_agent),
    Route("PATCH", AGENT, agents.update_details),
    Route("DELETE", AGENT, agents.delete_agent),
    Route("POST", AGENT + ":enable", agents.enable),
    Route("POST", AGENT + ":disable", agents.disable),
    Route("POST", AGENT + "/versions", agent_versions.create_version),
    Route("GET", AGENT + "/versions", agent_versions.list_versions),
    Route("GET", VERSION, agent_versions.get_version),
    Route("DELETE", VERSION, agent_versions.delete_version),
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

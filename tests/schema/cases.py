"""Definitions to start from, and findings as people read them."""

from __future__ import annotations

from reconciler.errors import Finding
from reconciler.resource import Json, JsonObject

PROMPT: JsonObject = {"kind": "prompt", "model": "m"}
HOSTED: JsonObject = {"kind": "hosted", "cpu": "1", "memory": "2Gi"}
VOICE: JsonObject = {"kind": "voice"}
MCP: JsonObject = {"type": "mcp", "server_label": "x"}
FILES: JsonObject = {"type": "file_search", "vector_store_ids": []}
NEWER = "A newer preview passes with `schema: warn`."
NO_HINT = ""


def prompt(**keys: Json) -> JsonObject:
    return {**PROMPT, **keys}


def tool(of: JsonObject, **keys: Json) -> JsonObject:
    return prompt(tools=[{**of, **keys}])


def said(finding: Finding) -> tuple[str, str, str]:
    return ".".join(map(str, finding.path)), finding.message, finding.hint

"""The JSON Schema of the configuration file, for editors."""

from __future__ import annotations

from typing import Final

from reconciler.resource import JsonObject
from reconciler.service.config_spec import ServiceSpec

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> JsonObject:
    """The schema of the configuration file, draft 2020-12; a value of the caller's own.

    What one value may be is in it; what settings mean for each other is checked when the file is read.
    """
    schema = ServiceSpec.model_json_schema()
    schema["$defs"]["Secret"]["oneOf"] = [{"required": ["env"]}, {"required": ["file"]}]
    schema["$defs"]["SignaturesSpec"]["anyOf"] = [{"required": ["ssh"]}, {"required": ["gpg"]}]
    return {"$schema": _DRAFT, "title": "Configuration of `reconciler serve`", **_untitled(schema)}


def _untitled(schema: JsonObject) -> JsonObject:
    """Without the titles that pydantic makes of names: editors would show them instead of descriptions."""
    definitions = schema.get("$defs", {})
    for part in (schema, *definitions.values()):
        part.pop("title", None)
        for value in part.get("properties", {}).values():
            value.pop("title", None)
    return schema

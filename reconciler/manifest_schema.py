"""The JSON Schema of a whole manifest, for editors and for whoever checks manifests by other means."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from pydantic import BaseModel

from reconciler.kinds.kind import Registry
from reconciler.manifest import API_VERSION, NAME, PROJECT
from reconciler.project_spec import ProjectSpec
from reconciler.resource import Json, JsonObject
from reconciler.values import NAME as VALUE_NAME

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_FILL: Final = "Filled"
# What stands for a value that is filled in when the manifest is read.
_FILLED: Final[JsonObject] = {
    "description": "A value that is filled in: $value (typed), $text or $file",
    "type": "object",
    "oneOf": [
        {
            "properties": {"$value": {"type": "string", "pattern": f"^{VALUE_NAME.pattern}$"}},
            "required": ["$value"],
            "additionalProperties": False,
        },
        {
            "properties": {"$text": {"type": "string"}},
            "required": ["$text"],
            "additionalProperties": False,
        },
        {
            "properties": {"$file": {"type": "string"}, "substitute": {"type": "boolean"}},
            "required": ["$file"],
            "additionalProperties": False,
        },
    ],
}
# Taken as written: what `$value` means inside of them is decided for the agents they are for.
_LITERAL: Final = ("values", "values_from_env", "patches")


def manifest_schema(kinds: Registry) -> JsonObject:
    """The schema of every manifest, Projects and all kinds, draft 2020-12; a value of the caller's own.

    Wherever a value may stand inside a spec, `{$value: …}`, `{$text: …}` and `{$file: …}` may stand too.
    """
    models: dict[str, type[BaseModel]] = {
        PROJECT: ProjectSpec,
        **{name: kind.spec for name, kind in kinds.items()},
    }
    definitions: JsonObject = {_FILL: deepcopy(_FILLED)}
    for name, model in models.items():
        own = model.model_json_schema()
        nested = own.pop("$defs", {})
        kept = {key: own["properties"].pop(key) for key in _LITERAL if name == PROJECT}
        own, nested = fillable(own), {key: fillable(value) for key, value in nested.items()}
        own["properties"] |= kept
        for key, value in {**nested, "Spec": own}.items():
            definitions[f"{name}.{key}"] = _renamed(value, name)
    return {
        "$schema": _DRAFT,
        "title": f"Manifest of {API_VERSION}",
        "type": "object",
        "properties": {
            "$schema": {"type": "string"},
            "apiVersion": {"const": API_VERSION},
            "kind": {"enum": list(models)},
            "metadata": _metadata(),
            "spec": {"type": "object"},
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
                "then": {"properties": {"spec": {"$ref": f"#/$defs/{name}.Spec"}}},
            }
            for name in models
        ],
        "$defs": definitions,
    }


def _metadata() -> JsonObject:
    return {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def fillable(schema: Json) -> Json:
    """The schema with every value inside it free to be filled in; conditions stay as they are."""
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    for key, part in schema.items():
        match key:
            case "properties":
                result[key] = {name: _or_filled(value) for name, value in part.items()}
            case "items" | "additionalProperties":
                result[key] = _or_filled(part)
            case "then" | "else":
                result[key] = fillable(part)
            case "allOf" | "anyOf" | "oneOf":
                result[key] = [fillable(item) for item in part]
            case _:
                result[key] = part
    return result


def _or_filled(schema: Json) -> Json:
    if not isinstance(schema, dict) or not schema:
        return schema
    inner = fillable(schema)
    said = {key: inner.pop(key) for key in ("description", "default", "examples") if key in inner}
    return {**said, "anyOf": [inner, {"$ref": f"#/$defs/{_FILL}"}]} if inner else said


def _renamed(schema: Json, prefix: str) -> Json:
    """The schema with references into the definitions of its own kind."""
    if isinstance(schema, list):
        return [_renamed(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _renamed(value, prefix) for key, value in schema.items()}
    ref = result.get("$ref")
    if isinstance(ref, str) and ref != f"#/$defs/{_FILL}":
        result["$ref"] = ref.replace("#/$defs/", f"#/$defs/{prefix}.")
    return result

"""Smallest valid values for every mapping that a schema describes, made from the schema alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache

from reconciler import schema
from reconciler.errors import Finding
from reconciler.resource import Json, JsonObject

Check = Callable[..., tuple[Finding, ...]]

DOCUMENTS: dict[str, tuple[JsonObject, Check]] = {
    "definition": (schema.definition_schema(), schema.check_definition),
    "endpoint": (schema.endpoint_schema(), schema.check_endpoint),
    "card": (schema.card_schema(), schema.check_card),
}


@dataclass(frozen=True)
class Shape:
    """A closed mapping, inside a valid document: `document` holds the smallest one at `path`."""

    name: str
    node: JsonObject
    document: Json
    path: tuple[str | int, ...]
    chosen_by: str = ""

    def changed(self, change: Callable[[JsonObject], object]) -> Json:
        """The document with the mapping changed."""
        document = deepcopy(self.document)
        at = document
        for part in self.path:
            at = at[part]
        change(at)
        return document


def resolved(document: JsonObject, node: JsonObject) -> JsonObject:
    while "$ref" in node:
        node = document["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return node


def smallest(document: JsonObject, node: JsonObject) -> Json:
    """The smallest valid value: only what is required."""
    node = resolved(document, node)
    if "enum" in node:
        return node["enum"][0]
    if node.get("allOf"):
        return smallest(document, node["allOf"][0]["then"])
    kind = node.get("type", "object")
    match kind if isinstance(kind, str) else kind[0]:
        case "string":
            return "x"
        case "boolean":
            return True
        case "integer" | "number":
            return 1
        case "array":
            return []
    return {key: smallest(document, node["properties"][key]) for key in node.get("required", ())}


@cache
def shapes(which: str) -> tuple[Shape, ...]:
    """Every closed mapping that can be reached, each once, where it is reached first."""
    document = DOCUMENTS[which][0]
    found: dict[str, Shape] = {}
    for shape in _walk(document, document, lambda value: value, (), set(), ""):
        found.setdefault(shape.name, shape)
    return tuple(found.values())


def _walk(
    document: JsonObject,
    node: JsonObject,
    inside: Callable[[Json], Json],
    path: tuple[str | int, ...],
    seen: set[str],
    chosen_by: str,
) -> Iterator[Shape]:
    name = node.get("$ref", "").removeprefix("#/$defs/")
    if name in seen:
        return
    seen = seen | ({name} if name else set())
    node = resolved(document, node)
    key = next(iter(node.get("properties", {})), "") if "allOf" in node else chosen_by
    for option in node.get("allOf", ()):
        yield from _walk(document, option["then"], inside, path, seen, key)
    if "items" in node:
        yield from _walk(document, node["items"], lambda value: inside([value]), (*path, 0), seen, "")
    if isinstance(node.get("additionalProperties"), dict):
        extra = node["additionalProperties"]
        yield from _walk(document, extra, lambda value: inside({"k": value}), (*path, "k"), seen, "")
    if node.get("additionalProperties") is not False:
        return
    base = smallest(document, node)
    yield Shape(name, node, inside(base), path, chosen_by)
    for key, child in node["properties"].items():

        def put(value: Json, key: str = key) -> Json:
            return inside({**base, key: value})

        yield from _walk(document, child, put, (*path, key), seen, "")

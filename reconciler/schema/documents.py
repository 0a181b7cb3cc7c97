"""The schema files, their compiled validators, and looking things up inside them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from reconciler.resource import Json, JsonObject

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

DEFINITION: Final = "agent_definition"
ENDPOINT: Final = "agent_endpoint"
CARD: Final = "agent_card"


def fresh(name: str) -> JsonObject:
    """A schema that the caller may change."""
    schema: JsonObject = orjson.loads((Path(__file__).parent / f"{name}.json").read_bytes())
    return schema


@cache
def document(name: str) -> JsonObject:
    """A schema, read once; not to be changed."""
    return fresh(name)


@cache
def validator(name: str) -> Draft202012Validator:
    """The compiled schema. The compiler loads with the first use, so that `--help` does not pay for it."""
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(document(name))


def resolved(schema: JsonObject, node: JsonObject) -> JsonObject:
    """The node, or what its `$ref` names."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def node_at(schema: JsonObject, path: Iterable[str | int]) -> Json:
    """The part of a schema under a path of keywords, which may lead through `$ref`."""
    node: Json = schema
    for part in path:
        node = resolved(schema, node) if part == "$ref" else node[part]
    return node


def branches(schema: JsonObject, node: JsonObject) -> tuple[JsonObject, ...]:
    """The closed mappings that a choice is between, through choices inside it; () for a node that is none."""
    found: list[JsonObject] = []
    for option in node.get("allOf", ()):
        inner = resolved(schema, option["then"])
        found += branches(schema, inner) or (inner,)
    return tuple(found)

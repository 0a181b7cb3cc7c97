"""Which paths of an agent exist at all, for `lifecycle.ignore` (rule C3)."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.pointers import parts
from reconciler.resource import JsonObject
from reconciler.schema.documents import DEFINITION, document, resolved


def knows(pointer: str) -> bool:
    """Whether a pointer names something that an agent version can hold.

    Args:
        pointer: RFC 6901 from the manifest's `spec`, with `*` for every item of a list:
            `/definition/tools/*/server_url`, `/description`, `/metadata/owner`. It is known when any
            branch of a choice knows it; inside free-form mappings everything is.

    Returns:
        False also for a malformed pointer, for the whole spec, and for what is no part of a version
        (`/endpoint`, `/release`).
    """
    try:
        path = parts(pointer)
    except ValueError:
        return False
    match path:
        case ("definition", *rest):
            return _reaches(rest)
        case ("description",) | ("metadata",) | ("metadata", _):
            return True
        case _:
            return False


def _reaches(path: list[str]) -> bool:
    schema = document(DEFINITION)
    nodes = [schema]
    for part in path:
        nodes = [child for node in nodes for one in _shapes(schema, node) for child in _under(one, part)]
    return bool(nodes)


def _shapes(schema: JsonObject, node: JsonObject) -> Iterator[JsonObject]:
    """The node itself and every branch that it may turn out to be."""
    node = resolved(schema, node)
    yield node
    for option in node.get("allOf", ()):
        yield from _shapes(schema, option["then"])


def _under(node: JsonObject, part: str) -> Iterator[JsonObject]:
    if not node.keys() - {"description"}:
        yield node
    elif part in node.get("properties", {}):
        yield node["properties"][part]
    elif "items" in node and (part == "*" or part.isdecimal()):
        yield node["items"]
    elif isinstance(node.get("additionalProperties"), dict):
        yield node["additionalProperties"]
    elif node.get("type") == "object" and "properties" not in node:
        yield {}

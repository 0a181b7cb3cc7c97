"""Set or remove `release.version` in the text of a manifest; everything else stays as it was written. Pure.

YAML is edited as text at the place of the node, since writing it out again would lose comments and layout.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from reconciler.errors import InvalidInput
from reconciler.resource import Json
from reconciler.yaml_nodes import parse

_HINT: Final = "Edit it by hand: `release: {version: …}` below `spec` of this agent."
# What may follow a value on its line.
_REST: Final = re.compile(r"[ \t]*(#[^\n]*)?(?=\r?\n|\Z)")


def with_version(text: str, kind: str, name: str, version: str | None) -> str:
    """The text of a manifest file with this version in the release of one resource.

    Args:
        version: the number; None removes it, and with it a `release` that says nothing else.

    Raises:
        InvalidInput: the file cannot be edited without changing something else.
    """
    index, value = _document(text, kind, name)
    try:
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        # Two readers of YAML that differ about a file leave no safe place in it.
        raise _unsafe(name, "its layout is one that we do not know") from error
    nodes = [node for node in documents if node is not None and node.tag != "tag:yaml.org,2002:null"]
    spec = _child(nodes[index], "spec") if index < len(nodes) else None
    if spec is None or not isinstance(spec[1], MappingNode):
        raise _unsafe(name, "it has no `spec` with keys")
    edited = _removed(text, spec[1], value) if version is None else _set(text, spec[1], version)
    if edited != text:
        _verify(text, edited, index, version, name)
    return edited


def _document(text: str, kind: str, name: str) -> tuple[int, Json]:
    """Which document of a file is this resource's, and its value."""
    parsed = parse(text.encode())
    if parsed.faults:
        raise _unsafe(name, parsed.faults[0].message)
    for index, document in enumerate(parsed.documents):
        value = document.value
        if not isinstance(value, dict) or value.get("kind") != kind:
            continue
        metadata = value.get("metadata")
        if isinstance(metadata, dict) and metadata.get("name") == name:
            return index, value
    raise _unsafe(name, f"no document in it is {kind}/{name}")


def _unsafe(name: str, why: str) -> InvalidInput:
    return InvalidInput(f"the manifest of {name} cannot be edited safely: {why}", hint=_HINT)


def _child(node: Node, key: str) -> tuple[ScalarNode, Node] | None:
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if isinstance(name, ScalarNode) and name.value == key:
                return name, value
    return None


def _set(text: str, spec: MappingNode, version: str) -> str:
    release = _child(spec, "release")
    if release is None or _is_empty(release[1]):
        if release is None:
            return _added(text, spec, f'release: {{version: "{version}"}}')
        start = release[1].start_mark.index
        # `release:` alone has its empty value right behind the colon.
        gap = "" if text[start - 1 : start] in (" ", "\t") else " "
        return text[:start] + f'{gap}{{version: "{version}"}}' + text[release[1].end_mark.index :]
    if not isinstance(release[1], MappingNode):
        raise _unsafe("it", "its `release` is no mapping")
    there = _child(release[1], "version")
    if there is None:
        return _added(text, release[1], f'version: "{version}"')
    value = there[1]
    return text[: value.start_mark.index] + f'"{version}"' + text[value.end_mark.index :]


def _is_empty(node: Node) -> bool:
    return bool(node.value in ("", "~", "null") or node.value == [])


def _added(text: str, mapping: MappingNode, entry: str) -> str:
    """The text with one more entry: behind the last one of a block, first in braces."""
    if mapping.flow_style or not mapping.value:
        at: int = mapping.start_mark.index + 1
        if text.lstrip("\ufeff").startswith("{"):
            entry = re.sub(r"(\w+):", r'"\1":', entry)
        return text[:at] + entry + (", " if mapping.value else "") + text[at:]
    indent: str = " " * mapping.value[0][0].start_mark.column
    end = max(_ends(mapping))
    at = end if text[:end].endswith("\n") else _line_end(text, end)
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not at or text[at - 1] == "\n" else newline
    return text[:at] + gap + indent + entry + newline + text[at:]


def _ends(node: Node) -> Iterator[int]:
    """Where the values inside of a node end. A block's own end is where the next thing begins."""
    if isinstance(node, MappingNode) and not node.flow_style:
        for key, value in node.value:
            yield from (key.end_mark.index, *_ends(value))
    elif isinstance(node.value, list) and not getattr(node, "flow_style", True):
        for item in node.value:
            yield from _ends(item)
    else:
        yield node.end_mark.index


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _removed(text: str, spec: MappingNode, value: Json) -> str:
    release = _child(spec, "release")
    there = _child(release[1], "version") if release is not None else None
    if release is None or there is None:
        return text
    if value["spec"]["release"].keys() == {"version"}:
        return _without(text, spec, release)
    assert isinstance(release[1], MappingNode)
    return _without(text, release[1], there)


def _without(text: str, mapping: MappingNode, entry: tuple[ScalarNode, Node]) -> str:
    """The text without one entry of a mapping, and without its line where it stood alone."""
    start, end = entry[0].start_mark.index, max(_ends(entry[1]))
    if mapping.flow_style:
        after = re.compile(r"\s*,[ \t]*").match(text, end)
        before = re.compile(r",\s*\Z").search(text[:start])
        if after:
            return text[:start] + text[after.end() :]
        return text[: before.start() if before else start] + text[end:]
    line = text.rfind("\n", 0, start) + 1
    rest = _REST.match(text, end)
    if text[line:start].strip() or rest is None:
        raise _unsafe("it", "something else stands on the line of its version")
    return text[:line] + text[_line_end(text, rest.end()) :]


def _verify(text: str, edited: str, index: int, version: str | None, name: str) -> None:
    """Nothing but the version has changed.

    Raises:
        InvalidInput: something else has.
    """
    wanted = [copy.deepcopy(document.value) for document in parse(text.encode()).documents]
    spec = wanted[index]["spec"]
    release = dict(spec.get("release") or {})
    if version is None:
        release.pop("version", None)
    else:
        release["version"] = version
    if release:
        spec["release"] = release
    elif isinstance(spec.get("release"), dict):
        del spec["release"]
    parsed = parse(edited.encode())
    if parsed.faults or [document.value for document in parsed.documents] != wanted:
        raise _unsafe(name, "its layout is one that we do not know")

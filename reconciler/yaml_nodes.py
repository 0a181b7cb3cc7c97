"""YAML 1.2 text into JSON values with the place of every key and value. Pure: bytes in, values out.

Duplicate keys, aliases, tags and what JSON cannot hold are faults. Each value is walked once.
"""

from __future__ import annotations

import marshal
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import yaml

from reconciler.errors import ReconcilerError
from reconciler.resource import Json

# The service takes far less; a manifest beyond this is a wrong file, and parsing it would block a run.
MAX_BYTES: Final = 1024 * 1024
# Deeper values are not written by people, and the parser's own recursion ends the process at some depth.
MAX_DEPTH: Final = 100
# What canonical JSON can hold (orjson): 64 bits, signed or not.
_LEAST_INT, _MOST_INT = -(2**63), 2**64 - 1

# Line and column from 1, then the children: by key with the key's own place in front, or by index.
# Documents keep it packed by `marshal`, in a fifth of the memory: a whole repository is held at once, and
# when all is well one place of each manifest is asked for.
Places = tuple[Any, ...]


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a text; line and column from 1."""

    line: int
    column: int
    message: str
    hint: str = ""


class Document:
    """One YAML document: its value, and where each part of it was written (`Places`, packed)."""

    __slots__ = ("_packed", "_value", "places")

    def __init__(self, value: Json, places: bytes) -> None:
        self.places = places
        self._value = value
        self._packed = b""

    @property
    def value(self) -> Json:
        """The document; a copy of its own each time when it is at rest."""
        return marshal.loads(self._packed) if self._packed else self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and (self.value, self.places) == (other.value, other.places)

    def rest(self) -> None:
        """Pack the value into a third of the memory, for a document that is rarely looked at."""
        if not self._packed:
            self._packed, self._value = marshal.dumps(self._value), None

    def place(self, path: Sequence[str | int], *, on_key: bool = False) -> tuple[int, int]:
        """Line and column of the value at `path`, or of the nearest one around it that is there."""
        at: Places = marshal.loads(self.places)
        key: tuple[int, int] | None = None
        for part in path:
            children = at[2] if len(at) > 2 else None
            if isinstance(children, dict) and part in children:
                line, column, at = children[part]
                key = (line, column)
            elif isinstance(children, list) and isinstance(part, int) and part < len(children):
                key, at = None, children[part]
            else:
                key = None
                break
        return key if on_key and key else (at[0], at[1])


@dataclass(frozen=True)
class Parsed:
    """The documents of one file, empty ones left out, and every fault that was found.

    `whole` is False where a fault ended the reading: more documents may follow.
    """

    documents: tuple[Document, ...]
    faults: tuple[Fault, ...] = ()
    whole: bool = True


def parse(content: bytes) -> Parsed:
    """The documents of a file in UTF-8. The result depends on nothing else, so it may be kept by content.

    Raises:
        ReconcilerError: PyYAML was installed without its C library.
    """
    if len(content) > MAX_BYTES:
        message = f"{len(content):,} bytes, and a manifest has at most {MAX_BYTES:,}"
        hint = "Split it, or move long texts out with `{$file: path}`."
        return Parsed((), (Fault(1, 1, message, hint),), whole=False)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        fault = Fault(1, 1, "UTF-16 text, not UTF-8", "Save the file as UTF-8.")
        return Parsed((), (fault,), whole=False)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, start = before.count(b"\n") + 1, before.rfind(b"\n") + 1
        fault = Fault(line, error.start - start + 1, "a byte that is not UTF-8", "Save the file as UTF-8.")
        return Parsed((), (fault,), whole=False)
    return _Parser(text).run()


def check_libyaml(present: bool) -> None:
    """Raises ReconcilerError when PyYAML cannot use its C library; the other parser is 11 times slower."""
    if not present:
        raise ReconcilerError(
            "PyYAML is installed without its C library",
            hint="Install PyYAML from a wheel: `pip install --force-reinstall --only-binary :all: pyyaml`.",
        )


_PLAIN: Final = "plain"
_TEXT: Final = "tag:yaml.org,2002:str"
_NO_TAG: Final = frozenset({_PLAIN, _TEXT, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class _Stop(Exception):
    """Ends the parse of a text with a fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@cache
def _loader() -> type[Any]:
    check_libyaml(yaml.__with_libyaml__)

    class Loader(yaml.CSafeLoader):
        """Leaves the meaning of plain text to the walk, and counts the depth while it composes."""

        depth = 0

        def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
            if kind is yaml.ScalarNode:
                return _PLAIN if implicit[0] else _TEXT
            return "tag:yaml.org,2002:map" if kind is yaml.MappingNode else "tag:yaml.org,2002:seq"

        def descend_resolver(self, current_node: Any, current_index: Any) -> None:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                mark = current_node.start_mark
                message = f"more than {MAX_DEPTH} levels of nesting"
                raise _Stop(Fault(mark.line + 1, mark.column + 1, message, "Make the manifest flatter."))

        def ascend_resolver(self) -> None:
            self.depth -= 1

    return Loader


class _Parser:
    """The walk over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.faults: list[Fault] = []
        self.seen: set[int] = set()
        self.aliased = False

    def run(self) -> Parsed:
        documents: list[Document] = []
        whole = True
        # Nodes are told apart by identity, so they must live as long as the walk.
        nodes: list[yaml.Node] = []
        try:
            loader = _loader()(self.text)
            while loader.check_node():
                node = loader.get_node()
                nodes.append(node)
                value, places = self.walk(node)
                if value is not None:
                    documents.append(Document(value, marshal.dumps(places)))
        except yaml.YAMLError as error:
            self.faults.append(explain_yaml(error, self.text))
            whole = False
        except _Stop as stop:
            self.faults.append(stop.fault)
            whole = False
        if self.aliased:
            self.faults += _aliases(self.text)
        faults = sorted(set(self.faults), key=lambda fault: (fault.line, fault.column))
        return Parsed(tuple(documents), tuple(faults), whole)

    def walk(self, node: yaml.Node) -> tuple[Json, Places]:
        mark = node.start_mark
        line, column = mark.line + 1, mark.column + 1
        if id(node) in self.seen:
            self.aliased = True
            return None, (line, column)
        self.seen.add(id(node))
        if node.tag not in _NO_TAG:
            self.fault(node, f"the tag `{node.tag}`", "Quote a value to make it text.")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node), (line, column)
        if isinstance(node, yaml.SequenceNode):
            items = [self.walk(item) for item in node.value]
            return [value for value, _ in items], (line, column, [places for _, places in items])
        result: dict[str, Json] = {}
        children: dict[str, Places] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node)
            at = key_node.start_mark
            if key in result:
                self.fault(key_node, f"the key `{key}` is here twice", "Keep one of them.")
            value, places = self.walk(value_node)
            if key is not None:
                result[key] = value
                children[key] = (at.line + 1, at.column + 1, places)
        return result, (line, column, children)

    def key(self, node: yaml.Node) -> str | None:
        """A key as text, numbers too: the paths and status codes of inline OpenAPI are written so."""
        if isinstance(node, yaml.ScalarNode):
            if id(node) in self.seen:
                self.aliased = True
            self.seen.add(id(node))
            return sys.intern(str(node.value))
        if isinstance(node, yaml.MappingNode):
            hint = 'Quote it: "{{name}}". A template has to be filled in before it is a manifest.'
            self.fault(node, "`{{…}}` without quotes, which YAML reads as a mapping used as a key", hint)
        else:
            self.fault(node, "a mapping or list as a key", "Keys are text.")
        return None

    def scalar(self, node: yaml.ScalarNode) -> Json:
        text: str = node.value
        if node.tag != _PLAIN:
            return text
        try:
            return plain(text)
        except ValueError as error:
            self.fault(node, str(error), "Quote it if it is text.")
            return text

    def fault(self, node: yaml.Node, message: str, hint: str) -> None:
        mark = node.start_mark
        self.faults.append(Fault(mark.line + 1, mark.column + 1, message, hint))


_WORDS: Final[dict[str, Json]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_JSON: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def plain(text: str) -> Json:
    """What an unquoted scalar means by the core schema of YAML 1.2: `no`, `on` and `12:30` are text.

    Raises:
        ValueError: a number that JSON cannot hold.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text) or _BASED.fullmatch(text):
        # 20 digits are past 64 bits; longer ones must not even be converted.
        number = int(text, 0) if text[:2] in ("0x", "0o") else int(text) if len(text) < 40 else _MOST_INT + 1
        if not _LEAST_INT <= number <= _MOST_INT:
            raise ValueError("a number of more than 64 bits")
        return number
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError("a number too large for JSON")
        return value
    if _NO_JSON.fullmatch(text):
        raise ValueError(f"`{text}`, which JSON does not have")
    return text


def _aliases(text: str) -> list[Fault]:
    """A fault for each alias; looked for only when there is one."""
    hint = "Write the value out. Shared values belong into `values` or `patches` of the Project."
    return [
        Fault(mark.line + 1, mark.column + 1, f"the alias `*{event.anchor}`", hint)
        for event in yaml.parse(text, Loader=_loader())
        if isinstance(event, yaml.AliasEvent) and (mark := event.start_mark) is not None
    ]


# The characters that YAML refuses.
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")

# What the parser says, to what a person wrote and does next.
_SAID: Final = (
    (
        "mapping values are not allowed",
        "a second `: ` in one value, or a line indented too far",
        'Quote a value that contains ": ", or check the indentation.',
    ),
    (
        "could not find expected ':'",
        "a key without `: `",
        "Write `key: value`; indent longer texts.",
    ),
    (
        "did not find expected key",
        "a line that does not fit the lines around it",
        "Check indentation and quotes.",
    ),
    ("did not find expected '-'", "a line that is no item of the list", "Check the indentation."),
    ("did not find expected ',' or", "a `[` or `{` that is not closed", "Close it, or quote the value."),
    ("did not find expected node", "a `[` or `{` that is not closed", "Close it, or quote the value."),
    ("unexpected end of stream", "a quote that is not closed", "Close the quote."),
    (
        "unknown escape",
        "a `\\` that double quotes do not know",
        "Use single quotes, or write `\\\\`.",
    ),
    ("undefined alias", "an alias without its anchor", "Quote a value that starts with `*`."),
    ("duplicate anchor", "an anchor that is here twice", "Manifests have no anchors and aliases."),
    ("expected alphabetic", "a bare `*` or `&`", "Quote a value that starts with `*` or `&`."),
    ("tab character", "a tab in the indentation", "Indent with spaces."),
)


def explain_yaml(error: yaml.YAMLError, text: str) -> Fault:
    """The parser's complaint with its place, in words that name the remedy."""
    mark = getattr(error, "problem_mark", None)
    said = str(getattr(error, "problem", "") or "")
    if mark is None:
        position = getattr(error, "position", None)
        if isinstance(position, int):
            match = _CONTROL.search(text)
            found = match.start() if match else 0
            line, start = text.count("\n", 0, found) + 1, text.rfind("\n", 0, found) + 1
            hint = "Remove it; in double quotes it may be written as an escape, such as \\u001b."
            return Fault(line, found - start + 1, "a control character", hint)
        return Fault(1, 1, "this is no YAML", "Check the file.")
    line, column = mark.line + 1, mark.column + 1
    lines = text.splitlines()
    char = lines[mark.line][mark.column : mark.column + 1] if mark.line < len(lines) else ""
    if "cannot start any token" in said:
        if char == "\t":
            return Fault(line, column, "a tab in the indentation", "Indent with spaces.")
        return Fault(line, column, f"a value cannot start with `{char}`", "Quote the value.")
    if "{{" in (lines[mark.line] if mark.line < len(lines) else "") or "{%" in char:
        hint = 'Quote it: "{{name}}". A template has to be filled in before it is a manifest.'
        return Fault(line, column, "`{{…}}` without quotes", hint)
    for part, message, hint in _SAID:
        if part in said:
            return Fault(line, column, message, hint)
    return Fault(line, column, f"no YAML: {said[:100]}" if said else "no YAML", "Check the lines around it.")

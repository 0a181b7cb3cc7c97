"""JSON values as tidy YAML that our own parser, and any other, reads back exactly. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import yaml

from reconciler.resource import Json, canonical
from reconciler.yaml_nodes import parse, plain

Path = tuple[str | int, ...]

# A longer one is easier to read, and to compare, over several lines.
_MOST_INLINE_CHARS: Final = 60
_MOST_INLINE_KEYS: Final = 3
# YAML takes a key on one line only up to 1,024 characters, its quotes and escapes counted.
_MOST_KEY_CHARS: Final = 1_000
# Invisible to Python, and at home in prose and emoji: no-break spaces and joiners.
_IN_PROSE: Final = frozenset("\t\xa0\u200b\u200c\u200d\u202f\u3000")
_INDICATORS: Final = frozenset("-?:,[]{}#&*!|>'\"%@`=<")


class NotRepresentable(ValueError):
    """A value that YAML text cannot carry to our parser and back."""


def dump(value: Json, comments: Mapping[Path, str] = MappingProxyType({})) -> str:
    """The value as one YAML document that parses to exactly this value.

    Args:
        comments: path of a mapping's key to the lines that stand above it, without `#`.

    Raises:
        NotRepresentable: it is nested too deep, too long, or holds a number that YAML cannot.
    """
    for blocks in (True, False):
        text = "".join(f"{line}\n" for line in _Writer(blocks, comments).lines(value, 0, ()))
        parsed = parse(text.encode("utf-8", "surrogatepass"))
        # By their canonical bytes: Python calls true, 1 and 1.0 equal.
        if not parsed.faults and [canonical(one.value) for one in parsed.documents] == [canonical(value)]:
            return text
    why = parsed.faults[0].message if parsed.faults else "a value that YAML reads differently"
    raise NotRepresentable(why)


class _Writer:
    """One walk. `blocks` allows texts of several lines as literal blocks."""

    def __init__(self, blocks: bool, comments: Mapping[Path, str]) -> None:
        self.blocks = blocks
        self.comments = comments

    def lines(self, value: Json, indent: int, path: Path) -> Iterator[str]:
        """A mapping or a list that is not empty, one key or item after the other."""
        pad = " " * indent
        if isinstance(value, dict):
            for key, item in value.items():
                for comment in self.comments.get((*path, key), "").splitlines():
                    yield f"{pad}# {comment}"
                name = text_scalar(key)
                head = f"{pad}{name}:"
                if len(name) > _MOST_KEY_CHARS:
                    yield f"{pad}? {name}"
                    head = f"{pad}:"
                yield from self.entry(head, item, indent, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.item(item, indent, (*path, index))
        else:
            yield pad + scalar(value)

    def entry(self, head: str, value: Json, indent: int, path: Path) -> Iterator[str]:
        """A key with its value, on one line where that reads well."""
        short = self.short(value, path)
        if short is not None:
            yield f"{head} {short}"
        elif isinstance(value, str):
            yield from self.block(head, value, indent)
        else:
            yield head
            yield from self.lines(value, indent + 2, path)

    def item(self, value: Json, indent: int, path: Path) -> Iterator[str]:
        """A list item; a mapping starts on the line of its dash."""
        pad = " " * indent
        short = self.short(value, path)
        if short is not None:
            yield f"{pad}- {short}"
        elif isinstance(value, str):
            yield from self.block(f"{pad}-", value, indent)
        else:
            first, *rest = self.lines(value, indent + 2, path)
            yield f"{pad}- {first[indent + 2 :]}"
            yield from rest

    def short(self, value: Json, path: Path) -> str | None:
        """The value for the rest of a line, None when it takes lines of its own."""
        if isinstance(value, dict | list) and value:
            wide = len(path) < 3 and path != ("metadata",)
            return None if wide and isinstance(value, dict) else inline(value)
        if isinstance(value, str) and self.blocks and is_block(value):
            return None
        return scalar(value)

    def block(self, head: str, text: str, indent: int) -> Iterator[str]:
        """A text as a literal block: every character as it is, line by line."""
        ends = len(text) - len(text.rstrip("\n"))
        chomp = "-" if ends == 0 else "" if ends == 1 else "+"
        # The parser takes the indent from the first line, unless that is told.
        explicit = "2" if text[0] in " \n\t" else ""
        yield f"{head} |{explicit}{chomp}"
        pad = " " * (indent + 2)
        for line in text.removesuffix("\n").split("\n"):
            yield pad + line if line else ""


def inline(value: Json) -> str | None:
    """A short mapping or list on one line, None when it does not read well there."""
    text = _flow(value)
    return text if text is not None and len(text) <= _MOST_INLINE_CHARS else None


def _flow(value: Json) -> str | None:
    if isinstance(value, dict):
        if len(value) > _MOST_INLINE_KEYS:
            return None
        pairs = [(_flow(key), _flow(item)) for key, item in value.items()]
        if any(key is None or item is None for key, item in pairs):
            return None
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    if isinstance(value, list):
        items = [_flow(item) for item in value]
        return None if None in items else "[" + ", ".join(str(item) for item in items) + "]"
    text = scalar(value)
    bare = not isinstance(value, str) or (text == value and not set(text) & set(",[]{}"))
    return text if bare or (len(text) <= 8 and text.isascii() and text[1:-1].isalnum()) else None


def scalar(value: Any) -> str:
    """A scalar or an empty collection on one line."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "{}"
        case list():
            return "[]"
        case str():
            return text_scalar(value)
    return repr(value)


def text_scalar(text: str) -> str:
    """A text on one line: bare where nobody can take it for something else, else in quotes."""
    if _bare(text):
        return text
    printable = text.isprintable()
    if printable and "'" not in text and ('"' in text or "\\" in text):
        return f"'{text}'"
    return "".join(
        char if char.isprintable() else _escaped(char) for char in json.dumps(text, ensure_ascii=False)
    )


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _bare(text: str) -> bool:
    if not text or text[0] in _INDICATORS or text != text.strip() or not text.isprintable():
        return False
    if ": " in text or " #" in text or text.endswith(":") or text.startswith(("---", "...")):
        return False
    return _is_text(text)


def _is_text(text: str) -> bool:
    """Whether it is text by YAML 1.2, as we read it, and by 1.1, as many editors do."""
    try:
        core = plain(text)
    except ValueError:
        return False
    return isinstance(core, str) and _resolver().resolve(yaml.ScalarNode, text, (True, False)) == _TEXT


_TEXT: Final = "tag:yaml.org,2002:str"


@cache
def _resolver() -> Any:
    return yaml.resolver.Resolver()


def is_block(text: str) -> bool:
    """Whether a literal block can hold the text without loss and without hiding anything."""
    if "\n" not in text.rstrip("\n") and not (text.endswith("\n") and len(text) > 1):
        return False
    return bool(text.strip()) and all(
        char.isprintable() or char == "\n" or char in _IN_PROSE for char in text
    )

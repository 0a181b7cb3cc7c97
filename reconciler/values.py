"""Fill in what a manifest asks for by `$value`, `$text` and `$file`; every other string is literal. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reconciler.errors import Finding
from reconciler.resource import Json
from reconciler.suggest import did_you_mean

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS: Final = ("$value", "$text", "$file", "$ref")
# Not more: `$id`, `$defs`, `$filter` and their like are other formats' own and stay as they are.
_MEANT: Final = {
    "$value": "$value",
    "$values": "$value",
    "$val": "$value",
    "$var": "$value",
    "$env": "$value",
    "$text": "$text",
    "$txt": "$text",
    "$string": "$text",
    "$file": "$file",
    "$files": "$file",
    "$include": "$file",
}
# In order: an escaped one, the service's own, ours, and the start of something that is neither.
_PARTS: Final = re.compile(r"\$\$\{|\$\{\{.*?\}\}|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{", re.DOTALL)
# `$ref` is also JSON Schema's: only `Kind/name` is ours, never `#/…`, a URL or a file.
_REF: Final = re.compile(r"[A-Z][A-Za-z]*/[^/]+")
# Shorter ones would mask half of every text.
LEAST_MASKED_CHARS: Final = 4

_QUOTED: Final = re.compile(r"`[^`]*`")

Path = tuple[str | int, ...]
# Reads a text file beside the manifest: its text, or a finding's message and hint.
ReadText = Callable[[str], "str | tuple[str, str]"]


@dataclass(frozen=True)
class Values:
    """The names that a Project gives a value.

    `missing` are names whose environment variable is not set, with that variable's name. `secret` are
    the names whose value came from the environment.
    """

    known: Mapping[str, Json]
    missing: Mapping[str, str] = field(default_factory=dict)
    secret: frozenset[str] = frozenset()

    @property
    def masked(self) -> frozenset[str]:
        """The values from the environment that are long enough to be masked."""
        return frozenset(v for n in self.secret if len(v := str(self.known[n])) >= LEAST_MASKED_CHARS)


@dataclass(frozen=True)
class Filled:
    """A value with everything filled in, what was wrong, and the names that were used.

    `secret_paths` are the places that hold a value from the environment.
    """

    value: Json
    findings: tuple[Finding, ...]
    used: frozenset[str]
    secret_paths: frozenset[Path] = frozenset()


def fill(value: Json, values: Values, read: ReadText) -> Filled:
    """The value with every `{$value: …}`, `{$text: …}` and `{$file: …}` replaced.

    What cannot be filled in becomes None and a finding. The input is not changed.
    """
    filling = _Filling(values, read)
    result = filling.walk(value, ())
    used = frozenset(filling.used)
    return Filled(result, tuple(filling.findings), used, frozenset(filling.secret_paths))


def told(found: Iterable[Finding], filled: Filled) -> Iterator[Finding]:
    """The findings about a filled value: each once, none that follows from a gap, no secret in any."""
    gaps = [_before_word(finding.path) for finding in filled.findings]
    for finding in dict.fromkeys(found):
        follows = any(finding.path[: len(path)] == path for path in gaps)
        if follows and finding not in filled.findings:
            continue
        if finding.path in filled.secret_paths:
            yield replace(finding, message=_QUOTED.sub("`***`", finding.message))
        else:
            yield finding


def _before_word(path: Path) -> Path:
    """The path of the value that `$value` and its like stand for."""
    for index, part in enumerate(path):
        if isinstance(part, str) and part.startswith("$"):
            return path[:index]
    return path


class _Filling:
    """One walk over one value."""

    def __init__(self, values: Values, read: ReadText) -> None:
        self.values = values
        self.read = read
        self.findings: list[Finding] = []
        self.used: set[str] = set()
        self.secret_paths: set[Path] = set()

    def walk(self, value: Json, path: Path) -> Json:
        if isinstance(value, dict):
            for key in value:
                if key[:1] == "$":
                    return self.marked(value, path)
            return {key: self.walk(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.walk(item, (*path, index)) for index, item in enumerate(value)]
        return value

    def marked(self, value: dict[str, Any], path: Path) -> Json:
        """A mapping with a key that starts with `$`: one of ours, a typo of one, or somebody else's."""
        first = next(iter(value))
        ours = next((word for word in _WORDS if word in value), "")
        if ours == "$ref" and not (isinstance(value["$ref"], str) and _REF.fullmatch(value["$ref"])):
            ours = ""
        if not ours:
            meant = _MEANT.get(first.casefold(), "") if len(value) == 1 else ""
            if meant:
                self.wrong((*path, first), f"unknown `{first}`", f"Did you mean `{meant}`?", on_key=True)
            return {key: self.walk(item, (*path, key)) for key, item in value.items()}
        others = [key for key in value if key != ours and not (ours == "$file" and key == "substitute")]
        if others:
            message = f"`{ours}` stands alone, and `{others[0]}` is beside it"
            return self.wrong((*path, others[0]), message, "Move the other keys out of it.", on_key=True)
        argument = value[ours]
        if not isinstance(argument, str):
            return self.wrong((*path, ours), f"`{ours}` takes a text", "For example `{$value: NAME}`.")
        match ours:
            case "$value":
                return self.named(argument, (*path, ours))
            case "$text":
                return self.text(argument, (*path, ours))
            case "$file":
                return self.file(argument, value.get("substitute", False), path)
        message = "references to other resources are not possible yet: agents are the only kind"
        return self.wrong((*path, ours), message, "Write the name or id itself.")

    def named(self, name: str, path: Path) -> Json:
        if name in self.values.known:
            self.used.add(name)
            if name in self.values.secret:
                self.secret_paths.add(path[:-1])
            return self.values.known[name]
        if name in self.values.missing:
            variable = self.values.missing[name]
            message = f"`{name}` comes from the environment variable {variable}, which is not set"
            return self.wrong(
                path, message, f"Set {variable}, or give `{name}` under `values` of the Project."
            )
        known = (*self.values.known, *self.values.missing)
        hint = did_you_mean(name, known, "Add it to `values` or `values_from_env` of the Project.")
        return self.wrong(path, f"the Project gives no value to `{name[:63]}`", hint)

    def text(self, text: str, path: Path) -> Json:
        found = len(self.findings)

        def part(match: re.Match[str]) -> str:
            whole, name = match[0], match[1]
            if whole == "$${":
                return "${"
            if whole.startswith("${{"):
                return whole
            if name is None:
                hint = "Write `${NAME}`, or `$${` for a literal `${`."
                self.wrong(path, f"`{text[match.start() :][:20]}` names no value", hint)
                return ""
            return self.as_text(name, path)

        result = _PARTS.sub(part, text)
        return result if len(self.findings) == found else None

    def as_text(self, name: str, path: Path) -> str:
        value = self.named(name, path)
        match value:
            case bool():
                return "true" if value else "false"
            case str() | int() | float():
                return str(value)
            case dict() | list():
                self.wrong(path, f"the value of `{name}` is no text", f"Use `{{$value: {name}}}` instead.")
            case None if name in self.used:
                self.wrong(path, f"the value of `{name}` is null", "Give it a text.")
        return ""

    def file(self, argument: str, substitute: object, path: Path) -> Json:
        if not isinstance(substitute, bool):
            return self.wrong((*path, "substitute"), "expected true or false", "Write `substitute: true`.")
        found = self.read(argument)
        if isinstance(found, tuple):
            return self.wrong((*path, "$file"), *found)
        return self.text(found, (*path, "$file")) if substitute else found

    def wrong(self, path: Path, message: str, hint: str, *, on_key: bool = False) -> None:
        self.findings.append(Finding(path, message, hint, on_key=on_key))

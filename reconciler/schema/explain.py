"""Words for what a validator found, about the branch of a choice that was meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Finding
from reconciler.resource import Json, JsonObject
from reconciler.schema.documents import branches, node_at
from reconciler.schema.legacy import UNSUPPORTED
from reconciler.suggest import did_you_mean, listed, nearest

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

Path = tuple[str | int, ...]

_TYPES: Final = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "a mapping",
}
# Longer values are prompts or secrets more often than misspelt names.
_MOST_SHOWN: Final = 40


def explain(
    schema: JsonObject, value: Json, errors: Sequence[ValidationError], *, strict: bool
) -> tuple[Finding, ...]:
    """The validator's errors about a value as findings by path, each thing said once.

    Values are never shown, but for misspelt names of a choice: what is in the wrong place may be secret.
    """
    found = _Reader(schema, value, strict=strict).findings(errors)
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: _order(finding.path)))


def explain_foreign(value: Json) -> tuple[Finding, ...]:
    """What in a value JSON has no form for: keys that are not text, dates."""
    return tuple(_foreign(value, ()))


def _order(path: Path) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (-1, part) for part in path]


def _foreign(value: Json, path: Path) -> Iterator[Finding]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield from _foreign(item, (*path, key))
            else:
                yield Finding(path, f"the key {_shown(key)} is not text", hint="Put it in quotes.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _foreign(item, (*path, index))
    elif not isinstance(value, str | int | float | None):
        what = type(value).__name__
        yield Finding(path, f"a {what} has no form in JSON", hint="Put it in quotes to make it text.")


class _Reader:
    """Turns the validator's errors about one value into findings."""

    def __init__(self, schema: JsonObject, value: Json, *, strict: bool) -> None:
        self.schema = schema
        self.value = value
        self.strict = strict

    def findings(self, errors: Sequence[ValidationError]) -> Iterator[Finding]:
        by_path: dict[Path, list[ValidationError]] = {}
        for error in errors:
            by_path.setdefault(tuple(error.instance_path), []).append(error)
        for path, here in by_path.items():
            wrong_type = [error for error in here if error.kind.name == "type"]
            if wrong_type:
                # The other keywords of the same place would only say it again.
                yield from self.wrong_type(path, wrong_type[0])
            else:
                yield from self.mapping(path, here)
                yield from self.choices(path, here)

    def wrong_type(self, path: Path, error: ValidationError) -> Iterator[Finding]:
        value = self.at(path)
        if value is None and self.may_be_absent(error):
            return
        expected = [error.kind.value] if isinstance(error.kind.value, str) else list(error.kind.value)
        words = " or ".join(_TYPES[name] for name in expected)
        yield Finding(path, f"expected {words}, found {_kind_of(value)}", hint=_remedy(expected, value))

    def may_be_absent(self, error: ValidationError) -> bool:
        """Whether the value's key may be left out, which `null` then means (rule C2)."""
        route = list(error.evaluation_path)
        while route and not (len(route) > 1 and route[-2] == "properties"):
            # A list item or the value of a free mapping is nothing that could be absent.
            if route[-1] in ("items", "additionalProperties"):
                return False
            route.pop()
        return bool(route) and route[-1] not in node_at(self.schema, route[:-2]).get("required", ())

    def mapping(self, path: Path, errors: list[ValidationError]) -> Iterator[Finding]:
        """Unknown keys and missing ones of one mapping."""
        explained: set[str] = set()
        for error in errors:
            if error.kind.name == "additionalProperties":
                node = self.node(error)
                known = [key for key in node["properties"] if key not in self.at(path)]
                for key in error.kind.value:
                    yield self.unknown_key((*path, key), node, known)
                    explained.add(nearest(key, known))
        for error in errors:
            if error.kind.name == "required":
                yield from self.missing(path, error, explained if self.strict else set())

    def unknown_key(self, path: Path, node: JsonObject, known: list[str]) -> Finding:
        key = str(path[-1])
        every = list(node["properties"])
        branch = _branch(node)
        message = f"unknown key `{_cut(key)}`" + (f" of {branch}" if branch else "")
        otherwise = f"Known are {listed(every)}." if every else "Nothing can be set here."
        hint = did_you_mean(key, known or every, self.or_newer(otherwise))
        return Finding(path, message, hint=hint, on_key=True, note=not self.strict)

    def missing(self, path: Path, error: ValidationError, explained: set[str]) -> Iterator[Finding]:
        key = error.kind.value
        node = self.node(error)
        options = branches(self.schema, node)
        if not options:
            if key not in explained:
                branch = _branch(node)
                needs = f", {branch} needs it" if branch else ""
                yield Finding(path, f"`{key}` is missing{needs}", hint=_constant(key, node))
            return
        given = self.at(path)
        every = {known for option in options for known in option["properties"]}
        misspelt = nearest(key, [one for one in given if one not in every])
        if misspelt:
            message, hint = f"unknown key `{_cut(misspelt)}`", f"Did you mean `{key}`?"
            yield Finding((*path, misspelt), message, hint=hint, on_key=True, note=not self.strict)
        if not misspelt or not self.strict:
            yield Finding(path, f"`{key}` is missing", hint=_likely(key, given, node, options))

    def choices(self, path: Path, errors: list[ValidationError]) -> Iterator[Finding]:
        """Names that are not among those of a choice; one that the branch narrowed counts once."""
        for error in errors[:1]:
            if error.kind.name != "enum":
                continue
            value, names = self.at(path), [str(option) for option in error.kind.value]
            key = next((part for part in reversed(path) if isinstance(part, str)), "")
            if path == ("kind",) and value in UNSUPPORTED:
                yield UNSUPPORTED[value]
                return
            message, otherwise = f"unknown `{key}` {_shown(value)}", f"Known are {listed(names)}."
            if path == ("kind",):
                # What an agent is decides how it is released: never a guess.
                yield Finding(path, message, hint=did_you_mean(str(value), names, otherwise))
            else:
                # Numbers are not misspelt.
                near = names if isinstance(value, str) else ()
                hint = did_you_mean(str(value), near, self.or_newer(otherwise))
                yield Finding(path, message, hint=hint, note=not self.strict)

    def or_newer(self, hint: str) -> str:
        """The hint, and the way for a preview that is newer than our schemas."""
        return f"{hint} A newer preview passes with `schema: warn`." if self.strict else hint

    def node(self, error: ValidationError) -> Any:
        """The schema node whose keyword failed."""
        return node_at(self.schema, list(error.schema_path)[:-1])

    def at(self, path: Path) -> Json:
        value = self.value
        for part in path:
            value = value[part]
        return value


def _branch(node: JsonObject) -> str:
    """`type: mcp` for a branch of a choice, "" for other mappings."""
    for key in ("type", "kind", "name"):
        names = node["properties"].get(key, {}).get("enum", ())
        if len(names) == 1:
            return f"`{key}: {names[0]}`"
    return ""


def _constant(key: str, node: JsonObject) -> str:
    """The one value that a missing key can have."""
    names = node["properties"][key].get("enum", ())
    return f"Write `{key}: {names[0]}`." if len(names) == 1 else ""


def _likely(key: str, given: JsonObject, node: JsonObject, options: tuple[JsonObject, ...]) -> str:
    """The branch that has every key that was given, if it is the only one; else all names."""
    fitting = [option for option in options if given and given.keys() <= option["properties"].keys()]
    exact = [option for option in fitting if set(option.get("required", ())) - {key} <= given.keys()]
    names = {name for option in exact or fitting for name in option["properties"][key]["enum"]}
    if len(names) == 1:
        return f"Did you mean `{key}: {names.pop()}`?"
    return f"Known are {listed(node['properties'][key]['enum'])}."


def _kind_of(value: Json) -> str:
    """What a value is, without the value: it may be a secret in the wrong place."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case float() if value != value or value in (float("inf"), float("-inf")):
            return "a number that JSON cannot hold"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _remedy(expected: list[str], value: Json) -> str:
    match value:
        case None:
            return "Give it a value."
        case str() if {"integer", "number", "boolean"} & set(expected) and _is_plain(value):
            return "Leave the quotes out."
        case bool() | int() | float() if "string" in expected:
            return "Put it in quotes."
        case str() | bool() | int() | float() if expected == ["array"]:
            return "Write a list with one item."
        case dict() if expected == ["array"]:
            return "Write each item with a `-` before it."
    return ""


def _is_plain(text: str) -> bool:
    return text in ("true", "false") or text.lstrip("-").replace(".", "", 1).isdecimal()


def _shown(value: Json) -> str:
    return f"`{_cut(str(value))}`"


def _cut(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= _MOST_SHOWN and line == text else line[: _MOST_SHOWN - 1] + "…"

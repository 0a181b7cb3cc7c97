"""What pydantic says about a value, as findings with a path, in words that name the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

from reconciler.errors import Finding
from reconciler.suggest import did_you_mean, listed

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

# What pydantic asked for, as a person says it.
_WANTED: Final = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}


_HINTS: Final = {
    "true or false": "Write `true` or `false`, without quotes.",
    "a whole number": "Write digits, without quotes.",
    "a mapping": "Write `key: value` lines below it, indented.",
    "a list": "Write the items below it, each after `- `.",
}


def findings(error: ValidationError, model: type[BaseModel]) -> tuple[Finding, ...]:
    """One finding for each error, its path in keys and indexes of the value that was checked."""
    return tuple(_finding(detail, model) for detail in error.errors(include_url=False))


def _finding(detail: ErrorDetails, model: type[BaseModel]) -> Finding:
    path = tuple(
        part for part in detail["loc"] if not isinstance(part, str) or not part.startswith("function-")
    )
    name = str(path[-1]) if path else ""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            known = _known(model, path[:-1])
            hint = did_you_mean(name, known, f"Known here: {listed(known)}." if known else "")
            return Finding(path, f"unknown key `{name}`", hint, on_key=True)
        case "missing":
            return Finding(path[:-1], f"`{name}` is missing", "Add it.")
        case "literal_error":
            allowed = [word.strip("' ") for word in context["expected"].replace(" or ", ", ").split(",")]
            hint = did_you_mean(
                str(detail["input"]), allowed, f"Write {listed(allowed).replace(' and ', ' or ')}."
            )
            return Finding(path, f"{shown(detail['input'])} is not one of {listed(allowed)}", hint)
        case "greater_than_equal":
            return Finding(path, f"{shown(detail['input'])} is less than {context['ge']}", "Raise it.")
        case "less_than_equal":
            return Finding(path, f"{shown(detail['input'])} is more than {context['le']}", "Lower it.")
        case "value_error":
            message, _, hint = str(context["error"]).partition(" | ")
            return Finding(path, message, hint)
    wanted = _WANTED.get(detail["type"])
    if wanted is None:
        return Finding(path, detail["msg"][:1].lower() + detail["msg"][1:], "Check the value.")
    scalar = isinstance(detail["input"], int | float)
    hint = "Quote it." if wanted == "text" and scalar else _HINTS.get(wanted, f"Write {wanted}.")
    return Finding(path, f"expected {wanted}, found {shown(detail['input'])}", hint)


def shown(value: object) -> str:
    """A value for a message: scalars as written and short, others by what they are."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"`{value[:40]}…`" if len(value) > 40 else f"`{value}`"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return f"`{value}`"


def _known(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The keys of the model at a path."""
    at: Any = model
    for part in path:
        fields = _fields(at)
        at = fields.get(part) if isinstance(part, str) and part in fields else at
    return [key for key in _fields(at) if not key.startswith("$")]


def _fields(annotation: Any) -> dict[str, Any]:
    """Fields by the name that manifests use, of the first model within an annotation."""
    for model in _models(annotation):
        return {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    return {}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if hasattr(annotation, "model_fields"):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, tuple, list, dict):
        for argument in get_args(annotation):
            yield from _models(argument)

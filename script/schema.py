"""Write the JSON Schemas of agent definitions, endpoints and cards from the models of the installed SDK, and
that of the service's configuration from its own models.

Every union becomes a choice by `if` and `then`, never `anyOf`: a validator, ours or an editor's, then speaks
of the branch that was meant. Descriptions are made from the names and types of the fields.
"""

from __future__ import annotations

import argparse
import datetime
import enum
import re
import sys
import types
import typing
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson
from azure.ai.projects import _unions, models
from azure.ai.projects._utils import model_base
from azure.ai.projects.models import _models

from reconciler.service.config_schema import config_schema

Schema = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "reconciler" / "schema"
DOCUMENTS: Final = {
    "agent_definition": ("AgentDefinition", "Agent definition"),
    "agent_endpoint": ("AgentEndpointConfig", "Agent endpoint"),
    "agent_card": ("AgentCard", "Agent card"),
}

# Models without a field of their own that stand for a JSON Schema of the user's.
FREE_FORM: Final = frozenset({"EmptyModelParam", "RealtimeFunctionToolParameters"})
# Required by type, but the service has a default for it (`bundled`).
NOT_REQUIRED: Final = frozenset({("CodeConfiguration", "dependency_resolution")})
# The SDK says "anything" inside a compound filter; the service takes filters.
BETTER_TYPES: Final = {("CompoundFilter", "filters"): "list[_unions.Filters]"}

NAMES: Final = vars(_models) | {"_models": models, "_unions": _unions}
PLAIN: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}
WORDS: Final = {
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "array": "list",
    "object": "mapping",
}
SPELLED: Final = {
    "a2a": "A2A",
    "ai": "AI",
    "api": "API",
    "config": "settings",
    "configs": "settings",
    "cpu": "CPU",
    "id": "ID",
    "ids": "IDs",
    "iq": "IQ",
    "llm": "LLM",
    "mcp": "MCP",
    "ms": "in milliseconds",
    "otel": "OpenTelemetry",
    "param": "",
    "params": "parameters",
    "rai": "responsible AI",
    "seconds": "in seconds",
    "top_p": "top p",
    "url": "URL",
    "vad": "voice activity detection",
}


def main(arguments: Sequence[str]) -> int:
    """Write the files, or compare them; 1 when a compared file is stale."""
    parser = argparse.ArgumentParser(prog="script/schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 when a file is stale")
    check = parser.parse_args(arguments).check
    stale = []
    schemas = {FOLDER / f"{name}.json": document(*named) for name, named in DOCUMENTS.items()}
    schemas[ROOT / "docs" / "service-config.schema.json"] = config_schema()
    for path, schema in schemas.items():
        text = orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        if path.is_file() and path.read_bytes() == text:
            continue
        stale.append(path.name)
        if not check:
            path.write_bytes(text)
    if stale:
        print(f"{'stale' if check else 'written'}: {', '.join(stale)}")
    if check and stale:
        print("Run script/schema and commit the result.")
    return 1 if check and stale else 0


def document(root: str, title: str) -> Schema:
    """The whole schema of one model; `$defs` are sorted by name."""
    found: dict[str, Schema] = {}
    Walk(found).model(getattr(models, root))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "$comment": f"Written by script/schema from azure-ai-projects {version('azure-ai-projects')}.",
        "$ref": f"#/$defs/{root}",
        "$defs": dict(sorted(found.items())),
    }


class Walk:
    """Turns models into definitions, each once, with everything that they reach."""

    def __init__(self, found: dict[str, Schema]) -> None:
        self.found = found

    def model(self, model: type) -> Schema:
        """A reference to the model's definition, which is made if it is not there yet."""
        name = model.__name__
        if name in FREE_FORM:
            return {"type": "object"}
        if name not in self.found:
            self.found[name] = {}
            children = vars(model).get("__mapping__")
            self.found[name].update(self.choice(model, children) if children else self.leaf(model))
        return {"$ref": f"#/$defs/{name}"}

    def choice(self, model: type, children: dict[str, type]) -> Schema:
        """A model with a discriminator: one `then` for each of its values."""
        hints = typing.get_type_hints(model, globalns=NAMES)
        keys = [name for name, field in fields_of(model).items() if field._is_discriminator]
        # A branch that is a choice again has its parent's key too, as a constant.
        key = next(name for name in keys if hints[name] is str)
        branches: dict[tuple[str, ...], Schema] = {
            (value,): self.model(children[value]) for value in sorted(children)
        }
        return {"description": f"{spoken(model.__name__)}, chosen by `{key}`", **chosen(key, branches)}

    def leaf(self, model: type) -> Schema:
        """A closed mapping of the fields of a model."""
        hints = typing.get_type_hints(model, globalns=NAMES)
        fields = {key: field for key, field in fields_of(model).items() if key in hints}
        ordered = sorted(fields, key=lambda key: not fields[key]._is_discriminator)
        required = []
        properties: Schema = {}
        for key in ordered:
            field, hint = fields[key], hints[key]
            if (model.__name__, key) in BETTER_TYPES:
                hint = evaluated(BETTER_TYPES[model.__name__, key])
            wire = field._rest_name_input or key
            needed = not optional(hint) and (model.__name__, key) not in NOT_REQUIRED
            if needed:
                required.append(wire)
            properties[wire] = self.property(wire, hint, field, needed=needed)
        result: Schema = {"description": described(model, fields), "type": "object", "properties": properties}
        if required:
            result["required"] = required
        return {**result, "additionalProperties": False}

    def property(self, name: str, hint: Any, field: Any, *, needed: bool) -> Schema:
        """The schema of one field with a line for editors."""
        schema = self.annotation(hint)
        remarks = [word for word in [kind_of(schema), "required" if needed else ""] if word]
        if field._visibility == ["read"]:
            schema["readOnly"] = True
            remarks.append("set by the service, leave it out")
        return {"description": ": ".join(filter(None, [spoken(name), ", ".join(remarks)])), **schema}

    def annotation(self, hint: Any) -> Schema:
        """The schema of an annotation, `None` left out."""
        if hint is Any:
            return {}
        if isinstance(hint, type) and not isinstance(hint, types.GenericAlias):
            return self.named(hint)
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Literal:
            return listed([item.value if isinstance(item, enum.Enum) else item for item in arguments])
        if origin is list:
            return {"type": "array", "items": self.annotation(arguments[0])}
        if origin is dict:
            values = self.annotation(arguments[1])
            return {"type": "object", **({"additionalProperties": values} if values else {})}
        if origin is typing.Union:
            return self.union([item for item in arguments if item is not types.NoneType])
        raise TypeError(f"no schema for {hint!r}")

    def named(self, hint: type) -> Schema:
        if hint in PLAIN:
            return {"type": PLAIN[hint]}
        if hint is datetime.timedelta:
            # Every duration that definitions hold goes over the wire as a whole number.
            return {"type": "integer"}
        if issubclass(hint, enum.Enum):
            return listed([item.value for item in hint])
        return self.model(hint)

    def union(self, members: list[Any]) -> Schema:
        """One schema for several annotations, told apart by JSON type and then by a key of constants."""
        if len(members) == 1:
            return self.annotation(members[0])
        name = ALIASES.get(tuple(members))
        if name is None:
            return self.members(members)
        if name not in self.found:
            self.found[name] = {}
            self.found[name].update({"description": spoken(name), **self.members(members)})
        return {"$ref": f"#/$defs/{name}"}

    def members(self, members: list[Any]) -> Schema:
        # `Union[str, SomeEnum]` is how the SDK writes every choice of names: the names count, not `str`.
        named = any(isinstance(item, type) and issubclass(item, enum.Enum) for item in members)
        by_type: dict[str, list[Schema]] = {}
        for item in members:
            if not (named and item is str):
                schema = self.annotation(item)
                by_type.setdefault(self.resolved(schema)["type"], []).append(schema)
        merged = {name: self.merged(schemas) for name, schemas in by_type.items()}
        if len(merged) == 1:
            return next(iter(merged.values()))
        branches = [
            {"if": {"type": name}, "then": schema}
            for name, schema in merged.items()
            if schema != {"type": name}
        ]
        return {"type": list(merged), **({"allOf": branches} if branches else {})}

    def merged(self, schemas: list[Schema]) -> Schema:
        """Schemas of one JSON type as one."""
        if len(schemas) == 1:
            return schemas[0]
        values = [value for schema in schemas for value in schema.get("enum", ())]
        if all("enum" in schema for schema in schemas):
            return listed(values)
        if values:
            return {"type": schemas[0]["type"], "examples": values}
        key, constants = self.told_apart([self.resolved(schema) for schema in schemas])
        return chosen(key, dict(zip(constants, schemas, strict=True)))

    def told_apart(self, schemas: list[Schema]) -> tuple[str, list[tuple[str, ...]]]:
        """The key whose constants name the branch, and these constants."""
        for key in schemas[0]["properties"]:
            sets = [tuple(schema["properties"].get(key, {}).get("enum", ())) for schema in schemas]
            every = [value for values in sets for value in values]
            if all(sets) and len(every) == len(set(every)):
                return key, sets
        raise TypeError(f"nothing tells these apart: {schemas!r}")

    def resolved(self, schema: Schema) -> Schema:
        return self.found[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def chosen(key: str, branches: dict[tuple[str, ...], Schema]) -> Schema:
    """A mapping whose `key` names the branch."""
    values = [value for names in branches for value in names]
    return {
        "type": "object",
        "properties": {
            key: {"description": f"{spoken(key)}: text, required, chooses the other keys", **listed(values)}
        },
        "required": [key],
        "allOf": [
            {"if": {"properties": {key: {"enum": list(names)}}, "required": [key]}, "then": schema}
            for names, schema in branches.items()
        ],
    }


def listed(values: Sequence[Any]) -> Schema:
    """A choice of constants of one type."""
    return {"type": PLAIN[type(values[0])], "enum": list(dict.fromkeys(values))}


def fields_of(model: type) -> dict[str, Any]:
    """Fields by attribute, those of parents first."""
    fields: dict[str, Any] = {}
    for parent in reversed(model.__mro__):
        fields.update({key: v for key, v in vars(parent).items() if isinstance(v, model_base._RestField)})
    return fields


def optional(hint: Any) -> bool:
    """Whether the annotation allows `None`."""
    return typing.get_origin(hint) is typing.Union and types.NoneType in typing.get_args(hint)


def spoken(name: str) -> str:
    """Words of a field or class: `server_url` is "Server URL", `AgentCardSkill` "Agent card skill"."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().split("_")
    words = " ".join(filter(None, (SPELLED.get(part, part) for part in parts)))
    return words[:1].upper() + words[1:]


def described(model: type, fields: Iterable[str]) -> str:
    """What a mapping is, and the value that chooses it."""
    constants = [
        f"`{key}: {values[0]}`"
        for key in fields
        if len(values := constants_of(typing.get_type_hints(model, globalns=NAMES)[key])) == 1
    ]
    return spoken(model.__name__) + (f" ({', '.join(constants)})" if constants else "")


def constants_of(hint: Any) -> tuple[str, ...]:
    """The strings of a `Literal`."""
    if typing.get_origin(hint) is not typing.Literal:
        return ()
    return tuple(str(getattr(item, "value", item)) for item in typing.get_args(hint))


def kind_of(schema: Schema) -> str:
    """The type of a field in words; nothing where it is a mapping with a definition of its own."""
    names = schema.get("type", ())
    return " or ".join(WORDS[name] for name in ([names] if isinstance(names, str) else names))


def evaluated(annotation: Any) -> Any:
    """An annotation with its names looked up."""
    return typing.get_type_hints(types.SimpleNamespace(__annotations__={"it": annotation}), NAMES)["it"]


# Unions that have a name in the SDK, by their members.
ALIASES: Final = {
    typing.get_args(evaluated(value)): name
    for name, value in vars(_unions).items()
    if typing.get_origin(value) is typing.Union
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

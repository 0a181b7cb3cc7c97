"""The one normal form of an agent version, for both sides (rule C2). Pure."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from reconciler.resource import Json, JsonObject

# Inside these, JSON is the user's own: `null` there is a value, not an absence.
_USERS_OWN: Final = frozenset(
    {
        "parameters",
        "output_schema",
        "schema",
        "headers",
        "environment_variables",
        "default_value",
        "default_config",
        "configs",
        "filters",
        "parameter_values",
        "spec",
    }
)

# Metadata that other tools write on versions and read back; kept unless the manifest says otherwise.
FOREIGN_METADATA: Final = frozenset({"enableVnextExperience"})


@cache
def _rules() -> tuple[JsonObject, ...]:
    import yaml

    text = files("reconciler.kinds.agent").joinpath("server_fields.yaml").read_text("utf-8")
    return tuple(yaml.load(text, Loader=yaml.CSafeLoader))


def normal(form: JsonObject, name: str) -> JsonObject:
    """The form with everything taken out that means nothing: two forms are equal when these are.

    Args:
        form: `definition`, `description`, `metadata` as sent or as read; not changed.
        name: the agent's name, which some server-side defaults repeat.
    """
    bare = _without_nulls(form)
    result: JsonObject = bare if isinstance(bare, dict) else {}
    metadata = result.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("reconciler", None)
    kind = result.get("definition", {}).get("kind")
    for rule in _rules():
        if rule.get("kind", kind) == kind:
            _apply(result, rule["path"].split("/")[1:], rule, name)
    workflow = result.get("definition", {}).get("workflow")
    if isinstance(workflow, str):
        # The workflow is opaque text to us; only line ends differ between editors and the service.
        result["definition"]["workflow"] = workflow.replace("\r\n", "\n")
    return result


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {
            key: (item if key in _USERS_OWN else _without_nulls(item))
            for key, item in value.items()
            if item is not None
        }
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _apply(at: Json, path: list[str], rule: JsonObject, name: str) -> None:
    head, *rest = path
    if head == "*":
        for item in at if isinstance(at, list) else ():
            _apply(item, rest, rule, name)
        return
    if not isinstance(at, dict):
        return
    if rest:
        if head in at:
            _apply(at[head], rest, rule, name)
        return
    match rule["rule"]:
        case "drop":
            at.pop(head, None)
        case "drop-empty":
            if not at.get(head, None):
                at.pop(head, None)
        case "default":
            at.setdefault(head, str(rule["value"]).replace("{name}", name))

"""The schemas say what the SDK says. The SDK is imported here and by the script, never by a check."""

from __future__ import annotations

import datetime
import enum
import subprocess
import sys
import typing
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
from azure.ai.projects import _unions, models
from azure.ai.projects._utils.model_base import Model
from azure.ai.projects.models import _models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler import schema
from reconciler.errors import Finding
from reconciler.resource import Json, JsonObject
from tests.schema.shapes import Check

ROOT = Path(__file__).parents[2]
SCRIPT = [sys.executable, str(ROOT / "script" / "schema.py"), "--check"]
NAMES = vars(_models) | {"_models": models, "_unions": _unions}
# Deeper values are the same rules again.
DEEPEST = 4

text = st.text(max_size=4)
any_json: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=3,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: text,
    bool: st.booleans(),
    int: st.integers(0, 9999),
    float: st.floats(0, 2),
    Any: any_json,
    datetime.timedelta: st.timedeltas(datetime.timedelta(0), datetime.timedelta(hours=1)),
}


@cache
def values(hint: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that the SDK's annotation allows."""
    if hint in PLAIN:
        return PLAIN[hint]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(list(hint))
    if isinstance(hint, type) and issubclass(hint, Model):
        return st.deferred(lambda: built(hint, depth + 1))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(values(arguments[0], depth), max_size=2)
    if origin is dict:
        return st.dictionaries(text, values(arguments[1], depth), max_size=2)
    members = [member for member in arguments if member is not NoneType]
    if str in members and any(
        isinstance(member, type) and issubclass(member, enum.Enum) for member in members
    ):
        members.remove(str)
    return st.one_of([values(member, depth) for member in members])


@cache
def built(model: type[Model], depth: int) -> st.SearchStrategy[Model]:
    """Instances of a model, or of one of those that its discriminator chooses."""
    chosen = vars(model).get("__mapping__")
    if chosen:
        return st.one_of([st.deferred(lambda one=one: built(one, depth)) for one in chosen.values()])
    if model is models.CompoundFilter:
        inner = built(models.ComparisonFilter, depth)
        return st.builds(model, type=st.sampled_from(["and", "or"]), filters=st.lists(inner, max_size=2))
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for key, hint in typing.get_type_hints(model, globalns=NAMES).items():
        field = next((vars(one)[key] for one in model.__mro__ if key in vars(one)), None)
        if not hasattr(field, "_visibility") or field._is_discriminator or field._visibility == ["read"]:
            continue
        if NoneType not in typing.get_args(hint):
            required[key] = values(hint, depth)
        elif depth < DEEPEST:
            optional[key] = values(hint, depth)
    given_keys = st.fixed_dictionaries(required, optional=optional)
    return given_keys.map(lambda keys: model(**keys))


DOCUMENTS: list[tuple[type[Model], Check]] = [
    (models.AgentDefinition, schema.check_definition),
    (models.AgentEndpointConfig, schema.check_endpoint),
    (models.AgentCard, schema.check_card),
]
fast = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(("model", "check"), DOCUMENTS)
@fast
@given(data=st.data())
def test_what_the_sdk_builds_passes(model: type[Model], check: Check, data: st.DataObject) -> None:
    value = data.draw(built(model, 0)).as_dict()
    assert check(value) == ()


@pytest.mark.parametrize("tool", sorted(models.Tool.__mapping__))
@settings(fast, max_examples=8)
@given(data=st.data())
def test_tool_that_the_sdk_builds_passes(tool: str, data: st.DataObject) -> None:
    value = data.draw(built(models.Tool.__mapping__[tool], 2)).as_dict()
    assert value["type"] == tool
    assert schema.check_definition({"kind": "prompt", "model": "m", "tools": [value]}) == ()


def places(value: Json, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every key, the user's own mappings included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [place for key, item in items for place in places(item, (*path, key))]
    return [*([(*path, key) for key in value] if isinstance(value, dict) else []), *below]


def is_free(path: tuple[str | int, ...]) -> bool:
    """Whether the key belongs to the user: everything fits there."""
    parent = "".join(f"/{part}" for part in path[:-1])
    return schema.knows(f"/definition{parent}/no such key")


@fast
@given(data=st.data())
def test_renamed_key_is_found_where_it_is(data: st.DataObject) -> None:
    value: JsonObject = data.draw(built(models.AgentDefinition, 0)).as_dict()
    path = data.draw(st.sampled_from(places(value)))
    if (
        any(not part for part in path)
        or any("~" in str(part) or "/" in str(part) for part in path)
        or is_free(path)
    ):
        return
    at = value
    for part in path[:-1]:
        at = at[part]
    renamed = f"{path[-1]}q"
    at[renamed] = at.pop(path[-1])
    found: tuple[Finding, ...] = schema.check_definition(value)
    assert [(finding.path, finding.on_key) for finding in found] == [((*path[:-1], renamed), True)]


def test_committed_schemas_are_those_of_the_installed_sdk() -> None:
    done = subprocess.run(SCRIPT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_stale_schema_is_named(tmp_path: Path) -> None:
    for name in ("script", "reconciler/schema", "docs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "script/schema.py").write_bytes((ROOT / "script/schema.py").read_bytes())
    script = [sys.executable, str(tmp_path / "script" / "schema.py")]
    stale = subprocess.run([*script, "--check"], capture_output=True, text=True, check=False)
    assert stale.returncode == 1
    names = "agent_definition.json, agent_endpoint.json, agent_card.json, service-config.schema.json"
    assert stale.stdout.startswith(f"stale: {names}\n")
    assert not list(tmp_path.glob("**/*.json"))
    assert subprocess.run(script, capture_output=True, check=False).returncode == 0
    for path in tmp_path.glob("**/*.json"):
        assert path.read_bytes() == (ROOT / path.relative_to(tmp_path)).read_bytes()


def test_checking_never_imports_the_sdk() -> None:
    code = (
        "import sys; from reconciler import schema; "
        "assert 'jsonschema_rs' not in sys.modules; "
        "schema.check_definition({'kind': 'prompt', 'modl': 1}); schema.check_endpoint({'x': 1}); "
        "schema.check_card({}); schema.knows('/definition/model'); schema.upgrade({'kind': 'hosted'}); "
        "print([name for name in sys.modules if name.startswith('azure')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[]\n", "")

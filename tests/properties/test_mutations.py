"""Whatever somebody changes in a definition of ours is found; only what the data file lists is not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
import yaml
from hypothesis import assume, given, note
from hypothesis import strategies as st

from reconciler.diff import drifts
from reconciler.fields import field_diffs, same
from reconciler.kinds.kind import Action
from reconciler.resource import Desired, canonical
from tests.properties.lives import live_of, mark_text, version
from tests.properties.looking import looking
from tests.properties.manifests import desired_of, specs
from tests.properties.test_deciding import decided, of

Json = Any
Path = tuple[str | int, ...]

# Inside these the user's own JSON begins, where null is a value; written down again, so that a wrong
# list in the code cannot agree with itself.
USERS_OWN: Final = {
    "parameters",
    "headers",
    "environment_variables",
    "default_value",
}
# Rows of the data file that can meet a mutation of a generated definition, as paths with `*`.
SERVER_SIDE: Final = {
    "/definition/container_protocol_versions",
    "/definition/code_configuration/content_hash",
    "/definition/code_configuration/dependency_resolution",
    "/definition/tools/*/openapi/functions",
    "/definition/otel_agent_id",
    "/metadata/enableVnextExperience",
    "/metadata",
    "/description",
}


@dataclass(frozen=True)
class Mutation:
    """One change at one place of a form: `what` is drop, add, reorder, empty, null, replace or retype."""

    what: str
    path: Path

    @property
    def pointer(self) -> str:
        return "".join("/*" if isinstance(part, int) else f"/{part}" for part in self.path)

    @property
    def in_users_own(self) -> bool:
        return bool(USERS_OWN & set(self.path[:-1]))

    def applied(self, form: Json) -> Json:
        """A copy of the form with this change."""
        result = copy.deepcopy(form)
        holder: Json = result
        for part in self.path[:-1]:
            holder = holder[part]
        last = self.path[-1]
        match self.what:
            case "drop":
                del holder[last]
            case "null":
                holder[last] = None
            case "add":
                _add(holder[last])
            case "reorder":
                holder[last] = holder[last][1:] + holder[last][:1]
            case "empty":
                holder[last] = type(holder[last])()
            case "retype":
                holder[last] = int(holder[last])
            case "replace":
                holder[last] = "changed by hand" if holder[last] != "changed by hand" else 7
        return result


def _add(holder: Json) -> None:
    if isinstance(holder, dict):
        holder["x_new"] = "by hand"
    else:
        holder.append({"type": "x_new"})


def places(value: Json, path: Path) -> Iterator[Mutation]:
    """Every mutation of everything below and at `path`."""
    if len(path) > 1:
        yield from (Mutation(what, path) for what in ("drop", "null", "replace"))
        if isinstance(value, bool):
            yield Mutation("retype", path)
        if isinstance(value, str | list | dict) and value:
            yield Mutation("empty", path)
    if isinstance(value, dict | list):
        yield Mutation("add", path)
    if isinstance(value, list) and len(value) > 1:
        yield Mutation("reorder", path)
    items = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    for key, child in items:
        yield from places(child, (*path, key))


def stripped(value: Json, *, own: bool = False) -> Json:
    """The value without nulls outside the user's own JSON: absent and null are one thing there."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if own or item is not None}
        return {key: stripped(item, own=own or key in USERS_OWN) for key, item in kept.items()}
    return [stripped(item, own=own) for item in value] if isinstance(value, list) else value


def outside(desired: Desired, form: Json, *, keeps_mark: bool) -> Json:
    """Version 1 is ours; somebody made version 2 of it in the portal, and it serves."""
    mark = mark_text("ours", desired, 1)
    return {
        "name": desired.key.name,
        "versions": [version(1, desired.form, mark), version(2, form, mark if keeps_mark else None)],
    }


@pytest.mark.rule("C2")
def test_the_data_file_holds_what_these_tests_know() -> None:
    from importlib.resources import files

    rows = yaml.safe_load(files("reconciler.kinds.agent").joinpath("server_fields.yaml").read_text("utf-8"))
    assert {row["path"] for row in rows} == SERVER_SIDE


@pytest.mark.rule("C2", "P9")
@looking(1_500)
@given(specs(), st.data(), st.booleans())
def test_every_mutation_of_a_definition_is_found(spec: Json, data: st.DataObject, keeps_mark: bool) -> None:
    spec = {**spec, "lifecycle": {}, "release": {"metadata_only": "try"}}
    desired = replace(desired_of("bot", spec), details={}, enabled=None)
    definition = desired.form["definition"]
    mutation = data.draw(st.sampled_from(list(places(definition, ("definition",)))))
    assume(mutation.pointer not in SERVER_SIDE and mutation.path[1:] != ("kind",))
    form = mutation.applied(desired.form)
    assume(canonical(stripped(form)) != canonical(stripped(desired.form)))
    note(f"{mutation}")

    planned = of(decided(live_of(outside(desired, form, keeps_mark=keeps_mark)), desired), desired.key)

    assert planned.change.action is not Action.NONE, planned
    assert planned.steps
    found = drifts(planned.change)
    assert [drift.what for drift in found] == ["changed"]
    assert found[0].by == ("a copied mark" if keeps_mark else "somebody else")
    assert found[0].fields


@pytest.mark.rule("C2")
@pytest.mark.parametrize(
    ("desired", "live", "equal"),
    [
        pytest.param({"a": [1, {"b": 2.0}]}, {"a": [1.0, {"b": 2}]}, True, id="whole-number"),
        pytest.param({"a": {"strict": True}}, {"a": {"strict": 1}}, False, id="true-is-not-1"),
        pytest.param([0], [False], False, id="0-is-not-false"),
        pytest.param({"a": None}, {}, False, id="null-is-not-absent"),
    ],
)
def test_values_that_python_has_equal(desired: Json, live: Json, equal: bool) -> None:
    assert same(desired, live) is equal
    assert bool(field_diffs(desired, live)) is not equal


@pytest.mark.rule("C2")
@looking(300)
@given(specs(), st.sampled_from(sorted(SERVER_SIDE)))
def test_what_the_service_adds_by_itself_is_no_drift(spec: Json, pointer: str) -> None:
    """An outside version that differs in nothing else is equal, so there is nothing to repair."""
    spec = {**spec, "lifecycle": {}}
    desired = replace(desired_of("bot", spec), details={}, enabled=None)
    assume(desired.code is None)
    form = with_server_field(desired, pointer)

    planned = of(decided(live_of(outside(desired, form, keeps_mark=False)), desired), desired.key)

    assert planned.change.action is Action.NONE, planned
    assert not drifts(planned.change)


def with_server_field(desired: Desired, pointer: str) -> Json:
    """The form as the service may echo it, with the row of that path applied by hand."""
    form = copy.deepcopy(desired.form)
    definition = form["definition"]
    match pointer:
        case "/definition/container_protocol_versions":
            definition["container_protocol_versions"] = []
        case "/definition/otel_agent_id" if definition["kind"] == "external":
            definition.setdefault("otel_agent_id", desired.key.name)
        case "/metadata/enableVnextExperience":
            form["metadata"] = {**form.get("metadata", {}), "enableVnextExperience": "false"}
        case "/metadata":
            form.setdefault("metadata", {})
        case "/description":
            form.setdefault("description", "")
    return form


@pytest.mark.rule("C3")
@looking(300)
@given(specs(("prompt", "hosted", "voice")), st.data())
def test_what_is_ignored_is_never_drift(spec: Json, data: st.DataObject) -> None:
    """One ignored key of the definition may be dropped, added, emptied or replaced by anybody."""
    names = {"prompt": "temperature", "hosted": "cpu", "voice": "instructions"}
    name = names[spec["definition"]["kind"]]
    spec = {**spec, "lifecycle": {"ignore": [f"/definition/{name}"]}}
    desired = replace(desired_of("bot", spec), details={}, enabled=None)
    assume(desired.code is None)
    form = copy.deepcopy(desired.form)
    form["definition"].pop(name, None)
    if data.draw(st.booleans()):
        form["definition"][name] = data.draw(st.sampled_from(["x", "", 0, [], {}, None]))

    planned = of(decided(live_of(outside(desired, form, keeps_mark=True)), desired), desired.key)

    assert planned.change.action is Action.NONE, planned
    assert not drifts(planned.change)

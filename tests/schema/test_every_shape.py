"""Every mapping of every schema: what is right passes, and one slip is found where it was made."""

from __future__ import annotations

from importlib.util import find_spec

import jsonschema
import pytest

from reconciler.errors import Finding
from tests.schema.shapes import DOCUMENTS, Shape, shapes

EVERY = [pytest.param(which, shape, id=shape.name) for which in DOCUMENTS for shape in shapes(which)]
KEYWORDS = {"type", "enum", "properties", "required", "additionalProperties", "items", "allOf", "if", "then"}
ANNOTATIONS = {"$ref", "description", "examples", "readOnly"}

every_shape = pytest.mark.parametrize(("which", "shape"), EVERY)


def only(findings: tuple[Finding, ...]) -> Finding:
    (finding,) = findings
    return finding


@pytest.mark.parametrize("which", DOCUMENTS)
def test_every_definition_of_a_schema_is_reached(which: str) -> None:
    document = DOCUMENTS[which][0]
    closed = {name for name, node in document["$defs"].items() if "additionalProperties" in node}
    assert {shape.name for shape in shapes(which)} == closed


@pytest.mark.parametrize("which", DOCUMENTS)
def test_schemas_use_only_keywords_that_have_words(which: str) -> None:
    def used(node: object, *, keys_are_names: bool = False) -> set[str]:
        if isinstance(node, list):
            return set().union(*(used(item) for item in node))
        if not isinstance(node, dict):
            return set()
        below = (used(item, keys_are_names=key == "properties") for key, item in node.items())
        return set().union(*below) | (set() if keys_are_names else set(node))

    nodes = DOCUMENTS[which][0]["$defs"].values()
    assert set().union(*(used(node) for node in nodes)) <= KEYWORDS | ANNOTATIONS


@pytest.mark.parametrize("which", DOCUMENTS)
def test_schemas_are_valid_json_schemas(which: str) -> None:
    jsonschema.Draft202012Validator.check_schema(DOCUMENTS[which][0])


@every_shape
def test_smallest_value_passes(which: str, shape: Shape) -> None:
    document, check = DOCUMENTS[which]
    assert check(shape.document) == ()
    jsonschema.Draft202012Validator(document).validate(shape.document)


@every_shape
def test_unknown_key_is_found_at_its_key(which: str, shape: Shape) -> None:
    _, check = DOCUMENTS[which]
    wrong = shape.changed(lambda at: at.update({"surplus": 1}))
    finding = only(check(wrong))
    assert (finding.path, finding.on_key, finding.note) == ((*shape.path, "surplus"), True, False)
    assert finding.message.startswith("unknown key `surplus`")
    assert only(check(wrong, strict=False)).note


@every_shape
def test_missing_key_is_found_at_its_mapping(which: str, shape: Shape) -> None:
    _, check = DOCUMENTS[which]
    for key in shape.node.get("required", ()):
        wrong = shape.changed(lambda at, key=key: at.pop(key))
        for strict in (True, False):
            finding = only(check(wrong, strict=strict))
            assert (finding.path, finding.note) == (shape.path, False)
            assert finding.message.startswith(f"`{key}` is missing")


@every_shape
def test_misspelt_key_is_found_with_the_right_one(which: str, shape: Shape) -> None:
    _, check = DOCUMENTS[which]
    for key in shape.node["properties"]:
        known = shape.node["properties"]
        typo = next(word for word in (key + "x", key + "xy") if word not in known)
        wrong = shape.changed(lambda at, key=key, typo=typo: at.update({typo: at.pop(key, 1)}))
        finding = only(check(wrong))
        assert (finding.path, finding.on_key) == ((*shape.path, typo), True), key
        if len(key) > 2:
            assert finding.hint == f"Did you mean `{key}`?", key


@every_shape
def test_wrong_type_is_found_at_its_value(which: str, shape: Shape) -> None:
    _, check = DOCUMENTS[which]
    for key, node in shape.node["properties"].items():
        names = node.get("type", "object" if "$ref" in node else None)
        if names is None or "array" in names or "$ref" in node:
            continue
        wrong = shape.changed(lambda at, key=key: at.update({key: [[]]}))
        finding = only(check(wrong))
        assert finding.path == (*shape.path, key)
        assert finding.message.startswith("expected ")
        assert finding.message.endswith(", found a list")


@every_shape
@pytest.mark.rule("C2")
def test_null_means_absent_where_a_key_may_be_absent(which: str, shape: Shape) -> None:
    _, check = DOCUMENTS[which]
    for key, node in shape.node["properties"].items():
        document = shape.changed(lambda at, key=key: at.update({key: None}))
        if key not in shape.node.get("required", ()):
            assert check(document) == (), key
        elif "enum" not in node:
            assert only(check(document)).message.endswith(", found nothing"), key


def test_the_independent_reader_is_there() -> None:
    assert find_spec("jsonschema")

"""What people read when a definition, endpoint or card is wrong."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from reconciler import schema
from reconciler.resource import Json, JsonObject
from tests.schema.cases import FILES, HOSTED, MCP, NEWER, NO_HINT, VOICE, prompt, said, tool


@pytest.mark.parametrize(
    ("value", "path", "message", "hint"),
    [
        pytest.param(
            prompt(temperature="0.2"),
            "temperature",
            "expected a number, found text",
            "Leave the quotes out.",
            id="quoted-number",
        ),
        pytest.param(
            prompt(temperature="warm"),
            "temperature",
            "expected a number, found text",
            NO_HINT,
            id="no-number",
        ),
        pytest.param(
            prompt(temperature=True),
            "temperature",
            "expected a number, found true or false",
            NO_HINT,
            id="boolean-is-no-number",
        ),
        pytest.param(
            prompt(temperature=float("nan")),
            "temperature",
            "expected a number, found a number that JSON cannot hold",
            NO_HINT,
            id="not-a-number",
        ),
        pytest.param(
            {**HOSTED, "cpu": 1},
            "cpu",
            "expected text, found a number",
            "Put it in quotes.",
            id="unquoted-text",
        ),
        pytest.param(
            {**HOSTED, "memory": None},
            "memory",
            "expected text, found nothing",
            "Give it a value.",
            id="required-null",
        ),
        pytest.param(
            {**HOSTED, "environment_variables": {"A": None}},
            "environment_variables.A",
            "expected text, found nothing",
            "Give it a value.",
            id="null-in-a-map",
        ),
        pytest.param(
            {**HOSTED, "environment_variables": {"PIN": 4711}},
            "environment_variables.PIN",
            "expected text, found a number",
            "Put it in quotes.",
            id="number-in-a-map",
        ),
        pytest.param(
            prompt(tools=[None]),
            "tools.0",
            "expected a mapping, found nothing",
            "Give it a value.",
            id="null-in-a-list",
        ),
        pytest.param(
            prompt(tools=MCP),
            "tools",
            "expected a list, found a mapping",
            "Write each item with a `-` before it.",
            id="one-instead-of-a-list",
        ),
        pytest.param(
            prompt(reasoning={"effort": "hihg"}),
            "reasoning.effort",
            "unknown `effort` `hihg`",
            "Did you mean `high`?",
            id="enum",
        ),
        pytest.param(
            {"kind": "container_app"},
            "kind",
            "agents of `kind: container_app` are no longer supported",
            "Use `kind: hosted` with the app's image in `container_configuration`.",
            id="kind-of-the-past",
        ),
        pytest.param(
            {"kind": "zzz"},
            "kind",
            "unknown `kind` `zzz`",
            "Known are `external`, `hosted`, `prompt`, `voice` and `workflow`.",
            id="kind-of-no-one",
        ),
        pytest.param(
            {},
            "",
            "`kind` is missing",
            "Known are `external`, `hosted`, `prompt`, `voice` and `workflow`.",
            id="nothing",
        ),
        pytest.param(
            {"model": "m", "temperature": 1},
            "",
            "`kind` is missing",
            "Did you mean `kind: prompt`?",
            id="no-kind",
        ),
        pytest.param([], "", "expected a mapping, found a list", NO_HINT, id="a-list"),
        pytest.param(None, "", "expected a mapping, found nothing", "Give it a value.", id="null"),
        pytest.param(
            prompt(tools=[{"type": "computer", 1: 2}]),
            "tools.0",
            "the key `1` is not text",
            "Put it in quotes.",
            id="number-as-key",
        ),
        pytest.param(
            prompt(instructions=datetime.date(2026, 1, 2)),
            "instructions",
            "a date has no form in JSON",
            "Put it in quotes to make it text.",
            id="date",
        ),
    ],
)
def test_definition_is_refused_with_place_and_remedy(value: Json, path: str, message: str, hint: str) -> None:
    assert [said(finding) for finding in schema.check_definition(value)] == [(path, message, hint)]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"kind": "workflow"}, id="workflow"),
        pytest.param({"kind": "external", "otel_agent_id": "x"}, id="external"),
        pytest.param({**VOICE, "max_output_tokens": "inf"}, id="voice"),
        pytest.param({**VOICE, "tool_choice": {"type": "function", "name": "f"}}, id="tool-choice-mapping"),
        pytest.param(prompt(tool_choice="auto"), id="tool-choice-text"),
        pytest.param(
            tool(FILES, filters={"type": "or", "filters": [{"type": "and", "filters": []}]}), id="filters"
        ),
        pytest.param(prompt(structured_inputs={"a": {"default_value": {"any": [1, None]}}}), id="any-value"),
        pytest.param(
            prompt(temperature=None, tools=None, tool_choice=None, text={"format": None}), id="nulls"
        ),
        pytest.param(
            {**HOSTED, "code_configuration": {"runtime": "r", "entry_point": ["a"]}}, id="default-resolution"
        ),
        pytest.param(tool({"type": "image_generation"}, model="a-new-model"), id="open-choice"),
    ],
)
def test_definition_passes(value: JsonObject) -> None:
    assert schema.check_definition(value) == ()


def test_every_problem_is_found_at_once_in_the_order_of_the_paths() -> None:
    value = prompt(modle="m", tools=[{"type": "computer", "x": 1}, {"type": "mpc"}], temperature="1")
    value.pop("model")
    paths = [finding.path for finding in schema.check_definition(value)]
    assert paths == [("modle",), ("temperature",), ("tools", 0, "x"), ("tools", 1, "type")]


def test_items_are_in_the_order_of_the_list() -> None:
    value = prompt(tools=[{"type": "mpc"}] * 12)
    assert [finding.path[1] for finding in schema.check_definition(value)] == list(range(12))


class TestLenient:
    """`schema: warn`: what a newer preview may have brought informs, what cannot be right fails."""

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(prompt(brand_new=1), id="key"),
            pytest.param(tool({"type": "brand_new"}, anything=1), id="tool"),
            pytest.param(prompt(reasoning={"effort": "extreme"}), id="name-of-a-choice"),
        ],
    )
    def test_unknown_is_a_note(self, value: JsonObject) -> None:
        (finding,) = schema.check_definition(value, strict=False)
        assert finding.note
        assert NEWER not in finding.hint

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param({"kind": "brand_new"}, id="kind"),
            pytest.param(prompt(temperature="1"), id="type"),
            pytest.param({"kind": "prompt"}, id="missing"),
        ],
    )
    def test_impossible_is_an_error(self, value: JsonObject) -> None:
        (finding,) = schema.check_definition(value, strict=False)
        assert not finding.note

    def test_misspelt_required_key_is_still_missing(self) -> None:
        notes = {
            finding.path: finding.note
            for finding in schema.check_definition({"kind": "prompt", "modl": "m"}, strict=False)
        }
        assert notes == {(): False, ("modl",): True}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({**HOSTED, "environment_variables": {"TOKEN": ["s3cret-s3cret"]}}, id="list"),
        pytest.param({**HOSTED, "environment_variables": "s3cret-s3cret"}, id="text"),
        pytest.param({**HOSTED, "cpu": {"s3cret-s3cret": 1}}, id="mapping"),
        pytest.param({**HOSTED, "environment_variables": {"PIN": 123456}}, id="number"),
    ],
)
@pytest.mark.rule("P11")
def test_values_in_the_wrong_place_are_not_shown(value: JsonObject) -> None:
    (finding,) = schema.check_definition(value)
    assert not any(secret in str(said(finding)[1:]) for secret in ("s3cret", "123456"))


def test_long_names_are_cut() -> None:
    (finding,) = schema.check_definition(prompt(reasoning={"effort": "think\n" + "x" * 500}))
    assert finding.message == "unknown `effort` `think…`"
    (finding,) = schema.check_definition(prompt(**{"x" * 500: 1}))
    assert finding.message == f"unknown key `{'x' * 39}…` of `kind: prompt`"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ({"protocol_configuration": {"responses": {}}, "authorization_schemes": [{"type": "Entra"}]}, []),
        (
            {"protocol_configuration": {"response": {}}},
            [("protocol_configuration.response", "unknown key `response`", "Did you mean `responses`?")],
        ),
        (
            {"protocol_configuration": {"responses": {"a": 1}}},
            [
                (
                    "protocol_configuration.responses.a",
                    "unknown key `a`",
                    f"Nothing can be set here. {NEWER}",
                )
            ],
        ),
    ],
)
def test_check_endpoint(endpoint: JsonObject, expected: list[Any]) -> None:
    assert [said(finding) for finding in schema.check_endpoint(endpoint)] == expected


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"version": "1", "skills": [{"id": "i", "name": "n", "tags": ["t"]}]}, []),
        ({"version": 1.0, "skills": []}, [("version", "expected text, found a number", "Put it in quotes.")]),
        ({"version": "1"}, [("", "`skills` is missing", "")]),
    ],
)
def test_check_card(card: JsonObject, expected: list[Any]) -> None:
    assert [said(finding) for finding in schema.check_card(card)] == expected

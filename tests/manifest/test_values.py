"""Filling in: strings are literal, and only `$value`, `$text` and `$file` are not."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Finding
from reconciler.values import Values, fill, told

VALUES = Values(
    known={
        "MODEL": "gpt",
        "N": 3,
        "F": 0.5,
        "ON": True,
        "LIST": [1, {"$value": "MODEL"}],
        "NIL": None,
        "KEY": "s3cret",
    },
    missing={"TOKEN": "CI_TOKEN"},
    secret=frozenset({"KEY"}),
)
FILES = {"p.md": "Hello ${MODEL}\n", "bad.md": ("no file `bad.md`", "Check the path.")}


def filled(value):
    return fill(value, VALUES, FILES.__getitem__)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"$value": "MODEL"}, "gpt", id="value"),
        pytest.param({"$value": "N"}, 3, id="value-keeps-its-type"),
        pytest.param({"$value": "NIL"}, None, id="value-may-be-null"),
        pytest.param({"$value": "LIST"}, [1, {"$value": "MODEL"}], id="values-are-not-filled-in-again"),
        pytest.param({"$text": "a ${MODEL} b ${N} ${F} ${ON}"}, "a gpt b 3 0.5 true", id="text"),
        pytest.param({"$text": "$${MODEL} $MODEL $$ $"}, "${MODEL} $MODEL $$ $", id="escaped"),
        pytest.param(
            {"$text": "${{connections.x.key}}/${MODEL}"}, "${{connections.x.key}}/gpt", id="services-own"
        ),
        pytest.param({"$text": "{{name}} {% if x %}"}, "{{name}} {% if x %}", id="other-templates"),
        pytest.param({"$file": "p.md"}, "Hello ${MODEL}\n", id="file-is-literal"),
        pytest.param({"$file": "p.md", "substitute": True}, "Hello gpt\n", id="file-with-values"),
        pytest.param({"$file": "p.md", "substitute": False}, "Hello ${MODEL}\n", id="file-without-values"),
        pytest.param("${MODEL} {$value: MODEL}", "${MODEL} {$value: MODEL}", id="strings-are-literal"),
        pytest.param({"$ref": "#/$defs/x"}, {"$ref": "#/$defs/x"}, id="json-schema-reference"),
        pytest.param({"$ref": "https://x/y"}, {"$ref": "https://x/y"}, id="url-reference"),
        pytest.param({"$defs": {"x": {"$value": "N"}}}, {"$defs": {"x": 3}}, id="others-keys-are-walked"),
        pytest.param({"$filter": "a eq 1"}, {"$filter": "a eq 1"}, id="odata"),
        pytest.param([{"a": {"$value": "N"}}, 1], [{"a": 3}, 1], id="anywhere"),
    ],
)
def test_a_value_is_filled_in(value, expected):
    before = deepcopy(value)
    result = filled(value)
    assert (result.value, result.findings) == (expected, ())
    assert value == before


@pytest.mark.parametrize(
    ("value", "path", "message", "hint"),
    [
        pytest.param(
            {"$value": "MODEL_"}, ("$value",), "no value to `MODEL_`", "Did you mean `MODEL`?", id="typo"
        ),
        pytest.param({"$value": "QQQ"}, ("$value",), "no value to `QQQ`", "`values_from_env`", id="unknown"),
        pytest.param(
            {"$value": "TOKEN"}, ("$value",), "variable CI_TOKEN, which is not set", "Set", id="unset"
        ),
        pytest.param({"$text": "${NOPE}"}, ("$text",), "no value to `NOPE`", "Project", id="in-a-text"),
        pytest.param({"$text": "${NO PE}"}, ("$text",), "`${NO PE}` names no value", "`$${`", id="no-name"),
        pytest.param({"$text": "${LIST}"}, ("$text",), "is no text", "$value: LIST", id="list-in-a-text"),
        pytest.param({"$text": "${NIL}"}, ("$text",), "is null", "Give it a text", id="null-in-a-text"),
        pytest.param({"$value": 3}, ("$value",), "takes a text", "$value: NAME", id="number-as-name"),
        pytest.param({"$value": "N", "x": 1}, ("x",), "`$value` stands alone", "Move", id="company"),
        pytest.param(
            {"$file": "p.md", "subst": 1}, ("subst",), "`$file` stands alone", "Move", id="file-key"
        ),
        pytest.param(
            {"$file": "p.md", "substitute": "y"}, ("substitute",), "true or false", "Write", id="switch"
        ),
        pytest.param({"$file": "bad.md"}, ("$file",), "no file `bad.md`", "Check", id="file"),
        pytest.param({"$ref": "Toolbox/x"}, ("$ref",), "not possible yet", "Write the name", id="reference"),
        pytest.param({"$VALUE": "N"}, ("$VALUE",), "unknown `$VALUE`", "Did you mean `$value`?", id="case"),
        pytest.param({"$env": "N"}, ("$env",), "unknown `$env`", "Did you mean `$value`?", id="other-word"),
    ],
)
def test_what_cannot_be_filled_in_is_a_finding(value, path, message, hint):
    (finding,) = filled({"deep": [value]}).findings
    assert finding.path == ("deep", 0, *path)
    assert message in finding.message
    assert hint in finding.hint


def test_names_and_places_of_secrets_are_known():
    result = filled({"a": {"$text": "key ${KEY}"}, "b": {"$value": "N"}})
    assert result.used == {"KEY", "N"}
    assert result.secret_paths == {("a",)}


def test_short_secrets_are_not_masked():
    values = Values({"A": "abc", "B": "abcd", "C": "not secret"}, secret=frozenset({"A", "B"}))
    assert values.masked == {"abcd"}


@pytest.mark.rule("P11")
def test_a_finding_about_a_secret_does_not_show_it():
    result = filled({"kind": {"$text": "long prefix ${KEY}"}})
    (finding,) = told([Finding(("kind",), "unknown `kind` `long prefix s3cr…`")], result)
    assert finding.message == "unknown `***` `***`"


def test_what_follows_from_a_gap_is_not_told():
    result = filled({"a": {"$value": "NOPE"}, "b": 1})
    later = [Finding(("a",), "expected text, found nothing"), Finding(("b",), "x"), Finding(("b",), "x")]
    assert [finding.message for finding in told([*result.findings, *later], result)] == [
        "the Project gives no value to `NOPE`",
        "x",
    ]


trees = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(trees)
def test_without_our_words_everything_is_literal(value):
    result = filled(value)
    if "$" not in str(value):
        assert result.value == value
        assert result.findings == ()


@given(st.text(st.sampled_from("${}MODEL_N a"), max_size=30))
def test_no_text_ends_in_a_traceback(text):
    filled({"$text": text})

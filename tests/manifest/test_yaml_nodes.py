"""YAML text into values with places, and what is wrong with a text."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ReconcilerError
from reconciler.yaml_nodes import MAX_BYTES, MAX_DEPTH, Fault, check_libyaml, parse, plain


def values(text: str | bytes) -> list[Any]:
    parsed = parse(text.encode() if isinstance(text, str) else text)
    assert parsed.faults == ()
    return [document.value for document in parsed.documents]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("no", "no", id="no-is-text"),
        pytest.param("on", "on", id="on-is-text"),
        pytest.param("12:30:45", "12:30:45", id="a-time-is-text"),
        pytest.param("2026-01-31", "2026-01-31", id="a-date-is-text"),
        pytest.param("2.0.0", "2.0.0", id="a-version-is-text"),
        pytest.param("1_000", "1_000", id="underscores-are-text"),
        pytest.param("0b1", "0b1", id="binary-is-text"),
        pytest.param("-", "-", id="a-hyphen-is-text"),
        pytest.param("+", "+", id="a-plus-is-text"),
        pytest.param(".", ".", id="a-dot-is-text"),
        pytest.param("<<", "<<", id="a-merge-key-is-text"),
        pytest.param("010", 10, id="no-octal-by-zero"),
        pytest.param("0o10", 8, id="octal"),
        pytest.param("0x1F", 31, id="hex"),
        pytest.param("-7", -7, id="negative"),
        pytest.param("2.0", 2.0, id="float"),
        pytest.param("1e3", 1000.0, id="exponent"),
        pytest.param(".5", 0.5, id="no-leading-zero"),
        pytest.param("TRUE", True, id="true"),
        pytest.param("False", False, id="false"),
        pytest.param("~", None, id="tilde"),
        pytest.param("null", None, id="null"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_unquoted_text_means_what_yaml_1_2_says(text, value):
    assert plain(text) == value
    assert type(plain(text)) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "18446744073709551616", "9" * 5000])
def test_numbers_that_json_cannot_hold_are_faults(text):
    (fault,) = parse(f"a: {text}\n".encode()).faults
    assert (fault.line, fault.column, fault.hint) == (1, 4, "Quote it if it is text.")


def test_quoted_text_is_never_converted():
    assert values("a: 'true'\nb: \"1\"\nc: |\n  2\n") == [{"a": "true", "b": "1", "c": "2\n"}]


def test_each_document_of_a_file_counts_and_empty_ones_do_not():
    assert values("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n") == [{"a": 1}, {"b": 2}]
    assert values("") == []
    assert values("# yaml-language-server: $schema=x\n") == []


def test_a_byte_order_mark_is_no_content():
    assert values(b"\xef\xbb\xbfa: 1\n") == [{"a": 1}]


def test_numbers_as_keys_are_text_as_inline_openapi_has_them():
    assert values("responses: {200: ok, true: x}\n") == [{"responses": {"200": "ok", "true": "x"}}]


def test_a_plain_tag_for_text_is_allowed():
    assert values("a: !!str 12\n") == [{"a": "12"}]


def test_places_are_those_of_keys_and_values():
    text = b"# first\na:\n  - x\n  - b:   1\n    cc: [2,\n      3]\n"
    (document,) = parse(text).documents
    assert document.place(()) == (2, 1)
    assert document.place(("a",)) == (3, 3)
    assert document.place(("a",), on_key=True) == (2, 1)
    assert document.place(("a", 1, "b")) == (4, 10)
    assert document.place(("a", 1, "b"), on_key=True) == (4, 5)
    assert document.place(("a", 1, "cc", 1)) == (6, 7)


def test_the_place_of_what_is_not_there_is_that_of_what_is_around_it():
    (document,) = parse(b"a:\n  b: 1\n").documents
    assert document.place(("a", "missing", "deeper")) == (2, 3)
    assert document.place(("a", "b", "below a scalar")) == (2, 6)
    assert document.place(("a", 0)) == (2, 3)


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        pytest.param("a: 1\nb: 2\na: 3\n", (3, 1), "the key `a` is here twice", "Keep one", id="duplicate"),
        pytest.param("a:\n\tb: 1\n", (2, 1), "a tab in the indentation", "spaces", id="tab"),
        pytest.param("a: {{ name }}\n", (1, 5), "`{{…}}` without quotes", "Quote it", id="template-value"),
        pytest.param("{{name}}: 1\n", (1, 1), "`{{…}}` without quotes", "Quote it", id="template-key"),
        pytest.param("a: {{x}}-y\n", (1, 9), "`{{…}}` without quotes", "Quote it", id="template-in-text"),
        pytest.param("? [a]\n: b\n", (1, 3), "a mapping or list as a key", "text", id="list-key"),
        pytest.param("a: @x\n", (1, 4), "a value cannot start with `@`", "Quote", id="reserved"),
        pytest.param("a: b: c\n", (1, 5), "a second `: ` in one value", 'contains ": "', id="two-colons"),
        pytest.param("v: =[{id: 3}]\n", (1, 9), "a second `: `", "Quote", id="power-fx"),
        pytest.param("a: 1\n  b: 2\n", (2, 4), "indented too far", "indentation", id="indent"),
        pytest.param('a: "x\nb: 1\n', (3, 1), "a quote that is not closed", "Close", id="quote"),
        pytest.param("a: [1\nb: 2\n", (2, 2), "that is not closed", "Close it", id="bracket"),
        pytest.param('a: "\\d"\n', (1, 5), "a `\\`", "single quotes", id="escape"),
        pytest.param("a: *.yaml\n", (1, 5), "a bare `*` or `&`", "Quote", id="glob"),
        pytest.param("a: *x\n", (1, 4), "an alias without its anchor", "Quote", id="no-anchor"),
        pytest.param("a: &x 1\nb: *x\n", (2, 4), "the alias `*x`", "Write the value out", id="alias"),
        pytest.param("a: &x\n  b: *x\n", (2, 6), "the alias `*x`", "Write the value out", id="self-alias"),
        pytest.param("a: &x 1\n? *x\n: 2\n", (2, 3), "the alias `*x`", "Write the value out", id="alias-key"),
        pytest.param("a: !Ref x\n", (1, 4), "the tag `!Ref`", "Quote", id="tag"),
        pytest.param("a: !!python/none x\n", (1, 4), "the tag", "Quote", id="python-tag"),
        pytest.param("a: 1\nb: x\x1b[0m\n", (2, 5), "a control character", "Remove it", id="escape-char"),
        pytest.param("key\nb: 1\n", (2, 2), "a second `: `", "indentation", id="missing-colon"),
    ],
)
def test_a_fault_has_its_place_and_a_remedy(text, place, message, hint):
    faults = parse(text.encode()).faults
    assert [(fault.line, fault.column) for fault in faults] == [place]
    assert message in faults[0].message
    assert hint in faults[0].hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("a: 1".encode("utf-16"), "UTF-16", id="utf-16"),
        pytest.param(b"a: 1\nb: \xe9\n", "not UTF-8", id="latin-1"),
        pytest.param(b"a" * (MAX_BYTES + 1), "at most 1,048,576", id="too-large"),
    ],
)
def test_what_is_no_text_of_ours_is_a_fault(content, message):
    (fault,) = parse(content).faults
    assert message in fault.message
    assert fault.hint


def test_the_place_of_a_bad_byte_is_counted_in_lines():
    assert parse(b"a: 1\nb: \xe9\n").faults[0] == Fault(
        2, 4, "a byte that is not UTF-8", "Save the file as UTF-8."
    )


@pytest.mark.parametrize("start", ["[", "{a: ", "- ", "? "])
@pytest.mark.parametrize("times", [MAX_DEPTH + 1, 3_000, 200_000])
def test_deep_nesting_ends_in_a_fault_and_not_in_the_process(start, times):
    (fault,) = parse((start * times + "x").encode()).faults
    assert fault.message == "more than 100 levels of nesting"


def test_nesting_up_to_the_limit_is_read():
    assert parse(("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)).encode()).faults == ()


def test_many_aliases_cost_nothing():
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghi"))
    parsed = parse(bomb.encode())
    assert len(parsed.faults) == 16


def test_every_fault_of_the_walk_is_found_at_once():
    faults = parse(b"a: 1\na: 2\nb: .nan\nc: !x y\n").faults
    assert [fault.line for fault in faults] == [2, 3, 4]


def test_documents_before_a_syntax_error_are_still_read():
    parsed = parse(b"a: 1\n---\nb: [\n")
    assert [document.value for document in parsed.documents] == [{"a": 1}]
    assert len(parsed.faults) == 1


def test_what_was_parsed_can_be_stored():
    parsed = parse(b"a: {b: [1, 2]}\n---\nc: *x\n")
    assert pickle.loads(pickle.dumps(parsed)) == parsed


def test_pyyaml_without_its_c_library_is_refused_with_a_remedy():
    check_libyaml(True)
    with pytest.raises(ReconcilerError, match="without its C library") as raised:
        check_libyaml(False)
    assert "pip install" in raised.value.hint


texts = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(texts, json_values, min_size=1, max_size=4), st.booleans())
def test_what_a_dumper_writes_is_read_back(value, flow):
    text = yaml.dump(value, Dumper=_Quoting, default_flow_style=flow, allow_unicode=True, width=10_000)
    parsed = parse(text.encode())
    assert parsed.faults == ()
    assert [document.value for document in parsed.documents] == [value]


class _Quoting(yaml.SafeDumper):
    """Writes every text in double quotes, so that both versions of YAML read it alike, and no alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)
_Quoting.add_representer(
    float, lambda dumper, number: dumper.represent_scalar("tag:yaml.org,2002:float", _float(number))
)


def _float(number: float) -> str:
    text = repr(number)
    return text if "." in text or "e" not in text else text.replace("e", ".0e")


@given(st.binary(max_size=200))
def test_no_bytes_end_in_a_traceback(content):
    parse(content)


@given(st.text(st.sampled_from("ab:-[]{}\"'|>#&*!? \n\t,%@`"), max_size=60))
def test_no_text_ends_in_a_traceback(text):
    for fault in parse(text.encode()).faults:
        assert fault.line >= 1
        assert fault.column >= 1
        assert fault.message

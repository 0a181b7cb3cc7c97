"""What `import` writes is read back exactly, and a person can read it too."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.cli.importing.yaml_text import NotRepresentable, dump
from reconciler.resource import canonical
from reconciler.yaml_nodes import parse

# What real prompts hold, and what YAML takes for something else.
AWKWARD = (
    *(
        " ",
        "\n",
        "\t",
        "\r\n",
        "\r",
        "#",
        ": ",
        " #",
        "---\n",
        "...",
        "- ",
        "? ",
        "|",
        ">",
        "%",
        "@",
        "`",
        "*a",
    ),
    *(
        "&b",
        "!c",
        "{{x}}",
        "${Y}",
        "${{z}}",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        '"',
        "\\",
        "null",
        "~",
        "yes",
        "no",
    ),
    *(
        "on",
        "1",
        "1.0",
        "1e3",
        ".5",
        "0x1F",
        "0o17",
        "1_000",
        "12:30",
        "2024-01-01",
        "=",
        "<<",
        ".inf",
        ".nan",
    ),
    *(
        "é",
        "日本",
        "👩\u200d💻",
        "\ufeff",
        "\x85",
        "\u2028",
        "\xa0",
        "\u200b",
        "\x00",
        "\x1b",
        "\x7f",
        "\ufffe",
    ),
)
texts = st.lists(st.one_of(st.sampled_from(AWKWARD), st.text(max_size=8)), max_size=8).map("".join)
texts = texts.filter(lambda text: not any(0xD800 <= ord(char) <= 0xDFFF for char in text))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def read(text: str) -> Any:
    parsed = parse(text.encode())
    assert not parsed.faults, (parsed.faults, text)
    return parsed.documents[0].value


@given(st.dictionaries(texts, values, min_size=1, max_size=5))
def test_every_value_is_read_back_as_it_was(value: dict[str, Any]) -> None:
    assert canonical(read(dump(value))) == canonical(value)


@given(texts.filter(bool))
@example("a\n  ")
@example("  \n a\n")
@example("\n\n a\n\n")
@example("a\n\n\n")
@example("tab\there\n\tand there")
def test_every_text_is_read_back_as_it_was(text: str) -> None:
    assert read(dump({"deep": [{"text": text}]})) == {"deep": [{"text": text}]}


@given(st.dictionaries(texts.filter(bool), texts, min_size=1))
def test_other_parsers_read_texts_as_texts(value: dict[str, str]) -> None:
    assert yaml.safe_load(dump(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param({"a": "plain words"}, "a: plain words\n", id="bare"),
        pytest.param({"a": "yes"}, 'a: "yes"\n', id="word-of-yaml-1.1"),
        pytest.param({"a": "2024-01-01"}, 'a: "2024-01-01"\n', id="date"),
        pytest.param({"a": "2.0.0"}, "a: 2.0.0\n", id="version"),
        pytest.param({"a": 'say "hi"'}, 'a: say "hi"\n', id="quotes-inside"),
        pytest.param({"a": '"hi"'}, "a: '\"hi\"'\n", id="quotes-around"),
        pytest.param({"a": "x: y"}, 'a: "x: y"\n', id="colon"),
        pytest.param({"a": "line\nline\n"}, "a: |\n  line\n  line\n", id="block"),
        pytest.param({"a": "line\nline"}, "a: |-\n  line\n  line\n", id="block-without-end"),
        pytest.param({"a": "l\n\n  m\n\n"}, "a: |+\n  l\n\n    m\n\n", id="block-with-blank-end"),
        pytest.param({"a": " l\nm"}, "a: |2-\n   l\n  m\n", id="block-that-starts-indented"),
        pytest.param({"a": "l\r\nm"}, 'a: "l\\r\\nm"\n', id="crlf-is-quoted"),
        pytest.param({"a": ["b", "c"]}, "a: [b, c]\n", id="short-list"),
        pytest.param({"a": [{"b": "1", "c": 2}]}, 'a: [{b: "1", c: 2}]\n', id="short-list-of-mappings"),
        pytest.param({"a": {"b": "1"}}, 'a:\n  b: "1"\n', id="near-the-top-is-open"),
        pytest.param({"metadata": {"name": "x"}}, "metadata: {name: x}\n", id="name-on-one-line"),
        pytest.param({"a": {}, "b": [], "c": None}, "a: {}\nb: []\nc: null\n", id="empty"),
    ],
)
def test_what_it_looks_like(value: Any, text: str) -> None:
    assert dump(value) == text


def test_comments_stand_above_their_key() -> None:
    text = dump({"a": {"b": 1}}, {("a", "b"): "why\nit is so"})

    assert text == "a:\n  # why\n  # it is so\n  b: 1\n"


def test_a_key_longer_than_a_line_may_be() -> None:
    value = {"k" * 2000: {"x" * 1100: "y"}}

    assert read(dump(value)) == value


def test_what_yaml_cannot_hold_is_an_error() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]

    with pytest.raises(NotRepresentable, match="levels of nesting"):
        dump({"a": deep})
    with pytest.raises(NotRepresentable):
        dump({"a": math.nan})

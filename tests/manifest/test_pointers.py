"""Pointers with `*`: reading, writing, leaving out and carrying over."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.pointers import carried, get, parts, pointer, put, without

FORM = {
    "definition": {
        "kind": "prompt",
        "temperature": 0.2,
        "reasoning": {"effort": "high"},
        "tools": [
            {"type": "mcp", "server_label": "crm", "headers": {"x": "1"}},
            {"type": "web_search"},
            {"type": "mcp", "server_label": "erp", "headers": {"x": "2", "y": "3"}},
        ],
        "a/b~c": 1,
    },
    "metadata": {"owner": "me"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ()), ("/", ("",)), ("/a/b", ("a", "b")), ("/a~1b/~0c", ("a/b", "~c")), ("/x/*/y", ("x", "*", "y"))],
)
def test_a_pointer_has_parts(text, expected):
    assert parts(text) == expected


@pytest.mark.parametrize("text", ["a", "a/b", "/a~", "/~2"])
def test_what_is_no_pointer_is_refused(text):
    with pytest.raises(ValueError, match="`"):
        parts(text)


@given(st.lists(st.text(max_size=5), max_size=4))
def test_a_path_survives_being_written_as_a_pointer(path):
    assert parts(pointer(path)) == tuple(path)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", [FORM]),
        ("/definition/temperature", [0.2]),
        ("/definition/a~1b~0c", [1]),
        ("/definition/tools/1/type", ["web_search"]),
        ("/definition/tools/*/headers/x", ["1", "2"]),
        ("/metadata/*", ["me"]),
        ("/definition/tools/7", []),
        ("/definition/tools/-1", []),
        ("/definition/kind/deeper", []),
        ("/nothing", []),
    ],
)
def test_get_finds_every_value(where, expected):
    assert get(FORM, where) == expected


def test_put_writes_at_every_place_and_makes_mappings_on_the_way():
    assert get(put(FORM, "/definition/tools/*/headers/x", 9), "/definition/tools/*/headers/x") == [9, 9, 9]
    assert put({}, "/a/b", 1) == {"a": {"b": 1}}
    assert put({"a": [1]}, "/a/5", 2) == {"a": [1]}
    assert put({"a": {"x": 1, "y": 2}}, "/a/*", 0) == {"a": {"x": 0, "y": 0}}


@pytest.mark.rule("C3")
@pytest.mark.parametrize(
    ("form", "where", "expected"),
    [
        pytest.param({"a": 1, "b": 2}, "/a", {"b": 2}, id="key"),
        pytest.param({"a": {"b": 1, "c": 2}}, "/a/b", {"a": {"c": 2}}, id="nested"),
        pytest.param(
            {"a": {"b": {"c": 1}, "d": 1}}, "/a/b/c", {"a": {"d": 1}}, id="an-emptied-mapping-goes-too"
        ),
        pytest.param({"a": {"b": {}, "d": 1}}, "/a/b/c", {"a": {"d": 1}}, id="an-empty-mapping-goes-too"),
        pytest.param({"a": {"b": 1}, "c": 1}, "/a/b", {"c": 1}, id="on-the-first-level-too"),
        pytest.param({"a": [1, 2, 3]}, "/a/1", {"a": [1, 3]}, id="item"),
        pytest.param({"a": [1, 2]}, "/a/*", {"a": []}, id="an-emptied-list-stays"),
        pytest.param({"a": [{"b": 1, "c": 2}, {"c": 3}]}, "/a/*/b", {"a": [{"c": 2}, {"c": 3}]}, id="items"),
        pytest.param(
            {"a": {"x": {"k": 1, "l": 1}, "y": 2}}, "/a/*/k", {"a": {"x": {"l": 1}, "y": 2}}, id="any-key"
        ),
        pytest.param({"a": {"*": 1, "x": 2}}, "/a/*", {"a": {"x": 2}}, id="a-key-that-is-a-star"),
        pytest.param({"a": 1}, "/b/c", {"a": 1}, id="absent"),
        pytest.param({"a": 1}, "/a/b", {"a": 1}, id="below-a-scalar"),
    ],
)
def test_without_leaves_out_what_is_named(form, where, expected):
    assert without(form, [where]) == expected


def test_without_pointers_the_form_is_itself():
    assert without(FORM, ()) is FORM


names = st.sampled_from(["a", "b", "c", "*"])
trees = st.recursive(
    st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=12,
)
forms = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)
paths = st.lists(st.sampled_from(["a", "b", "0", "1", "*"]), min_size=1, max_size=4).map(pointer)


@given(forms, st.lists(paths, max_size=3))
def test_what_was_left_out_cannot_be_found_again(form, where):
    before = deepcopy(form)
    left = without(form, where)
    assert form == before
    for one in where:
        # A later item moves up when an item goes.
        if not any(part.isdecimal() for part in parts(one)):
            assert get(left, one) == []


@given(forms, paths)
def test_leaving_out_twice_changes_nothing_more(form, where):
    if not any(part.isdecimal() for part in parts(where)):
        once = without(form, [where])
        assert without(once, [where]) == once


@given(forms, forms, st.lists(paths, max_size=3))
def test_carrying_over_changes_nothing_but_what_is_named(form, live, where):
    before = deepcopy((form, live))
    if not any(part.isdecimal() for one in where for part in parts(one)):
        assert without(carried(form, live, where), where) == without(form, where)
    assert (form, live) == before


@pytest.mark.rule("C3")
@pytest.mark.parametrize(
    ("form", "live", "where", "expected"),
    [
        pytest.param({"a": {"t": 1}}, {"a": {"t": 2}}, "/a/t", {"a": {"t": 2}}, id="from-live"),
        pytest.param({"a": {"t": 1, "u": 1}}, {"a": {}}, "/a/t", {"a": {"u": 1}}, id="absent-in-live"),
        pytest.param({"a": {}}, {"a": {"t": 2}}, "/a/t", {"a": {"t": 2}}, id="absent-in-git"),
        pytest.param({"a": {}}, {"a": {"r": {"e": 2, "f": 3}}}, "/a/r/e", {"a": {"r": {"e": 2}}}, id="deep"),
        pytest.param({"a": {"r": {"e": 1}}}, {"a": {}}, "/a/r/e", {"a": {}}, id="deep-absent"),
        pytest.param({"a": [1, 2]}, {"a": [9]}, "/a/*", {"a": [9, 2]}, id="by-position"),
        pytest.param({"a": [{"t": 1}]}, {"a": 5}, "/a/*/t", {"a": [{"t": 1}]}, id="another-shape"),
    ],
)
def test_an_ignored_value_is_taken_from_live(form, live, where, expected):
    assert carried(form, live, [where]) == expected


def test_items_are_matched_by_type_and_name_when_one_is_put_in_front():
    live = {"tools": [{"type": "mcp", "server_label": "crm", "h": 7}, {"type": "web_search", "h": 8}]}
    form = {
        "tools": [
            {"type": "function", "name": "new", "h": 0},
            {"type": "mcp", "server_label": "crm", "h": 1},
            {"type": "web_search"},
        ]
    }
    assert [tool.get("h") for tool in carried(form, live, ["/tools/*/h"])["tools"]] == [0, 7, 8]

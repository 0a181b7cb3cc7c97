"""Whatever is written into the file, it is taken or refused with places; nothing else ever happens."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.errors import InvalidInput, Problem
from reconciler.globs import compiled
from reconciler.service.config import config_of
from reconciler.service.config_overlap import can_overlap
from reconciler.service.config_text import check_text
from reconciler.yaml_nodes import parse
from tests.service.config.test_config import ENVIRON, WHOLE

(DOCUMENT,) = parse(WHOLE.encode()).documents
_ODD = (
    "| |\0|a\0b|\ud7ff\u202e|~|~nobody|..|/|//|/dev/null|/proc/self/mem|.|*|http://|https://[|https://h:99999/x"
    "|ssh://|git@:x|a@b:c|file:///|postgresql://[::|sqlite://|sqlite:///|[::1|[]:1|::1:80|127.0.0.1:-1|x:1:2"
    "|1m |0s|999999d|[|[!|[]|**|a[b|!*|\\|ref^{}|@{-1}|-x|a b|whsec_|:|%|%00|é|99999999999999999999999999"
)
ODD = st.sampled_from(_ODD.split("|"))
VALUES = st.one_of(
    ODD,
    st.text(max_size=20),
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(ODD, max_size=3),
    st.dictionaries(st.sampled_from(["env", "file", "name", "x"]), ODD, max_size=3),
)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += paths(item, (*path, key))
    return found


def changed(path: tuple[str | int, ...], to: Any) -> Any:
    whole = copy.deepcopy(DOCUMENT.value)
    at = whole
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = to
    return whole


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(paths(DOCUMENT.value)), VALUES)
@example(("sources", 0, "credentials", "token", "file"), "a\0b")
@example(("sources", 0, "signatures", "gpg", 0), "a\0b")
@example(("auth", "tokens"), "a\0b")
@example(("sources", 1, "credentials", "ssh_key"), "\0")
@example(("store",), "postgresql://[::")
@example(("sources", 0, "projects"), ["[a-"])
def test_any_value_anywhere_is_taken_or_refused_with_its_place(path: tuple[str | int, ...], to: Any) -> None:
    try:
        content = orjson.dumps(changed(path, to))
    except TypeError:
        return
    with tempfile.TemporaryDirectory() as folder:
        taken_or_refused(content, Path(folder) / "reconciler.yaml")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
@example(b"\xff\xfe")
@example(b"a: &x [*x]")
@example(b"{" * 200)
@example(b"store: !!python/object:os.system x")
def test_any_bytes_are_refused_with_their_place(content: bytes) -> None:
    taken_or_refused(content, Path("/nowhere/reconciler.yaml"))


def taken_or_refused(content: bytes, path: Path) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        text = check_text(config_of(content, path, ENVIRON))
    except InvalidInput as error:
        problems = error.problems
        text = "\n".join(map(str, problems))
        if not problems:
            raise
    assert {problem.place.file for problem in problems} <= {str(path)}
    assert not [problem for problem in problems if not problem.hint]
    assert not [secret for secret in ENVIRON.values() if secret in text]


NAMES = st.from_regex(r"[ab-]{0,4}", fullmatch=True)
GLOBS = st.lists(st.sampled_from(["a", "b", "-", "*", "?", "[ab]", "[!a]"]), min_size=1, max_size=4).map(
    "".join
)


@settings(max_examples=300, deadline=None)
@given(GLOBS, GLOBS, NAMES)
def test_globs_that_match_one_name_overlap(one: str, other: str, name: str) -> None:
    if compiled(one).fullmatch(name) and compiled(other).fullmatch(name):
        assert can_overlap(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [("a*", "b*"), ("a", "b"), ("??", "a"), ("[ab]", "[!ab]"), ("*a", "*b")]
)
def test_globs_apart_do_not_overlap(one: str, other: str) -> None:
    assert not can_overlap(one, other)

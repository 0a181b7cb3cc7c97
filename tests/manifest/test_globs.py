"""Globs over paths, and paths relative to a folder."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.globs import compiled, joined


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.yaml", "a.yaml", True),
        ("*.yaml", "d/a.yaml", False),
        ("*.yaml", ".a.yaml", False),
        (".*.yaml", ".a.yaml", True),
        ("**/*.yaml", "a.yaml", True),
        ("**/*.yaml", "d/e/a.yaml", True),
        ("**/*.yaml", ".github/a.yaml", False),
        ("**/*.yaml", "d/.hidden/a.yaml", False),
        ("**/*.yaml", "a.yml", False),
        ("agents/**", "agents/a.yaml", True),
        ("agents/**", "agents/d/a.yaml", True),
        ("agents/**", "agents", False),
        ("agents/**/*.yaml", "agents/a.yaml", True),
        ("agents/**/*.yaml", "agents-old/a.yaml", False),
        ("agents/?.yaml", "agents/a.yaml", True),
        ("agents/?.yaml", "agents/ab.yaml", False),
        ("agents/[ab].yaml", "agents/b.yaml", True),
        ("agents/[!ab].yaml", "agents/b.yaml", False),
        ("agents/[!ab].yaml", "agents/c.yaml", True),
        ("agents[!a]x.yaml", "agents/x.yaml", False),
        ("a+b.yaml", "a+b.yaml", True),
        ("a.yaml", "axyaml", False),
    ],
)
def test_a_glob_matches_as_in_a_shell(glob, path, matches):
    assert bool(compiled(glob).fullmatch(path)) is matches


@pytest.mark.parametrize(
    ("folder", "path", "expected"),
    [
        ("", "a.yaml", "a.yaml"),
        ("d", "./a.yaml", "d/a.yaml"),
        ("d/e", "../f/a.yaml", "d/f/a.yaml"),
        ("d", "..", ""),
        ("", ".", ""),
        ("d", "../..", None),
        ("", "../a", None),
        ("d", "/etc/passwd", None),
    ],
)
def test_a_path_is_relative_to_its_folder_and_stays_inside_the_root(folder, path, expected):
    assert joined(folder, path) == expected


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        pytest.param("*a" * 40 + "*b", "a" * 250, id="stars"),
        pytest.param("*" * 300 + "b", "a" * 250, id="stars-in-a-row"),
        pytest.param("**/a/" * 40 + "b", "a/" * 500 + "c", id="folders"),
        pytest.param("**/" * 100 + "b", "a/" * 500 + "c", id="folders-in-a-row"),
        pytest.param("**/*a*/" * 20 + "b", "aa/" * 300 + "c", id="both"),
    ],
)
def test_no_glob_takes_long(glob: str, path: str) -> None:
    """Whoever can push a glob could otherwise hold up every Project of a service for hours."""
    began = time.process_time()
    assert not compiled(glob).fullmatch(path)
    assert time.process_time() - began < 1


_SEGMENTS = st.sampled_from(
    ["**", "*", "a*", "*a*", "*.b", ".a", ".*", "?", "a", "*a?*b", "[!a]*b*", "[ab]*a"]
)
_NAMES = st.text("ab.", min_size=1)


@given(st.lists(_SEGMENTS, min_size=1, max_size=5), st.lists(_NAMES, min_size=1, max_size=6))
def test_a_glob_matches_what_trying_every_way_matches(glob: list[str], path: list[str]) -> None:
    assert (compiled("/".join(glob)).fullmatch("/".join(path)) is not None) is _matches(glob, path)


def _matches(glob: list[str], path: list[str]) -> bool:
    """By trying every number of folders for each `**`."""
    if not glob or not path:
        return not glob and not path
    if glob[0] != "**":
        hidden = path[0].startswith(".") and not glob[0].startswith(".")
        return not hidden and fnmatchcase(path[0], glob[0]) and _matches(glob[1:], path[1:])
    if glob[1:] and _matches(glob[1:], path):
        return True
    return not path[0].startswith(".") and (_matches(glob, path[1:]) or (not glob[1:] and not path[1:]))

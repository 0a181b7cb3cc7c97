"""Globs over paths, and paths relative to a folder."""

from __future__ import annotations

import pytest

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

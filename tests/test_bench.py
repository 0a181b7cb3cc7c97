"""What the benchmark measures with: agents that are valid, and in sync where it says so."""

from __future__ import annotations

import os
from pathlib import Path

from bench import fleet
from bench.row import Row, table
from reconciler.desired import load
from reconciler.kinds.registry import KINDS
from reconciler.mark import MARK_KEY, decode
from reconciler.source import open_source


def test_live_agents_carry_the_marks_of_the_manifests(tmp_path: Path) -> None:
    fleet.write_manifests(tmp_path / "m", "http://127.0.0.1:9/api/projects/p", 10)
    (project,) = load(open_source(str(tmp_path / "m"), environ=os.environ), environ={}, kinds=KINDS)
    assert project.problems == ()
    assert {want.form["definition"]["kind"] for want in project.resources} == set(fleet.KINDS)
    marks = [decode(agent["versions"][0]["metadata"][MARK_KEY]) for agent in fleet.in_sync(range(10))]
    wanted = [(want.key.local, want.fingerprint) for want in project.resources]
    assert [(mark.resource, mark.spec) for mark in marks if mark] == wanted


def test_a_missed_limit_stands_out_in_the_table() -> None:
    shown = table([Row("a", "≤ 1 s", "2 s", met=False), Row("b", "≤ 1 s", "1 s", "x", 2.0, True)])
    assert [line.split()[-1] for line in shown.splitlines()] == ["met", "───", "NO", "yes"]

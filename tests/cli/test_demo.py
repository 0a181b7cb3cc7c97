"""`demo` tells its story, leaves nothing behind, and fails when a step does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reconciler.cli import app, demo
from reconciler.errors import ReconcilerError
from tests.world import World

IN_SYNC = "No changes. Live agents match the manifests."


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """No repository; temporary folders of the story lie where they can be counted."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return World("", "demo", tmp_path / "none")


def test_the_story_ends_in_sync_and_leaves_nothing_behind(world: World, tmp_path: Path) -> None:
    before, folder = dict(os.environ), os.getcwd()

    done = world.run("demo")

    assert done.exit_code == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("(exit code")] == [
        f"(exit code {code})" for code in (2, 0, 0, 2, 0, 0, 0, 2, 0, 0)
    ]
    assert done.stdout.count(IN_SYNC) == 3
    for told in ("Plan: 2 to add", "Drift: 1 changed.", "4. move traffic", "1 destroyed."):
        assert told in done.stdout
    assert done.last_line.startswith("Everything behaved as told.")
    assert list(tmp_path.iterdir()) == []
    assert (dict(os.environ), os.getcwd()) == (before, folder)


def test_its_output_is_for_people_also_in_a_build(world: World, tmp_path: Path) -> None:
    summary = tmp_path / "summary"
    world.environ |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}

    done = world.run("demo")

    assert done.exit_code == 0
    assert "::" not in done.stdout
    assert not summary.exists()


def test_kept_files_are_ready_to_go_on_with(world: World, tmp_path: Path) -> None:
    kept = tmp_path / "kept"

    done = world.run("demo", "--keep", str(kept))

    assert done.exit_code == 0
    assert sorted(path.name for path in kept.iterdir() if path.suffix != ".db-wal")[:2] == [
        "agents",
        "project.yaml",
    ]
    command = done.last_line.strip()
    assert command == f"RECONCILER_SANDBOX_STATE={kept / 'sandbox.db'} reconciler plan {kept}"
    world.environ["RECONCILER_SANDBOX_STATE"] = str(kept / "sandbox.db")
    again = world.run("plan", str(kept))
    assert (again.exit_code, again.last_line) == (0, IN_SYNC)


def test_a_folder_with_something_in_it_is_not_used(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")

    done = world.run("demo", "--keep", str(tmp_path))

    assert done.exit_code == 1
    assert f"{tmp_path} is not empty" in done.stderr
    assert "the demo overwrites nothing" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_step_that_misbehaves_fails_the_demo(tmp_path: Path) -> None:
    story = demo._Story(tmp_path)

    with pytest.raises(ReconcilerError, match="expected exit code 2 from `reconciler plan`, and it was 1"):
        story.run("plan", 2)


def test_another_exit_code_than_told_fails_the_demo(world: World, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert CliRunner().invoke(app, ["init", str(kept)]).exit_code == 0
    environ = {"RECONCILER_SANDBOX_STATE": str(tmp_path / "state.db")}

    with demo._environment(environ), pytest.raises(ReconcilerError) as caught:
        demo._Story(kept).run("plan", 0)

    assert "the demo expected exit code 0 from `reconciler plan`, and it was 2" in str(caught.value)
    assert "Report this" in caught.value.hint

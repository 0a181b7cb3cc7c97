"""One sandbox for a test process, a project of its own for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from reconciler.sandbox import Sandbox
from tests.world import World

_numbers = itertools.count(1)

# How long an example takes says how busy the machine is.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# What CI systems set changes what commands print; a test that wants it sets it.
for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "TF_BUILD", "GITLAB_CI", "NO_COLOR"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running sandbox whose state ends with the session."""
    with Sandbox(tmp_path_factory.mktemp("sandbox") / "state.db") as running:
        yield running


@pytest.fixture
def bare_world(sandbox: Sandbox, tmp_path: Path) -> World:
    """A project nobody used, and no repository yet."""
    return World(sandbox.url, f"w{os.getpid()}-{next(_numbers)}", tmp_path / "repo")


@pytest.fixture
def world(bare_world: World) -> World:
    """A project nobody used, and a repository with a Project manifest; hosted versions start in 0.1 s."""
    bare_world.start()
    bare_world.settings(provisioning={"delay_s": 0.1})
    return bare_world


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests counted (`record_property("counts", …)`), also when they pass."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [value for report in reports for name, value in report.user_properties if name == "counts"]
    if lines:
        terminalreporter.section("counts")
        for line in sorted(map(str, lines)):
            terminalreporter.write_line(line)

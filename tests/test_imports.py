"""What a run imports: the SDK takes a second, and a run that writes nothing must not wait for it."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.world import World

LOOK = "import sys, atexit; atexit.register(lambda: print('MODULES', *sys.modules, file=sys.stderr)); "
RUN = "from reconciler.cli import main; sys.argv = ['reconciler', *sys.argv[1:]]; main()"


def modules_of(*args: str) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", LOOK + RUN, *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ},
    )
    line = next(line for line in done.stderr.splitlines() if line.startswith("MODULES"))
    return done.returncode, set(line.split())


def test_help_imports_nothing_heavy() -> None:
    code, modules = modules_of("--help")

    assert code == 0
    heavy = {"azure", "pydantic", "yaml", "deepdiff", "pygit2", "aiohttp", "structlog", "jsonschema_rs"}
    assert not heavy & modules


def test_a_plan_with_nothing_to_do_imports_no_sdk_and_no_deepdiff(world: World) -> None:
    world.agent("triage")
    world.commit()
    world.apply()

    code, modules = modules_of("plan", str(world.repo))

    assert code == 0
    assert not {"azure.ai.projects", "azure.identity", "deepdiff", "structlog", "rich"} & modules


def test_the_plan_of_a_change_imports_no_sdk(world: World) -> None:
    world.agent("triage")
    world.commit()

    code, modules = modules_of("plan", str(world.repo))

    assert code == 2
    assert "azure.ai.projects" not in modules

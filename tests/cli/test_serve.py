"""`reconciler serve`: what it says of a configuration, and why it does not start."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from reconciler.errors import StateError
from reconciler.service.engine.opening import open_engine
from tests.world import World


def config(folder: Path, **more: object) -> str:
    spec = {
        "store": f"sqlite:///{folder}/store.db",
        "sources": [{"name": "agents", "url": "https://git.example.com/agents.git"}],
        **more,
    }
    (folder / "service.yaml").write_text(json.dumps(spec))
    return str(folder / "service.yaml")


def test_a_valid_configuration_says_what_would_be_watched(bare_world: World, tmp_path: Path) -> None:
    done = bare_world.run("serve", "--check", "--config", config(tmp_path))

    assert done.exit_code == 0
    assert "https://git.example.com/agents.git" in done.stdout
    assert "Warning" not in done.stdout


def test_every_problem_of_a_configuration_is_told_with_its_place(bare_world: World, tmp_path: Path) -> None:
    path = config(tmp_path, listen="everywhere", retention={"runs": 0})

    for flag in ("--check", "--migrate"):
        done = bare_world.run("serve", flag, "--config", path)

        assert done.exit_code == 1
        assert "listen" in done.stderr
        assert "retention.runs" in done.stderr
        assert "service.yaml:1:" in done.stderr


def test_a_database_behind_a_pooler_is_warned_of(bare_world: World, tmp_path: Path) -> None:
    path = config(tmp_path, store="postgresql://u@db.example.com:6432/agents")

    done = bare_world.run("serve", "--check", "--config", path)

    assert done.exit_code == 0
    assert "PgBouncer" in done.stdout
    assert "5432" in done.stdout


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        pytest.param("gone/store.db", "its folder does not exist. Make it (`mkdir -p", id="no-folder"),
        pytest.param(".", "it is a folder. Name a file in it", id="folder"),
    ],
)
def test_a_place_where_no_store_can_be_is_warned_of(
    bare_world: World, tmp_path: Path, place: str, problem: str
) -> None:
    done = bare_world.run(
        "serve", "--check", "--config", config(tmp_path, store=f"sqlite:///{tmp_path}/{place}")
    )

    assert done.exit_code == 0
    assert "Warning: cannot use the store" in done.stdout
    assert problem in done.stdout


def test_the_check_reads_the_environment_as_well(bare_world: World, tmp_path: Path) -> None:
    bare_world.environ["RECONCILER_CONCURRENCY"] = "many"

    done = bare_world.run("serve", "--check", "--config", config(tmp_path))

    assert done.exit_code == 1
    assert "RECONCILER_CONCURRENCY is 'many'" in done.stderr


def test_an_address_in_use_stops_the_start(bare_world: World, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = bare_world.run("serve", "--config", config(tmp_path, listen=f"127.0.0.1:{port}"))

    assert done.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "`listen`" in done.stderr


@pytest.mark.parametrize("name", ["store.db", "link.db", "folder/../store.db", "also/store.db"])
async def test_a_second_process_on_one_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.db").symlink_to("store.db")
    (tmp_path / "also").symlink_to(tmp_path)
    first = open_engine(f"sqlite:///{tmp_path}/store.db", concurrency=1)
    try:
        with pytest.raises(StateError, match=r"store\.db") as refused:
            open_engine(f"sqlite:///{tmp_path}/{name}", concurrency=1)
        assert refused.value.hint
    finally:
        await first.close()


async def test_a_second_process_leaves_the_store_alone(bare_world: World, tmp_path: Path) -> None:
    """A newer one would migrate it under the first."""
    first = open_engine(f"sqlite:///{tmp_path}/store.db", concurrency=1)
    try:
        path = config(tmp_path, listen="127.0.0.1:0")
        done = await asyncio.to_thread(bare_world.run, "serve", "--config", path)
    finally:
        await first.close()

    assert "another process of the service uses" in done.stderr
    assert not (tmp_path / "store.db").exists()

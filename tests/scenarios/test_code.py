"""Stories about agents from code: zipped only to upload, found by tree, verified by download."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from reconciler.kinds.agent import package
from tests.world import World

CODE = {
    "kind": "hosted",
    "cpu": "1",
    "memory": "2Gi",
    "code_configuration": {
        "runtime": "python_3_13",
        "entry_point": ["python", "main.py"],
        "dependency_resolution": "remote_build",
    },
    "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}],
}


def write_code(world: World, text: str = "print('one')\n") -> None:
    world.write("code/desk/main.py", text)
    world.write("code/desk/requirements.txt", "requests\n")
    world.write("code/desk/.agentignore", "notes/\n")
    world.write("code/desk/notes/todo.md", "later\n")
    world.agent("desk", CODE, code={"path": "../code/desk"})


def deployed(world: World) -> list[str]:
    import urllib.request

    url = f"{world.endpoint}/agents/desk/code:download?api-version=v1"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return zipfile.ZipFile(io.BytesIO(answer.read())).namelist()


def test_a_folder_becomes_a_flat_zip_and_is_uploaded_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_code(world)
    world.commit()
    assert world.apply().exit_code == 0
    assert deployed(world) == ["main.py", "requirements.txt"]

    def never(*args: object) -> bytes:
        raise AssertionError("a run that changes nothing zips nothing")

    monkeypatch.setattr(package, "build", never)
    monkeypatch.setattr("reconciler.loading.build", never)
    world.in_sync()
    assert world.requests() == {"GET /agents": 2}


def test_a_changed_byte_makes_a_version_and_a_revert_moves_traffic_back(world: World) -> None:
    write_code(world)
    world.commit()
    world.apply()
    write_code(world, "print('two')\n")
    world.commit()

    assert world.apply().exit_code == 0
    assert world.traffic("desk") == [("2", 100)]
    world.in_sync()

    world.git("revert", "--no-edit", "HEAD")
    assert world.apply().exit_code == 0
    assert world.numbers("desk") == ["2", "1"]
    assert world.traffic("desk") == [("1", 100)]
    world.in_sync()


def test_ignored_files_change_nothing(world: World) -> None:
    write_code(world)
    world.commit()
    world.apply()
    world.write("code/desk/notes/todo.md", "something else\n")
    world.commit()

    world.in_sync()


def test_verify_code_downloads_and_compares(world: World) -> None:
    write_code(world)
    world.commit()
    world.apply()
    world.forget()
    assert world.drift("--verify-code").exit_code == 0
    assert world.requests()["GET /agents/{agent_name}/code:download"] == 1

    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("main.py", "print('tampered')\n")
    rule = {
        "match": {"method": "GET", "path": "/agents/{agent_name}/code:download", "project": world.name},
        "action": {"status": 200, "headers": {"Content-Type": "application/zip"}, "body": "PK not the zip"},
    }
    world.own("PUT", "faults", [rule])
    tampered = world.drift("--verify-code")
    assert tampered.exit_code == 2
    assert "/code" in tampered.stdout


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        pytest.param("code/desk/main.py", "main.py", id="entry-point"),
        pytest.param("code/desk/requirements.txt", "requirements.txt", id="requirements"),
    ],
)
def test_what_the_build_needs_is_checked_before_the_upload(world: World, remove: str, message: str) -> None:
    write_code(world)
    world.remove(remove)
    world.commit()
    world.forget()

    result = world.apply()

    assert result.exit_code == 1
    assert message in result.stdout
    assert world.requests() == {}


def test_a_clone_elsewhere_finds_nothing_to_do(world: World, tmp_path: Path) -> None:
    write_code(world)
    world.commit()
    world.apply()
    world.git("clone", "-q", str(world.repo), str(tmp_path / "elsewhere"))

    result = world.run("plan", str(tmp_path / "elsewhere"))

    assert result.exit_code == 0, result.stdout

"""Stories about the command line itself: asking, status, formats, several Projects, unreachable services."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import subprocess
import sys
import time

import pytest

from tests.world import World, hosted, prompt


def on_a_terminal(world: World, answer: str, *args: str) -> tuple[int, str]:
    """Run `apply` on a pseudo-terminal, answer its question, and read everything it printed."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "dumb"
        os.execv(sys.executable, [sys.executable, "-m", "reconciler", "apply", str(world.repo), *args])
    shown, answered, end = "", False, time.monotonic() + 30
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 0.5)
        try:
            chunk = os.read(terminal, 4096) if ready else b""
        except OSError:
            break
        if ready and not chunk:
            break
        shown += chunk.decode(errors="replace")
        if "[y/N]" in shown and not answered:
            os.write(terminal, answer.encode() + b"\n")
            answered = True
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), shown


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_apply_asks_on_a_terminal_and_takes_no_for_an_answer(world: World) -> None:
    world.agent("triage")
    world.commit()

    code, shown = on_a_terminal(world, "n")
    assert (code, world.names()) == (3, []), shown
    assert "Plan: 1 to add" in shown

    code, shown = on_a_terminal(world, "y")
    assert (code, world.names()) == (0, ["triage"]), shown
    world.in_sync()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_yes_asks_nothing_on_a_terminal(world: World) -> None:
    world.agent("triage")
    world.commit()

    code, shown = on_a_terminal(world, "", "--yes")

    assert (code, world.names()) == (0, ["triage"]), shown
    assert "[y/N]" not in shown


def test_status_shows_what_serves_and_who_made_it(world: World) -> None:
    world.agent("bot", hosted("registry.example.com/bot:1"))
    world.agent("triage")
    commit = world.commit()
    world.apply()
    world.edit("triage", instructions="outside")

    text = world.run("status", str(world.repo))
    assert text.exit_code == 0
    lines = {line.split()[0]: line for line in text.stdout.splitlines()}
    assert "ready" in lines["prod/Agent/bot"]
    assert f"us, commit {commit[:12]}" in lines["prod/Agent/bot"]
    assert "drifted" in lines["prod/Agent/triage"]
    assert "somebody else" in lines["prod/Agent/triage"]

    rows = json.loads(world.run("status", str(world.repo), "--format", "json").stdout)["agents"]
    assert [row["key"] for row in rows] == ["prod/Agent/bot", "prod/Agent/triage"]
    assert rows[1]["versions"][0]["version"] == "2"


def test_every_format_goes_to_its_file_beside_the_text(world: World, tmp_path: object) -> None:
    world.agent("triage")
    world.commit()
    files = {name: world.repo.parent / f"out/{name}" for name in ("json", "junit", "markdown", "sarif")}

    result = world.plan(*(word for name, file in files.items() for word in ("--output", f"{name}={file}")))

    assert result.exit_code == 2
    assert result.last_line.startswith("Plan: 1 to add")
    assert all(file.read_text() for file in files.values())
    assert json.loads(files["json"].read_text())["exit_code"] == 2


@pytest.mark.parametrize("flag", ["--format=jsn", "--output=jsn=x", "--output=json"])
def test_a_wrong_format_is_said_before_anything_is_read(world: World, flag: str) -> None:
    world.agent("triage")
    world.commit()
    world.forget()

    result = world.plan(flag)

    assert result.exit_code == 1
    assert "json" in result.stderr
    assert world.requests() == {}


def test_a_service_that_does_not_answer_is_named_with_what_to_do(world: World) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{held.getsockname()[1]}/api/projects/x"
        world.project(endpoint=endpoint)
        world.agent("triage")
        world.commit()

        result = world.apply()

    assert result.exit_code == 1
    assert "cannot list the agents" in result.stdout
    assert endpoint in result.stdout
    assert "doctor" in result.stdout or "Check" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_a_refusal_names_code_request_id_and_remedy(world: World) -> None:
    body = {"error": {"code": "forbidden", "message": "no role", "additionalInfo": {"request_id": "req-17"}}}
    rule = {"match": {"project": world.name}, "action": {"status": 403, "body": body}}
    world.own("PUT", "faults", [rule])
    world.agent("triage")
    world.commit()

    result = world.apply()

    assert result.exit_code == 1
    for part in ("HTTP 403", "forbidden", "req-17", "Foundry User"):
        assert part in result.stdout, result.stdout


def test_one_repository_serves_several_projects(world: World) -> None:
    stage = World(world.url, world.name + "-stage", world.repo)
    shared = {"resources": ["agents/*.yaml"]}
    world.project(values={"TONE": "formal"}, **shared)
    world.write(
        "stage.yaml",
        {
            "apiVersion": "reconciler/v1",
            "kind": "Project",
            "metadata": {"name": "stage"},
            "spec": {"endpoint": stage.endpoint, "values": {"TONE": "loose"}, "owner": "x", **shared},
        },
    )
    world.agent("triage", prompt({"$text": "Be ${TONE}."}))  # type: ignore[arg-type]
    world.commit()

    result = world.apply()

    assert result.exit_code == 0, result.stdout
    assert world.versions("triage")[0]["definition"]["instructions"] == "Be formal."
    assert stage.versions("triage")[0]["definition"]["instructions"] == "Be loose."
    assert world.plan("-p", "stage").exit_code == 0
    world.in_sync()


def test_a_broken_project_does_not_stop_another(world: World) -> None:
    """Exit 1 counts before everything else, and the valid Project is applied all the same."""
    world.project(resources=["agents/*.yaml"])
    world.write(
        "stage.yaml",
        {
            "apiVersion": "reconciler/v1",
            "kind": "Project",
            "metadata": {"name": "stage"},
            "spec": {"endpoint": "sandbox://never", "owner": "x", "resources": ["stage/*.yaml"]},
        },
    )
    world.agent("triage")
    world.write("stage/bad.yaml", "apiVersion: reconciler/v1\nkind: Agnet\nmetadata: {name: x}\nspec: {}\n")
    world.commit()

    result = world.apply()

    assert result.exit_code == 1
    assert "stage/bad.yaml:2:7" in result.stdout
    assert "Agent" in result.stdout
    assert world.names() == ["triage"]


def test_github_actions_gets_annotations_and_a_summary(world: World) -> None:
    world.environ |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(world.repo.parent / "summary.md")}
    world.agent("triage", hosted("registry.example.com/bot:latest"))
    world.commit()

    result = world.plan()

    assert "::warning file=agents/triage.yaml" in result.stdout or "::error file=" in result.stdout
    assert "prod" in (world.repo.parent / "summary.md").read_text()


def in_a_process(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reconciler", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "args", [("plan", "--nope"), ("drift", "--max-deletes", "1"), ("apply", "--timeout", "-1"), ("aply",)]
)
def test_a_wrong_flag_never_looks_like_pending_changes(args: tuple[str, ...]) -> None:
    done = in_a_process(*args)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Error" in done.stderr


@pytest.mark.parametrize("command", ["plan", "apply", "drift", "validate"])
def test_json_is_one_object_also_when_nothing_can_be_read(command: str) -> None:
    done = in_a_process(command, "/nonexistent", "--format", "json")

    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["exit_code"] == 1
    assert "no folder" in report["failed"]["messages"][0]


def test_an_output_that_cannot_be_written_stops_before_anything_is_done(world: World) -> None:
    world.agent("triage")
    world.commit()
    world.forget()

    result = world.apply("--output", f"junit={world.repo}")

    assert result.exit_code == 1
    assert "cannot write" in result.stderr
    assert world.requests() == {}

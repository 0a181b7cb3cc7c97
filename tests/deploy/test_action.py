"""The GitHub Action: its steps run as GitHub runs them, against the sandbox."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema
import pytest

from tests.deploy.github_action import ACTION, Job
from tests.deploy.rendering import ROOT
from tests.world import World

# A composite action as metadata syntax for GitHub Actions has it; source: docs.github.com, creating actions.
_TEXT = {"type": "string", "minLength": 1}
_NAMED = {
    "^[a-z][a-z-]*$": {"type": "object", "required": ["description"], "properties": {"description": _TEXT}}
}
_STEP = {
    "type": "object",
    "required": ["name", "run", "shell"],
    "properties": dict.fromkeys(("name", "id", "if", "run", "shell", "working-directory"), _TEXT)
    | {"env": {"type": "object", "additionalProperties": _TEXT}},
    "additionalProperties": False,
}
_SHAPE = {
    "type": "object",
    "required": ["name", "description", "runs"],
    "properties": {
        "name": _TEXT,
        "description": {**_TEXT, "maxLength": 125},
        "branding": {"type": "object"},
        "inputs": {"type": "object", "patternProperties": _NAMED, "additionalProperties": False},
        "outputs": {"type": "object", "patternProperties": _NAMED, "additionalProperties": False},
        "runs": {
            "type": "object",
            "required": ["using", "steps"],
            "properties": {"using": {"const": "composite"}, "steps": {"type": "array", "items": _STEP}},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}

_PYTHON = """#!/usr/bin/env bash
# A Python whose virtual environments are there at once, and whose pip only writes down what it should do.
if [[ "$*" == *"-m venv"* ]]; then
    mkdir -p "${@: -1}/bin"
    cp "$0" "${@: -1}/bin/python"
    ln -sf "%(bin)s/reconciler" "${@: -1}/bin/reconciler"
elif [[ "$*" == *"-m pip"* ]]; then
    printf '%%s\\n' "$@" >"$RUNNER_TEMP/pip"
else
    exec "%(bin)s/python" "$@"
fi
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python for the input `python`."""
    file = tmp_path / "python"
    file.write_text(_PYTHON % {"bin": Path(sys.executable).parent})
    file.chmod(0o755)
    return file


@pytest.fixture
def repository(world: World) -> Path:
    """A repository with one agent that is not live yet."""
    definition = "{kind: prompt, model: m, instructions: Hello.}"
    world.write(
        "agents/triage.yaml",
        f"""apiVersion: reconciler/v1
kind: Agent
metadata: {{name: triage}}
spec: {{definition: {definition}}}
""",
    )
    world.commit("one")
    return world.repo


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job on a branch."""
    (tmp_path / "temp").mkdir()
    return Job(tmp_path, {"HOME": str(tmp_path)})


def test_the_metadata_has_the_shape_that_github_reads() -> None:
    jsonschema.validate(ACTION, _SHAPE)


def test_no_text_of_a_user_becomes_part_of_a_script() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_a_plan_with_changes_is_no_failure(job: Job, repository: Path, python: Path) -> None:
    job.run({"python": str(python), "path": str(repository)})

    assert not job.failed
    assert "Plan: 1 to add, 0 to change, 0 to destroy." in job.printed["Run reconciler"]
    assert job.outputs["steps.run.outputs.exit-code"] == "2"
    assert job.outputs["steps.run.outputs.changes"] == "true"
    assert "Plan: 1 to add" in job.file("summary")
    assert job.outputs.keys() == {
        re.findall(r"steps\.[a-z.-]+", output["value"])[0] for output in ACTION["outputs"].values()
    }
    report = json.loads(Path(job.outputs["steps.run.outputs.report"]).read_text())
    assert job.outputs["steps.run.outputs.digest"] == report["projects"][0]["digest"]


def test_what_was_reviewed_is_what_is_applied(job: Job, repository: Path, python: Path) -> None:
    inputs = {"python": str(python), "path": str(repository)}
    job.run(inputs)
    digest = job.outputs["steps.run.outputs.digest"]

    job.run({**inputs, "command": "apply", "args": f"--plan-digest={digest}\n"})
    assert "Apply complete! Resources: 1 added" in job.printed["Run reconciler"]

    job.run(inputs)
    assert not job.failed
    assert job.outputs["steps.run.outputs.changes"] == "false"


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        pytest.param({"fail-on-changes": "true"}, "2", id="changes"),
        pytest.param({"command": "apply", "args": f"--plan-digest={'0' * 64}"}, "3", id="refused"),
        pytest.param({"args": "--no-such-flag\n--only=x"}, "1", id="error"),
    ],
)
def test_a_failure_fails_the_last_step(
    job: Job, repository: Path, python: Path, inputs: dict[str, str], code: str
) -> None:
    job.run({"python": str(python), "path": str(repository), **inputs})

    assert job.outputs["steps.run.outputs.exit-code"] == code
    assert job.failed == "Result"


@pytest.mark.parametrize(
    ("name", "step"),
    [("command", "Run reconciler"), ("version", "Install reconciler"), ("python", "Install reconciler")],
)
def test_a_hostile_input_is_refused_and_not_run(
    job: Job, repository: Path, python: Path, name: str, step: str
) -> None:
    job.run({"python": str(python), "path": str(repository), name: "x; $(touch hacked) `touch hacked`"})

    assert job.failed == step
    assert "::error title=reconciler::" in job.printed[step]
    assert not (job.folder / "hacked").exists()


@pytest.mark.parametrize("name", ["project", "args", "path"])
def test_hostile_text_is_only_text(job: Job, repository: Path, python: Path, name: str) -> None:
    job.run({"python": str(python), "path": str(repository), name: "$(touch hacked)\n`touch hacked`"})

    assert job.failed == "Result"
    assert not (job.folder / "hacked").exists()


def test_the_version_of_the_action_is_installed(job: Job, repository: Path, python: Path) -> None:
    job.run({"python": str(python), "path": str(repository)})
    asked = job.file("temp/pip").splitlines()
    versions = job.file("temp/reconciler-versions.txt")

    assert asked[-1] == str(ROOT)
    assert asked[-2] == str(job.folder / "temp" / "reconciler-versions.txt")
    assert re.search(r"^aiohttp==[0-9.]+$", versions, flags=re.MULTILINE)
    assert "--hash" not in versions


def test_another_version_comes_from_the_index_and_no_summary_is_written(
    job: Job, repository: Path, python: Path
) -> None:
    inputs = {"python": str(python), "path": str(repository)}
    job.run({**inputs, "version": "0.1.0", "summary": "false"})

    assert job.file("summary") == "", "no summary was wanted"
    assert job.file("temp/pip").splitlines()[-1] == "foundry-reconciler==0.1.0"


_BOT = {"login": "github-actions[bot]", "type": "Bot"}
_SOMEBODY = {"login": "mallory", "type": "User"}


class _Comments(BaseHTTPRequestHandler):
    """The comments of one pull request, for the token of a job, to which only GraphQL says who it is."""

    kept: list[dict[str, Any]]
    status = 0

    def do_GET(self) -> None:
        if self.path == "/user":
            self._answer(403, {"message": "Resource not accessible by integration"})
        else:
            self._answer(200, self.kept)

    def do_POST(self) -> None:
        asked = self._body()
        if self.path == "/graphql":
            self._answer(200, {"data": {"viewer": {"login": _BOT["login"]}}})
        else:
            self._keep({"id": len(self.kept) + 1, "user": _BOT, "body": asked["body"]})

    def do_PATCH(self) -> None:
        (found,) = [each for each in self.kept if self.path.endswith(f"/issues/comments/{each['id']}")]
        found["body"] = self._body()["body"]
        self._answer(200, found)

    def _keep(self, comment: dict[str, Any]) -> None:
        if self.status:
            self._answer(self.status, {"message": "Resource not accessible by integration"})
        else:
            self.kept.append(comment)
            self._answer(201, comment)

    def _body(self) -> dict[str, str]:
        body: dict[str, str] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Authorization"] == "Bearer fake-token"
        return body

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests look at what is kept."""


@pytest.fixture
def comments(job: Job) -> Iterator[type[_Comments]]:
    """A pull request that somebody commented already."""
    handler = type("Comments", (_Comments,), {"kept": [{"id": 1, "user": _SOMEBODY, "body": "Looks good."}]})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    job.pull_request = 7
    address = f"http://127.0.0.1:{server.server_address[1]}"
    job.environ = {**job.environ, "GITHUB_API_URL": address, "GITHUB_REPOSITORY": "acme/agents"}
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_pull_request_has_one_comment_that_is_kept_up_to_date(
    job: Job, repository: Path, python: Path, comments: type[_Comments]
) -> None:
    inputs = {"python": str(python), "path": str(repository)}
    job.run(inputs)
    assert "Plan: 1 to add" in comments.kept[1]["body"]
    (repository / "agents" / "triage.yaml").unlink()
    (repository / "agents" / "empty.yaml").write_text("")
    job.run(inputs)

    assert [each["id"] for each in comments.kept] == [1, 2]
    assert comments.kept[0]["body"] == "Looks good."
    assert "Plan: 1 to add" not in comments.kept[1]["body"]
    assert comments.kept[1]["body"].startswith("<!-- reconciler:")


def test_a_comment_of_somebody_else_with_our_marker_is_left_alone(
    job: Job, repository: Path, python: Path, comments: type[_Comments]
) -> None:
    inputs = {"python": str(python), "path": str(repository)}
    job.run(inputs)
    ours = comments.kept.pop()
    forged = ours["body"].replace("1 to add", "0 to add")
    comments.kept.append({"id": 2, "user": _SOMEBODY, "body": forged})
    job.run(inputs)
    job.run(inputs)

    assert [each["body"] for each in comments.kept] == ["Looks good.", forged, ours["body"]]


def test_a_comment_that_cannot_be_written_fails_nothing(
    job: Job, repository: Path, python: Path, comments: type[_Comments]
) -> None:
    comments.status = 403
    job.run({"python": str(python), "path": str(repository)})
    (printed,) = job.printed["Comment on the pull request"].splitlines()

    assert not job.failed
    assert printed.startswith("::warning title=reconciler::The comment could not be written: ")
    assert "pull-requests: write" in printed
    assert "fake-token" not in printed


def test_no_comment_where_none_is_wanted(
    job: Job, repository: Path, python: Path, comments: type[_Comments]
) -> None:
    job.run({"python": str(python), "path": str(repository), "comment": "false"})

    assert len(comments.kept) == 1


def test_a_workflow_that_uses_it_is_linted(tmp_path: Path) -> None:
    """Inputs of an action beside the workflow are checked, so a wrong one shows that ours are read."""
    for name in (".git", ".github/workflows"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "action.yml").write_text((ROOT / "action.yml").read_text())
    workflow = tmp_path / ".github" / "workflows" / "agents.yml"
    text = (
        "name: agents\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - id: plan\n        uses: ./\n        with: {command: plan}\n"
        "      - run: echo ${{ steps.plan.outputs.digest }}\n"
    )
    workflow.write_text(text)
    assert actionlint(tmp_path) == ""

    workflow.write_text(text.replace("command:", "comand:").replace("digest", "digests"))
    assert '"comand" is not defined' in actionlint(tmp_path)
    assert '"digests" is not defined' in actionlint(tmp_path)


def actionlint(folder: Path) -> str:
    """What actionlint complains of in a repository."""
    tool = Path(sys.executable).parent / "actionlint"
    command = [str(tool), "-no-color", "-shellcheck="]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("name", ["install", "run", "comment", "result"])
def test_scripts_are_bash(name: str) -> None:
    subprocess.run(["bash", "-n", ROOT / "action" / name], check=True)

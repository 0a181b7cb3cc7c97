"""The templates for Azure Pipelines and GitLab CI: their scripts run as there, against the sandbox."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.rendering import ROOT
from tests.world import World

_FOLDER: Final = ROOT / "ci-templates"
AZURE: Final[Mapping[str, Any]] = yaml.safe_load((_FOLDER / "azure-pipelines.yml").read_text())
GITLAB: Final[list[Mapping[str, Any]]] = list(yaml.safe_load_all((_FOLDER / "gitlab.yml").read_text()))
_HOSTILE: Final = "$(touch hacked)\n`touch hacked`"


@pytest.fixture
def repository(world: World) -> Path:
    """A repository with one agent that is not live yet."""
    world.write(
        "agents/triage.yaml",
        "apiVersion: reconciler/v1\nkind: Agent\nmetadata: {name: triage}\n"
        "spec: {definition: {kind: prompt, model: m, instructions: Hello.}}\n",
    )
    world.commit("one")
    return world.repo


def bash(script: str, folder: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The script as a CI system runs it, in a folder."""
    bin = str(Path(sys.executable).parent)
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={"PATH": f"{bin}:{os.environ['PATH']}", "HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def azure_scripts() -> list[str]:
    return [
        step.get("bash") or step["inputs"]["inlineScript"]
        for step in AZURE["steps"]
        if "bash" in step or "inlineScript" in step["inputs"]
    ]


def azure_step(folder: Path, **parameters: str) -> subprocess.CompletedProcess[str]:
    """The step that runs reconciler, with these parameters."""
    chosen = {each["name"]: str(each.get("default", "")) for each in AZURE["parameters"]} | parameters
    (step,) = [step for step in AZURE["steps"] if step.get("task") == "AzureCLI@2"]
    temp = folder / "temp"
    (temp / "reconciler").mkdir(parents=True, exist_ok=True)
    installed = temp / "reconciler" / "bin"
    if not installed.exists():
        installed.symlink_to(Path(sys.executable).parent)
    environ = {
        name: re.sub(r"\$\{\{ parameters\.(\w+) \}\}", lambda match: chosen[match[1]], value).replace(
            "$(Agent.TempDirectory)", str(temp)
        )
        for name, value in step["env"].items()
    }
    return bash(step["inputs"]["inlineScript"], folder, environ)


def test_no_parameter_becomes_part_of_a_script_at_azure() -> None:
    for script in azure_scripts():
        # `${{ }}` is replaced before anything runs, and `$( )` by variables of the pipeline.
        assert "${{" not in script
        assert "$(" not in script


def test_azure_shows_a_plan_and_does_not_fail(tmp_path: Path, repository: Path) -> None:
    ended = azure_step(tmp_path, path=str(repository))

    assert ended.returncode == 0, ended.stderr
    assert "Plan: 1 to add" in ended.stdout
    assert f"##vso[task.uploadsummary]{tmp_path}/temp/reconciler.md" in ended.stdout
    assert "##vso[task.complete result=SucceededWithIssues;]" in ended.stdout
    assert (tmp_path / "temp" / "reconciler.xml").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        pytest.param({"failOnChanges": "True"}, 2, id="changes"),
        pytest.param({"command": "apply"}, 0, id="apply"),
        pytest.param({"arguments": _HOSTILE}, 1, id="hostile-arguments"),
        pytest.param({"path": _HOSTILE}, 1, id="hostile-path"),
    ],
)
def test_azure_ends_as_the_command_does(
    tmp_path: Path, repository: Path, parameters: dict[str, str], code: int
) -> None:
    ended = azure_step(tmp_path, **{"path": str(repository), **parameters})

    assert ended.returncode == code, ended.stdout + ended.stderr
    assert not (tmp_path / "hacked").exists()


def test_azure_needs_only_what_has_no_default() -> None:
    needed = [each["name"] for each in AZURE["parameters"] if "default" not in each]

    # Where to install from, too: whoever registers our name at a public index would get the job's token.
    assert needed == ["serviceConnection", "package"]


def gitlab_job(name: str, inputs: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """A job with what it extends, and its variables."""
    spec, jobs = GITLAB
    declared = spec["spec"]["inputs"]
    assert inputs.keys() <= declared.keys()
    chosen = {key: str(each.get("default", "")) for key, each in declared.items()} | dict(inputs)
    base, own = jobs[".reconciler"], jobs[name]
    assert own["extends"] == ".reconciler"
    merged = {**base, **own, "variables": {**base["variables"], **own["variables"]}}
    variables = {
        key: re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda match: chosen[match[1]], value)
        for key, value in merged["variables"].items()
    }
    return merged, variables


def gitlab(name: str, folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The script of a job."""
    job, variables = gitlab_job(name, {key.replace("_", "-"): value for key, value in inputs.items()})
    (script,) = job["script"]
    return bash(script, folder, {**variables, "RECONCILER_ID_TOKEN": "fake-token"})


def test_no_input_becomes_part_of_a_script_at_gitlab() -> None:
    assert not any("$[[" in line for line in GITLAB[1][".reconciler"]["script"])


def test_gitlab_plans_applies_and_finds_no_drift(tmp_path: Path, repository: Path) -> None:
    planned = gitlab("reconciler-plan", tmp_path, path=str(repository))
    assert planned.returncode == 2
    assert GITLAB[1][".reconciler"]["allow_failure"] == {"exit_codes": [2]}
    reports = GITLAB[1][".reconciler"]["artifacts"]["reports"]
    assert json.loads((tmp_path / reports["terraform"]).read_text()) == {
        "create": 1,
        "update": 0,
        "delete": 0,
    }
    assert (tmp_path / reports["junit"]).exists()

    applied = gitlab("reconciler-apply", tmp_path, path=str(repository))
    assert applied.returncode == 0, applied.stderr
    assert gitlab("reconciler-drift", tmp_path, path=str(repository)).returncode == 0


def test_gitlab_signs_in_by_its_own_token(tmp_path: Path) -> None:
    (tmp_path / "reconciler").write_text('#!/bin/sh\nenv; cat "$AZURE_FEDERATED_TOKEN_FILE"\n')
    (tmp_path / "reconciler").chmod(0o755)
    job, variables = gitlab_job("reconciler-plan", {"client-id": "client", "tenant-id": "tenant"})
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path), **variables}
    printed = bash(job["script"][0], tmp_path, {**environ, "RECONCILER_ID_TOKEN": "fake-token"}).stdout
    (token,) = [file for file in tmp_path.iterdir() if file.read_text() == "fake-token"]

    assert "AZURE_CLIENT_ID=client" in printed
    assert printed.endswith("fake-token")
    assert token.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["path", "arguments"])
def test_hostile_text_is_only_text_at_gitlab(tmp_path: Path, repository: Path, name: str) -> None:
    ended = gitlab("reconciler-plan", tmp_path, **{"path": str(repository), name: _HOSTILE})

    assert ended.returncode == 1
    assert not (tmp_path / "hacked").exists()


def test_two_pipelines_never_apply_at_once() -> None:
    assert GITLAB[1]["reconciler-apply"]["resource_group"].startswith("reconciler-")

"""Runs `action.yml` as GitHub would: its steps in order, with their expressions filled in."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.deploy.rendering import ROOT

ACTION: Final[Mapping[str, Any]] = yaml.safe_load((ROOT / "action.yml").read_text())
_EXPRESSION: Final = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass
class Job:
    """One job: what its steps print, and the files that they write for GitHub."""

    folder: Path
    environ: Mapping[str, str]
    pull_request: int | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    failed: str = ""

    def file(self, name: str) -> str:
        """The text of one of the files that GitHub reads."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def run(self, inputs: Mapping[str, str]) -> None:
        """Every step, until one fails."""
        unknown = inputs.keys() - ACTION["inputs"].keys()
        assert not unknown, unknown
        chosen = {name: each.get("default", "") for name, each in ACTION["inputs"].items()} | dict(inputs)
        for step in ACTION["runs"]["steps"]:
            if self.failed or ("if" in step and self._value(step["if"], chosen) in ("", "false")):
                continue
            if self._step(step, chosen):
                self.failed = step["name"]

    def _step(self, step: Mapping[str, Any], inputs: Mapping[str, str]) -> int:
        assert step["shell"] == "bash"
        output = self.folder / "output"
        output.write_text("")
        ended = subprocess.run(
            # As GitHub starts `shell: bash`.
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.folder,
            env=self._environ(step, inputs, output),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.printed[step["name"]] = ended.stdout + ended.stderr
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            self.outputs[f"steps.{step['id']}.outputs.{name}"] = value
        return ended.returncode

    def _environ(self, step: Mapping[str, Any], inputs: Mapping[str, str], output: Path) -> dict[str, str]:
        made = dict(line.split("=", 1) for line in self.file("env").splitlines())
        return {
            "PATH": os.environ["PATH"],
            "RUNNER_TEMP": str(self.folder / "temp"),
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(output),
            "GITHUB_ENV": str(self.folder / "env"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            **self.environ,
            **made,
            **{name: self._value(value, inputs) for name, value in step.get("env", {}).items()},
        }

    def _value(self, text: str, inputs: Mapping[str, str]) -> str:
        number = "" if self.pull_request is None else str(self.pull_request)
        known = {f"inputs.{name}": str(value) for name, value in inputs.items()}
        known |= {"github.action_path": str(ROOT), "github.token": "fake-token", **self.outputs}
        known["github.event.pull_request.number"] = number
        known["inputs.comment == 'true' && github.event.pull_request.number"] = (
            number if known["inputs.comment"] == "true" else "false"
        )
        return _EXPRESSION.sub(lambda match: self._value(known[match[1]], inputs), text)

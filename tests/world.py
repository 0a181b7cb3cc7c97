"""A whole world for stories: a sandbox project, a Git repository with manifests, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from typer.testing import CliRunner

from reconciler.errors import InvalidInput, ReconcilerError, explain

OWNER = "git.example.com/team/agents#prod"
PREVIEWS = "WorkflowAgents=V1Preview,ExternalAgents=V1Preview,DraftAgents=V1Preview,VoiceAgents=V1Preview"
WRITES = ("POST", "PATCH", "PUT", "DELETE")


@dataclass
class Result:
    """What one command printed and how it ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.stdout)

    @property
    def last_line(self) -> str:
        return self.stdout.strip().splitlines()[-1]


@dataclass
class World:
    """One project of a sandbox and one repository for it."""

    url: str
    name: str
    repo: Path
    environ: dict[str, str] = field(default_factory=dict)
    clock: int = 1_780_000_000

    @property
    def endpoint(self) -> str:
        return f"{self.url}/api/projects/{self.name}"

    # Git

    def git(self, *args: str) -> str:
        when = f"{self.clock} +0000"
        environ = {
            **os.environ,
            "GIT_AUTHOR_DATE": when,
            "GIT_COMMITTER_DATE": when,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        }
        identity = ["-c", "user.name=Dev", "-c", "user.email=dev@example.com", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *identity, *args], cwd=self.repo, env=environ, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def start(self, project: str = "", **spec: Any) -> None:
        """A repository with one Project `prod` at this world's endpoint."""
        self.repo.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        self.project(project or "prod", **spec)

    def project(self, name: str = "prod", **spec: Any) -> None:
        body = {"endpoint": self.endpoint, "owner": OWNER, **spec}
        self.write(f"{name}.yaml", manifest("Project", name, body))

    def write(self, path: str, text: str | Mapping[str, Any]) -> None:
        file = self.repo / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text) if isinstance(text, str) else json.dumps(text, indent=1))

    def remove(self, *paths: str) -> None:
        for path in paths:
            (self.repo / path).unlink()

    def commit(self, message: str = "Change") -> str:
        self.clock += 60
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def agent(self, name: str, definition: Mapping[str, Any] | None = None, **spec: Any) -> None:
        body = {"definition": dict(definition or prompt()), **spec}
        self.write(f"agents/{name}.yaml", manifest("Agent", name, body))

    # The command line

    def run(self, *args: str, input: str | None = None) -> Result:
        """One command in this process, as `main` runs it."""
        from reconciler.cli import app

        environ = {"RECONCILER_CACHE": str(self.repo.parent / "cache"), **self.environ}
        done = CliRunner().invoke(app, [*args], env=environ, input=input, catch_exceptions=True)
        error = done.exception
        stderr = done.stderr
        if isinstance(error, ReconcilerError):
            problems = error.problems if isinstance(error, InvalidInput) else ()
            lines = [*map(str, problems), *explain(error), error.hint]
            return Result(1, done.stdout, stderr + "\n".join(lines))
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return Result(done.exit_code, done.stdout, stderr)

    def plan(self, *args: str) -> Result:
        return self.run("plan", str(self.repo), *args)

    def apply(self, *args: str) -> Result:
        return self.run("apply", str(self.repo), "--timeout", "20", *args)

    def drift(self, *args: str) -> Result:
        return self.run("drift", str(self.repo), *args)

    def json(self, command: str, *args: str) -> dict[str, Any]:
        """The one project of a command's JSON report, with the run's exit code under `exit`."""
        result = self.run(command, str(self.repo), "--format", "json", *args)
        report = result.report
        return {**report["projects"][0], "exit": result.exit_code}

    # The service, spoken to as anybody else would

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One raw request below the project; the JSON answer, or {} for an empty one."""
        mark = "&" if "?" in path else "?"
        return self._send(method, f"{self.endpoint}{path}{mark}api-version=v1", body, headers)

    def own(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the sandbox's own routes, for this project."""
        return self._send(method, f"{self.url}/_sandbox/{path}?project={quote(self.name)}", body, {})

    def _send(self, method: str, url: str, body: Any, headers: Mapping[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, method=method)
        request.add_header("Content-Type", "application/json")
        request.add_header("Foundry-Features", PREVIEWS)
        for name, value in headers.items():
            request.add_header(name, value)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else {}

    def settings(self, **changes: Any) -> None:
        self.own("PUT", "settings", changes)

    def seed(self, *agents: Mapping[str, Any]) -> None:
        self.own("POST", "seed", {"project": self.name, "agents": list(agents)})

    def live(self, name: str) -> dict[str, Any] | None:
        try:
            return self.call("GET", f"/agents/{name}")
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
            raise

    def names(self) -> list[str]:
        return sorted(agent["name"] for agent in self.call("GET", "/agents?limit=100")["data"])

    def versions(self, name: str) -> list[dict[str, Any]]:
        return self.call("GET", f"/agents/{name}/versions?limit=100")["data"]

    def numbers(self, name: str) -> list[str]:
        return [version["version"] for version in self.versions(name)]

    def traffic(self, name: str) -> list[tuple[str, int]]:
        agent = self.live(name) or {}
        selector = (agent.get("agent_endpoint") or {}).get("version_selector") or {}
        rules = selector.get("version_selection_rules") or []
        return [(rule["agent_version"], rule["traffic_percentage"]) for rule in rules]

    def select(self, name: str, **shares: int) -> None:
        rules = [
            {"type": "FixedRatio", "agent_version": key.lstrip("v"), "traffic_percentage": share}
            for key, share in shares.items()
        ]
        body = {"agent_endpoint": {"version_selector": {"version_selection_rules": rules}}}
        self.call("PATCH", f"/agents/{name}", body)

    def edit(self, name: str, *, keep_metadata: bool = False, **changes: Any) -> str:
        """Somebody makes a version in the portal: the latest definition with changes."""
        latest = self.live(name)["versions"]["latest"]  # type: ignore[index]
        body: dict[str, Any] = {"definition": {**latest["definition"], **changes}}
        if keep_metadata:
            body["metadata"] = latest["metadata"]
        return self.call("POST", f"/agents/{name}/versions", body)["version"]

    def forget(self) -> None:
        """Start counting requests anew."""
        self.own("DELETE", "requests")

    def requests(self) -> dict[str, int]:
        return self.own("GET", "requests")["counts"]

    def log(self) -> list[dict[str, Any]]:
        return self.own("GET", "requests")["log"]

    def writes(self) -> list[str]:
        """`METHOD path` of every write since `forget`, without the query."""
        return [
            f"{row['method']} {row['path'].split('?')[0].split('/api/projects/' + self.name)[-1]}"
            for row in self.log()
            if row["method"] in WRITES
        ]

    def in_sync(self) -> None:
        """Every story ends like this: nothing to do, and nothing but reads to find that out."""
        self.forget()
        result = self.plan()
        assert (result.exit_code, result.last_line) == (
            0,
            "No changes. Live agents match the manifests.",
        ), result.stdout + result.stderr
        assert self.writes() == []


def manifest(kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "reconciler/v1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": dict(spec),
    }


def prompt(instructions: str = "Answer briefly.", **more: Any) -> dict[str, Any]:
    return {"kind": "prompt", "model": "gpt-5-mini", "instructions": instructions, **more}


def hosted(image: str = "registry.example.com/triage:1.0", **more: Any) -> dict[str, Any]:
    return {
        "kind": "hosted",
        "cpu": "1",
        "memory": "2Gi",
        "container_configuration": {"image": image},
        "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}],
        **more,
    }

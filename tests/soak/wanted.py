"""What Git shall want: repositories with Projects and agents that change at random, and are pushed."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bench.service_source import Clone
from tests.soak.evidence import Push

KINDS: Final = ("prompt", "hosted", "workflow", "external", "voice")
_BROKEN: Final = "apiVersion: reconciler/v1\nkind: Agent\nmetadata: {name: [oops\n"

Spec = dict[str, Any]


@dataclass
class Project:
    """One Project: its agents by name, as the next commit has them."""

    name: str
    endpoint: str
    observe: bool = False
    # An agent that Git wants and somebody else manages: it must never be touched.
    theirs: str = ""
    agents: dict[str, Spec] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        """The name in its marks."""
        return f"soak.example.com#{self.name}"

    def text(self) -> str:
        """Its manifest."""
        sync = {"interval": "10s", "mode": "observe" if self.observe else "enforce"}
        spec = {
            "endpoint": self.endpoint,
            "owner": self.owner,
            "resources": [f"{self.name}/*.yaml"],
            "sync": sync,
        }
        return _manifest("Project", self.name, spec)


class Repository:
    """One repository of some Projects. Changes are made to `projects` and become a commit by `push`."""

    def __init__(self, source: str, clone: Clone, projects: list[Project], random_: random.Random) -> None:
        self.source, self.clone = source, clone
        self.projects = {project.name: project for project in projects}
        self.pushes: list[Push] = []
        self.broken: set[str] = set()
        self._random = random_
        self._files: dict[str, str] = {}
        self._pushed: dict[str, dict[str, Spec]] = {name: {} for name in self.projects}
        # The agents at each commit of the branch, for reverts and force pushes.
        self._history: list[dict[str, dict[str, Spec]]] = []
        self._made = 0

    @property
    def head(self) -> str:
        """The newest commit."""
        return self.clone.git("rev-parse", "HEAD")

    # Changes

    def new_agent(self, project: Project, kind: str = "") -> str:
        """Another agent."""
        self._made += 1
        name = f"{kind or self._random.choice(KINDS)}-{self._made:03}"
        project.agents[name] = {"definition": self._definition(name.partition("-")[0])}
        if name.startswith("hosted"):
            project.agents[name]["release"] = {"keep": 2, "keep_days": 0}
        return name

    def change(self, project: Project, name: str) -> None:
        """Something else in the definition of an agent."""
        project.agents[name]["definition"] = self._definition(name.partition("-")[0])

    def back(self) -> bool:
        """As it was a commit ago; whether there is such a commit."""
        return len(self._history) > 1 and self._restore(self._history[-2])

    def rewind(self) -> bool:
        """Forget the newest commit: what is pushed next has to be forced; whether there is an older one."""
        if len(self._history) < 2:
            return False
        self._history.pop()
        self.clone.git("reset", "-q", "--hard", "HEAD~1")
        self._files = {}
        return self._restore(self._history[-1])

    def _restore(self, agents: dict[str, dict[str, Spec]]) -> bool:
        for name, project in self.projects.items():
            project.agents = copy.deepcopy(agents[name])
        return True

    def _definition(self, kind: str) -> Spec:
        word = f"{self._random.getrandbits(40):010x}"
        match kind:
            case "hosted":
                return {
                    "kind": kind,
                    "cpu": "1",
                    "memory": "2Gi",
                    "container_configuration": {"image": f"registry.example.com/desk:{word}"},
                    "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}],
                }
            case "workflow":
                step = f"kind: workflow\nactions:\n  - kind: SendActivity\n    activity: Stage {word}\n"
                return {"kind": kind, "workflow": step}
            case "external":
                return {"kind": kind, "otel_agent_id": f"partner-{word}"}
            case "voice":
                model = {"model_type": "managed", "model": "gpt-realtime"}
                return {"kind": kind, **model, "instructions": f"You answer line {word}."}
        return {"kind": "prompt", "model": "gpt-5-mini", "instructions": f"You are desk {word}."}

    # From changes to a commit

    def push(self, message: str, *, force: bool = False) -> Push:
        """Commit what changed and push it."""
        self._write()
        self.clone.commit(message)
        at = time.time()
        changed = {name: self._changed(name) for name in self.projects}
        self.clone.push(force=force)
        wants = {name: frozenset(project.agents) for name, project in self.projects.items()}
        push = Push(at, time.time(), wants, changed, frozenset(self.broken))
        self.pushes.append(push)
        self._pushed = {name: copy.deepcopy(project.agents) for name, project in self.projects.items()}
        if not force:
            self._history.append(copy.deepcopy(self._pushed))
        return push

    def _changed(self, name: str) -> frozenset[str]:
        old, new = self._pushed[name], self.projects[name].agents
        return frozenset(agent for agent, spec in new.items() if old.get(agent) != spec)

    def _write(self) -> None:
        files = {}
        for name, project in self.projects.items():
            files[f"{name}.yaml"] = project.text()
            for agent, spec in project.agents.items():
                files[f"{name}/{agent}.yaml"] = _manifest("Agent", agent, spec)
            if name in self.broken:
                files[f"{name}/zz-broken.yaml"] = _BROKEN
        for path, text in files.items():
            if self._files.get(path) != text:
                self.clone.write(path, text)
        for file in self.clone.folder.glob("*/*.yaml"):
            if str(file.relative_to(self.clone.folder)) not in files:
                file.unlink()
        self._files = files


def _manifest(kind: str, name: str, spec: Spec) -> str:
    body = {"apiVersion": "reconciler/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return json.dumps(body, indent=1)


def repositories(
    make_clone: Callable[[str], Clone],
    endpoint: Callable[[str], str],
    shape: tuple[int, int, int],
    random_: random.Random,
) -> list[Repository]:
    """Repositories with Projects and agents of every kind; the last Project only observes.

    Args:
        shape: how many repositories, Projects in each, and agents in each Project. The first Project has
            one more, which is somebody else's.
    """
    sources, projects, agents = shape
    found = []
    for number in range(sources):
        names = [f"project-{number}{letter}" for letter in "abcdefgh"[:projects]]
        inside = [Project(name, endpoint(name)) for name in names]
        repository = Repository(f"source-{number}", make_clone(f"source-{number}"), inside, random_)
        for project in inside:
            for index in range(agents):
                repository.new_agent(project, KINDS[index % len(KINDS)])
        found.append(repository)
    list(found[-1].projects.values())[-1].observe = True
    first = next(iter(found[0].projects.values()))
    first.theirs = found[0].new_agent(first, "prompt")
    return found

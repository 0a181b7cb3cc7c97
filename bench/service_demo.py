"""`python -m bench.service_demo [--once]`: a push becomes live agents, told step by step and checked.

A stand-in for Foundry, a Git server, the service and its dashboard run on this machine, and leave nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bench.git_server import GitServer
from bench.service import Service, running
from bench.service_process import Served, environ_for
from bench.service_source import Clone

_PROJECT: Final = "local"
_SECRET: Final = "of-the-demo"
_MANIFESTS: Final = Path(__file__).parent.parent / "manifests"
_RECONCILER: Final = str(Path(sys.executable).with_name("reconciler"))
# How long a version of a hosted agent takes to start; minutes at the real service.
_STARTING_S: Final = 2.0
_LONGEST_S: Final = 30.0
_IN_SYNC: Final = "No changes. Live agents match the manifests."


class NotAsTold(Exception):
    """The demo did not go as its text says."""


class Screen:
    """Headings, lines and figures for a person; bold only on a terminal."""

    def __init__(self) -> None:
        self._bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._step = 0

    def heading(self, text: str) -> None:
        """The next step."""
        self._step += 1
        line = f"━━ {self._step}. {text}"
        self.line(f"\n\x1b[1m{line}\x1b[0m\n" if self._bold else f"\n{line}\n")

    def line(self, text: str = "") -> None:
        """One line, seen at once."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def fact(self, name: str, value: str) -> None:
        """A name and what it is, aligned with the others."""
        self.line(f"  {name:<24}{value}")


class Foundry:
    """The agents as the stand-in has them, read as any client would."""

    def __init__(self, service: Service) -> None:
        self.endpoint = service.endpoint(_PROJECT)
        service.settings(_PROJECT, **{"provisioning.delay_s": _STARTING_S})

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request below the project."""
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.endpoint}{path}{'&' if '?' in path else '?'}api-version=v1"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def agents(self) -> dict[str, dict[str, Any]]:
        """Every agent by its name."""
        return {agent["name"]: agent for agent in self.call("GET", "/agents?limit=100")["data"]}

    def serving(self) -> dict[str, str]:
        """Which version of each agent answers; "" where it has not started."""
        return {name: _serving(agent) for name, agent in sorted(self.agents().items())}

    def edit(self, name: str, words: str) -> str:
        """A new version as somebody makes it in the portal: the metadata is carried along."""
        latest = self.agents()[name]["versions"]["latest"]
        body = {"definition": {**latest["definition"], "instructions": words}, "metadata": latest["metadata"]}
        made: str = self.call("POST", f"/agents/{name}/versions", body)["version"]
        return made


def _serving(agent: Mapping[str, Any]) -> str:
    latest = agent["versions"]["latest"]
    selector = (agent.get("agent_endpoint") or {}).get("version_selector") or {}
    rules = selector.get("version_selection_rules") or []
    version: str = rules[0]["agent_version"] if rules else latest["version"]
    return "" if version == latest["version"] and latest["status"] != "active" else version


def _kind(agent: Mapping[str, Any]) -> str:
    kind: str = agent["versions"]["latest"]["definition"]["kind"]
    return kind


class Story:
    """The steps in their order. Each waits until what it tells has happened, and says how long it took."""

    def __init__(self, screen: Screen, foundry: Foundry, served: Served, clone: Clone) -> None:
        self._screen, self._foundry, self._served, self._clone = screen, foundry, served, clone

    def tell(self) -> None:
        """All of it.

        Raises:
            NotAsTold: something did not happen.
        """
        self._first_push()
        self._change_a_prompt()
        self._change_an_image()
        self._edit_in_the_portal()
        self._check()

    def _first_push(self) -> None:
        self._screen.heading("The manifests are pushed: agents that exist nowhere yet")
        self._clone.copy(_MANIFESTS)
        self._clone.write(
            "project.yaml",
            self._clone_text("project.yaml").replace("sandbox://local", self._foundry.endpoint),
        )
        pushed = self._push("Describe the agents of a team")
        names = _names(self._clone.folder)
        self._until("every agent is live", lambda: set(self._live()) == names)
        self._screen.line(f"  live {_since(pushed)} after `git push`:\n")
        agents = self._foundry.agents()
        for name in sorted(agents):
            latest = agents[name]["versions"]["latest"]["version"]
            self._screen.line(f"    {name:<20}{_kind(agents[name]):<10}version {latest}")
        self._settled()

    def _change_a_prompt(self) -> None:
        self._screen.heading("One prompt changes: one agent gets a version, at once")
        prompt = "prompts/support-triage.md"
        self._clone.write(prompt, self._clone_text(prompt).replace("at most five", "at most three"))
        before = self._foundry.serving()
        pushed = self._push("Answer in three sentences")
        after = self._until("the new prompt serves", lambda: self._changed(before))
        self._screen.line(f"  live {_since(pushed)} after `git push`: {_moves(before, after)}")
        self._settled()

    def _change_an_image(self) -> None:
        self._screen.heading("A hosted agent changes: the old version serves until the new one has started")
        path = "agents/invoice-reader.yaml"
        self._clone.write(path, self._clone_text(path).replace("LOG_LEVEL: info", "LOG_LEVEL: debug"))
        before = self._foundry.serving()
        pushed = self._push("Log more of invoices")
        self._until("the new version is there", lambda: self._latest("invoice-reader") == "2")
        self._screen.line(f"  {_since(pushed)}: version 2 starts, {_words(before, 'invoice-reader')}")
        after = self._until("the new version serves", lambda: self._changed(before))
        self._screen.line(f"  {_since(pushed)}: {_moves(before, after)}")
        self._settled()

    def _edit_in_the_portal(self) -> None:
        self._screen.heading("Somebody edits an agent in the portal: it is noticed, told and taken back")
        name = "knowledge-search"
        before = self._foundry.serving()
        made = self._foundry.edit(name, "Answer every question with a poem.")
        self._screen.line(f"  {name} serves version {made}: “Answer every question with a poem.”")
        edited = time.monotonic()
        self._served.post(f"/projects/{_PROJECT}/sync", {"why": "the demo does not wait for the interval"})
        self._until("the edit is taken back", lambda: self._foundry.serving() == before)
        self._screen.line(f"  {_since(edited)} after `sync`: {_words(before, name)} again")
        events = self._until(
            "drift is told", lambda: self._served.get(f"/events?type=drift&project={_PROJECT}")["items"]
        )
        self._screen.line(f"  the dashboard says: {events[0]['message']}")
        self._settled()

    def _check(self) -> None:
        self._screen.heading("Do Git, the service and the live agents say the same?")
        command = [_RECONCILER, "plan", str(self._clone.folder)]
        environ = environ_for(self._clone.folder.parent / "cache-of-the-check")
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        last = (done.stdout.strip().splitlines() or [""])[-1]
        if done.returncode or last != _IN_SYNC:
            raise NotAsTold(f"`reconciler plan` said: {done.stdout}{done.stderr}")
        self._screen.fact("reconciler plan", last)
        project = self._served.get(f"/projects/{_PROJECT}")
        self._screen.fact("service", f"{project['name']} is {project['health']}")
        page = self._served.page(f"/projects/{_PROJECT}").decode()
        missing = [name for name in self._foundry.agents() if name not in page]
        if missing:
            raise NotAsTold(f"the dashboard does not show {missing[0]}")
        self._screen.fact("dashboard", f"shows all {len(self._foundry.agents())} agents")

    # What the steps share

    def _push(self, message: str) -> float:
        commit = self._clone.commit(message)
        pushed = time.monotonic()
        took_s = self._clone.push()
        self._screen.line(f"  $ git push    {commit[:7]} {message} ({took_s:.2f} s)")
        return pushed

    def _clone_text(self, path: str) -> str:
        return (self._clone.folder / path).read_text()

    def _live(self) -> dict[str, str]:
        return {name: version for name, version in self._foundry.serving().items() if version}

    def _changed(self, before: Mapping[str, str]) -> dict[str, str]:
        after = self._foundry.serving()
        return after if after != before else {}

    def _latest(self, name: str) -> str:
        version: str = self._foundry.agents()[name]["versions"]["latest"]["version"]
        return version

    def _settled(self) -> None:
        """Wait until the service says so too, so that the next step begins from rest."""
        commit = self._clone.git("rev-parse", "HEAD")

        def there() -> bool:
            project = self._served.get(f"/projects/{_PROJECT}")
            return bool(project["health"] == "in-sync" and project["revision"] == commit)

        self._until("the service says that it is in sync", there)

    def _until(self, what: str, holds: Callable[[], Any]) -> Any:
        """What `holds` returned once it was true.

        Raises:
            NotAsTold: not within half a minute.
        """
        deadline = time.monotonic() + _LONGEST_S
        while time.monotonic() < deadline:
            try:
                if found := holds():
                    return found
            except OSError:
                pass  # a Project that is not known yet
            time.sleep(0.02)
        raise NotAsTold(f"not within {_LONGEST_S:.0f} s: {what}")


def _names(folder: Path) -> set[str]:
    """The agents that the manifests name."""
    import yaml

    found = set()
    for file in sorted((folder / "agents").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            found.add(document["metadata"]["name"])
    return found


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.2f} s"


def _moves(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    moved = [name for name in after if after[name] != before.get(name)]
    return ", ".join(f"{name} serves version {after[name]}" for name in moved)


def _words(serving: Mapping[str, str], name: str) -> str:
    return f"version {serving[name]} serves"


def _stay(screen: Screen, served: Served, git_url: str) -> None:
    """Tell of every release until Ctrl-C."""
    screen.heading("Now you")
    screen.line(f"  The dashboard is at {served.url}; it shows every push without a reload.\n")
    screen.line(f"    git clone {git_url} agents-of-a-team && cd agents-of-a-team")
    screen.line("    … change prompts/support-triage.md, then: git commit -am 'Be kinder' && git push\n")
    screen.line("  What becomes live is told here. Ctrl-C ends everything.\n")
    newest = max((event["id"] for event in served.get("/events?limit=1")["items"]), default=0)
    while served.running:
        for event in served.get(f"/events?after_id={newest}")["items"]:
            newest = event["id"]
            screen.line(f"  {datetime.now().astimezone():%H:%M:%S}  {event['message']}")
        time.sleep(0.3)


def main() -> int:
    """Tell the story; 0 when everything behaved as told."""
    parser = argparse.ArgumentParser(prog="script/demo --serve", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the story, also on a terminal")
    once = parser.parse_args().once or not sys.stdout.isatty()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    screen = Screen()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reconciler-demo-")))
        try:
            screen.heading("A stand-in for Foundry, a Git server and the service start on this machine")
            sandbox = stack.enter_context(running(folder))
            (folder / "git").mkdir()
            git = stack.enter_context(GitServer(folder / "git"))
            git_url = git.create("agents")
            clone = Clone(git_url, folder / "work")
            # A source without a branch is an error to tell; so the demo begins with an empty commit.
            clone.commit("Begin")
            clone.push()
            served = Served(
                _config(folder, git_url),
                environ_for(folder / "cache", DEMO_SECRET=_SECRET),
                folder / "service.log",
            )
            stack.enter_context(served)
            git.webhook("agents", f"{served.url}/hooks/agents", _SECRET)
            for name, url in (("Foundry", sandbox.url), ("Git", git_url), ("Dashboard", served.url)):
                screen.fact(name, url)
            Story(screen, Foundry(sandbox), served, clone).tell()
            if once:
                screen.line("\nEverything behaved as told. `script/demo --serve` on a terminal stays open.")
            else:
                _stay(screen, served, git_url)
        except NotAsTold as error:
            screen.line(f"\nThe demo did not go as told: {error}")
            screen.line(f"  → The service said last:\n{_last_words(folder / 'service.log')}")
            return 1
        except KeyboardInterrupt:
            screen.line("\n  Everything ends.")
    return 0


def _config(folder: Path, git_url: str) -> Path:
    path = folder / "service.yaml"
    webhook = {"provider": "gitea", "secret": {"env": "DEMO_SECRET"}}
    source = {"name": "agents", "url": git_url, "ref": "main", "interval": "1m", "webhook": webhook}
    spec = {"listen": "127.0.0.1:0", "store": f"sqlite:///{folder}/service.db", "sources": [source]}
    path.write_text(json.dumps(spec))
    return path


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"    {line[:300]}" for line in lines[-12:])


if __name__ == "__main__":
    sys.exit(main())

"""Rows of the long-running service: from a push to what is live, and what it takes while nothing happens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil  # type: ignore[import-untyped]

from bench import fleet
from bench.git_server import GitServer
from bench.row import Row
from bench.service import Service
from bench.service_process import Served, environ_for
from bench.service_source import Clone

_SECRET: Final = "of-the-bench"
_LONGEST_S: Final = 120.0
# What follows a run: a second look at everything, notices, clean-up.
_AFTERMATH_S: Final = 8.0


@dataclass(frozen=True)
class Scene:
    """A repository behind a Git server, and a service that watches it and is told of pushes."""

    clone: Clone
    git: GitServer
    served: Served

    def until(self, what: str, holds: Callable[[], Any], pause_s: float = 0.02) -> Any:
        """What `holds` returned once it was true.

        Raises:
            RuntimeError: not within two minutes.
        """
        deadline = time.monotonic() + _LONGEST_S
        while time.monotonic() < deadline:
            try:
                if found := holds():
                    return found
            except OSError:
                pass  # not known yet
            time.sleep(pause_s)
        raise RuntimeError(f"not within {_LONGEST_S:.0f} s: {what}")

    def projects(self) -> list[dict[str, Any]]:
        """All Projects as the API lists them."""
        found: list[dict[str, Any]] = self.served.get("/projects?limit=1000")["items"]
        return found

    def in_sync(self, count: int) -> None:
        """Wait until so many Projects are in sync at the newest commit."""
        commit = self.clone.git("rev-parse", "HEAD")

        def there() -> bool:
            rows = self.projects()
            return len(rows) == count and all(
                row["health"] == "in-sync" and row["revision"] == commit for row in rows
            )

        self.until("every Project is in sync", there, 0.1)


@contextmanager
def _playing(folder: Path, write: Callable[[Clone], None]) -> Iterator[Scene]:
    """A service that watches a repository with what `write` puts there, told of pushes by a webhook."""
    (folder / "git").mkdir(parents=True)
    with GitServer(folder / "git") as git:
        url = git.create("agents")
        clone = Clone(url, folder / "work")
        write(clone)
        clone.commit("Agents")
        clone.push()
        webhook = {"provider": "gitea", "secret": {"env": "BENCH_SECRET"}}
        source = {"name": "agents", "url": url, "ref": "main", "webhook": webhook}
        config = folder / "service.yaml"
        store = f"sqlite:///{folder}/service.db"
        config.write_text(json.dumps({"listen": "127.0.0.1:0", "store": store, "sources": [source]}))
        environ = environ_for(folder / "cache", BENCH_SECRET=_SECRET)
        with Served(config, environ, folder / "service.log") as served:
            git.webhook("agents", f"{served.url}/hooks/agents", _SECRET)
            yield Scene(clone, git, served)


def idle(service: Service, folder: Path, count: int, watch_s: float) -> Iterator[Row]:
    """Memory and processor time of a service that has nothing to do, after it made every agent."""

    def write(clone: Clone) -> None:
        for number in range(count):
            _project(clone, service, f"idle-{number:03}", number)

    with _playing(folder, write) as scene:
        scene.in_sync(count)
        process = psutil.Process(scene.served.pid)
        time.sleep(_AFTERMATH_S)
        before, started = process.cpu_times(), time.monotonic()
        sizes = []
        while time.monotonic() - started < watch_s:
            time.sleep(1)
            sizes.append(process.memory_info().rss)
        after, took_s = process.cpu_times(), time.monotonic() - started
    used_s = after.user + after.system - before.user - before.system
    what, over = f"idle service, {count} projects", f"the most in {took_s:.0f} s"
    rss_mb, cpu_pct = max(sizes) / 1e6, used_s / took_s * 100
    yield Row(f"{what}, memory", "≤ 150 MB", f"{rss_mb:.0f} MB", over, met=rss_mb <= 150)
    yield Row(f"{what}, CPU", "≤ 2 %", f"{cpu_pct:.2f} %", f"over {took_s:.0f} s", met=cpu_pct <= 2)


@dataclass(frozen=True)
class Push:
    """Where the seconds of one push went; `applied_s` is from `git push` to the answer of the last write."""

    applied_s: float
    parts: dict[str, float]
    requests: int


def push(service: Service, folder: Path, count: int, rounds: int) -> Iterator[Row]:
    """One changed manifest among many: from `git push` until the service has answered the write."""
    name = fleet.PROJECT

    def write(clone: Clone) -> None:
        fleet.write_manifests(clone.folder, service.endpoint(name), count)

    for first in range(0, count, 5_000):
        service.seed(name, fleet.in_sync(range(first, min(first + 5_000, count))))
    with _playing(folder, write) as scene:
        scene.in_sync(1)
        pushes = [_pushed(scene, service, number * len(fleet.KINDS)) for number in range(rounds)]
        rss_mb = psutil.Process(scene.served.pid).memory_info().rss / 1e6
        yield from _pages(scene, count)
    took_s, slowest_s = median(one.applied_s for one in pushes), max(one.applied_s for one in pushes)
    what = f"push to applied, one changed manifest among {count:,}"
    yield Row(what, "≤ 1 s", f"{took_s:.2f} s", f"slowest of {rounds}: {slowest_s:.2f} s", met=took_s <= 1)
    parts = {part: median(one.parts[part] for one in pushes) for part in pushes[0].parts}
    spent = ", ".join(f"{part} {took * 1000:.0f}" for part, took in parts.items())
    yield Row("  where the time went, in ms", "", "", spent)
    requests = max(one.requests for one in pushes)
    yield Row("  requests to Foundry, reads and writes", "", str(requests))
    yield Row(f"  memory of a service with {count:,} agents", "", f"{rss_mb:.0f} MB")


def _pushed(scene: Scene, service: Service, index: int) -> Push:
    """Change the prompt agent of that number, and follow it until the service says that it is in sync."""
    form = fleet.form(index)
    form["definition"]["instructions"] += f" Asked anew {time.time()}."
    name = fleet.name_of(index)
    scene.clone.write(f"agents/{name}.yaml", fleet.manifest("Agent", name, form))
    commit = scene.clone.commit("One prompt")
    # Not within the second look at everything that the last push left behind.
    time.sleep(_AFTERMATH_S)
    service.forget(fleet.PROJECT)
    scene.git.answered.clear()
    started = time.time()
    scene.clone.push()

    def kept() -> bool:
        row = scene.served.get(f"/projects/{fleet.PROJECT}")
        return bool(row["revision"] == commit and row["health"] == "in-sync")

    scene.until("the push is applied", kept, 0.005)
    kept_at, log = time.time(), service.log(fleet.PROJECT)
    writes = [one for one in log if one["method"] != "GET"]
    received = max(at for at, path in scene.git.answered if path.endswith("git-receive-pack"))
    fetched = max(at for at, path in scene.git.answered if path.endswith("git-upload-pack"))
    parts = {
        "git push": received - started,
        "webhook and fetch": fetched - received,
        "load": log[0]["at"] - fetched,
        "read and decide": writes[0]["at"] - log[0]["at"],
        "write": writes[-1]["ended_at"] - writes[0]["at"],
        "keep": kept_at - writes[-1]["ended_at"],
    }
    return Push(writes[-1]["ended_at"] - started, parts, len(log))


def _pages(scene: Scene, count: int) -> Iterator[Row]:
    """What a person waits for who opens a Project with many agents."""
    for what, path in (
        ("first page", f"/projects/{fleet.PROJECT}"),
        ("search", f"/projects/{fleet.PROJECT}?search=agent-00{count // 2:04}"),
    ):
        took_s, size = [], 0
        for _ in range(9):
            started = time.perf_counter()
            size = len(scene.served.page(path))
            took_s.append(time.perf_counter() - started)
        yield Row(
            f"dashboard, {count:,} agents, {what}",
            "≤ 0.30 s",
            f"{median(took_s):.2f} s",
            f"{size / 1000:.0f} kB",
            met=median(took_s) <= 0.3,
        )


def _project(clone: Clone, service: Service, name: str, number: int) -> None:
    """A Project with two agents."""
    spec = {
        "endpoint": service.endpoint(name),
        "owner": f"bench#{name}",
        "resources": [f"{name}/*.yaml"],
    }
    clone.write(f"{name}.yaml", fleet.manifest("Project", name, spec))
    for index in (2 * number, 2 * number + 1):
        text = fleet.manifest("Agent", fleet.name_of(index), fleet.form(index))
        clone.write(f"{name}/{fleet.name_of(index)}.yaml", text)

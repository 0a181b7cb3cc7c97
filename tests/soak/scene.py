"""The processes of a run: the stand-in for Foundry, Git, the database, and the service itself."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]

from bench.git_server import GitServer
from bench.service import Service, running
from bench.service_process import Served, environ_for, free_port
from bench.service_source import Clone
from tests.postgres import Server, own_server
from tests.soak.evidence import Span
from tests.soak.wanted import Repository, repositories

SECRET: Final = "of-the-soak"
# How a process of the service is named to the stand-in: `soak-r1.3` is the third life of the first replica.
MINE: Final = "soak-r"
PREVIEWS: Final = "WorkflowAgents=V1Preview,ExternalAgents=V1Preview,VoiceAgents=V1Preview"


@dataclass
class Replica:
    """One replica with its lives so far, and what is wrong with it now, "" for nothing."""

    number: int
    config: Path
    folder: Path
    served: Served | None = None
    life: int = 0
    trouble: str = ""
    since: float = 0.0
    rss_mb: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def process(self) -> str:
        """How it is named in the evidence now."""
        return f"{MINE}{self.number}.{self.life}"

    @property
    def well(self) -> bool:
        """Whether it can be asked something."""
        return not self.trouble and self.served is not None and self.served.running

    def start(self) -> None:
        """Another life."""
        self.life += 1
        environ = environ_for(self.folder / "cache", SOAK_SECRET=SECRET, AZURE_HTTP_USER_AGENT=self.process)
        self.served = Served(self.config, environ, self.folder / "log").start()
        self.trouble = ""

    def measure(self) -> None:
        """Note how large the process is."""
        if self.well and self.served is not None:
            try:
                rss = psutil.Process(self.served.pid).memory_info().rss
            except psutil.Error:
                return
            self.rss_mb.setdefault(self.life, []).append((time.monotonic(), rss / 1e6))


class Scene:
    """Everything that runs, and the trail of what happened to it. Runs on loopback only."""

    def __init__(
        self, service: Service, git: GitServer, server: Server | None, folder: Path, random_: random.Random
    ) -> None:
        self.service, self.git, self.server, self.folder = service, git, server, folder
        self._random = random_
        self.repositories: list[Repository] = []
        self.replicas: list[Replica] = []
        self.spans: list[Span] = []
        self.database_down_since = 0.0

    # The service

    def configure(self, **more: Any) -> None:
        """Write the configuration of every replica."""
        for replica in self.replicas:
            text = self.config_text(replica, **more)
            replica.config.write_text(text)

    def config_text(self, replica: Replica, **more: Any) -> str:
        """The configuration of one replica."""
        old = json.loads(replica.config.read_text()) if replica.config.exists() else {}
        sources = [
            {
                "name": repository.source,
                "url": f"{self.git.url}/{repository.source}.git",
                "ref": "main",
                "interval": "5s",
                "webhook": {"provider": "gitea", "secret": {"env": "SOAK_SECRET"}},
            }
            for repository in self.repositories
        ]
        spec = {
            "listen": old.get("listen") or f"127.0.0.1:{free_port()}",
            "store": old.get("store") or self._store(),
            "sources": sources,
            "backoff": {"first": "1s", "longest": "5s"},
            **more,
        }
        return json.dumps(spec, indent=1)

    def _store(self) -> str:
        if self.server is None:
            return f"sqlite:///{self.folder}/service.db"
        if not self.replicas[0].config.exists():
            return self.server.create()
        store: str = json.loads(self.replicas[0].config.read_text())["store"]
        return store

    def any(self) -> Served | None:
        """A process that can be asked."""
        well = [replica.served for replica in self.replicas if replica.well]
        return self._random.choice(well) if well else None

    def hear(self, repository: Repository) -> None:
        """Let the webhook of a repository go to a replica that is well."""
        served = self.any()
        if served is not None:
            self.git.webhook(repository.source, f"{served.url}/hooks/{repository.source}", SECRET)

    def disturbed(self, process: str, since: float) -> None:
        """Note that a process, or all of them, could not go on for a while."""
        self.spans.append(Span("disturbed", since, time.time(), process=process))

    def kill(self, replica: Replica) -> None:
        """End a replica at once; `revive` starts it again."""
        assert replica.served is not None
        replica.trouble, replica.since = "killed", time.time()
        replica.served.kill()

    def pause(self, replica: Replica) -> None:
        """Stop a replica where it stands; `revive` lets it go on."""
        assert replica.served is not None
        replica.trouble, replica.since = "paused", time.time()
        replica.served.signal(signal.SIGSTOP)

    def revive(self, replica: Replica) -> None:
        """Let a replica go on, however it was stopped."""
        trouble, process = replica.trouble, replica.process
        if trouble == "paused" and replica.served is not None:
            replica.served.signal(signal.SIGCONT)
            replica.trouble = ""
        elif trouble == "killed":
            replica.start()
        if trouble:
            self.disturbed(process, replica.since)

    def database_down(self) -> None:
        """Stop the database at once."""
        assert self.server is not None
        self.database_down_since = time.time()
        self.server.crash()

    def database_up(self) -> None:
        """Start it again."""
        if self.server is not None and self.database_down_since:
            self.server.start()
            self.disturbed("*", self.database_down_since)
            self.database_down_since = 0.0

    # The stand-in, as people and the portal use it

    def call(self, method: str, project: str, path: str, body: Any = None) -> Any:
        """One request below a project.

        Raises:
            OSError: it failed, by a fault or by itself.
        """
        mark = "&" if "?" in path else "?"
        url = f"{self.service.endpoint(project)}{path}{mark}api-version=v1"
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Content-Type": "application/json",
            "Foundry-Features": PREVIEWS,
            "User-Agent": "soak-driver",
        }
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=15) as answer:
            return json.loads(answer.read() or b"null")

    def close(self) -> None:
        """End every process of the service; one that was stopped goes on first."""
        for replica in self.replicas:
            if replica.served is not None and replica.served.running:
                replica.served.signal(signal.SIGCONT)
                replica.served.kill()


@contextmanager
def playing(
    folder: Path, shape: tuple[int, int, int], random_: random.Random, *, embedded: bool
) -> Iterator[Scene]:
    """A scene with everything started but the service, which `start` of each replica does."""
    with ExitStack() as stack:
        (folder / "git").mkdir(parents=True)
        git = stack.enter_context(GitServer(folder / "git"))
        service = stack.enter_context(running(folder))
        server = None if embedded else stack.enter_context(own_server())
        scene = Scene(service, git, server, folder, random_)
        stack.callback(scene.close)
        scene.repositories = repositories(
            lambda name: Clone(git.create(name), folder / "work" / name), service.endpoint, shape, random_
        )
        for number in (1,) if embedded else (1, 2):
            own = folder / f"replica-{number}"
            own.mkdir()
            scene.replicas.append(Replica(number, own / "service.yaml", own))
        scene.configure()
        stop = threading.Event()
        sampling = threading.Thread(target=_sample, args=(scene, stop), daemon=True)
        sampling.start()
        stack.callback(sampling.join)
        stack.callback(stop.set)
        yield scene


def _sample(scene: Scene, stop: threading.Event) -> None:
    while not stop.wait(1.0):
        for replica in scene.replicas:
            replica.measure()

"""The sandbox in a process of its own, as the service to measure against."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

# One body of this many agents is about 6 MB: fast to send, and nothing on either side holds it for long.
_SEEDED_AT_ONCE: Final = 5_000


@dataclass(frozen=True)
class Service:
    """A running sandbox. Each row of the benchmark has a project of its own."""

    url: str

    def endpoint(self, project: str) -> str:
        """The endpoint of a project, which comes into being on first use."""
        return f"{self.url}/api/projects/{quote(project, safe='')}"

    def seed(self, project: str, agents: Sequence[dict[str, Any]]) -> None:
        """Put agents there word for word, as `POST /_sandbox/seed` takes them."""
        for start in range(0, len(agents), _SEEDED_AT_ONCE):
            part = agents[start : start + _SEEDED_AT_ONCE]
            self._own("POST", "seed", project, {"project": project, "agents": part})

    def settings(self, project: str, **changes: Any) -> None:
        """Turn switches of one project, for example `latency_s=0.05`."""
        self._own("PUT", "settings", project, changes)

    def faults(self, project: str, rules: Sequence[dict[str, Any]]) -> None:
        """Script what happens to requests of one project, as `PUT /_sandbox/faults` takes it."""
        self._own("PUT", "faults", project, list(rules))

    def unset(self, project: str) -> None:
        """Forget every switch and fault of one project."""
        self._own("DELETE", "settings", project)
        self._own("DELETE", "faults", project)

    def forget(self, project: str) -> None:
        """Start counting requests anew."""
        self._own("DELETE", "requests", project)

    def requests(self, project: str) -> int:
        """How many requests to the project came since `forget`."""
        counts: dict[str, int] = self._own("GET", "requests", project)["counts"]
        return sum(counts.values())

    def log(self, project: str = "") -> list[dict[str, Any]]:
        """Those requests, in the order in which they came; of every project by default."""
        entries: list[dict[str, Any]] = self._own("GET", "requests", project)["log"]
        return entries

    def _own(self, method: str, path: str, project: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.url}/_sandbox/{path}" + (f"?project={quote(project)}" if project else "")
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
        return json.loads(text) if text else {}


@contextmanager
def running(folder: Path) -> Iterator[Service]:
    """A sandbox on a free port of loopback, with its state in `folder`, until the block ends."""
    command = [sys.executable, "-m", "reconciler", "sandbox", "--port", "0", "--state"]
    process = subprocess.Popen([*command, str(folder / "sandbox.db")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        first = process.stdout.readline().split()
        if first[:2] != ["Sandbox", "at"]:
            raise RuntimeError("the sandbox did not start")
        yield Service(first[2])
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()

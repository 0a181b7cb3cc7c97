"""`reconciler serve` in a process of its own, as an operator starts it: watched, paused, killed, asked."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

_LISTENS: Final = re.compile(r'"url": "(\S+?)".*"event": "listening"')
_START_S: Final = 60.0
_STOP_S: Final = 25.0
# Settings of whoever measures must not change what is measured.
_HIDDEN: Final = ("RECONCILER_", "GITHUB_")


def free_port() -> int:
    """A port of loopback that nobody uses now; for a service that is to come back at the same address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def environ_for(cache: Path, **more: str) -> dict[str, str]:
    """The environment of a service: this one without our settings, with a cache of its own, and `more`."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_HIDDEN)}
    return {**kept, "RECONCILER_CACHE": str(cache), **more}


class Served:
    """One process of the service, from `start` on; what it says goes to the end of `log`.

    Args:
        config: its configuration file.
        environ: the whole environment.
    """

    def __init__(self, config: Path, environ: Mapping[str, str], log: Path) -> None:
        self._config, self._environ, self._log = config, environ, log
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """The number of the process; of the last one where it has ended."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Served:
        """Start, and wait until it listens.

        Raises:
            RuntimeError: it ended, or did not listen within a minute; its last words are in the message.
        """
        self._log.touch()
        begin = self._log.stat().st_size
        with self._log.open("ab") as sink:
            command = [sys.executable, "-m", "reconciler", "serve", "--config", str(self._config)]
            self._process = subprocess.Popen(
                command, env=self._environ, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            said = self._log.read_bytes()[begin:].decode(errors="replace")
            if found := _LISTENS.search(said):
                self.url = found[1]
                return self
            if not self.running:
                break
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"the service did not start: {said.strip()[-2000:]}")

    def stop(self) -> int:
        """Ask it to end in order, as a cluster would; its exit code. It is killed where it does not.

        Raises:
            RuntimeError: it had to be killed.
        """
        assert self._process is not None
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the service did not end within {_STOP_S:.0f} s of SIGTERM") from None

    def kill(self) -> None:
        """End it at once; it gets no chance to tidy up."""
        assert self._process is not None
        if self.running:
            self._process.kill()
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, for instance SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)

    def get(self, path: str) -> Any:
        """The JSON that the API answers below `/api/v1`.

        Raises:
            OSError: it does not answer, or refuses.
        """
        return json.loads(self.page(f"/api/v1{path}"))

    def post(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """Do something by the API below `/api/v1`; the JSON it answers."""
        data = None if method == "DELETE" else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def page(self, path: str) -> bytes:
        """Whatever is at an address of the service."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            content: bytes = answer.read()
            return content

    def ready(self) -> bool:
        """Whether it says that it is ready."""
        try:
            self.page("/readyz")
        except OSError:
            return False
        return True

    def __enter__(self) -> Served:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.running:
            # A process that was stopped hears of nothing else.
            self.signal(signal.SIGCONT)
            self.kill() if error is not None else self.stop()

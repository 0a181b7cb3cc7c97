"""Start and stop the HTTP server: in a thread of its own for tests and embedding, or in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from reconciler.sandbox.errors import SandboxError

MEMORY = ":memory:"
SHUTDOWN_S = 0.2
"""How long requests under way may still take when the server stops; a held one is then cut off."""


class Sandbox:
    """A Foundry-shaped agents data plane on loopback, in a daemon thread.

    Args:
        state: SQLite file, created when absent; `:memory:` is a temporary one that is removed by `stop`.
            Two sandboxes, also of two processes, may share a file.
        host: a loopback address or `localhost`.
        port: 0 takes a free one.

    Use it as a context manager, or call `start` and `stop`. Projects come into being on first use.
    """

    def __init__(self, state: Path | str, host: str = "127.0.0.1", port: int = 0) -> None:
        self._state = state
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, known once started."""
        if not self._url:
            raise SandboxError("the sandbox is not running", hint="Call start() first.")
        return self._url

    def endpoint(self, project: str) -> str:
        """The endpoint of a project, as an SDK client takes it."""
        return f"{self.url}/api/projects/{quote(project, safe='')}"

    def start(self) -> None:
        """Listen. Returns when requests are answered; without effect when running.

        Raises:
            SandboxError: the port is in use, the host is not loopback, or the state file will not do.
        """
        if self._thread is not None:
            return
        started = threading.Event()
        failures: list[BaseException] = []
        self._thread = threading.Thread(
            target=self._run, args=(started, failures), name="sandbox", daemon=True
        )
        self._thread.start()
        started.wait()
        if failures:
            self._thread.join()
            self._thread = None
            raise failures[0]

    def stop(self) -> None:
        """Stop listening, cut off what is under way, release the state file. A second call does nothing."""
        if self._thread is None:
            return
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread, self._url = None, ""

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, started: threading.Event, failures: list[BaseException]) -> None:
        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            async with _listening(self._state, self._host, self._port) as url:
                self._url = url
                started.set()
                await self._stop.wait()

        try:
            asyncio.run(main())
        except BaseException as e:  # noqa: BLE001 - handed to the thread that called start()
            failures.append(e)
        finally:
            started.set()


def serve(state: Path | str, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Run in the foreground, on the main thread, until SIGINT or SIGTERM.

    Args:
        state: as for `Sandbox`.
        ready: called once with the URL when requests are answered.

    Raises:
        SandboxError: as `Sandbox.start`.
    """

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with _listening(state, host, port) as url:
            ready(url)
            await stop.wait()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _listening(state: Path | str, host: str, port: int) -> AsyncIterator[str]:
    from aiohttp import web

    from reconciler.sandbox.app import App
    from reconciler.sandbox.protocol import Server
    from reconciler.sandbox.state import State

    _check_address(host, port)
    folder = tempfile.mkdtemp(prefix="sandbox-") if str(state) == MEMORY else None
    try:
        path = Path(folder) / "state.db" if folder else Path(state)
        with contextlib.closing(State(path)) as opened:
            runner = web.ServerRunner(Server(App(opened).handle), shutdown_timeout=SHUTDOWN_S)
            await runner.setup()
            try:
                yield await _bind(runner, host, port)
            finally:
                await runner.cleanup()
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


async def _bind(runner: object, host: str, port: int) -> str:
    from aiohttp import web

    assert isinstance(runner, web.ServerRunner)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as e:
        busy = e.errno == errno.EADDRINUSE
        raise SandboxError(
            f"cannot listen on {host}:{port}" + (": the port is in use" if busy else ""),
            hint="Choose another port, or 0 for a free one.",
        ) from e
    address = runner.addresses[0]
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{shown}:{address[1]}"


def _check_address(host: str, port: int) -> None:
    if not 0 <= port <= 65535:
        raise SandboxError(f"cannot listen on port {port}", hint="A port is a number from 0 to 65535.")
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError) as e:
        raise SandboxError(f"cannot find the host {host!r}", hint="Use 127.0.0.1.") from e
    if not host or not all(ipaddress.ip_address(address).is_loopback for address in addresses):
        raise SandboxError(
            f"cannot listen on {host!r}: it is not a loopback address",
            hint="The sandbox checks nobody's identity, so it serves this machine only: use 127.0.0.1.",
        )

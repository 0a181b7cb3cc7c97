"""The web side of a service on a real port, in a thread of its own, for commands that ask it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from typer.testing import CliRunner

from reconciler.errors import InvalidInput, ReconcilerError, explain
from tests.service.api.world import ROLES, TOKENS, Front, fill, front
from tests.world import Result

T = TypeVar("T")


def run(*args: str, **environ: str) -> Result:
    """One command in this process, its errors as `main` prints them."""
    from reconciler.cli import app

    done = CliRunner().invoke(app, [*args], env=environ, catch_exceptions=True)
    error = done.exception
    if isinstance(error, ReconcilerError):
        problems = error.problems if isinstance(error, InvalidInput) else ()
        lines = [*map(str, problems), *explain(error), error.hint]
        return Result(1, done.stdout, done.stderr + "\n".join(lines))
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Result(done.exit_code, done.stdout, done.stderr)


@dataclass
class Serving:
    """A service that can be asked at `url`; `do` runs something in its loop."""

    url: str
    front: Front
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def run(self, *args: str, token: str = "root") -> Result:
        """A command that asks this service as somebody."""
        return run(*args, RECONCILER_SERVER=self.url, RECONCILER_TOKEN=TOKENS.get(token, token))


@asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[Serving]:
    auth = {"tokens": "tokens.yaml", "roles": ROLES}
    async with front(folder, auth) as running:
        await fill(running)
        # The first request reads the token file and logs it, which is not what commands print.
        await running.get("/projects", "root")
        config = uvicorn.Config(
            running.app, "127.0.0.1", 0, lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Serving(f"http://127.0.0.1:{port}", running, asyncio.get_running_loop())
        finally:
            server.should_exit = True
            await task


@contextmanager
def serving(folder: Path) -> Iterator[Serving]:
    """A service with three Projects; see `tests/service/api/world.py`."""
    ready, over = threading.Event(), threading.Event()
    found: list[Serving] = []

    async def live() -> None:
        async with _served(folder) as service:
            found.append(service)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        over.set()
        thread.join(10)

"""A small HTTP server that answers what a test tells it and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

import orjson
from aiohttp import web

PROJECT = "/api/projects/p"


@dataclass(frozen=True)
class Asked:
    """One request as it came; `line` is `METHOD path?query` below the project, still escaped."""

    line: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass(frozen=True)
class Told:
    """One answer; `body` is JSON unless it is bytes already. `cut` ends the connection inside the body."""

    status: int = 200
    body: object = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    drop: bool = False


Answer = Callable[[Asked], Told]


@dataclass
class Recorder:
    """The server's address and everything it was asked, oldest first."""

    answer: Answer
    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return self.url + PROJECT

    @property
    def lines(self) -> list[str]:
        return [asked.line for asked in self.asked]

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        path = request.raw_path.removeprefix(PROJECT)
        asked = Asked(f"{request.method} {path}", request.headers, await request.read(), peer[1])
        self.asked.append(asked)
        told = self.answer(asked)
        if told.drop:
            request.transport.close()
            return web.Response()
        body = told.body if isinstance(told.body, bytes) else orjson.dumps(told.body)
        headers = {"Content-Type": "application/json", **told.headers}
        if told.cut:
            cut = web.StreamResponse(status=told.status, headers={**headers, "Content-Length": "1000"})
            await cut.prepare(request)
            await cut.write(body)
            request.transport.close()
            return cut
        return web.Response(status=told.status, body=body, headers=headers)


def always(told: Told) -> Answer:
    """The same answer to everything."""
    return lambda asked: told


@asynccontextmanager
async def recording(answer: Answer, *, tls: SSLContext | None = None) -> AsyncIterator[Recorder]:
    """A recorder that runs while the block does, on a free port of 127.0.0.1."""
    recorder = Recorder(answer)
    runner = web.ServerRunner(web.Server(recorder))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    recorder.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield recorder
    finally:
        await runner.cleanup()

"""Over real sockets, served by uvicorn: bodies without a length, lies about it, and senders that dawdle."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import uvicorn

from reconciler.service.webhooks.answers import MAX_BYTES

from . import deliveries
from .world import Hooks, signed

BODY = json.dumps(deliveries.github()).encode()
MAIN = {**signed("github", BODY), "X-GitHub-Event": "push"}


@dataclass
class Served:
    """The service behind a port on loopback."""

    hooks: Hooks
    port: int

    async def send(self, headers: dict[str, str], *pieces: bytes, pause_s: float = 0.0) -> bytes:
        """What comes back for these bytes, "" where the connection just ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = ["POST /hooks/github HTTP/1.1", "Host: hooks", *(f"{key}: {headers[key]}" for key in headers)]
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode())
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
            return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        except (ConnectionError, asyncio.IncompleteReadError):
            return b""
        finally:
            writer.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    hooks = Hooks()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(hooks.app, log_level="warning", lifespan="off", access_log=False))
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield Served(hooks, listener.getsockname()[1])
    server.should_exit = True
    await serving


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


async def test_a_body_of_chunks_is_taken(served: Served) -> None:
    answer = await served.send({**MAIN, "Transfer-Encoding": "chunked"}, chunked(BODY[:100], BODY[100:]))

    assert answer.startswith(b"HTTP/1.1 202 ")
    assert served.hooks.engine.triggers == [("source/github", "webhook")]


async def test_endless_chunks_are_cut_off(served: Served) -> None:
    piece = chunked(b"x" * 65_536)[:-5]

    answer = await served.send({"Transfer-Encoding": "chunked"}, *[piece] * (MAX_BYTES // 65_536 + 8))

    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert served.hooks.counted("github", "too-large") == 1


async def test_a_body_longer_than_it_says_is_another_request(served: Served) -> None:
    """What is behind the declared end is never part of what was signed."""
    answer = await served.send({**MAIN, "Content-Length": str(len(BODY) - 1)}, BODY)

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert served.hooks.engine.tries == 0


async def test_a_large_declared_body_is_answered_before_it_is_sent(served: Served) -> None:
    answer = await served.send({"Content-Length": str(10**12)})

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


async def test_senders_that_dawdle_end_and_hold_up_nobody(served: Served) -> None:
    """Fifty send a byte every half second; a push in between is answered at once."""
    started = time.monotonic()
    slow = [
        asyncio.ensure_future(
            served.send({"Content-Length": "5000"}, *[b"x"] * 14, pause_s=0.5),
        )
        for _ in range(50)
    ]
    await asyncio.sleep(0.5)

    asked = time.monotonic()
    answer = await served.send({**MAIN, "Content-Length": str(len(BODY))}, BODY)
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert time.monotonic() - asked < 1

    answers = await asyncio.gather(*slow)
    assert all(answer == b"" or answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    assert served.hooks.counted("github", "too-slow") == 50
    assert time.monotonic() - started < 12


async def test_two_hundred_at_once_over_sockets(served: Served) -> None:
    async def one(number: int) -> tuple[bytes, float]:
        headers = {**MAIN, "X-GitHub-Delivery": str(number), "Content-Length": str(len(BODY))}
        started = time.monotonic()
        return await served.send(headers, BODY), time.monotonic() - started

    answers = await asyncio.gather(*(one(number) for number in range(200)))

    assert all(answer.startswith(b"HTTP/1.1 202 ") for answer, _ in answers)
    assert max(took_s for _, took_s in answers) < 2

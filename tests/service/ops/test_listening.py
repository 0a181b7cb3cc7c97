"""Over real sockets: senders that never finish what they began, and those who only look slow."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from reconciler.service.auth.forms import body_of
from reconciler.service.listening import BoundedProtocol, server_of
from reconciler.service.refusals import Refusal

HEAD = b"Host: here\r\n"


class Hurried(BoundedProtocol):
    headers_s = 0.4
    body_s = 0.4


async def _page(request: Request) -> PlainTextResponse:
    try:
        return PlainTextResponse(str(len(await request.body())))
    except ClientDisconnect:
        return PlainTextResponse("gone")


async def _slow(request: Request) -> PlainTextResponse:
    await asyncio.sleep(1)
    return PlainTextResponse("at last")


async def _now(request: Request) -> PlainTextResponse:
    return PlainTextResponse("here")


async def _stream(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0.2)
        yield b"two"

    return StreamingResponse(pieces())


APP = Starlette(
    routes=[
        Route("/", _page, methods=["GET", "POST"]),
        Route("/slow", _slow),
        Route("/deaf", _slow),
        Route("/now", _now),
        Route("/stream", _stream),
    ]
)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(APP, http=Hurried, ws="none", log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    await serving


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost:", id="half-a-header"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 9\r\n\r\nab", id="half-a-body"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HEAD + b"\r\nGET", id="half-of-the-second"),
        pytest.param(
            b"POST /deaf HTTP/1.1\r\n" + HEAD + b"Content-Length: 9\r\n\r\nab", id="nobody-reads-it"
        ),
    ],
)
async def test_who_never_ends_a_request_is_hung_up_on(port: int, begun: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begun)

    async def drip() -> None:
        # One byte now and then keeps everything alive that only counts silence.
        while True:
            await asyncio.sleep(0.1)
            writer.write(b"a")

    dripping = asyncio.ensure_future(drip()) if begun else None
    try:
        async with asyncio.timeout(3):
            while await reader.read(4096):
                pass
    except ConnectionResetError:
        pass
    finally:
        if dripping:
            dripping.cancel()
        writer.close()


async def test_our_own_slowness_is_nobodys_fault(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /slow HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 3)).endswith(b"at last")
    writer.close()


async def test_one_connection_takes_many_requests_in_more_time_than_one_has(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(6):
        writer.write(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\n\r\nab")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n2"), 3)
        await asyncio.sleep(0.15)
    writer.close()


@pytest.mark.parametrize("path", ["/", "/now", "/stream"])
@pytest.mark.parametrize("pause_s", [0.0, 0.1], ids=["at-once", "later"])
async def test_a_body_that_is_no_http_is_no_failure_of_ours(
    port: int, path: str, pause_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = f"GET {path} HTTP/1.1\r\n".encode() + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    if pause_s:
        writer.write(begun)
        await asyncio.sleep(pause_s)
    writer.write(b"no length\r\n" if pause_s else begun + b"no length\r\n")

    answer = await asyncio.wait_for(reader.read(), 5)
    await asyncio.sleep(0.3)
    writer.close()

    if not pause_s:
        assert answer.startswith(b"HTTP/1.1 400 ")
    assert b" 500 " not in answer
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_the_service_serves_with_these_bounds() -> None:
    assert server_of(APP).config.http is BoundedProtocol


async def test_a_form_that_breaks_off_is_refused_and_no_failure_of_ours() -> None:
    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with pytest.raises(Refusal, match="breaks off"):
        await body_of(_form(receive), "text/plain")


async def test_a_form_that_does_not_come_is_not_waited_for() -> None:
    async def receive() -> dict[str, str]:
        await asyncio.sleep(60)
        return {}

    with pytest.raises(Refusal, match="did not arrive"):
        await body_of(_form(receive), "text/plain", within_s=0.05)


def _form(receive: object) -> Request:
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"text/plain")]}
    return Request(scope, receive)  # type: ignore[arg-type]

"""What stands between us and the service answers instead of it: pages of HTML, empty bodies, cut-off JSON."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web

from reconciler.errors import ServiceError, explain
from reconciler.report import ExitCode
from reconciler.sandbox import Sandbox
from tests.crash import story
from tests.faults.test_writes import QUICK
from tests.properties.running import Applied, applied, apply, everything, inputs, plan
from tests.world import WRITES, World

Json = Any
_numbers = itertools.count(1)
PAGE: Final = "<html><head><title>502 Bad Gateway</title></head><body>secret-of-the-proxy</body></html>"

ANSWERS: Final[Mapping[str, tuple[int, str, str]]] = {
    "html-502": (502, "text/html", PAGE),
    "html-403": (403, "text/html", PAGE),
    "html-200": (200, "text/html", PAGE),
    "empty-200": (200, "application/json", ""),
    "cut-off-200": (200, "application/json", '{"version": "1", "defi'),
    "a-list-200": (200, "application/json", "[]"),
    "another-object-200": (200, "application/json", "{}"),
}
# A reading that is answered 502 is repeated for a minute, which the tests of the pipeline hold.
LISTS: Final = {name: answer for name, answer in ANSWERS.items() if answer[0] < 500}


class Proxy:
    """Passes everything on to the sandbox, but answers the methods in `instead` by itself.

    With `reaches` the service hears the request first, and its answer is thrown away.
    """

    def __init__(
        self, url: str, instead: tuple[str, ...], answer: tuple[int, str, str], *, reaches: bool
    ) -> None:
        self.url, self.instead, self.answer, self.reaches = url, instead, answer, reaches

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        own = request.method in self.instead
        if self.reaches or not own:
            async with (
                aiohttp.ClientSession() as session,
                session.request(
                    request.method,
                    self.url + request.raw_path,
                    data=await request.read(),
                    headers={name: request.headers[name] for name in _PASSED if name in request.headers},
                ) as got,
            ):
                body, status, kind = await got.read(), got.status, got.content_type
        if own:
            status, kind, text = self.answer
            body = text.encode()
        return web.Response(body=body, status=status, content_type=kind)


_PASSED: Final = ("Content-Type", "Foundry-Features", "x-ms-code-zip-sha256")


async def _through(proxy: Proxy, world: World, agents: list[str]) -> Applied:
    runner = web.ServerRunner(web.Server(proxy), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        there = World(f"http://{host}:{port}", world.name, Path("-"))
        return await applied(inputs(there, story.wanted(agents), retry_failed=True), patience=QUICK)
    finally:
        await runner.cleanup()


def begun(sandbox: Sandbox, agents: list[str]) -> World:
    world = World(sandbox.url, f"x{os.getpid()}-{next(_numbers)}", Path("-"))
    story.start(world, dedupe="off", names=agents)
    return world


@pytest.mark.rule("P5", "P11")
@pytest.mark.parametrize("reaches", [False, True], ids=["instead", "after"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_write_answered_by_something_else_is_found_out(
    sandbox: Sandbox, answer: tuple[int, str, str], reaches: bool
) -> None:
    """Every write is answered by the proxy; what came of it is read. No page ends up in the report."""
    agents = ["card", "created", "direct", "disabled", "pinned", "removed", "reverted"]
    world = begun(sandbox, agents)

    run = asyncio.run(_through(Proxy(sandbox.url, WRITES, answer, reaches=reaches), world, agents))

    done = "\n".join(map(str, run.outcomes))
    assert "secret-of-the-proxy" not in done
    if not reaches:
        assert run.exit_code is ExitCode.PARTLY, done
    assert all(outcome.hint or outcome.note for outcome in run.outcomes if outcome.outcome == "failed"), done
    given = inputs(world, story.wanted(agents), retry_failed=True)
    assert apply(given).exit_code is ExitCode.DONE
    assert plan(given).steps == ()
    assert all(len(numbers) <= 3 for numbers in story.numbers(everything(world)).values()), done


@pytest.mark.rule("I2")
@pytest.mark.parametrize("answer", LISTS.values(), ids=LISTS)
def test_a_list_answered_by_something_else_decides_nothing(
    sandbox: Sandbox, answer: tuple[int, str, str]
) -> None:
    agents = ["direct", "removed"]
    world = begun(sandbox, agents)
    before = everything(world)

    with pytest.raises(ServiceError) as raised:
        asyncio.run(_through(Proxy(sandbox.url, ("GET",), answer, reaches=True), world, agents))

    said = "\n".join(explain(raised.value))
    assert raised.value.hint
    assert world.name in said
    assert "secret-of-the-proxy" not in said
    assert everything(world) == before

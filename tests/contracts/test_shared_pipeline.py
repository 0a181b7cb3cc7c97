"""One pipeline, two front ends: our reads and the SDK over it look alike, and share pool and pace."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from azure.ai.projects.aio import AIProjectClient
from azure.core.pipeline.policies import SansIOHTTPPolicy

from reconciler import __version__
from reconciler.foundry import routes
from reconciler.foundry.agents import AgentPort
from reconciler.foundry.pipeline import Pipe, open_pipe
from reconciler.foundry.reads import Reader
from reconciler.kinds.agent.calls import Disable
from reconciler.resource import Code, Key
from reconciler.sandbox import Sandbox
from tests.foundry.recorder import Asked, Recorder, Told, always, recording
from tests.world import World, prompt

Json = dict[str, Any]
Ours = Callable[[AgentPort], Awaitable[object]]
Theirs = Callable[[Any], Awaitable[object]]

NAME = "triage.2/é x"
VERSION = {"version": "7", "definition": {"kind": "prompt"}}
AGENT = {"name": NAME, "versions": {"latest": VERSION}}


def answer(asked: Asked) -> Told:
    """Lists of two pages, and one agent with one version."""
    path = asked.line.split(" ")[1].split("?")[0]
    if path in ("/agents", "/agents/triage.2%2F%C3%A9%20x/versions"):
        item = {**(AGENT if path == "/agents" else VERSION), "id": f"{NAME}:7"}
        last = "after=" in asked.line
        return Told(200, {"data": [] if last else [item], "last_id": None if last else f"{NAME}:7"})
    if path.endswith(":download"):
        return Told(200, b"PK", {"Content-Type": "application/zip"})
    return Told(200, VERSION if "/versions/" in path else AGENT)


def no_zip(code: Code) -> bytes:
    raise AssertionError("nothing is uploaded here")


async def everything(items: Any) -> list[Any]:
    return [item async for item in items]


async def _deepened(port: AgentPort, numbers: tuple[str, ...] | None) -> object:
    live = await port.read(NAME)
    assert live is not None
    return await port.deepen(live, numbers)


async def _downloaded(client: Any) -> object:
    return await everything(await client.agents.download_code(NAME, agent_version="7"))


async def _one_version(client: Any) -> object:
    return await client.agents.get(NAME), await client.agents.get_version(NAME, "7")


async def _all_versions(client: Any) -> object:
    return await client.agents.get(NAME), await everything(client.agents.list_versions(NAME, limit=100))


READS: dict[str, tuple[Ours, Theirs, tuple[str, ...]]] = {
    "list": (
        lambda port: everything(port.list()),
        lambda client: everything(client.agents.list(limit=100)),
        (routes.LIST_AGENTS,),
    ),
    "get": (
        lambda port: port.read(NAME),
        lambda client: client.agents.get(NAME),
        (routes.GET_AGENT,),
    ),
    "version": (
        lambda port: _deepened(port, ("7",)),
        _one_version,
        (routes.GET_AGENT, routes.GET_VERSION),
    ),
    "versions": (
        lambda port: _deepened(port, None),
        _all_versions,
        (routes.GET_AGENT, routes.LIST_VERSIONS),
    ),
    "code": (
        lambda port: port.download_code(NAME, "7"),
        _downloaded,
        (routes.DOWNLOAD_CODE,),
    ),
}


def sdk(pipe: Pipe) -> AIProjectClient:
    """The SDK over our pipeline, as the port builds it."""
    return AIProjectClient(pipe.endpoint, pipe.credential, allow_preview=True, pipeline=pipe.pipeline)


def own_sdk(endpoint: str) -> AIProjectClient:
    """The SDK as a script would build it, with a pipeline of its own."""
    return AIProjectClient(
        endpoint, object(), allow_preview=True, authentication_policy=SansIOHTTPPolicy(), retry_total=0
    )


async def heard(asking: Awaitable[object], recorder: Recorder) -> list[tuple[str, Json]]:
    """Request lines with the headers that the service looks at."""
    await asking
    seen = [(asked.line, _telling(asked)) for asked in recorder.asked]
    recorder.asked.clear()
    return seen


def _telling(asked: Asked) -> Json:
    names = ("Accept", "Accept-Encoding", "Content-Type", "Foundry-Features", "User-Agent")
    found = {name: asked.headers.get(name) for name in names}
    found["User-Agent"] = (found["User-Agent"] or "").removeprefix(f"reconciler/{__version__} ")
    found["x-ms-client-request-id"] = "x-ms-client-request-id" in asked.headers
    return found


@pytest.mark.parametrize("name", READS)
async def test_our_reads_are_the_sdks_on_the_wire(name):
    ours, theirs, _ = READS[name]
    async with recording(answer) as recorder, open_pipe(recorder.endpoint) as pipe:
        async with own_sdk(recorder.endpoint) as client:
            expected = await heard(theirs(client), recorder)
        assert await heard(ours(AgentPort(pipe, "prod", no_zip)), recorder) == expected
        assert await heard(theirs(sdk(pipe)), recorder) == expected


async def test_reads_carry_the_features_of_the_table_and_no_route_is_missing():
    known: dict[str, str] = {}
    for ours, _, used in READS.values():
        async with recording(answer) as recorder, open_pipe(recorder.endpoint) as pipe:
            features = {told["Foundry-Features"] or "" for _, told in await heard(_run(ours, pipe), recorder)}
        assert len(features) == 1
        known |= dict.fromkeys(used, features.pop())

    assert known == routes.FEATURES


async def _run(ours: Ours, pipe: Pipe) -> None:
    await ours(AgentPort(pipe, "prod", no_zip))


async def test_everybody_says_who_they_are():
    agent = rf"reconciler/{re.escape(__version__)} azsdk-python-ai-projects/2\.10\.0 Python/\S+ \(.+\)"
    async with recording(always(Told(204))) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        await sdk(pipe).agents.enable("a")
        await Reader(pipe)._send("read", routes.url(pipe.endpoint, routes.LIST_AGENTS))

        assert all(re.fullmatch(agent, asked.headers["User-Agent"]) for asked in recorder.asked)
        assert all("api-version=v1" in line for line in recorder.lines)


async def test_reads_and_writes_go_over_one_connection():
    async with recording(answer) as recorder, open_pipe(recorder.endpoint) as pipe:
        port = AgentPort(pipe, "prod", no_zip)
        await port.read(NAME)
        await port.do(Key("prod", "Agent", NAME), Disable())
        await sdk(pipe).agents.get(NAME)

        assert len({asked.connection for asked in recorder.asked}) == 1
        assert {asked.line.split(" ")[0] for asked in recorder.asked} == {"GET", "POST"}


async def test_writes_ask_for_previews_and_patch_as_a_merge():
    async with recording(answer) as recorder, open_pipe(recorder.endpoint) as pipe:
        client = sdk(pipe)
        await client.agents.create_version(NAME, body={"definition": {"kind": "workflow"}})
        await client.agents.update_details(NAME, body={"agent_card": None})
        create, patch = recorder.asked

    assert "WorkflowAgents=V1Preview" in create.headers["Foundry-Features"]
    assert patch.headers["Content-Type"] == "application/merge-patch+json"
    assert patch.body == b'{"agent_card": null}'


@pytest.mark.rule("P5")
async def test_a_refused_read_slows_the_writes_down():
    def busy(asked: Asked) -> Told:
        first = asked.line.startswith("GET") and "/agents?" in asked.line and len(recorder.asked) == 1
        return Told(429, headers={"Retry-After": "2"}) if first else answer(asked)

    async with recording(busy) as recorder, open_pipe(recorder.endpoint) as pipe:
        began = time.monotonic()
        reading = asyncio.create_task(everything(AgentPort(pipe, "prod", no_zip).list()))
        while not recorder.asked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await sdk(pipe).agents.update_details(NAME, body={})
        assert time.monotonic() - began > 1.9
        await reading


@pytest.mark.rule("P5")
@pytest.mark.parametrize("told", [True, False], ids=["retry-after", "no-retry-after"])
async def test_workers_share_one_limit(told, sandbox: Sandbox, tmp_path: Path):
    """Two projects at once, each with a limit and a pace of its own, so that it takes as long as one."""
    limits = ((50, 400), (100, 800))
    worlds = [World(sandbox.url, f"limit-{rate}-{told}", tmp_path) for rate, _ in limits]
    for world, (rate, _) in zip(worlds, limits, strict=True):
        world.seed({"name": "triage", "definition": prompt()})
        world.settings(rate_limit={"per_second": rate, "retry_after": told})
        world.forget()

    runs = (_taken(world, requests) for world, (_, requests) in zip(worlds, limits, strict=True))
    took = await asyncio.gather(*runs)

    for world, (rate, requests), took_s in zip(worlds, limits, took, strict=True):
        statuses = [row["status"] for row in world.log()]
        assert statuses.count(200) == requests
        assert took_s <= 1.5 * requests / rate, rate
        # Warm is who has passed a fifth of the requests.
        passed = [index for index, status in enumerate(statuses) if status == 200]
        warm = statuses[passed[requests // 5] :]
        assert warm.count(429) / len(warm) < 0.01, rate


async def _taken(world: World, requests: int) -> float:
    """The seconds in which 32 workers read so often."""
    left = iter(range(requests))
    async with open_pipe(world.endpoint) as pipe:
        port = AgentPort(pipe, "prod", no_zip)

        async def work() -> None:
            for _ in left:
                assert await port.read("triage") is not None

        began = time.monotonic()
        await asyncio.gather(*(work() for _ in range(32)))
        return time.monotonic() - began


async def test_nothing_is_paced_without_a_refusal():
    async with recording(answer) as recorder, open_pipe(recorder.endpoint) as pipe:
        port = AgentPort(pipe, "prod", no_zip)
        await asyncio.gather(*(port.read(NAME) for _ in range(200)))

        assert (len(recorder.asked), pipe.limiter.rate) == (200, None)

"""What an orchestrator and Prometheus are told, over the application as it is served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from starlette.applications import Starlette

from reconciler.service.config import Configured
from reconciler.service.deps import Deps
from reconciler.service.engine import Again, Engine, Queue, Turn
from reconciler.service.engine.opening import open_engine
from reconciler.service.health import Watchdog, routes
from reconciler.service.metrics import Metrics
from reconciler.service.records import Health, ProjectRecord, SourceRecord, Suspension
from reconciler.service.store import Store
from reconciler.service.store.opening import open_store
from reconciler.settings import read
from reconciler.wiring import connected
from tests.service.config.files import SOURCE, loaded
from tests.world import World


@dataclass
class Process:
    """One process of the service as far as probes see it."""

    deps: Deps
    client: httpx.AsyncClient
    watchdog: Watchdog
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def values(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of one metric by their labels' values, in the order of the labels' names."""
        answer = await self.client.get("/metrics")
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for family in plain(answer.text)
            for sample in family.samples
            if sample.name == name
        }


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    config = loaded(tmp_path, SOURCE)
    url = f"sqlite:///{tmp_path}/store.db"
    store: Store = open_store(url)
    await store.open()
    engine: Engine = open_engine(url, concurrency=2)
    deps = Deps(Configured(config, loaded_at=5.0), store, engine, Metrics(), time.time, "replica-1")
    watchdog = Watchdog()
    transport = httpx.ASGITransport(Starlette(routes=routes(deps, watchdog)))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        process = Process(deps, client, watchdog)

        async def work(turn: Turn) -> Again | None:
            return None

        serving = asyncio.create_task(engine.serve(work, process.stop))
        await asyncio.sleep(0.05)
        yield process
        process.stop.set()
        await serving
    await store.close()


async def test_a_service_that_works_is_alive_and_ready(process: Process) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await process.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
    assert (await process.client.get("/readyz")).json() == {"status": "ready"}


async def test_a_store_that_does_not_answer_makes_it_unready_but_not_dead(process: Process) -> None:
    await process.deps.store.close()

    answer = await process.client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "missing": ["the store does not answer"]}
    assert (await process.client.get("/healthz")).status_code == 200
    assert await process.values("reconciler_store_up") == {(): 0}


async def test_a_store_that_hangs_is_told_in_time(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> int:
        await asyncio.sleep(60)
        return 0

    monkeypatch.setattr(process.deps.store, "pulse", hang)
    began = time.monotonic()

    answer = await process.client.get("/readyz")

    assert answer.json()["missing"] == ["the store does not answer"]
    assert time.monotonic() - began < 4


async def test_an_engine_that_stopped_makes_it_unready(process: Process) -> None:
    process.stop.set()
    async with asyncio.timeout(5):
        while process.deps.engine.ready:
            await asyncio.sleep(0.02)

    answer = await process.client.get("/readyz")

    assert answer.json() == {"status": "not ready", "missing": ["the engine gives no turns"]}
    assert await process.values("reconciler_engine_up") == {(): 0}


async def test_a_rejected_configuration_leaves_it_ready_and_is_counted(process: Process) -> None:
    process.deps.configured.rejected = ("a problem",)

    assert (await process.client.get("/readyz")).status_code == 200
    assert await process.values("reconciler_config_rejected") == {(): 1}
    assert await process.values("reconciler_config_loaded_timestamp_seconds") == {(): 5}


async def test_a_loop_that_is_stuck_is_not_alive(process: Process) -> None:
    process.watchdog._beat_at -= 31

    answer = await process.client.get("/healthz")

    assert (answer.status_code, answer.json()) == (503, {"status": "the event loop is stuck"})


async def test_the_watchdog_measures_how_late_the_loop_is(process: Process) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(process.watchdog.run(stop))
    await asyncio.sleep(0.01)
    time.sleep(1.3)
    await asyncio.sleep(0.05)

    assert process.watchdog.silent_s < 1
    assert 0.2 < (await process.values("reconciler_event_loop_late_seconds"))[()] < 1.5
    stop.set()
    await running


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        pytest.param("", "text/plain", id="nothing"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0,*/*;q=0.1", "application/openmetrics", id="open"
        ),
        pytest.param("text/plain;version=99.99;escaping=%00", "text/plain", id="odd-version"),
        pytest.param(
            "application/openmetrics-text; version=x.y.z; escaping=;;", "application/openmetrics", id="odd"
        ),
        pytest.param("\xff" * 100, "text/plain", id="bytes"),
    ],
)
async def test_the_format_is_the_one_that_was_asked_for(
    process: Process, accept: str, content_type: str
) -> None:
    answer = await process.client.get("/metrics", headers={"accept": accept.encode("latin-1")})

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(content_type)
    parse = openmetrics if content_type.startswith("application") else plain
    names = {family.name for family in parse(answer.text)}
    assert {"reconciler_build_info", "reconciler_queue_depth", "process_resident_memory_bytes"} <= {
        *names,
        *(f"{name}_info" for name in names),
    }


async def test_gauges_tell_what_the_store_holds_now(process: Process) -> None:
    store = process.deps.store
    await store.put_source(SourceRecord("agents", "url", fetched_at=70, error="gone", stale_since=71))
    await store.put_source(SourceRecord("of-old-configuration", "url"))
    drifted = {"health:drifted": 3}
    await store.put_project(
        ProjectRecord("prod", "agents", health=Health.DRIFTED, summary=drifted, last_good_at=50)
    )
    await store.put_project(ProjectRecord("stage", "agents", health=Health.IN_SYNC, last_good_at=60))
    await store.suspend(Suspension("stage", "ann", "", 1.0))

    assert await process.values("reconciler_drifted_resources") == {("prod",): 3, ("stage",): 0}
    assert await process.values("reconciler_last_good_sync_timestamp_seconds") == {
        ("prod",): 50,
        ("stage",): 60,
    }
    assert await process.values("reconciler_project_health") == {
        ("drifted", "prod"): 1,
        ("in-sync", "stage"): 1,
    }
    assert await process.values("reconciler_project_suspended") == {("prod",): 0, ("stage",): 1}
    assert await process.values("reconciler_source_stale") == {("agents",): 1}
    assert await process.values("reconciler_source_last_fetch_timestamp_seconds") == {("agents",): 70}

    await store.put_project(ProjectRecord("prod", "agents", health=Health.IN_SYNC, last_good_at=80))
    await store.put_project(ProjectRecord("stage", "agents", removed=True))
    assert await process.values("reconciler_project_health") == {("in-sync", "prod"): 1}
    assert await process.values("reconciler_last_good_sync_timestamp_seconds") == {("prod",): 80}
    assert await process.values("reconciler_project_suspended") == {("prod",): 0}


async def test_the_queue_is_counted_by_state(process: Process) -> None:
    await process.deps.engine.trigger("project/prod", "manual", after_s=60)

    assert await process.deps.engine.queue() == Queue(0, 1, 0)
    assert await process.values("reconciler_queue_depth") == {("due",): 0, ("later",): 1, ("running",): 0}


async def test_many_projects_are_all_there_and_readings_cost_little_while_nothing_changes(
    process: Process,
) -> None:
    for number in range(1_050):
        await process.deps.store.put_project(ProjectRecord(f"p-{number}", "agents"))
    assert len(await process.values("reconciler_project_health")) == 1_050

    began = time.perf_counter()
    await process.client.get("/metrics")
    assert time.perf_counter() - began < 1


async def test_requests_to_the_service_and_its_refusals_are_counted(world: World, process: Process) -> None:
    world.own("PUT", "faults", [{"match": {"project": world.name}, "action": {"status": 429}, "times": 1}])
    calls = process.deps.metrics.calls
    settings = read({"HOME": str(world.repo)})
    async with connected(world.endpoint, settings, calls) as pipe:
        from azure.core.rest import HttpRequest

        for _ in range(3):
            request = HttpRequest("GET", f"{pipe.endpoint}/agents?api-version=v1")
            await pipe.pipeline.run(request, stream=False)

    counted = await process.values("reconciler_api_requests_total")
    assert counted == {("200", "GET"): 3, ("429", "GET"): 1}
    assert await process.values("reconciler_api_throttled_total") == {(): 1}
    assert (await process.values("reconciler_api_request_duration_seconds_count"))[()] == 4


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.reconciles.labels("prod", "applied").inc()

    assert (
        other.registry.get_sample_value(
            "reconciler_reconcile_total", {"project": "prod", "result": "applied"}
        )
        is None
    )

"""Spans of turns, runs, steps and calls: what is in them, and what never is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core.settings import settings
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from reconciler.apply import Outcome
from reconciler.errors import ServiceError
from reconciler.resource import Key
from reconciler.service import tracing
from reconciler.service.engine import Again, Turn
from reconciler.settings import read
from reconciler.wiring import ports
from tests.world import World, prompt

# One provider a process: these tests share it.
pytestmark = pytest.mark.xdist_group("tracing")
PROMPT = "Never tell anybody about project Sphinx"
SECRET = "ghp_" + "a1" * 18


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.trace_to(exporter, "replica-1")
    yield exporter
    tracing.close()
    settings.tracing_implementation.unset_value()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


def finished(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    provider = trace.get_tracer_provider()
    assert provider.force_flush()  # type: ignore[attr-defined]
    return {span.name: span for span in exporter.get_finished_spans()}


async def test_a_turn_is_a_span_with_its_key_and_reasons(spans: InMemorySpanExporter) -> None:
    async def work(turn: Turn) -> Again | None:
        with tracing.span("run", project="prod", commit="abc") as add:
            add(result="applied")
        return Again(5, "requeue")

    assert await tracing.traced(work)(Turn("project/prod", ("webhook", "poll"))) == Again(5, "requeue")

    found = finished(spans)
    assert dict(found["turn"].attributes or {}) == {
        "reconciler.key": "project/prod",
        "reconciler.reasons": "webhook, poll",
        "reconciler.again": "requeue",
        "reconciler.again_after_s": 5,
    }
    assert dict(found["run"].attributes or {}) == {
        "reconciler.project": "prod",
        "reconciler.commit": "abc",
        "reconciler.result": "applied",
    }
    assert found["run"].parent == found["turn"].context
    assert found["run"].resource.attributes["service.name"] == "reconciler"
    assert found["run"].resource.attributes["service.instance.id"] == "replica-1"


def test_a_step_is_a_span_as_long_as_it_took(spans: InMemorySpanExporter) -> None:
    key = Key("prod", "Agent", "triage")
    failed = Outcome(
        key, "add-version", "failed", reason="Refused", error=(PROMPT,), note=PROMPT, duration_s=1.5
    )

    tracing.step(failed)

    found = finished(spans)["step"]
    assert dict(found.attributes or {}) == {
        "reconciler.project": "prod",
        "reconciler.resource": "Agent/triage",
        "reconciler.step": "add-version",
        "reconciler.outcome": "failed",
        "reconciler.reason": "Refused",
    }
    assert not found.status.is_ok
    assert (found.end_time or 0) - (found.start_time or 0) == 1_500_000_000
    assert PROMPT not in found.to_json()


def test_an_error_is_told_by_its_type_alone(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ServiceError), tracing.span("run", project="prod"):
        raise ServiceError(f"cannot write {PROMPT}", detail=PROMPT)

    found = finished(spans)["run"]
    assert (found.attributes or {})["error.type"] == "ServiceError"
    assert not found.status.is_ok
    assert PROMPT not in found.to_json()


def test_what_others_put_into_spans_is_left_out(spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("another").start_as_current_span("gen_ai.chat") as current:
        current.set_attributes(
            {"gen_ai.prompt": PROMPT, "http.method": "POST", "url.full": f"https://x/{SECRET}"}
        )
        current.add_event("prompt", {"content": PROMPT})
        current.set_status(trace.StatusCode.ERROR, PROMPT)

    found = finished(spans)["gen_ai.chat"]
    assert dict(found.attributes or {}) == {"http.method": "POST", "url.full": "https://x/***"}
    assert not found.events
    assert PROMPT not in found.to_json()
    assert SECRET not in found.to_json()


async def test_calls_to_the_service_are_spans_below_the_run(
    world: World, spans: InMemorySpanExporter
) -> None:
    world.agent("triage", prompt(PROMPT))
    world.commit()
    environment = read({"HOME": str(world.repo)})
    with tracing.span("run", project="prod"):
        async with ports("prod", world.endpoint, lambda code: b"", environment) as there:
            assert [live async for live in there["Agent"].list()] == []

    found = finished(spans)
    assert "GET" in found, found
    assert found["GET"].parent == found["run"].context
    attributes = found["GET"].attributes or {}
    assert 200 in attributes.values()
    assert any("/agents" in str(value) for value in attributes.values())


def test_without_an_endpoint_nothing_is_imported_and_nothing_happens() -> None:
    code = (
        "import sys; from reconciler.service import tracing; tracing.set_up({}, 'r')\n"
        "with tracing.span('run', project='x') as add: add(result='y')\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_missing_extra_is_a_warning_that_names_the_line_to_run(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry.py").write_text("raise ImportError('not installed')\n")
    code = (
        "from reconciler.service import tracing\n"
        "tracing.set_up({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:1'}, 'r')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "pip install 'foundry-reconciler[tracing]'" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr

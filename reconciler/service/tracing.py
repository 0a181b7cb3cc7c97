"""OpenTelemetry spans of turns, runs, steps and calls, where an endpoint for them is set.

Without one, every function here does nothing and imports nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from reconciler import __version__, wiring
from reconciler.apply import Outcome
from reconciler.service.engine import Again, Turn, Work

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

log = structlog.get_logger("reconciler")

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
Attribute = str | int | float | bool


@dataclass
class _Tracing:
    """Whether spans are made in this process. OpenTelemetry has one provider a process, and so do we."""

    tracer: Tracer | None = None
    end: Callable[[], None] = lambda: None


_state: Final = _Tracing()


def set_up(environ: Mapping[str, str], replica: str) -> None:
    """Send spans to the OTLP endpoint that the environment names; without one do nothing.

    Everything else (headers, protocol limits, sampling) is set by OpenTelemetry's own variables.

    Args:
        replica: the name of this process.
    """
    if not any(environ.get(name) for name in _ENDPOINTS):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        hint = "Run `pip install 'foundry-reconciler[tracing]'`, or unset OTEL_EXPORTER_OTLP_ENDPOINT."
        log.warning("tracing_not_installed", hint=hint)
        return
    trace_to(OTLPSpanExporter(), replica)


def trace_to(exporter: SpanExporter, replica: str) -> None:
    """Send spans to this exporter, without anything in them that could be a prompt or a secret."""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from reconciler.service.tracing_export import Cleaned

    names = {"service.name": "reconciler", "service.version": __version__, "service.instance.id": replica}
    provider = TracerProvider(resource=Resource.create(names), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Cleaned(exporter)))
    trace.set_tracer_provider(provider)
    wiring.trace_calls()
    _state.tracer, _state.end = provider.get_tracer("reconciler", __version__), provider.shutdown


def close() -> None:
    """Send what is left, and stop; takes as long as the exporter's own limit."""
    _state.end()
    _state.tracer, _state.end = None, lambda: None


@contextlib.contextmanager
def span(name: str, **attributes: Attribute) -> Iterator[Callable[..., None]]:
    """A span for as long as the block runs; yields a function that adds attributes to it.

    Attributes are names, counts and fixed words: `project`, `commit`, `result`. A block that raises makes the
    span an error, without the message.
    """
    if _state.tracer is None:
        yield lambda **more: None
        return
    from opentelemetry.trace import Status, StatusCode

    with _state.tracer.start_as_current_span(
        name, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield lambda **more: current.set_attributes(_named(more))
        except BaseException as error:
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(Status(StatusCode.ERROR))
            raise


def traced(work: Work) -> Work:
    """The same work, with a span for each turn."""

    async def turn(turn: Turn) -> Again | None:
        with span("turn", key=turn.key, reasons=", ".join(turn.reasons)) as add:
            again = await work(turn)
            if again is not None:
                add(again=again.reason, again_after_s=round(again.after_s, 3))
            return again

    return turn


def step(outcome: Outcome) -> None:
    """A span for a step that has ended."""
    if _state.tracer is None:
        return
    from opentelemetry.trace import Status, StatusCode

    end_ns = time.time_ns()
    facts: dict[str, Attribute] = {
        "project": outcome.key.project,
        "resource": outcome.key.local,
        "step": outcome.step,
        "outcome": outcome.outcome,
        "version": outcome.version,
        "reason": outcome.reason,
    }
    begin_ns = end_ns - int(outcome.duration_s * 1e9)
    current = _state.tracer.start_span("step", attributes=_named(facts), start_time=begin_ns)
    if outcome.outcome == "failed":
        current.set_status(Status(StatusCode.ERROR))
    current.end(end_ns)


def _named(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    return {f"reconciler.{name}": value for name, value in attributes.items() if value != ""}

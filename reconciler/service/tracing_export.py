"""The last look at a span before it leaves: what is on the list stays, everything else goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

from reconciler.masking import Masker

# Ours, and those of azure-core for one HTTP request. Descriptions and events hold messages of errors, which
# may quote a definition: they never leave.
_KEPT: Final = ("reconciler.", "http.", "server.", "az.", "error.type", "url.full", "net.peer")
_MOST_CHARS: Final = 300
_MASKER: Final = Masker()


class Cleaned(SpanExporter):
    """Hands spans on without anything in them that could be a prompt or a secret."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_clean(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _clean(span: ReadableSpan) -> ReadableSpan:
    kept = {name: _shown(value) for name, value in (span.attributes or {}).items() if name.startswith(_KEPT)}
    return ReadableSpan(
        name=_shown(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=kept,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _shown(value: Any) -> Any:
    return _MASKER.text(value)[:_MOST_CHARS] if isinstance(value, str) else value

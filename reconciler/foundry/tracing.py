"""Spans for every call to the service, by azure-core's own plugin."""

from __future__ import annotations


def trace_calls() -> None:
    """From now on, pipelines that are opened and calls of the SDK make spans; needs the extra `tracing`."""
    from azure.core.settings import settings
    from azure.core.tracing.ext.opentelemetry_span import OpenTelemetrySpan

    settings.tracing_implementation = OpenTelemetrySpan

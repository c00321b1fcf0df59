"""Traces in OpenTelemetry: a span for the request, and one for each step of its query.

They carry routes and times, never what was asked: nothing of paths and queries themselves.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind

_tracer = trace.get_tracer("mediadex")


@contextmanager
def request_span(method: str, headers: Mapping[str, str]) -> Iterator[Span]:
    """Open the span of a request, below the caller's own if its headers name one."""
    with _tracer.start_as_current_span(
        method,
        propagate.extract(headers),
        SpanKind.SERVER,
        {"http.request.method": method},
        record_exception=False,
    ) as span:
        yield span


def finish(span: Span, route: str, status: int, method: str) -> None:
    """Tell which route answered, and with what."""
    span.update_name(f"{method} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(trace.StatusCode.ERROR)


def step_spans(trace_of_query: Sequence[Mapping[str, Any]], asked_at: float) -> None:
    """Write the steps of a query, which was asked at `asked_at` (s since 1970), and their parts."""
    if not trace.get_current_span().is_recording():
        return
    for step in trace_of_query:
        begun = asked_at + step.get("at_ms", 0.0) / 1000
        span = _tracer.start_span(step["step"], start_time=_ns(begun))
        within = trace.set_span_in_context(span)
        for name, ms in step.get("parts", {}).items():
            part = _tracer.start_span(name, within, start_time=_ns(begun))
            part.end(_ns(begun + ms / 1000))
        span.end(_ns(begun + step["ms"] / 1000))


def export_if_asked() -> None:
    """Send traces where `OTEL_EXPORTER_OTLP_ENDPOINT` says, if the exporter is installed."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    import importlib.util

    if importlib.util.find_spec("opentelemetry.exporter.otlp") is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "mediadex"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def now() -> float:
    """Return the time as spans take it, s since 1970."""
    return time.time()


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)

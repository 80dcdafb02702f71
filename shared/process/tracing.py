"""Traces by OpenTelemetry, where `tracing.url` is set: request → queue → attempt → record.

    POST /v1/jobs     in `http`: of the caller's trace, if its request has a `traceparent`
      queue           in `queueing`: a chunk of the job
        attempt       in `relay`: one for each attempt of a message
          record      the attempt's fact, until it is stored

A span goes on where its context is carried to: from the request in the job, from the chunk in the `Ready` of its first
messages (`tracing.messages_per_job`). Where nothing is traced there is no context, and whoever has none begins no span:
without `tracing.url` there is no tracer, nothing that makes or sends spans is imported, and a mail costs a look at a
field that is not there. Spans have ids, sites, words and times; never an address, a reply or what a request says.

The SDK's own variables (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES`) hold as well.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from shared.process.lifecycle import Lifecycle
from shared.process.settings import SettingsError
from shared.words.request_ids import trace_context

#: Spans that cannot be delivered in so long are lost: a collector that hangs holds up nobody's end.
EXPORT_S = 2.0

#: What a span says of itself; what is "" is left out.
About = Mapping[str, str | int]
NOTHING: About = {}


class Span:
    """One that has begun. `context` is what its children are told, as a `traceparent`: "" where it is not sampled, so
    that none is carried on."""

    __slots__ = ("_span", "context")

    def __init__(self, span: Any) -> None:
        self._span = span
        found = span.get_span_context()
        self.context = f"00-{found.trace_id:032x}-{found.span_id:016x}-01" if found.trace_flags.sampled else ""

    def end(self, about: About = NOTHING, at_ms: int | None = None, *, failed: str = "") -> None:
        """Now, or at that time. `failed` is the word of what went wrong."""
        self._span.set_attributes(_named(about))
        if failed:
            self._span.set_attribute("error.type", failed)
        self._span.end(None if at_ms is None else at_ms * 1_000_000)


class Tracer:
    """Begins spans. `made` is the SDK's provider."""

    def __init__(self, provider: Any, messages_per_job: int) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._provider = provider
        self._tracer = provider.get_tracer("estafette")
        self.messages_per_job = messages_per_job

    def begin(
        self, name: str, about: About, parent: str = "", at_ms: int | None = None, *, serves: bool = False
    ) -> Span:
        """A span below `parent` (a `traceparent`), or the first of its trace. `serves` a caller's request."""
        kind = self._trace.SpanKind.SERVER if serves else self._trace.SpanKind.INTERNAL
        start = None if at_ms is None else at_ms * 1_000_000
        span = self._tracer.start_span(
            name, self._context(parent), kind=kind, start_time=start, attributes=_named(about)
        )
        return Span(span)

    def _context(self, parent: str) -> Any:
        # Empty, and not None, which would be whatever the SDK thinks is under way.
        found = trace_context(parent)
        if found is None:
            return self._trace.set_span_in_context(self._trace.INVALID_SPAN)
        trace_id, span_id, flags = (int(part, 16) for part in found)
        told = self._trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=self._trace.TraceFlags(flags))
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(told))

    async def close(self) -> None:
        """Sends what is left."""
        await asyncio.to_thread(self._provider.shutdown)


def _named(about: About) -> dict[str, str | int]:
    """Ours under our name; what OpenTelemetry has a name for has a dot in it already."""
    return {name if "." in name else f"estafette.{name}": value for name, value in about.items() if value != ""}


def tracer(
    process: str, sampled_percent: int, messages_per_job: int, exporter: Any, *, at_once: bool = False
) -> Tracer:
    """Spans of that process go to the exporter, in batches or each at once. Of traces that begin here that share is
    sampled; others' are where they say so."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sampled_percent / 100)),
        resource=Resource.create({"service.namespace": "estafette", "service.name": process}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter))
    return Tracer(provider, messages_per_job)


def start(life: Lifecycle) -> Tracer | None:
    """The tracer of this process, closed with it; None where `tracing.url` is not set. SettingsError where it is and
    OpenTelemetry is not there."""
    mine = life.settings.tracing
    if not mine.url:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as missing:
        said = f"tracing.url: OpenTelemetry is not installed ({missing.name}): pip install 'estafette[tracing]'"
        raise SettingsError([said]) from None
    exporter = OTLPSpanExporter(endpoint=mine.url, timeout=EXPORT_S)
    made = tracer(life.name, mine.sampled_percent, mine.messages_per_job, exporter)
    life.push_close(made.close)
    return made

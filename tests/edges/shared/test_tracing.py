"""Spans go on in the trace that they are told of, and where nothing is traced nothing is carried."""

import subprocess
import sys
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.http.route import Route
from shared.http.traced import traced
from shared.net.requests import CURRENT, Asked, current_trace
from shared.process.tracing import Tracer, tracer
from shared.words.errors import Problem
from shared.words.request_ids import trace_context, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
NOT_SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


def tracing(sampled_percent: int = 100) -> tuple[Tracer, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    return tracer("http", sampled_percent, 10, exporter, at_once=True), exporter


def finished(exporter: InMemorySpanExporter) -> list[Any]:
    return list(exporter.get_finished_spans())


def test_a_span_goes_on_in_the_trace_that_it_is_told_of() -> None:
    begin, exporter = tracing()

    outer = begin.begin("outer", {"job": "j"}, SAMPLED)
    inner = begin.begin("inner", {}, outer.context, 1_000)
    inner.end({"site": "a.test", "host": ""}, 2_000, failed="Bounced")
    outer.end()

    first, second = finished(exporter)
    assert trace_id(outer.context) == trace_id(inner.context) == TRACE
    assert (second.parent.span_id, first.parent.span_id) == (0x00F067AA0BA902B7, second.context.span_id)
    assert (first.start_time, first.end_time) == (1_000_000_000, 2_000_000_000)
    assert dict(first.attributes) == {"estafette.site": "a.test", "error.type": "Bounced"}
    assert first.resource.attributes["service.name"] == "http"


@pytest.mark.parametrize("parent", ["", "what is none", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
def test_without_one_it_begins_a_trace(parent: str) -> None:
    begin, exporter = tracing()

    begin.begin("outer", {}, parent).end()

    [span] = finished(exporter)
    assert span.parent is None


@pytest.mark.parametrize(("percent", "parent"), [(0, ""), (100, NOT_SAMPLED)])
def test_what_is_not_sampled_carries_nothing_on(percent: int, parent: str) -> None:
    begin, exporter = tracing(percent)

    span = begin.begin("outer", {}, parent)
    span.end({"job": "j"})

    assert span.context == ""
    assert finished(exporter) == []


class _Request:
    def __init__(self) -> None:
        self.headers = {"traceparent": SAMPLED}


async def test_a_call_is_a_span_and_hands_its_context_on() -> None:
    begin, exporter = tracing()
    handed_on = []

    async def call(_request: web.Request) -> web.StreamResponse:
        handed_on.append(current_trace())
        return web.Response(status=202)

    asked = Asked("order-4711")
    asked.tenant = "acme"
    CURRENT.set(asked)
    await traced(Route("POST", "/v1/jobs", call, "send", scope="send"), begin).call(_Request())  # type: ignore[arg-type]

    [span] = finished(exporter)
    assert span.name == "POST /v1/jobs"
    assert trace_context(handed_on[0]) == (TRACE, f"{span.context.span_id:016x}", "01")
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/jobs",
        "http.response.status_code": 202,
        "estafette.request": "order-4711",
        "estafette.tenant": "acme",
    }


@pytest.mark.parametrize(("fault", "word"), [(Problem("unknown_job", "no"), "unknown_job"), (OSError(), "OSError")])
async def test_a_call_that_fails_says_how(fault: Exception, word: str) -> None:
    begin, exporter = tracing()

    async def call(_request: web.Request) -> web.StreamResponse:
        raise fault

    with pytest.raises(type(fault)):
        await traced(Route("GET", "/v1/jobs/{job}", call, "job", scope="read"), begin).call(_Request())  # type: ignore[arg-type]

    [span] = finished(exporter)
    assert span.attributes["error.type"] == word


def test_without_a_tracer_or_a_key_a_route_is_what_it_was() -> None:
    async def call(_request: web.Request) -> web.StreamResponse:
        return web.Response()

    keyed, open_to_all = Route("GET", "/a", call, "a", scope="read"), Route("GET", "/c", call, "c")

    assert traced(keyed, None) is keyed
    assert traced(open_to_all, tracing()[0]) is open_to_all


def test_without_the_setting_nothing_that_makes_or_sends_spans_is_imported() -> None:
    code = "import sys, services.http.__main__, services.relay.__main__, services.queueing.__main__\n"
    code += "parts = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
    code += "print([name for name in sys.modules if name.startswith(parts)])"

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout.strip() == "[]"


def test_with_the_setting_and_without_opentelemetry_a_process_says_what_is_missing() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None\n"
        "from shared.process.settings import Settings, Tracing\n"
        "from shared.process.lifecycle import Lifecycle\n"
        "from shared.process import tracing\n"
        "tracing.start(Lifecycle('http', Settings(tracing=Tracing(url='http://127.0.0.1:4318/v1/traces'))))"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert ended.returncode == 1
    assert "tracing.url: OpenTelemetry is not installed" in ended.stderr
    assert "pip install 'estafette[tracing]'" in ended.stderr

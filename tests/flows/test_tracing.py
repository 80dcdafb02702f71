"""One trace from the caller's request to the fact of each attempt, as a receiver of OTLP over HTTP gets it."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.flows.stack import Stack, job

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TOLD = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


class Collector:
    """An OpenTelemetry collector, as far as a sender sees one; what it was sent, as plain values."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.raw = b""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        assert request.content_type == "application/x-protobuf"
        self.raw += body
        for by_process in ExportTraceServiceRequest.FromString(body).resource_spans:
            process = {one.key: one.value.string_value for one in by_process.resource.attributes}["service.name"]
            for scope in by_process.scope_spans:
                self.spans += [_plain(process, span) for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    def of(self, name: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == name]


def _plain(process: str, span: Any) -> dict[str, Any]:
    about = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
    ids = {"trace": span.trace_id.hex(), "id": span.span_id.hex(), "parent": span.parent_span_id.hex()}
    return {"process": process, "name": span.name, **ids, **about}


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, str]]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield collector, f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    finally:
        await runner.cleanup()


async def test_a_trace_goes_from_the_request_to_the_fact_of_each_attempt(tmp_path: Path) -> None:
    async with collecting() as (collector, url):
        environ = {"ESTAFETTE_TRACING_URL": url, "ESTAFETTE_TRACING_MESSAGES_PER_JOB": "2"}
        async with Stack.running(tmp_path, environ) as stack:
            sent = job("greylist-1@trace.test", "ana@trace.test", "bo@trace.test")
            job_id = (await stack.call("POST", "/v1/jobs", sent, headers=TOLD))[1]["id"]
            await stack.done(job_id)
            assert (await stack.report(job_id))["request"] == TRACE
            assert await stack.stop() == 0  # what was not sent yet goes out

    [request], [queue] = collector.of("POST /v1/jobs"), collector.of("queue")
    attempts, records = collector.of("attempt"), collector.of("record")
    assert (request["process"], request["parent"], request["trace"]) == ("http", CALLER, TRACE)
    assert (queue["process"], queue["parent"], queue["trace"]) == ("queueing", request["id"], TRACE)
    assert {(one["process"], one["parent"], one["trace"]) for one in attempts} == {("relay", queue["id"], TRACE)}
    assert sorted((one["estafette.message"], one["estafette.fact"]) for one in attempts) == [
        (f"{job_id}.0", "Deferred"),
        (f"{job_id}.0", "Delivered"),
        (f"{job_id}.1", "Delivered"),
    ]  # and none of the third message, which is beyond what is traced of a job
    assert {one["parent"] for one in records} == {one["id"] for one in attempts}
    assert b"trace.test\n" not in collector.raw
    assert b"ana@" not in collector.raw
    assert b"Bearer" not in collector.raw


async def test_a_collector_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    async with Stack.running(tmp_path, {"ESTAFETTE_TRACING_URL": "http://127.0.0.1:1/v1/traces"}) as stack:
        report = await stack.done((await stack.call("POST", "/v1/jobs", job("ana@trace.test"), headers=TOLD))[1]["id"])

        assert report["counts"]["delivered"] == 1
        assert await stack.stop() == 0

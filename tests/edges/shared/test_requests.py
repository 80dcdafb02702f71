"""Each request has an id in its answer and on the lines that it causes; one that fails has a line of its own."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import structlog
from aiohttp import web

from shared.http import api
from shared.net.requests import UNTOLD, Asked, Failures, current_id
from shared.net.server import Runner
from shared.process.logs import Line
from shared.words.errors import Problem
from shared.words.principal import Principal

KEY = "est_0123456789_ABCDEFGH"
MADE = re.compile(r"[0-9a-f]{12}-[0-9a-f]+")


class Ring:
    async def verify(self, text: str) -> Principal | None:
        return Principal("acme", frozenset({"send"})) if text == KEY else None


async def ok(_request: web.Request) -> web.StreamResponse:
    return web.Response(text=current_id())


async def refuse(_request: web.Request) -> web.StreamResponse:
    raise Problem("unknown_job", "there is no such job")


async def fail(_request: web.Request) -> web.StreamResponse:
    raise RuntimeError("ours")


async def stream(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(current_id().encode())
    return answer


ROUTES = [
    api.Route("GET", "/ok", ok, "ok"),
    api.Route("GET", "/stream", stream, "stream"),
    api.Route("GET", "/jobs/{job}", refuse, "refuse", scope="send", any_query=True),
    api.Route("GET", "/fail", fail, "fail"),
]


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    runner = Runner(api.application(ROUTES, Ring(), max_body_bytes=1000))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def said(port: int, *lines: str) -> tuple[str, str]:
    """The id in the answer's header, and its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([*lines, "Host: x", "Connection: close", "", ""]).encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.decode().partition("\r\n\r\n")
    [found] = re.findall(r"^X-Request-Id: (.*)$", head, re.M)
    return found.strip(), body


@pytest.mark.parametrize("path", ["/ok", "/stream"])
async def test_the_id_that_a_request_names_is_the_one_in_its_answer(path: str) -> None:
    async with serving() as port:
        named, body = await said(port, f"GET {path} HTTP/1.1", "X-Request-Id: order-4711")

    assert named == "order-4711"
    assert "order-4711" in body


async def test_without_one_it_is_made_and_no_two_are_the_same() -> None:
    async with serving() as port:
        named = {(await said(port, "GET /ok HTTP/1.1", "X-Request-Id: no name"))[0] for _ in range(5)}

    assert len(named) == 5
    assert all(MADE.fullmatch(name) for name in named)


async def test_where_a_trace_is_under_way_it_is_the_id() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    async with serving() as port:
        named, _ = await said(port, "GET /ok HTTP/1.1", f"traceparent: 00-{trace}-00f067aa0ba902b7-01")

    assert named == trace


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "GET /jobs/s3cr3t-token?email=ana@exemple.fr HTTP/1.1",
            {"route": "/jobs/{job}", "status": 404, "problem": "unknown_job", "tenant": "acme", "log_level": "info"},
        ),
        ("GET /s3cr3t-token HTTP/1.1", {"route": None, "status": 404, "problem": "not_found", "log_level": "info"}),
        ("GET /fail HTTP/1.1", {"route": "/fail", "status": 500, "problem": "internal_error", "log_level": "warning"}),
        ("POST /ok HTTP/1.1", {"route": None, "status": 405, "problem": "method_not_allowed", "log_level": "info"}),
    ],
)
async def test_a_request_that_fails_has_a_line(line: str, expected: dict[str, Any]) -> None:
    async with serving() as port:
        with structlog.testing.capture_logs() as lines:
            named, _ = await said(port, line, f"Authorization: Bearer {KEY}", "X-Request-Id: order-4711")

    told = next(line for line in lines if line["event"] == "request_refused")
    assert named == told["request"] == "order-4711"
    assert told["method"] == line.split(" ")[0]
    assert told["ms"] >= 0
    assert {name: told.get(name) for name in expected} == expected
    assert not re.search(r"s3cr3t|exemple|ABCDEFGH", str(told))


async def test_a_request_that_goes_well_has_none() -> None:
    async with serving() as port:
        with structlog.testing.capture_logs() as lines:
            await said(port, "GET /ok HTTP/1.1")

    assert lines == []


async def test_a_probe_that_is_told_to_wait_has_none() -> None:
    async def not_ready(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    runner = Runner(api.application([api.Route("GET", "/readyz", not_ready, "ready")], Ring(), max_body_bytes=1000))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        with structlog.testing.capture_logs() as lines:
            await said(runner.addresses[0][1], "GET /readyz HTTP/1.1")
    finally:
        await runner.cleanup()

    assert lines == []


async def test_what_cannot_be_read_has_an_id_too() -> None:
    async with serving() as port:
        with structlog.testing.capture_logs() as lines:
            named, _ = await said(port, "GET /ok HTTP/9")

    assert MADE.fullmatch(named)
    assert [(line["event"], line["request"]) for line in lines] == [("unreadable_request", named)]


async def test_a_line_that_a_request_causes_has_its_id_and_one_that_comes_after_has_not() -> None:
    lines: list[dict[str, Any]] = []
    begun = asyncio.Event()

    def write(word: str) -> None:
        line = Line("http")(None, "info", {"at": "now", "level": "info", "event": word})
        lines.append(orjson.loads(line))

    async def outlives() -> None:
        await begun.wait()
        write("after")

    async def call(_request: web.Request) -> web.StreamResponse:
        tasks.append(asyncio.create_task(outlives()))
        write("during")
        return web.Response()

    tasks: list[asyncio.Task[None]] = []
    runner = Runner(api.application([api.Route("GET", "/ok", call, "ok")], Ring(), max_body_bytes=1000))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        named, _ = await said(runner.addresses[0][1], "GET /ok HTTP/1.1")
        begun.set()
        await tasks[0]
    finally:
        await runner.cleanup()

    assert [(line["event"], line.get("request")) for line in lines] == [("during", named), ("after", None)]


async def test_more_failures_than_a_disk_can_bear_are_counted_and_told_with_the_next_line() -> None:
    now_s = 100.0
    failures = Failures(lambda: now_s, lines_per_s=2)
    before = UNTOLD._value.get()

    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            failures.tell(_Request(), web.Response(status=404), Asked("a"), 99.5)  # type: ignore[arg-type]
        now_s = 101.0
        failures.tell(_Request(), web.Response(status=404), Asked("b"), 100.5)  # type: ignore[arg-type]

    assert [(line["request"], line["ms"], line.get("untold")) for line in lines] == [
        ("a", 500.0, None),
        ("a", 500.0, None),
        ("b", 500.0, 3),
    ]
    assert UNTOLD._value.get() - before == 3


class _Request:
    method = "GET"

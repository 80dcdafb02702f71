"""What comes over a connection and is no HTTP, or has no end: told in our words, logged without it; others go on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
from aiohttp import web

from shared.http import api
from shared.net import server
from shared.words.errors import Problem

SECRET = "est_abcdefghij_ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


class _NoKeys:
    async def verify(self, text: str) -> api.Principal | None:
        return None


async def _ok(request: web.Request) -> web.StreamResponse:
    await request.read()
    return web.Response(text="ok")


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise Problem("not_open", "no")

    routes = [
        api.Route("GET", "/ok", _ok, "ok"),
        api.Route("POST", "/ok", _ok, "ok"),
        api.Route("GET", "/no", refuse, ""),
    ]
    app = api.application(routes, _NoKeys(), max_body_bytes=1000)
    runner = server.Runner(app, shutdown_timeout=0.1, max_line_size=2000)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def said(port: int, wire: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(wire)
        async with asyncio.timeout(60):
            return await reader.read(100_000) if wire else b""
    finally:
        writer.close()


async def is_served(port: int) -> bool:
    return (await said(port, b"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")


UNREADABLE = {
    "a key with a trailing CR": f"GET /ok HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\r\nHost: x\r\n\r\n",
    "a token with a blank": f"GET /c/{SECRET} x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a version that is none": f"GET /c/{SECRET} HTTP/9\r\nHost: x\r\n\r\n",
    "a header without a colon": f"GET /ok HTTP/1.1\r\n{SECRET}\r\n\r\n",
    "a header name with a blank": f"GET /ok HTTP/1.1\r\nX {SECRET}: y\r\n\r\n",
    "a length that is none": f"POST /ok HTTP/1.1\r\nContent-Length: {SECRET}\r\n\r\n",
    "a huge header": f"GET /ok HTTP/1.1\r\nX: {SECRET * 500}\r\n\r\n",
    "a line too long": f"GET /{SECRET * 100} HTTP/1.1\r\n\r\n",
    "another protocol": f"SSH-2.0-{SECRET}\r\n\r\n",
    "HTTP/2": f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{SECRET}",
    "TLS": f"\x16\x03\x01\x02{SECRET}\r\n\r\n",
    "a chunk that is none": f"POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_cannot_be_read_is_neither_repeated_nor_logged(
    what: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as port:
        with structlog.testing.capture_logs() as lines:
            answer = await said(port, UNREADABLE[what].encode("latin-1"))
            served = await is_served(port)

    captured = capsys.readouterr()
    everything = f"{answer!r} {lines} {captured.out} {captured.err} {caplog.text}"
    assert SECRET[:20] not in everything
    assert served
    assert len(lines) <= 1
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"aiohttp" not in head
    assert b"Python" not in head
    assert json.loads(body)["type"].startswith("urn:estafette:problem:")


@pytest.mark.parametrize("path", ["/ok", "/no", "/nowhere"])
@pytest.mark.parametrize("expect", [SECRET, "100-continue, x", "200-ok", "x" * 1000])
async def test_an_expectation_that_nobody_knows_is_refused_and_not_repeated(path: str, expect: str) -> None:
    async with serving() as port:
        answer = await said(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nExpect: {expect}\r\n\r\n".encode())
        served = await is_served(port)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 417")
    assert json.loads(body)["type"] == "urn:estafette:problem:expectation_failed"
    assert expect.encode() not in answer
    assert b"aiohttp" not in answer
    assert served


async def test_who_waits_to_be_asked_for_the_body_is() -> None:
    async with serving() as port:
        wire = (
            b"POST /ok HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
        )

        answer = await said(port, wire)

    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


async def test_a_client_that_vanishes_in_the_middle_of_a_body_is_no_fault_of_ours() -> None:
    async with serving() as port:
        with structlog.testing.capture_logs() as lines:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nx")
            await asyncio.sleep(0.05)
            writer.transport.abort()
            await asyncio.sleep(0.05)
            assert await is_served(port)

    assert not [line for line in lines if line["log_level"] == "error"]


@pytest.mark.parametrize(("path", "status"), [("/ok", 200), ("/no", 409), ("/nowhere", 404)])
async def test_no_answer_names_a_version(path: str, status: int) -> None:
    async with serving() as port:
        answer = await said(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert answer.startswith(f"HTTP/1.1 {status}".encode())
    assert b"\r\nServer: estafette\r\n" in answer
    assert b"aiohttp" not in answer

"""Heads and frames that two readers could read differently, or nobody can: one problem document, which echoes nothing,
at the port of the API, of recipients' links, and of metrics; and no second request is found inside of the first."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable

import pytest
import structlog
from aiohttp import web

from services.tracking import http
from services.tracking.tracking import Tracking
from shared.http import api
from shared.net import server
from shared.process import metrics
from shared.words.events import Fact
from shared.words.tokens import TokenKeys
from tests.fakes.recipients import Jobs
from tests.fakes.untracked import Said

SECRET = "est_abcdefghij_ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
PORTS = ("api", "tracking", "metrics")
#: A path of each port that takes a body, or at least is there.
PATHS = {"api": "/v1/jobs", "tracking": "/u/token", "metrics": "/metrics"}


class _NoKeys:
    async def verify(self, text: str) -> api.Principal | None:
        return None


class _Forgets:
    async def record(self, fact: Fact, mark: bytes = b"") -> None: ...

    def hand_in(self, fact: Fact, mark: bytes, told: Callable[[bool], None]) -> None:
        told(True)

    async def start(self) -> None: ...

    async def close(self) -> None: ...


async def _job(request: web.Request) -> web.StreamResponse:
    return web.Response(text=f"{len(await request.read())} bytes")


async def _never_unready() -> str | None:
    return None


@contextlib.asynccontextmanager
async def serving(which: str) -> AsyncIterator[int]:
    if which == "metrics":
        probed = await metrics.serve("127.0.0.1", 0, _never_unready)
        try:
            yield probed.port
        finally:
            await probed.close()
        return
    routes = (
        [api.Route(method, "/v1/jobs", _job, "") for method in ("GET", "POST")]
        if which == "api"
        else http.routes(
            Tracking(TokenKeys(b"k" * 32), _Forgets(), "edge", Jobs(), Said()), lambda: 0, forwarded_hops=0
        )
    )
    app = api.application(routes, _NoKeys(), max_body_bytes=1_000_000)
    runner = server.Runner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class _Heard(asyncio.Protocol):
    """What the server says. A reset does not take away what had come before it."""

    def __init__(self) -> None:
        self.bytes = b""
        self.is_whole = asyncio.Event()
        self.is_over = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.bytes += data
        head, end, body = self.bytes.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        if end and length and len(body) >= int(length[1]):
            self.is_whole.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_whole.set()
        self.is_over.set()


async def said(port: int, *pieces: bytes) -> bytes:
    """Everything that comes for those pieces, each sent by itself. What we say ends after the first answer: to a server
    that reads the end before it has answered, nobody is there any more."""
    transport, heard = await asyncio.get_running_loop().create_connection(_Heard, "127.0.0.1", port)
    try:
        async with asyncio.timeout(60):
            for piece in pieces:
                transport.write(piece)
                await asyncio.sleep(0.02)
            await heard.is_whole.wait()
            with contextlib.suppress(OSError):  # who has hung up needs not be told
                transport.write_eof()
            await heard.is_over.wait()
    finally:
        transport.close()
    return heard.bytes


GET, POST = "GET {path} HTTP/1.1\r\nHost: x\r\n", "POST {path} HTTP/1.1\r\nHost: x\r\n"
#: What a smuggler hides behind the first request.
HIDDEN = f"GET /v1/{SECRET} HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"

SMUGGLED = {
    "two lengths": f"{POST}Content-Length: 0\r\nContent-Length: 99\r\n\r\n{HIDDEN}",
    "the same length twice": f"{POST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "a list of lengths": f"{POST}Content-Length: 0, 0\r\n\r\n{HIDDEN}",
    "a length with a sign": f"{POST}Content-Length: +0\r\n\r\n{HIDDEN}",
    "a length below nothing": f"{POST}Content-Length: -1\r\n\r\n{HIDDEN}",
    "a length beyond all numbers": f"{POST}Content-Length: {'9' * 40}\r\n\r\n{HIDDEN}",
    "a length in hex": f"{POST}Content-Length: 0x0\r\n\r\n{HIDDEN}",
    "a length with a blank before the colon": f"{POST}Content-Length : 0\r\n\r\n{HIDDEN}",
    "a length and chunks": f"{POST}Content-Length: 5\r\n{CHUNKED}\r\n0\r\n\r\n{HIDDEN}",
    "chunks and a length": f"{POST}{CHUNKED}Content-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks twice": f"{POST}{CHUNKED}{CHUNKED}\r\n0\r\n\r\n{HIDDEN}",
    "a coding that is nearly chunks": f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "another coding beside chunks": f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "another coding in a line of its own": f"{POST}Transfer-Encoding: gzip\r\n{CHUNKED}\r\n0\r\n\r\n{HIDDEN}",
    "chunks that are not the last coding": f"{POST}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n{HIDDEN}",
    "identity": f"{POST}Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "chunks over HTTP/1.0": f"POST {{path}} HTTP/1.0\r\nHost: x\r\n{CHUNKED}\r\n0\r\n\r\n{HIDDEN}",
    "a folded coding": f"{POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a vertical tab before chunks": f"{POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a chunk below nothing": f"{POST}{CHUNKED}\r\n-1\r\n\r\n{HIDDEN}",
    "a chunk in 0x": f"{POST}{CHUNKED}\r\n0x0\r\n\r\n{HIDDEN}",
    "a chunk beyond all numbers": f"{POST}{CHUNKED}\r\n{'f' * 17}\r\na\r\n{HIDDEN}",
    "a chunk that is longer than it says": f"{POST}{CHUNKED}\r\n1\r\nabc\r\n0\r\n\r\n{HIDDEN}",
    "a bare line end after a chunk's size": f"{POST}{CHUNKED}\r\n1\na\r\n0\r\n\r\n{HIDDEN}",
}
ODD = {
    "a folded header": f"{GET}X: a\r\n {SECRET}\r\n\r\n",
    "a folded first header": f"GET {{path}} HTTP/1.1\r\n Host: {SECRET}\r\n\r\n",
    "a NUL in a header": f"{GET}X: \0{SECRET}\r\n\r\n",
    "a NUL in a header's name": f"{GET}X\0{SECRET}: y\r\n\r\n",
    "a NUL in the path": f"GET {{path}}\0{SECRET} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a lone CR in a header": f"{GET}X: a\r{SECRET}: b\r\n\r\n",
    "bare line ends": f"GET {{path}} HTTP/1.1\nHost: x\nX: {SECRET}\n\n",
    "a header without a name": f"{GET}: {SECRET}\r\n\r\n",
    "a huge header": f"{GET}X: {SECRET * 1000}\r\n\r\n",
    "a huge name of a header": f"{GET}{SECRET * 1000}: y\r\n\r\n",
    "many headers": f"{GET}{'X: y' + chr(13) + chr(10)}" * 1 + "X: y\r\n" * 5000 + "\r\n",
    "a huge target": f"GET {{path}}?{SECRET * 1000} HTTP/1.1\r\nHost: x\r\n\r\n",
    "another host in the target": f"GET http://{SECRET}.example{{path}} HTTP/1.1\r\nHost: x\r\n\r\n",
    "another port in the target": "GET http://x:81{path} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a user in the target": f"GET http://{SECRET}@x{{path}} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a host in the target and no Host that is one": f"GET http://x{{path}} HTTP/1.1\r\nHost: {SECRET}\r\n\r\n",
    "another scheme in the target": "GET ftp://x{path} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is no address": "GET http://[::1{path} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target without a slash": f"GET {SECRET} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a star": "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": f"CONNECT {SECRET}.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "two slashes and a host": f"GET //{SECRET}.example{{path}} HTTP/1.1\r\nHost: x\r\n\r\n",
    "no Host": "GET {path} HTTP/1.1\r\n\r\n",
    "two Hosts": f"GET {{path}} HTTP/1.1\r\nHost: x\r\nHost: {SECRET}\r\n\r\n",
    "a Host with a path": f"GET {{path}} HTTP/1.1\r\nHost: x/{SECRET}\r\n\r\n",
    "a Host with a user": f"GET {{path}} HTTP/1.1\r\nHost: {SECRET}@x\r\n\r\n",
    "a Host with a blank": f"GET {{path}} HTTP/1.1\r\nHost: x {SECRET}\r\n\r\n",
    "a Host with an open bracket": "GET {path} HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "a Host with a port that is none": f"GET {{path}} HTTP/1.1\r\nHost: x:{SECRET}\r\n\r\n",
    "a list of Hosts": f"GET {{path}} HTTP/1.1\r\nHost: x, {SECRET}\r\n\r\n",
    "version 0.9": "GET {path}\r\n\r\n",
    "version 1.2": "GET {path} HTTP/1.2\r\nHost: x\r\n\r\n",
    "version 2.0": "GET {path} HTTP/2.0\r\nHost: x\r\n\r\n",
    "a method in small letters": "get {path} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method that nobody knows": f"{SECRET} {{path}} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a request to be echoed": f"TRACE {{path}} HTTP/1.1\r\nHost: x\r\nX: {SECRET}\r\n\r\n",
    "a packed body": f"{POST}Content-Encoding: {SECRET}\r\nContent-Length: 0\r\n\r\n",
    "an expectation": f"{POST}Expect: {SECRET}\r\nContent-Length: 0\r\n\r\n",
    "a target that is no text": f"GET /%ff%00%zz{SECRET} HTTP/1.1\r\nHost: x\r\n\r\n",
}


def assert_one_problem(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    document = json.loads(body)
    assert 400 <= status < 600
    assert status != 500
    assert b"\r\nContent-Type: application/problem+json" in head
    assert document["type"].startswith("urn:estafette:problem:")
    assert document["status"] == status
    assert b"aiohttp" not in answer
    assert b"Python" not in answer


@pytest.mark.parametrize("which", PORTS)
@pytest.mark.parametrize("what", SMUGGLED)
async def test_no_request_is_found_inside_of_another(what: str, which: str) -> None:
    wire = SMUGGLED[what].replace("{path}", PATHS[which]).encode("latin-1")

    async with serving(which) as port:
        with structlog.testing.capture_logs() as lines:
            answer = await said(port, wire)

    assert answer.count(b"HTTP/1.") == 1
    assert_one_problem(answer)
    assert SECRET[:20] not in f"{answer!r} {lines}"


@pytest.mark.parametrize("which", PORTS)
@pytest.mark.parametrize("what", ODD)
async def test_an_odd_head_gets_a_problem_that_echoes_nothing(
    what: str, which: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    wire = ODD[what].replace("{path}", PATHS[which]).encode("latin-1")

    async with serving(which) as port:
        with structlog.testing.capture_logs() as lines:
            answer = await said(port, wire)

    captured = capsys.readouterr()
    assert_one_problem(answer)
    assert SECRET[:20] not in f"{answer!r} {lines} {caplog.text} {captured.out} {captured.err}"


FRAMES = {
    "a size that is none": f"{SECRET}\r\n",
    "a size that is none, later": f"5\r\nabcde\r\n{SECRET}\r\n",
    "a chunk that is longer than it says": f"1\r\nabc{SECRET}\r\n",
    "a trailer that is none": f"0\r\n{SECRET}\r\n\r\n",
    "a NUL in an extension": f"1;\0{SECRET}\r\na\r\n",
}


@pytest.mark.parametrize("what", FRAMES)
async def test_a_body_that_stops_to_be_chunks_is_answered_at_once(what: str) -> None:
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n{CHUNKED}\r\n"

    async with serving("api") as port:
        with structlog.testing.capture_logs() as lines:
            answer = await said(port, head.encode(), FRAMES[what].encode("latin-1"))

    assert_one_problem(answer)
    assert SECRET[:20] not in f"{answer!r} {lines}"
    assert not [line for line in lines if line["log_level"] == "error"]


EXTENSIONS = {
    "one huge extension": b"1;" + SECRET.encode() * 20_000 + b"\r\na\r\n0\r\n\r\n",
    "an extension for each byte": (b"1;" + SECRET.encode() * 100 + b"\r\na\r\n") * 300 + b"0\r\n\r\n",
    "a size with a million zeros": b"0" * 1_000_000 + b"1\r\na\r\n0\r\n\r\n",
    "an extension after most of the body": b"5\r\nabcde\r\n" * 50 + b"1;" + b"x" * 900_000 + b"\r\na\r\n0\r\n\r\n",
    "many extensions with names": b"1" + b";a=b" * 250_000 + b"\r\na\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("what", EXTENSIONS)
async def test_what_frames_a_body_is_bounded_by_what_is_in_it(what: str) -> None:
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n{CHUNKED}\r\n"

    async with serving("api") as port:
        answer = await said(port, head.encode(), EXTENSIONS[what])

    assert_one_problem(answer)
    assert SECRET[:20].encode() not in answer


async def test_chunks_of_single_bytes_are_a_body_like_any_other() -> None:
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n{CHUNKED}\r\n"

    async with serving("api") as port:
        answer = await said(port, head.encode(), b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n")

    assert answer.endswith(b"100000 bytes")


@pytest.mark.parametrize(
    "wire",
    [
        f"{GET}\r\n",
        "GET http://x{path} HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://X:80{path} HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET https://x{path} HTTP/1.1\r\nHost: x:443\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: my_host.example.\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost:\r\n\r\n",
        "GET {path} HTTP/1.0\r\n\r\n",
        f"POST {{path}} HTTP/1.1\r\nHost: x\r\n{CHUNKED}\r\n5;a=b\r\nabcde\r\n0\r\nX: y\r\n\r\n",
    ],
)
async def test_what_is_odd_and_right_is_served(wire: str) -> None:
    async with serving("api") as port:
        answer = await said(port, wire.replace("{path}", "/v1/jobs").encode())

    assert answer.split(b" ")[1] == b"200"

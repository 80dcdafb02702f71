"""Plain requests that are answered without aiohttp, on the connections and by the rules of all others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from aiohttp import web

from shared.net.connections import Connections
from shared.net.heads import Head, Reader
from shared.net.quick import QuickRunner, Reply, lines
from shared.net.server import Limits

PLAIN = b"GET /quick/1 HTTP/1.1\r\nHost: x\r\nUser-Agent: Firefox\r\n\r\n"
LIMITS: dict[str, Any] = {"header_s": 60, "idle_s": 60, "silence_s": 60, "look_s": 0.05, "linger_s": 0.2}


class Quick:
    """Takes `/quick/…`; answers at once, or, with `waits`, when told."""

    def __init__(self) -> None:
        self.waits = False
        self.taken: list[Head] = []
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, head: Head, remote: str, reply: Callable[[Reply], None]) -> bool:
        if not head.target.startswith(b"/quick/"):
            return False
        self.taken.append(head)
        body = b"quick " + head.target.rpartition(b"/")[2]
        answer = Reply(200, lines({"X-From": remote}), body)
        if self.waits:
            self.waiting.append(lambda: reply(answer))
        else:
            reply(answer)
        return True


@asynccontextmanager
async def serving(quick: Quick, most: int = 100, **limits: Any) -> AsyncIterator[tuple[int, QuickRunner]]:
    async def whole(request: web.Request) -> web.StreamResponse:
        return web.Response(text=f"aiohttp {request.path.rpartition('/')[2]}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", whole)
    runner = QuickRunner(
        app, Connections(most).callers, quick=quick, limits=Limits(**{**LIMITS, **limits}), shutdown_timeout=5
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1], runner
    finally:
        await runner.cleanup()


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def answer(stream: Stream) -> tuple[bytes, bytes]:
    """Head and body of the next answer."""
    async with asyncio.timeout(30):
        head = await stream[0].readuntil(b"\r\n\r\n")
        length = next(line.partition(b":")[2] for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
        return head, await stream[0].readexactly(int(length))


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], None]:
    def ran(test: Callable[[], Any]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(test())

    return ran


Run = Callable[[Callable[[], Any]], None]


def test_a_plain_request_is_answered_with_all_that_others_have(run: Run) -> None:
    async def test() -> None:
        quick = Quick()
        async with serving(quick) as (port, _):
            stream = await asyncio.open_connection("127.0.0.1", port)
            stream[1].write(PLAIN.replace(b"Host", b"X-Request-Id: mine\r\nHost"))
            head, body = await answer(stream)
            stream[1].write(PLAIN.replace(b"quick/1", b"quick/2").replace(b"GET", b"HEAD"))
            headed = await stream[0].readuntil(b"\r\n\r\n")
            stream[1].close()

        assert body == b"quick 1"
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        for field in (b"X-From: 127.0.0.1", b"Server: estafette", b"X-Request-Id: mine", b"Date: "):
            assert b"\r\n" + field in head
        assert b"Content-Length: 7\r\n" in headed

    run(test)


@pytest.mark.parametrize(
    "wire",
    [
        b"POST /quick/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"GET /quick/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"GET /quick/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /quick/1 HTTP/1.1\r\nHost: x\r\nX: 1\r\nx: 2\r\n\r\n",
        b"GET /quick/1 HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET /quick/1 HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
        b"GET /quick/1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /quick/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /other/1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_not_plain_or_not_taken_is_aiohttps_and_the_next_one_is_quick_again(run: Run, wire: bytes) -> None:
    async def test() -> None:
        quick = Quick()
        async with serving(quick) as (port, _):
            stream = await asyncio.open_connection("127.0.0.1", port)
            stream[1].write(wire)
            assert (await answer(stream))[1] == b"aiohttp 1"
            assert quick.taken == []
            if b"close" not in wire and b"1.0" not in wire and b"Upgrade" not in wire:
                stream[1].write(PLAIN)
                assert (await answer(stream))[1] == b"quick 1"
            stream[1].close()

    run(test)


@pytest.mark.parametrize(
    "wire",
    [
        b"GET /quick/1 HTTP/1.1\r\n\r\n",
        b"GET /quick/1 HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /quick/1 HTTP/1.1\nHost: x\n\r\n\r\n",
        b"GET /quick/1 HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET /quick/1 HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n",
    ],
)
def test_what_cannot_be_read_is_for_aiohttp_to_say(wire: bytes) -> None:
    reader = Reader()

    assert reader.read(wire) is None

    assert reader.read(PLAIN) is not None


@pytest.mark.parametrize("at", [1, 3, 20, len(PLAIN) - 4, len(PLAIN) - 1])
def test_a_head_in_pieces_is_aiohttps_from_its_first_byte_to_its_last(run: Run, at: int) -> None:
    async def test() -> None:
        quick = Quick()
        async with serving(quick) as (port, _):
            stream = await asyncio.open_connection("127.0.0.1", port)
            stream[1].write(PLAIN)
            await answer(stream)
            stream[1].write(PLAIN[:at])
            await asyncio.sleep(0.05)
            stream[1].write(PLAIN[at:])
            assert (await answer(stream))[1] == b"aiohttp 1"
            # The end of a head may look like one.
            stream[1].write(b"GET /other/5 HTTP/1.1\r\nX: ")
            await asyncio.sleep(0.05)
            stream[1].write(PLAIN)
            assert (await answer(stream))[1] == b"aiohttp 5"
            stream[1].write(PLAIN)
            assert (await answer(stream))[1] == b"quick 1"
            stream[1].close()
        assert len(quick.taken) == 2

    run(test)


def test_requests_in_one_piece_and_those_that_come_before_an_answer_are_answered_in_their_order(run: Run) -> None:
    async def test() -> None:
        quick = Quick()
        quick.waits = True
        async with serving(quick) as (port, _):
            stream = await asyncio.open_connection("127.0.0.1", port)
            stream[1].write(PLAIN)
            await until(lambda: quick.waiting)
            stream[1].write(PLAIN.replace(b"quick/1", b"quick/2"))
            await asyncio.sleep(0.05)
            stream[1].write(PLAIN.replace(b"quick/1", b"quick/3") + PLAIN.replace(b"quick/1", b"other/4"))
            await asyncio.sleep(0.05)
            assert len(quick.taken) == 1

            while len(quick.taken) < 3 and quick.waiting:
                quick.waiting.pop(0)()
                await asyncio.sleep(0.1)
            bodies = [(await answer(stream))[1] for _ in range(4)]
            stream[1].close()

        assert [body.split()[1] for body in bodies] == [b"1", b"2", b"3", b"4"]

    run(test)


def test_a_server_that_ends_answers_first_and_closes_then(run: Run) -> None:
    async def test() -> None:
        quick = Quick()
        quick.waits = True
        async with serving(quick) as (port, runner):
            stream = await asyncio.open_connection("127.0.0.1", port)
            stream[1].write(PLAIN)
            await until(lambda: quick.waiting)
            ending = asyncio.create_task(runner.cleanup())
            await asyncio.sleep(0.1)
            assert not ending.done()

            quick.waiting.pop()()
            head, body = await answer(stream)
            assert (body, b"Connection: close" in head) == (b"quick 1", True)
            assert await stream[0].read() == b""
            await ending
            stream[1].close()

    run(test)


def test_who_hangs_up_before_the_answer_harms_nobody(run: Run) -> None:
    async def test() -> None:
        quick = Quick()
        quick.waits = True
        async with serving(quick) as (port, runner):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(PLAIN)
            await until(lambda: quick.waiting)
            writer.transport.abort()
            await until(lambda: not runner.server.connections if runner.server else False)

            quick.waiting.pop()()

    run(test)


def test_an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not(run: Run) -> None:
    async def test() -> None:
        quick = Quick()
        quick.waits = True
        async with serving(quick, idle_s=0.5) as (port, _):
            stream = await asyncio.open_connection("127.0.0.1", port)
            stream[1].write(PLAIN)
            await until(lambda: quick.waiting)
            await asyncio.sleep(0.2)
            quick.waiting.pop()()
            assert (await answer(stream))[1] == b"quick 1"
            async with asyncio.timeout(30):
                assert await stream[0].read() == b""
            stream[1].close()

    run(test)


def test_a_place_is_taken_from_who_is_idle_and_not_from_who_waits(run: Run) -> None:
    async def test() -> None:
        quick = Quick()
        async with serving(quick, most=2) as (port, _):
            idle, waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for stream in (waiting, idle):
                stream[1].write(PLAIN)
                await answer(stream)
            quick.waits = True
            waiting[1].write(PLAIN)
            await until(lambda: quick.waiting)
            quick.waits = False

            newcomer = await asyncio.open_connection("127.0.0.1", port)
            newcomer[1].write(PLAIN)
            assert (await answer(newcomer))[1] == b"quick 1"
            async with asyncio.timeout(30):
                assert await idle[0].read() == b""
            quick.waiting.pop()()
            assert (await answer(waiting))[1] == b"quick 1"
            for stream in (idle, waiting, newcomer):
                stream[1].close()

    run(test)


def test_a_field_with_an_end_of_a_line_in_it_is_refused() -> None:
    for value in ("a\r\nb", "a\nb", "a\rb", "a\0b"):
        with pytest.raises(ValueError, match="end of a line"):
            lines({"Location": value})

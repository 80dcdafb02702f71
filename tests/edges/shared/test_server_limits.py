"""Who is silent, slow, or one too many over HTTP: ended in time and within bounds, whatever they hold; others go on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import pytest
import uvloop
from aiohttp import web

from shared.http import api
from shared.net import server
from shared.net.connections import Connections, Places

GET = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#: More than what the sockets of both sides keep for a peer that does not read.
LARGE_BYTES = 16 * 1024 * 1024
#: Each limit that is looked for, short; all others are longer than a test.
PATIENT: dict[str, Any] = {"header_s": 60.0, "idle_s": 60.0, "silence_s": 60.0, "look_s": 0.02}

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _NoKeys:
    async def verify(self, text: str) -> api.Principal | None:
        return None


def runner_of(
    connections: Connections,
    limits: server.Limits,
    release: asyncio.Event | None = None,
    places: Places | None = None,
) -> server.Runner:
    async def ok(request: web.Request) -> web.StreamResponse:
        return web.Response(text=f"{len(await request.read())}")

    async def large(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(LARGE_BYTES))

    async def streamed(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(LARGE_BYTES // 65536):
            await answer.write(bytes(65536))
        return answer

    async def ours(_request: web.Request) -> web.StreamResponse:
        if release is not None:
            await release.wait()
        return web.Response(text="done")

    routes = [
        api.Route("GET", "/ok", ok, "ok"),
        api.Route("POST", "/ok", ok, "ok"),
        api.Route("GET", "/large", large, ""),
        api.Route("GET", "/streamed", streamed, ""),
        api.Route("GET", "/ours", ours, ""),
    ]
    app = api.application(routes, _NoKeys(), max_body_bytes=LARGE_BYTES)
    return server.Runner(app, places or connections.callers, limits=limits, shutdown_timeout=0.1)


@asynccontextmanager
async def serving(
    release: asyncio.Event | None = None, most: int = 10_000, most_of_peer: int = 0, **limits: Any
) -> AsyncIterator[int]:
    connections = Connections(most, most_of_peer)
    runner = runner_of(connections, server.Limits(**{**PATIENT, **limits}), release)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def connect(port: int, wire: bytes = b"", source: str = "127.0.0.1") -> Stream:
    stream = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    stream[1].write(wire)
    return stream


async def answer(stream: Stream) -> bytes:
    """One whole answer of few bytes."""
    head = await stream[0].readuntil(b"\r\n\r\n")
    length = next(line.partition(b":")[2] for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
    return head + await stream[0].readexactly(int(length))


async def kept(port: int, source: str = "127.0.0.1") -> Stream:
    """A connection on which one request was answered."""
    stream = await connect(port, GET, source)
    assert (await answer(stream)).startswith(b"HTTP/1.1 200")
    return stream


async def is_served(port: int, source: str = "127.0.0.9") -> bool:
    try:
        reader, writer = await connect(port, LAST, source)
        said = await reader.read()
    except ConnectionError:
        return False
    writer.close()
    return said.startswith(b"HTTP/1.1 200")


async def drip(stream: Stream, drop: bytes) -> None:
    """For ever, or until the other side hangs up."""
    while True:
        stream[1].write(drop)
        await asyncio.sleep(0.005)


async def hung_up(stream: Stream, drop: bytes = b"") -> bytes:
    """What came until the other side hung up; TimeoutError if it does not."""
    dripping = asyncio.create_task(drip(stream, drop)) if drop else None
    said = b""
    try:
        async with asyncio.timeout(60):
            with suppress(ConnectionError):
                while piece := await stream[0].read(65536):
                    said += piece
    finally:
        if dripping is not None:
            dripping.cancel()
        stream[1].close()
    return said


POST = b"POST /ok HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

SLOW = {
    "says nothing": (b"", b"", "header_s"),
    "drips its first line": (b"GET /", b"a", "header_s"),
    "drips a header": (b"GET /ok HTTP/1.1\r\n", b"X: y\r\n", "header_s"),
    "drips line ends before a request": (b"", b"\r\n", "header_s"),
    "drips a second header on a kept connection": (GET, b"G", "header_s"),
    "drips a second header in whole lines": (GET + b"GET /ok HTTP/1.1\r\n", b"X: y\r\n", "header_s"),
    "is silent in the middle of a second header": (GET + b"GET /ok HTTP/1.1\r\nHost: x\r\n", b"", "idle_s"),
    "is silent between two requests": (GET, b"", "idle_s"),
    "sends no body": (POST + b"Content-Length: 9\r\n\r\n", b"", "silence_s"),
    "stops in a body": (POST + b"Content-Length: 99999\r\n\r\n" + b"x" * 9999, b"", "silence_s"),
    "drips a body": (POST + b"Content-Length: 9999999\r\n\r\n", b"x", "silence_s"),
    "drips chunks of a body": (CHUNKED, b"1\r\nx\r\n", "silence_s"),
    "drips the head of a chunk": (CHUNKED, b"0", "silence_s"),
    "is silent before the trailers": (CHUNKED + b"0\r\n", b"", "silence_s"),
    "drips the body of a second request": (GET + POST + b"Content-Length: 9999999\r\n\r\n", b"x", "silence_s"),
}


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)  # services run on uvloop, whose transports are others
@pytest.mark.parametrize("what", SLOW)
def test_who_is_silent_or_drips_is_left_in_time_and_others_are_served(what: str, loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(_is_left_in_time(what))


async def _is_left_in_time(what: str) -> None:
    wire, drop, limit = SLOW[what]
    # Whose first request is answered must have sent it by then, also on a machine that stands still for a moment.
    limit_s = 1.0 if limit == "header_s" and wire.startswith(GET) else 0.2
    short: dict[str, Any] = {limit: limit_s, "least_bytes_per_s": 100_000}

    async with serving(**short) as port:
        slow = [await connect(port, wire) for _ in range(20)]
        async with asyncio.timeout(60):
            while not await is_served(port):  # by so short limits a busy machine is slow itself
                pass
        said = await asyncio.gather(*(hung_up(stream, drop) for stream in slow))

    assert {text.count(b"HTTP/1.1 200") for text in said} == {1 if wire.startswith(GET) else 0}


@pytest.mark.parametrize("path", [b"/large", b"/streamed"])
@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_an_answer_that_nobody_reads_has_a_time_limit(path: bytes, last: bytes, version: bytes) -> None:
    async with serving(silence_s=0.2) as port:
        stream = await connect(port, b"GET " + path + b" HTTP/" + version + b"\r\nHost: x\r\n" + last + b"\r\n")
        counted = server.CLOSED.labels("answer")._value
        before = counted.get()
        async with asyncio.timeout(60):
            served = 0
            while counted.get() == before:
                served += await is_served(port)
                await asyncio.sleep(0.02)
        said = await hung_up(stream)

    assert len(said) < LARGE_BYTES
    assert served


async def test_answers_to_many_requests_in_a_row_that_nobody_reads_have_one() -> None:
    async with serving(silence_s=0.2) as port:
        stream = await connect(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        counted = server.CLOSED.labels("answer")._value
        before = counted.get()
        async with asyncio.timeout(60):
            while counted.get() == before:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        said = await hung_up(stream)

    assert len(said) < LARGE_BYTES


async def test_an_answer_that_is_read_drop_by_drop_is_ended() -> None:
    async with serving(silence_s=0.3, least_bytes_per_s=10**9) as port:
        reader, writer = await connect(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        taken = 0
        counted = server.CLOSED.labels("answer")._value
        before = counted.get()
        with suppress(ConnectionError):
            async with asyncio.timeout(60):
                while piece := await reader.read(4096):
                    taken += len(piece)
                    await asyncio.sleep(0.005 if counted.get() == before else 0)
        writer.close()

    assert taken < LARGE_BYTES


async def test_who_is_slow_and_steady_takes_and_sends_all_of_it() -> None:
    async with serving(silence_s=1.0, least_bytes_per_s=1_000) as port, asyncio.timeout(60):
        reader, writer = await connect(port, b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        taken = 0
        while piece := await reader.read(65536):
            taken += len(piece)
            await asyncio.sleep(0.01)
        writer.close()
        sending = await connect(port, POST + b"Content-Length: 30000\r\n\r\n")
        for _ in range(30):
            sending[1].write(b"x" * 1000)
            await asyncio.sleep(0.1)
        stored = await answer(sending)
        sending[1].close()

    assert taken > LARGE_BYTES
    assert stored.endswith(b"30000")


async def test_what_takes_us_long_is_not_the_peers_fault() -> None:
    release = asyncio.Event()
    async with serving(release, header_s=0.1, idle_s=0.1, silence_s=0.1) as port, asyncio.timeout(60):
        stream = await connect(port, b"GET /ours HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for _ in range(20):
            assert await is_served(port)
            await asyncio.sleep(0.02)
        release.set()
        said = await hung_up(stream)

    assert said.endswith(b"done")


# How many


async def refused(port: int, source: str = "127.0.0.1") -> tuple[bytes, str]:
    """The status line and the problem that a connection without a place gets, before it says anything."""
    reader, writer = await connect(port, source=source)
    said = await reader.read()
    writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], json.loads(body)["type"].rpartition(":")[2]


OURS = b"GET /ours HTTP/1.1\r\nHost: x\r\n\r\n"


class Release(asyncio.Event):
    """Lets requests that we work on go, and knows how many have come so far."""

    came = 0

    async def wait(self) -> Literal[True]:
        self.came += 1
        return await super().wait()


async def under_way(port: int, release: Release, source: str = "127.0.0.1") -> Stream:
    """A connection whose request we work on."""
    before = release.came
    stream = await connect(port, OURS, source)
    while release.came == before:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return stream


async def test_connections_are_bounded_by_peer_and_the_next_is_told_so() -> None:
    release = Release()
    async with serving(release, most_of_peer=5) as port, asyncio.timeout(60):
        held = [await under_way(port, release) for _ in range(5)]

        told = await refused(port)
        others = await is_served(port, "127.0.0.2")
        release.set()
        answers = [await answer(stream) for stream in held]
        afterwards = await is_served(port, "127.0.0.1")
        for _, writer in held:
            writer.close()

    assert told == (b"HTTP/1.1 429 Too many connections", "too_many_connections")
    assert others
    assert all(text.endswith(b"done") for text in answers)
    assert afterwards


async def test_a_process_that_is_full_with_work_says_so_and_none_of_it_is_lost() -> None:
    release = Release()
    async with serving(release, most=5) as port, asyncio.timeout(60):
        held = [await under_way(port, release, f"127.0.0.{number + 2}") for number in range(5)]

        told = await refused(port)
        release.set()
        answers = [await answer(stream) for stream in held]
        for _, writer in held:
            writer.close()

    assert told == (b"HTTP/1.1 503 Unavailable", "unavailable")
    assert all(text.endswith(b"done") for text in answers)


@pytest.mark.parametrize("most_of_peer", [0, 3])
async def test_the_longest_idle_connection_goes_before_a_new_one_is_refused(most_of_peer: int) -> None:
    most = 10_000 if most_of_peer else 3
    async with serving(most=most, most_of_peer=most_of_peer, look_s=60) as port, asyncio.timeout(60):
        first, second, third = [await kept(port) for _ in range(3)]
        first[1].write(GET)
        await answer(first)  # so the second is idle longest

        new = await kept(port)
        gone = await hung_up(second)
        for stream in (first, third, new):
            stream[1].write(GET)
            assert (await answer(stream)).startswith(b"HTTP/1.1 200")
            stream[1].close()

    assert gone == b""


AWAITED = {
    "says nothing": b"",
    "is in its first header": b"GET /ok HTTP/1.1\r\nX: ",
    "is in its second header": GET + b"GET",
    "is in a body": POST + b"Content-Length: 999999\r\n\r\nx",
    "is in a chunked body": CHUNKED + b"1\r\n",
    "does not read": b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("what", AWAITED)
async def test_a_silent_or_slow_connection_gives_its_place_to_a_newcomer(what: str) -> None:
    async with serving(most=5, look_s=0.02) as port, asyncio.timeout(60):
        slow = [await connect(port, AWAITED[what], f"127.0.0.{number + 2}") for number in range(5)]

        while not await is_served(port):  # noqa: ASYNC110 - until they have been looked at
            await asyncio.sleep(0.02)
        for _ in range(20):
            assert await is_served(port)
        for _, writer in slow:
            writer.close()


async def test_a_body_that_comes_swiftly_keeps_its_place() -> None:
    async with serving(most=1, look_s=0.02, spared_bytes_per_s=1_000) as port, asyncio.timeout(60):
        stream = await connect(port, POST + b"Content-Length: 1000000\r\n\r\n")
        stream[1].write(b"x" * 10_000)
        await asyncio.sleep(0.01)
        told = []
        for _ in range(98):
            stream[1].write(b"x" * 10_000)
            await asyncio.sleep(0.01)
            told.append(await is_served(port))
        stream[1].write(b"x" * 10_000)
        stored = await answer(stream)
        stream[1].close()

    assert not any(told)
    assert stored.endswith(b"1000000")


async def test_the_connections_of_a_process_are_bounded_over_all_of_its_listeners() -> None:
    release = Release()
    connections = Connections(1)
    ports, runners = [], []
    for _ in range(2):
        runner = runner_of(connections, server.Limits(**PATIENT), release, connections.listener(40))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        runners.append(runner)
    try:
        async with asyncio.timeout(60):
            held = [await under_way(ports[number % 2], release) for number in range(connections.most)]
            told = [await refused(port) for port in ports]
            release.set()
            for stream in held:
                await answer(stream)
                stream[1].close()
    finally:
        for runner in runners:
            await runner.cleanup()

    assert {word for _, word in told} == {"unavailable"}
    assert connections.most == 51
    assert connections.taken == 0


async def test_places_are_given_back_whatever_their_connections_did() -> None:
    connections = Connections(50, 20)
    runner = runner_of(connections, server.Limits(**{**PATIENT, "header_s": 0.05}))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with asyncio.timeout(60):
            for wire in (b"", b"GET", GET, b"rubbish\r\n\r\n", CHUNKED + b"zzz\r\n", *AWAITED.values()) * 5:
                _, writer = await connect(port, wire)
                await asyncio.sleep(0)
                writer.transport.abort()
            while connections.taken:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        await runner.cleanup()

    assert not connections.callers.taken()


async def test_a_flood_at_the_front_leaves_the_port_of_metrics_its_places() -> None:
    release = asyncio.Event()
    connections = Connections(4)
    front = runner_of(connections, server.Limits(**PATIENT), release)
    probed = server.Runner(web.Application(), connections.probes)
    ports = []
    for runner in (front, probed):
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
    try:
        async with asyncio.timeout(60):
            held = [await connect(ports[0], OURS) for _ in range(20)]
            reader, writer = await connect(ports[1], LAST)
            said = await reader.read()
            release.set()
            for _, held_writer in held:
                held_writer.close()
            writer.close()
    finally:
        for runner in (front, probed):
            await runner.cleanup()

    assert said.startswith(b"HTTP/1.1 404")

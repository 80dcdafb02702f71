"""Requests to endpoints over real sockets: where none may arrive, and what is read of what is answered."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from services.webhooks.destination import parse
from services.webhooks.schedule import Result
from services.webhooks.sender import Sender
from services.webhooks.settings import Webhooks
from shared.net.dns import DnsUnavailable
from shared.net.outside import Policy, Refused
from tests.unit.webhooks.test_destination import TRICKS

ALLOWED = Webhooks(networks="127.0.0.1/32", plain_http=True, ports="").policy()
#: As an operator who lets http:// and every port out, and nobody in.
OPEN = Policy(plain_http=True)


class Names:
    """A resolver that is scripted: each look-up takes the next answer, the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def addresses(self, host: str) -> list[str] | DnsUnavailable:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """A socket inside that counts who comes."""

    def __init__(self, answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self.closes = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """At every address of this machine: 127.0.0.53 is as much inside as 127.0.0.1."""
        servers = [await asyncio.start_server(self._serve, "0.0.0.0", 0)]
        port = servers[0].sockets[0].getsockname()[1]
        servers.append(await asyncio.start_server(self._serve, "::", port))
        try:
            yield port
        finally:
            for server in servers:
                server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
                )
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answer)
                await writer.drain()
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def sender(names: Names, policy: Policy = ALLOWED, timeout_s: float = 1.0) -> Sender:
    return Sender(
        names, policy, timeout_s=timeout_s, now_ms=lambda: time.time_ns() // 1_000_000, monotonic=time.monotonic
    )


async def posted(to: Sender, url: str, policy: Policy = ALLOWED) -> Result:
    return await to.post(parse(url, policy), b"webhook-id: msg_1\r\n", b"{}")


def at_port(trick: str, port: int) -> list[str]:
    """The trick as it is, and at the listener's port, with and without TLS."""
    scheme, slashes, rest = trick.partition("://")
    host, slash, path = rest.partition("/")
    moved = f"{host.removesuffix(':443')}:{port}{slash}{path}"
    return [trick, f"https{slashes}{moved}", f"http{slashes}{moved}"] if slashes and scheme else [trick]


async def test_no_trick_reaches_a_listener_inside() -> None:
    listener = Listener()
    async with listener.listening() as port:
        tried = 0
        asking = sender(Names(["127.0.0.1"]), OPEN)  # whatever is still taken for a name leads inside
        for url in (one for trick in TRICKS for one in at_port(trick, port)):
            tried += 1
            try:
                result = await posted(asking, url, OPEN)
            except Refused:
                continue
            assert result.error == "inside", url

    assert tried >= 200
    assert listener.connections == 0


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "0.0.0.0", "::",
     "127.0.0.2", "::127.0.0.1", "127.255.255.254", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "2001:0:7f00:1::1",
     "169.254.169.254", "fd00:ec2::254", "fe80::1", "100.100.100.200"],
)  # fmt: skip
async def test_a_name_that_leads_inside_reaches_nobody(address: str) -> None:
    listener = Listener()
    async with listener.listening() as port:
        asking = sender(Names([address]), OPEN)

        for host in ("exemple.fr", "localhost", "metadata.google.internal", "127.0.0.1.nip.io", "exemple.fr."):
            result = await posted(asking, f"http://{host}:{port}/", OPEN)

            assert result.error == "inside", host
    assert listener.connections == 0


async def test_a_name_is_looked_up_once_an_attempt_and_what_was_judged_is_dialled() -> None:
    listener = Listener()
    async with listener.listening() as port:
        names = Names(["192.0.2.1", "203.0.113.9"], ["127.0.0.1"])
        asking = sender(names, OPEN)

        first = await posted(asking, f"http://exemple.fr:{port}/", OPEN)  # addresses for documents: none outside
        assert (first.error, names.asked) == ("inside", 1)
        second = await posted(asking, f"http://exemple.fr:{port}/", OPEN)  # it has been rebound

        assert (second.error, names.asked) == ("inside", 2)
    assert listener.connections == 0


async def test_a_connection_that_is_kept_is_used_only_while_the_name_leads_to_it() -> None:
    listener = Listener()
    async with listener.listening() as port:
        names = Names(["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"])
        asking = sender(names)

        results = [await posted(asking, f"http://exemple.fr:{port}/") for _ in range(3)]

        assert [one.error for one in results] == ["", "", "inside"]
        assert (listener.connections, len(listener.requests)) == (1, 2)
        await asking.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_by_nobody(status: int) -> None:
    inside = Listener()
    async with inside.listening() as secret:
        place = f"http://127.0.0.1:{secret}/metadata"
        outer = Listener(f"HTTP/1.1 {status} Over there\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())
        async with outer.listening() as port:
            asking = sender(Names(["127.0.0.1"]))

            result = await posted(asking, f"http://exemple.fr:{port}/")

            assert (result.error, result.status) == ("redirect", status)
            assert "metadata" in result.detail
            await asking.close()
    assert inside.connections == 0


@pytest.mark.parametrize(
    ("answer", "error", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nmerci", "", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nmerci\r\n0\r\n\r\n", "", 200),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "", 204),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "status", 500),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", "status", 410),
        (b"SSH-2.0-OpenSSH_9\r\n", "garbled", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nmerci", "garbled", 0),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, "garbled", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"a" * 200_000, "", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nm", "timeout", 0),
        (b"", "timeout", 0),
    ],
)
async def test_what_is_answered_is_read_within_bounds(answer: bytes, error: str, status: int) -> None:
    listener = Listener(answer)
    async with listener.listening() as port:
        asking = sender(Names(["127.0.0.1"]), timeout_s=0.5)

        result = await posted(asking, f"http://exemple.fr:{port}/")

        assert (result.error, result.status) == (error, status)
        assert len(result.body) <= 1_000
        await asking.close()


async def test_retry_after_is_told() -> None:
    listener = Listener(b"HTTP/1.1 503 Later\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n")
    async with listener.listening() as port:
        asking = sender(Names(["127.0.0.1"]))

        assert (await posted(asking, f"http://exemple.fr:{port}/")).retry_after_s == 120
        await asking.close()


async def test_a_kept_connection_that_was_closed_is_replaced_within_the_same_attempt() -> None:
    listener = Listener()
    async with listener.listening() as port:
        asking = sender(Names(["127.0.0.1"]))
        await posted(asking, f"http://exemple.fr:{port}/")
        listener.closes = True
        await posted(asking, f"http://exemple.fr:{port}/")

        result = await posted(asking, f"http://exemple.fr:{port}/")

        assert result.is_taken
        await asking.close()


async def test_nobody_there_is_unreachable_and_no_answer_in_dns_is_unresolved() -> None:
    asking = sender(Names(["127.0.0.1"]))
    assert (await posted(asking, "http://exemple.fr:9/")).error == "unreachable"
    assert (await posted(sender(Names([])), "http://exemple.fr:9/")).error == "unresolved"


async def test_over_tls_the_name_has_to_be_proven() -> None:
    listener = Listener()  # that speaks none
    async with listener.listening() as port:
        asking = sender(Names(["127.0.0.1"]))

        result = await posted(asking, f"https://exemple.fr:{port}/")

        assert result.error in ("tls", "reset", "timeout")
    assert listener.requests == []


async def test_a_connection_that_is_closed_at_once_is_a_reset() -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(closes, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    asking = sender(Names(["127.0.0.1"]))

    results = [await posted(asking, f"http://exemple.fr:{port}/") for _ in range(20)]

    assert {one.error for one in results} == {"reset"}
    server.close()


def test_it_sends_in_the_loop_that_the_service_runs_in() -> None:
    async def sent() -> Result:
        listener = Listener()
        async with listener.listening() as port:
            asking = sender(Names(["127.0.0.1"]))
            result = await posted(asking, f"http://exemple.fr:{port}/")
            await asking.close()
            return result

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(sent()).is_taken

"""Who holds SMTP sessions and does not use them: ended in time, bounded by peer; others bring their mail meanwhile."""

import asyncio
import socket
from contextlib import suppress

import pytest
import uvloop

from services.mailbox.mailbox import Mail
from services.mailbox.smtp import MAX_RECIPIENTS
from services.mailbox.smtp import Listener as MailboxListener
from shared.net.peers import peer_of
from shared.net.smtp_in import (
    Bounds,
    Connection,
    Listener,
    Sessions,
)
from tests.edges.shared.test_smtp_in import Sink, Stream, connect, data, listening, say

TO_DATA = b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n"

#: What a peer says at first, and what it goes on saying.
SLOW = {
    "says nothing": (b"", b""),
    "stops in a command": (b"EHL", b""),
    "drips a command": (b"", b"E"),
    "drips empty lines": (b"EHLO x\r\n", b"\r\n"),
    "drips a line that is too long": (b"EHLO x\r\n", b"x" * 5_000),
    "drips commands that nobody knows": (b"EHLO x\r\n", b"XYZ\r"),
    "stops before the data": (TO_DATA, b""),
    "stops in the data": (TO_DATA + b"Subject: x\r\n", b""),
    "drips the data": (TO_DATA, b"a"),
    "drips lines of data": (TO_DATA, b"a\r\n"),
    "drips dots": (TO_DATA, b"\r\n.."),
    "drips ends that are none": (TO_DATA, b"\n.\n"),
}


async def others_bring_mail(listener: Listener) -> bool:
    stream, _ = await connect(listener, "127.0.0.9")
    await data(stream)
    stream[1].write(b"hello\r\n.\r\n")
    reply = await stream[0].readline()
    stream[1].close()
    return reply.startswith(b"250 ")


async def drip(stream: Stream, drop: bytes) -> None:
    while drop:
        stream[1].write(drop)
        await asyncio.sleep(0.005)


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)  # services run on uvloop, whose transports are others
@pytest.mark.parametrize("what", SLOW)
def test_a_session_that_brings_nothing_in_time_is_ended(what: str, loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(_is_ended(what))


async def _is_ended(what: str) -> None:
    wire, drop = SLOW[what]
    sink = Sink()

    async with listening(sink, command_timeout_s=1.0, max_sessions=20) as listener, asyncio.timeout(60):
        streams = [(await connect(listener, f"127.0.0.{2 + number}"))[0] for number in range(5)]
        dripping = []
        for stream in streams:
            stream[1].write(wire)
            dripping.append(asyncio.create_task(drip(stream, drop)))
        assert await others_bring_mail(listener)
        for stream in streams:
            with suppress(ConnectionError):
                await stream[0].read()
        for task, stream in zip(dripping, streams, strict=True):
            task.cancel()
            stream[1].close()
        while sink.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert len(sink.mails) == 1


async def connect_deaf(listener: Listener, deaf: socket.socket) -> None:
    """For a peer that takes nothing; the system keeps as little for it as can be."""
    assert listener._server is not None
    listener._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", listener.port))


@pytest.mark.parametrize("asked", [b"HELP\r\n", b"EHLO x\r\n", b"NOOP\r\n", b"VRFY a@b.example\r\n", b"XYZ\r\n\r\n"])
async def test_a_peer_that_reads_no_replies_is_hung_up_on(asked: bytes) -> None:
    async with listening(Sink(), command_timeout_s=2.0) as listener, asyncio.timeout(120):
        with socket.socket() as deaf:
            await connect_deaf(listener, deaf)
            wire = b"EHLO x\r\n" + asked * 2_000_000
            sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(deaf, wire))
            while not sending.done():
                assert await others_bring_mail(listener)

            assert isinstance(sending.exception(), ConnectionError)


@pytest.mark.parametrize("last", [b"", b"QUIT\r\n", b"DATA\r\n", b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n"])
async def test_replies_that_fit_and_are_not_read_hold_no_session_either(last: bytes) -> None:
    sink = Sink()

    async with listening(sink, command_timeout_s=0.3) as listener, asyncio.timeout(60):
        with socket.socket() as deaf:
            await connect_deaf(listener, deaf)
            await asyncio.get_running_loop().sock_sendall(deaf, b"EHLO x\r\n" + b"HELP\r\n" * 500 + last)
            while not sink.open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while sink.open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_idle_session_of_a_peer_gives_its_place_to_that_peers_next(loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(_gives_its_place())


async def _gives_its_place() -> None:
    sink = Sink()

    async with listening(sink, spare_s=0.0) as listener:
        other, _ = await connect(listener, "127.0.0.3")
        first, _ = await connect(listener, "127.0.0.2")
        second, _ = await connect(listener, "127.0.0.2")
        third, greeting = await connect(listener, "127.0.0.2")
        gone = await first[0].read()
        replies = [await say(stream, b"NOOP") for stream in (other, second, third)]
        for stream in (other, first, second, third):
            stream[1].close()

    assert greeting.startswith(b"220 ")
    assert gone.startswith(b"421 4.3.2 ")
    assert replies == [[b"250 OK\r\n"]] * 3
    assert sink.refusals == {"slow": 1}


def session_of(sessions: Sessions, address: str) -> Connection:
    session = Connection(Sink(), sessions, asyncio.get_running_loop(), "mx.example", "ESMTP")
    session.peer = peer_of(address)
    session.spared_until_s = sessions.now_s() + sessions.bounds.spare_s
    return session


@pytest.mark.parametrize(
    ("addresses", "admitted"),
    [
        (["2001:db8::1", "2001:db8::2", "2001:db8::3"], [True, True, False]),
        (["2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8::1"], [True, True, False]),
        (["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"], [True, True, True]),
        (["::ffff:192.0.2.1", "192.0.2.1", "::ffff:c000:201"], [True, True, False]),
        (["192.0.2.1", "192.0.2.2", "192.0.2.3"], [True, True, True]),
        (["fe80::1%eth0", "fe80::2%eth1", "fe80::3"], [True, True, False]),
    ],
)
async def test_sessions_are_bounded_by_address_and_by_network_of_one_host(
    addresses: list[str], admitted: list[bool]
) -> None:
    sessions = Sessions(Bounds(1_000, 10, 2, 30.0), Sink())

    assert [sessions.admit(session_of(sessions, address)) for address in addresses] == admitted


class TakesAll:
    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def recipient(self, address: str) -> str:
        return "250 2.1.5 OK"

    async def message(self, mail: Mail) -> str:
        self.mails.append(mail)
        return "250 2.0.0 OK"


async def test_the_mailbox_bounds_the_recipients_of_a_mail() -> None:
    taker = TakesAll()
    listener = MailboxListener(taker, "127.0.0.1", 0)
    await listener.open()
    try:
        stream, _ = await connect(listener)
        await say(stream, b"EHLO x", b"MAIL FROM:<>")
        replies = await say(stream, *[b"RCPT TO:<a@b.example>"] * (MAX_RECIPIENTS + 5))
        await say(stream, b"DATA")
        stream[1].write(b"x\r\n.\r\n")
        await stream[0].readline()
        stream[1].close()
    finally:
        await listener.close()

    assert [reply[:3] for reply in replies] == [b"250"] * MAX_RECIPIENTS + [b"452"] * 5
    assert len(taker.mails[0].recipients) == MAX_RECIPIENTS

"""Mail taken in over real sockets: what data costs, who gets a session, and who loses it to whom."""

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from shared.net.smtp_in import (
    PIECE_BYTES,
    Bounds,
    Connection,
    Listener,
    Sessions,
)

MAX_BYTES = 1_000_000
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Sink:
    """Takes every mail, and counts what happens to sessions."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.refusals: Counter[str] = Counter()
        self.handshakes: Counter[str] = Counter()
        self.open = 0

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.mails.append(envelope.original_content or b"")
        return "250 2.0.0 OK"

    def sessions(self, count: int) -> None:
        self.open = count

    def refused(self, reason: str) -> None:
        self.refusals[reason] += 1

    def encrypted(self, outcome: str) -> None:
        self.handshakes[outcome] += 1


@asynccontextmanager
async def listening(sink: Sink, **bounds: Any) -> AsyncIterator[Listener]:
    chosen = {
        "max_mail_bytes": MAX_BYTES, "max_sessions": 4, "max_sessions_per_peer": 2, "command_timeout_s": 30.0,
        "spare_s": 30.0,
    } | bounds  # fmt: skip
    listener = Listener(
        sink, "0.0.0.0", 0, hostname="mx.example", ident="ESMTP", bounds=Bounds(**chosen), watch=sink
    )  # fmt: skip
    await listener.open()
    try:
        yield listener
    finally:
        await listener.close()


async def connect(listener: Listener, source: str = "127.0.0.1") -> tuple[Stream, bytes]:
    """The stream, and the greeting or what came instead."""
    stream = await asyncio.open_connection("127.0.0.1", listener.port, local_addr=(source, 0))
    return stream, await stream[0].readline()


async def say(stream: Stream, *lines: bytes) -> list[bytes]:
    """The last line of each reply."""
    replies = []
    for line in lines:
        stream[1].write(line + b"\r\n")
        reply = await stream[0].readline()
        while reply[3:4] == b"-":
            reply = await stream[0].readline()
        replies.append(reply)
    return replies


async def data(stream: Stream) -> None:
    """Goes to where the data begins."""
    replies = await say(stream, b"EHLO x", b"MAIL FROM:<>", b"RCPT TO:<a@b.example>", b"DATA")
    assert replies[-1].startswith(b"354 ")


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"..a\r\n...\r\n.b\r\n.\r\n", b".a\r\n..\r\nb\r\n"),
        (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),
        (b"a\r.\rb\r\n.\r\n", b"a\r.\rb\r\n"),
        (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n"),
        (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n"),
        (b"a\r\r\n.\r\r\n.\r\n", b"a\r\r\n\r\r\n"),
        (b"x" * (PIECE_BYTES - 2) + b"\r\n.\r\n", b"x" * (PIECE_BYTES - 2) + b"\r\n"),
        (b"x" * (3 * PIECE_BYTES) + b"\r\n..\r\n.\r\n", b"x" * (3 * PIECE_BYTES) + b"\r\n.\r\n"),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 10_000_000])
async def test_only_a_dot_between_crlfs_ends_the_data_and_other_dots_are_unstuffed(
    sent: bytes, taken: bytes, step: int
) -> None:
    sink = Sink()

    async with listening(sink) as listener:
        stream, _ = await connect(listener)
        await data(stream)
        if len(sent) < 100:
            for at in range(0, len(sent), step):
                stream[1].write(sent[at : at + step])
                await asyncio.sleep(0)
        else:
            stream[1].write(sent)
        reply = await stream[0].readline()
        [after] = await say(stream, b"NOOP")
        stream[1].close()

    assert reply.startswith(b"250 ")
    assert after.startswith(b"250 ")
    assert sink.mails == [taken]


async def test_data_sent_before_it_was_asked_for_and_what_follows_are_in_their_places() -> None:
    sink = Sink()

    async with listening(sink) as listener:
        stream, _ = await connect(listener)
        stream[1].write(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n.a\r\n.\r\nNOOP\r\n")
        codes = [(await stream[0].readline())[:3] for _ in range(6)]
        stream[1].close()

    assert codes == [b"250", b"250", b"250", b"354", b"250", b"250"]
    assert sink.mails == [b"a\r\n"]


@pytest.mark.parametrize("line", [b"\r\n", b"..\r\n", b"x.\r\n", b"\n", b"\r", b".x\r\n", b"a" * 998 + b"\r\n"])
async def test_a_mail_costs_its_size_in_memory_whatever_its_lines_are(line: bytes) -> None:
    sink = Sink()
    raw = line * (MAX_BYTES // len(line) - 2) + b"\r\n.\r\n"

    async with listening(sink) as listener:
        stream, _ = await connect(listener)
        await data(stream)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for at in range(0, len(raw), 50_000):
            stream[1].write(raw[at : at + 50_000])
            await stream[1].drain()
        reply = await stream[0].readline()
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        stream[1].close()

    assert reply.startswith(b"250 ")
    assert peak < 5 * MAX_BYTES


@pytest.mark.parametrize("line", [b"\r\n", b"x.\r\n", b"..\r\n", b"\n", b"a" * 998 + b"\r\n"])
async def test_twice_the_mail_is_read_in_twice_as_many_pieces_of_any_lines(
    line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = 0
    read = asyncio.StreamReader.readexactly

    async def counted(reader: asyncio.StreamReader, count: int) -> bytes:
        nonlocal pieces
        pieces += 1
        return await read(reader, count)

    monkeypatch.setattr(asyncio.StreamReader, "readexactly", counted)
    counts = []
    for size in (400_000, 800_000):
        pieces = 0
        async with listening(Sink()) as listener:
            stream, _ = await connect(listener)
            await data(stream)
            stream[1].write(line * (size // len(line)) + b"\r\n.\r\n")
            await stream[0].readline()
            stream[1].close()
        counts.append(pieces)

    assert counts[0] <= 400_000 // PIECE_BYTES + 1
    assert counts[1] <= 2 * counts[0] + 2


async def test_what_is_too_much_is_not_kept_and_twice_as_much_is_hung_up_on() -> None:
    sink = Sink()

    async with listening(sink) as listener:
        stream, _ = await connect(listener)
        await data(stream)
        stream[1].write(b"x" * (MAX_BYTES + 10) + b"\r\n.\r\n")
        reply = await stream[0].readline()
        await say(stream, b"MAIL FROM:<>", b"RCPT TO:<a@b.example>", b"DATA")
        stream[1].write(b"x" * (2 * MAX_BYTES + PIECE_BYTES + 10))
        rest = await stream[0].read()
        stream[1].close()

    assert reply.startswith(b"552 ")
    assert rest.startswith(b"552 ")
    assert sink.mails == []


async def test_fifty_sessions_of_one_peer_leave_the_world_its_places() -> None:
    sink = Sink()

    async with listening(sink) as listener:
        streams = [await connect(listener, "127.0.0.2") for _ in range(50)]
        world = [await connect(listener, source) for source in ("127.0.0.3", "127.0.0.4")]
        for stream, _ in [*streams, *world]:
            stream[1].close()

    assert [greeting[:3] for _, greeting in streams] == [b"220"] * 2 + [b"421"] * 48
    assert [greeting[:3] for _, greeting in world] == [b"220", b"220"]
    assert sink.refusals == {"peer": 48}


async def _silent(stream: Stream) -> None:
    """Says nothing."""


async def _noops(stream: Stream) -> None:
    await say(stream, b"EHLO x", *[b"NOOP"] * 10)


async def _drips(stream: Stream) -> None:
    await data(stream)
    stream[1].write(b"a")
    await asyncio.sleep(0)


async def _half_a_command(stream: Stream) -> None:
    stream[1].write(b"EHL")
    await asyncio.sleep(0)


async def _envelopes(stream: Stream) -> None:
    await say(stream, b"EHLO x", *[b"MAIL FROM:<>", b"RSET"] * 5)


async def _reads_nothing(stream: Stream) -> None:
    stream[1].write(b"HELO x\r\n" + b"HELP\r\n" * 200)
    await asyncio.sleep(0)


@pytest.mark.parametrize("hold", [_silent, _noops, _drips, _half_a_command, _envelopes, _reads_nothing])
async def test_while_all_places_are_taken_a_newcomer_gets_that_of_an_idle_or_slow_session(hold: Any) -> None:
    sink = Sink()

    async with listening(sink, spare_s=0.0) as listener:
        holding = [(await connect(listener, f"127.0.0.{2 + number // 2}"))[0] for number in range(4)]
        for stream in holding:
            await hold(stream)
        stream, greeting = await connect(listener, "127.0.0.9")
        await data(stream)
        stream[1].write(b"hello\r\n.\r\n")
        reply = await stream[0].readline()
        for one in [*holding, stream]:
            one[1].close()

    assert greeting.startswith(b"220 ")
    assert reply.startswith(b"250 ")
    assert sink.refusals["slow"] == 1


async def test_a_session_that_has_time_to_spare_is_not_closed_for_another() -> None:
    sink = Sink()

    async with listening(sink) as listener:
        holding = [(await connect(listener, f"127.0.0.{2 + number // 2}"))[0] for number in range(4)]
        stream, greeting = await connect(listener, "127.0.0.9")
        replies = await asyncio.gather(*(say(one, b"NOOP") for one in holding))
        for one in [*holding, stream]:
            one[1].close()

    assert greeting.startswith(b"421 4.3.2 ")
    assert replies == [[b"250 OK\r\n"]] * 4
    assert sink.refusals == {"full": 1}


async def test_a_place_comes_free_when_its_session_ends() -> None:
    sink = Sink()

    async with listening(sink) as listener:
        for _ in range(20):
            stream, greeting = await connect(listener)
            assert greeting.startswith(b"220 ")
            stream[1].write(b"QUIT\r\n")
            await stream[0].read()
            stream[1].close()
        await asyncio.sleep(0.01)

    assert sink.open == 0
    assert not sink.refusals


async def test_the_length_of_a_command_does_not_grow_with_each_ehlo() -> None:
    async with listening(Sink()) as listener:
        stream, _ = await connect(listener)
        replies = await say(stream, *[b"EHLO x"] * 50, b"MAIL FROM:<" + b"a" * 560 + b"@b.example>")
        stream[1].close()

    assert replies[-1].startswith(b"500 ")


async def test_a_bulk_of_commands_lets_others_have_their_turn() -> None:
    sink = Sink()

    async with listening(sink) as listener:
        bulk, _ = await connect(listener, "127.0.0.2")
        other, _ = await connect(listener, "127.0.0.3")
        bulk[1].write(b"NOOP\r\n" * 5_000)
        [reply] = await say(other, b"NOOP")
        answered_before = len(bulk[0]._buffer) // len(b"250 OK\r\n")  # type: ignore[attr-defined]
        bulk[1].close()
        other[1].close()

    assert reply.startswith(b"250 ")
    assert answered_before < 5_000


async def test_large_mails_together_are_bounded_and_a_small_one_always_passes() -> None:
    bounds = Bounds(1_000_000, 4, 2, 30.0)
    sessions = Sessions(bounds, Sink())
    connection = Connection(Sink(), sessions, asyncio.get_running_loop(), "mx.example", "ESMTP")
    sessions.held_bytes = 9_000_000

    assert connection._refusal(200_000) == ""
    assert connection._refusal(500_000).startswith("452 4.3.1 ")

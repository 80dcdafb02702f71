"""The SMTP edge over real sockets: who is let in, when 250 is said, and what garbage does."""

import asyncio
import smtplib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosmtplib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.bounces.bounces import Accepted, Received
from services.bounces.misses import Misses
from services.bounces.smtp import MAX_RECIPIENTS, Listener
from shared.words import events
from tests.unit.bounces.parts import DOMAIN, KEYS, RETURN_PATH, UNSUBSCRIBE, Desk, sample

BOUNCE = sample("postfix-user-unknown.eml")
Limit = int | float | Misses


@asynccontextmanager
async def listening(desk: Desk, **limits: Limit) -> AsyncIterator[Listener]:
    listener = Listener(desk.bounces, "127.0.0.1", 0, DOMAIN, **limits)  # type: ignore[arg-type]
    await listener.open()
    try:
        yield listener
    finally:
        await listener.close()


async def send(port: int, sender: str, to: str, raw: bytes) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
        await client.sendmail(sender, [to], raw)


async def talk(port: int, *commands: bytes) -> list[bytes]:
    """The first line of each reply, the greeting's first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    replies = [await _reply(reader)]
    for command in commands:
        writer.write(command + b"\r\n")
        replies.append(await _reply(reader))
    writer.close()
    await writer.wait_closed()
    return replies


async def _reply(reader: asyncio.StreamReader) -> bytes:
    first = line = await reader.readline()
    while line[3:4] == b"-":
        line = await reader.readline()
    return first.rstrip()


async def test_a_report_is_taken_once_its_fact_is_stored() -> None:
    desk = Desk()

    async with listening(desk) as listener:
        await send(listener.port, "", RETURN_PATH, BOUNCE)

    assert [type(fact) for fact in desk.bus.facts] == [events.Bounced]


async def test_the_standard_librarys_client_is_served_too() -> None:
    desk = Desk()

    def deliver(port: int) -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", port) as client:
            return client.sendmail("ana@example.fr", [UNSUBSCRIBE], b"Subject: unsubscribe\r\n\r\n.\r\n..\r\nbye\r\n")

    async with listening(desk) as listener:
        refused = await asyncio.to_thread(deliver, listener.port)

    assert refused == {}
    assert [type(fact) for fact in desk.bus.facts] == [events.Unsubscribed]


async def test_the_mail_arrives_byte_by_byte_with_the_peer_and_the_envelope() -> None:
    desk = Desk()
    raw = b"Subject: Hello\r\n\r\n.dots\r\n..more\r\n\xe9\x00 8-bit\r\n"

    async with listening(desk) as listener:
        await send(listener.port, "ana@example.fr", f"postmaster@{DOMAIN}", raw)

    [(_, received, _)] = desk.drawer.mails
    assert received == Received("ana@example.fr", (f"postmaster@{DOMAIN}",), raw, "127.0.0.1")


@pytest.mark.parametrize(
    "address", [f"ana@{DOMAIN}", f"b-short@{DOMAIN}", "u" + RETURN_PATH[1:], f"postmaster@elsewhere.{DOMAIN}"]
)
async def test_what_is_not_ours_is_refused(address: str) -> None:
    desk = Desk()

    async with listening(desk) as listener:
        replies = await talk(listener.port, b"EHLO x", b"MAIL FROM:<>", f"RCPT TO:<{address}>".encode(), b"DATA")

    assert replies[3].startswith(b"550 5.1.1 ")
    assert replies[4].startswith(b"503 ")


@pytest.mark.parametrize(
    "address", [RETURN_PATH, RETURN_PATH.upper(), UNSUBSCRIBE, f"PostMaster@{DOMAIN}", f"abuse@{DOMAIN}", "postmaster"]
)
async def test_what_is_ours_is_accepted(address: str) -> None:
    async with listening(Desk()) as listener:
        replies = await talk(listener.port, b"EHLO x", b"MAIL FROM:<>", f"RCPT TO:<{address}>".encode())

    assert replies[3].startswith(b"250 ")


@pytest.mark.parametrize("part", ["bus", "drawer"])
async def test_while_nothing_can_be_stored_the_peer_is_told_to_come_again(part: str) -> None:
    desk = Desk()
    getattr(desk, part).is_away = True
    raw = BOUNCE if part == "bus" else sample("person-to-return-path.eml")

    async with listening(desk) as listener:
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await send(listener.port, "", RETURN_PATH, raw)
        getattr(desk, part).is_away = False
        await send(listener.port, "", RETURN_PATH, raw)

    assert refused.value.code == 451
    assert refused.value.message.startswith("4.3.0")
    assert len(desk.bus.facts) + len(desk.drawer.mails) == 1


async def test_a_mistake_of_ours_is_a_temporary_failure_and_the_session_goes_on() -> None:
    class Broken:
        def accepts(self, address: str) -> Accepted | None:
            return "signed"

        async def receive(self, received: Received) -> bool:
            raise ZeroDivisionError

    listener = Listener(Broken(), "127.0.0.1", 0, DOMAIN)
    await listener.open()
    try:
        replies = await talk(
            listener.port, b"EHLO x", b"MAIL FROM:<>", b"RCPT TO:<a@b.example>", b"DATA", b"x\r\n.", b"NOOP"
        )
    finally:
        await listener.close()

    assert replies[5].startswith(b"451 4.3.0 ")
    assert replies[6].startswith(b"250")


async def test_the_size_is_advertised_and_kept() -> None:
    desk = Desk()

    async with listening(desk, max_mail_bytes=10_000) as listener:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port, start_tls=False) as client:
            await client.ehlo()
            advertised = client.esmtp_extensions["size"]
            with pytest.raises(aiosmtplib.SMTPResponseException) as announced:
                await client.mail("", options=["SIZE=20000"])
        with pytest.raises(aiosmtplib.SMTPResponseException) as sent:
            await send(listener.port, "", RETURN_PATH, BOUNCE + b"x" * 60 + b"\r\n" * 10_000)

    assert advertised == "10000"
    assert announced.value.code == 552
    assert sent.value.code == 552
    assert desk.bus.facts == []


async def test_a_report_with_a_line_longer_than_the_rfc_allows_is_read() -> None:
    desk = Desk()

    async with listening(desk) as listener:
        await send(listener.port, "", RETURN_PATH, BOUNCE.replace(b"I'm sorry", b"I'm " + b"very " * 5000 + b"sorry"))

    assert len(desk.bus.facts) == 1


async def test_sessions_are_bounded_and_come_free_again() -> None:
    async with listening(Desk(), max_sessions=2) as listener:
        waiting = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(2)]
        for reader, _ in waiting:
            assert (await reader.readline()).startswith(b"220 ")
        [refused] = await talk(listener.port)
        for reader, writer in waiting:
            writer.write(b"QUIT\r\n")
            await reader.read()
            writer.close()
        [served] = await talk(listener.port)

    assert refused.startswith(b"421 4.3.2 ")
    assert served.startswith(b"220 ")


async def test_a_peer_that_says_nothing_is_hung_up_on() -> None:
    async with listening(Desk(), command_timeout_s=0.05) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        async with asyncio.timeout(60):
            said = await reader.read()
        writer.close()

    assert said.startswith(b"220 ")


async def test_too_many_recipients_are_refused_one_by_one() -> None:
    addresses = [KEYS.return_path("0" * 20, n, DOMAIN) for n in range(MAX_RECIPIENTS + 1)]

    async with listening(Desk()) as listener:
        replies = await talk(
            listener.port, b"EHLO x", b"MAIL FROM:<>", *(f"RCPT TO:<{address}>".encode() for address in addresses)
        )

    assert replies[-2].startswith(b"250 ")
    assert replies[-1].startswith(b"452 4.5.3 ")


async def test_international_addresses_may_write_to_us() -> None:
    desk = Desk()

    async with listening(desk) as listener:
        replies = await talk(
            listener.port, b"EHLO x", "MAIL FROM:<jürgen@example.fr> SMTPUTF8".encode(),
            f"RCPT TO:<abuse@{DOMAIN}>".encode(), b"DATA", b"Subject: x\r\n\r\nx\r\n.",
        )  # fmt: skip

    assert replies[-1].startswith(b"250 ")
    assert desk.drawer.mails[0][1].sender == "jürgen@example.fr"


async def test_commands_may_come_in_one_piece() -> None:
    desk = Desk()

    async with listening(desk) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        await reader.readline()
        writer.write(b"EHLO x\r\n")
        lines = [await reader.readline()]
        while lines[-1][3:4] == b"-":
            lines.append(await reader.readline())
        writer.write(b"MAIL FROM:<>\r\nRCPT TO:<" + RETURN_PATH.encode() + b">\r\nDATA\r\n")
        codes = [(await reader.readline())[:3] for _ in range(3)]
        writer.write(BOUNCE + b".\r\n")
        stored = await reader.readline()
        writer.close()

    assert any(b"PIPELINING" in line for line in lines)
    assert codes == [b"250", b"250", b"354"]
    assert stored.startswith(b"250 ")


async def test_mail_smuggled_behind_a_bare_line_feed_is_one_mail() -> None:
    desk = Desk()
    smuggled = b"Subject: a\r\n\r\nx\n.\nMAIL FROM:<>\r\nRCPT TO:<" + UNSUBSCRIBE.encode() + b">\r\nDATA\r\nb\r\n."

    async with listening(desk) as listener:
        await talk(listener.port, b"EHLO x", b"MAIL FROM:<ana@example.fr>", b"RCPT TO:<postmaster>", b"DATA", smuggled)

    assert len(desk.drawer.mails) == 1
    assert desk.bus.facts == []


async def test_closing_answers_a_mail_that_is_being_stored() -> None:
    desk = Desk()
    arrived, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        def accepts(self, address: str) -> Accepted | None:
            return desk.bounces.accepts(address)

        async def receive(self, received: Received) -> bool:
            arrived.set()
            await go_on.wait()
            return await desk.bounces.receive(received)

    async def deliver() -> str:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=listener.port, start_tls=False)
        await client.connect()
        _, reply = await client.sendmail("", [RETURN_PATH], BOUNCE)
        client.close()
        return reply

    listener = Listener(Slow(), "127.0.0.1", 0, DOMAIN)
    await listener.open()
    sending = asyncio.create_task(deliver())
    await arrived.wait()
    closing = asyncio.create_task(listener.close())
    await asyncio.sleep(0)
    go_on.set()
    await closing

    assert len(desk.bus.facts) == 1
    assert await asyncio.wait_for(sending, 60) == "2.0.0 OK"


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe\xfd", b"", b"A" * 5000, b"MAIL FROM:<" + b"a" * 600 + b">", b"EHLO \x00", b"RCPT", b"MAIL FROM:"],
)
async def test_a_garbled_command_is_refused_and_the_next_one_served(line: bytes) -> None:
    async with listening(Desk()) as listener:
        replies = await talk(listener.port, b"EHLO x", line, b"NOOP")

    assert replies[2][:1] in (b"5", b"2")
    assert replies[3].startswith(b"250")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [b"EHLO x", b"MAIL FROM:<>", b"RCPT TO:<postmaster>", b"DATA", b".", b"RSET", b"STARTTLS",
                 b"AUTH PLAIN", b"BDAT 5 LAST", b"VRFY x", b"HELP", b"QUIT"]
            ),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_any_conversation_leaves_the_listener_alive(lines: list[bytes]) -> None:
    async def conversation() -> bytes:
        async with listening(Desk(), command_timeout_s=2.0) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"\r\n".join(lines) + b"\r\n")
            writer.write_eof()
            try:
                heard = await reader.read()
            except ConnectionResetError:
                heard = b"220 "
            writer.close()
            [greeting] = await talk(listener.port)
            return greeting if heard.startswith(b"220 ") else heard

    assert asyncio.run(conversation()).startswith(b"220 ")


def test_a_port_that_is_taken_is_an_error_at_once() -> None:
    async def opening() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
            await Listener(Desk().bounces, "127.0.0.1", taken.getsockname()[1], DOMAIN).open()

    asyncio.run(opening())


async def test_reports_that_guess_are_no_complaints_and_hold_their_peer_off() -> None:
    desk = Desk()
    report = sample("arf-message-id-only.eml")
    replies: list[bytes] = []

    async with listening(desk, max_sessions_per_peer=50) as listener:
        for number in range(120):
            stream = await asyncio.open_connection("127.0.0.1", listener.port, local_addr=("127.0.0.2", 0))
            await _reply(stream[0])
            guess = report.replace(b".258@", b".%d@" % (200 + number))
            for command in (b"EHLO x", b"MAIL FROM:<>", f"RCPT TO:<fbl@{DOMAIN}>".encode(), b"DATA", guess + b"."):
                stream[1].write(command + b"\r\n")
                reply = await _reply(stream[0])
                if not reply.startswith((b"2", b"3")):
                    break
            replies.append(reply)
            stream[1].close()
        await send(listener.port, "", RETURN_PATH, BOUNCE)

    assert len(desk.drawer.mails) == 50
    assert [type(fact) for fact in desk.bus.facts] == [events.Bounced]
    assert {reply[:9] for reply in replies[50:]} == {b"451 4.7.1"}


async def test_what_we_signed_is_taken_even_of_a_peer_that_is_held_off() -> None:
    desk = Desk()
    misses = Misses(lambda: 0.0, limit=3)

    async with listening(desk, misses=misses) as listener:
        guesses = (f"RCPT TO:<b-{number:039d}@{DOMAIN}>".encode() for number in range(5))
        replies = await talk(listener.port, b"EHLO x", b"MAIL FROM:<>", *guesses, f"RCPT TO:<{RETURN_PATH}>".encode())

    assert [reply[:3] for reply in replies[3:]] == [b"550"] * 3 + [b"451"] * 2 + [b"250"]

"""The sending connection against a real server on a socket, on both event loops: everything a host may do to us."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.relay.delivery.connection import Connection
from services.relay.delivery.dial import Timeouts, routed_versions
from services.relay.words.reply import ConnectFailed, ConnectionLost, Reply
from services.relay.words.tls import (
    NEVER,
    OPPORTUNISTIC,
    REQUIRED,
    TlsPolicy,
)
from shared.mail import addresses
from tests.fakes.smtp_server import (
    CLOSE,
    DEAF,
    EXTENSIONS,
    RESET,
    SILENT,
    Act,
    Script,
    SmtpServer,
    Step,
    server_certificate,
)

MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"
#: Only what a test waits for is short: a busy machine must not change what happens.
PATIENT = Timeouts(quit=1)
STEPWISE = tuple(word for word in EXTENSIONS if word != "PIPELINING")
both_ways = pytest.mark.parametrize("extensions", [EXTENSIONS, STEPWISE], ids=["pipelined", "step by step"])


@asynccontextmanager
async def connected(
    script: Script | None = None, timeouts: Timeouts = PATIENT, tls: TlsPolicy = OPPORTUNISTIC, **server_options: Any
) -> AsyncIterator[tuple[Connection, SmtpServer]]:
    async with SmtpServer(script, **server_options) as server:
        connection = await Connection.open("127.0.0.1", server.port, helo="relay.example", tls=tls, timeouts=timeouts)
        try:
            yield connection, server
        finally:
            await connection.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)


async def send(connection: Connection, message: bytes = MESSAGE, rcpt_to: str = "ana@example.net") -> Reply:
    return await connection.send("b-1@bounces.example", rcpt_to, message)


# A message


@both_ways
async def test_a_message_is_delivered_as_it_is(extensions: tuple[str, ...]) -> None:
    async with connected(extensions=extensions) as (connection, server):
        reply = await send(connection)

        assert reply == Reply(250, "2.0.0", "queued", "dot", "127.0.0.1")
        (envelope,) = server.envelopes
        assert envelope.mail.startswith("FROM:<b-1@bounces.example>")
        assert envelope.rcpts == ["TO:<ana@example.net>"]
        assert envelope.message == MESSAGE
        assert connection.usable
        assert connection.sent_count == 1
        assert connection.tls is None


async def test_the_null_sender_may_send() -> None:
    async with connected() as (connection, server):
        assert (await connection.send("", "ana@example.net", MESSAGE)).code == 250
        assert server.envelopes[0].mail.startswith("FROM:<>")


async def test_with_pipelining_a_message_is_two_writes_and_no_more() -> None:
    async with connected() as (connection, server):
        await send(connection)
        await send(connection)

        assert [[command[:4] for command in batch] for batch in server.batches] == [
            ["EHLO"], ["MAIL", "RCPT", "DATA"], ["MAIL", "RCPT", "DATA"],
        ]  # fmt: skip


async def test_without_pipelining_each_command_waits_for_its_reply() -> None:
    async with connected(extensions=STEPWISE) as (connection, server):
        await send(connection)

        assert [batch[0][:4] for batch in server.batches] == ["EHLO", "MAIL", "RCPT", "DATA"]
        assert all(len(batch) == 1 for batch in server.batches)


async def test_a_connection_is_used_again_without_rset() -> None:
    async with connected() as (connection, server):
        for number in range(20):
            assert (await send(connection, MESSAGE + b"%d\r\n" % number)).code == 250

        assert server.connections == 1
        assert connection.sent_count == 20
        assert server.messages == [MESSAGE + b"%d\r\n" % number for number in range(20)]
        assert "RSET" not in server.commands


async def test_one_message_at_a_time() -> None:
    async with connected({"MAIL": (0.05, "250 ok")}) as (connection, _):
        first = asyncio.create_task(send(connection))
        await asyncio.sleep(0)

        with pytest.raises(RuntimeError, match="one message at a time"):
            await send(connection)
        assert (await first).code == 250


async def test_two_connections_do_not_wait_for_each_other() -> None:
    async with connected({"DOT": [SILENT, "250 ok"]}) as (silent, server):
        waiting = asyncio.create_task(send(silent))
        await until(lambda: len(server.batches) >= 2)
        other = await Connection.open("127.0.0.1", server.port, helo="relay.example", tls=NEVER)

        assert (await send(other)).code == 250
        assert not waiting.done()
        waiting.cancel()
        await other.close()


# The bytes


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"a: b\r\n\r\n.\r\n..\r\n.x\r\n", b"a: b\r\n\r\n.\r\n..\r\n.x\r\n"),
        (b".first\r\n", b".first\r\n"),
        (b"no end", b"no end\r\n"),
        (b"", b""),
        (b"lf\nonly\n", b"lf\r\nonly\r\n"),
        (b"cr\ronly\r", b"cr\r\nonly\r\n"),
        # SMTP smuggling: none of these may end the message in the middle.
        (b"a\n.\nMAIL FROM:<x@y.z>\r\n", b"a\r\n.\r\nMAIL FROM:<x@y.z>\r\n"),
        (b"a\n.\r\nMAIL FROM:<x@y.z>\r\n", b"a\r\n.\r\nMAIL FROM:<x@y.z>\r\n"),
        (b"a\r.\rMAIL FROM:<x@y.z>\r\n", b"a\r\n.\r\nMAIL FROM:<x@y.z>\r\n"),
        (b"a\r\n.\nMAIL FROM:<x@y.z>\r\n", b"a\r\n.\r\nMAIL FROM:<x@y.z>\r\n"),
        (b"a\r\r\n.\r\nb\r\n", b"a\r\n\r\n.\r\nb\r\n"),
    ],
)
async def test_dots_and_line_ends_arrive_as_they_are_meant(message: bytes, expected: bytes) -> None:
    async with connected() as (connection, server):
        assert (await send(connection, message)).code == 250
        assert (await send(connection)).code == 250

        assert server.messages == [expected, MESSAGE]


async def test_a_message_larger_than_all_buffers_arrives_whole() -> None:
    message = b"".join(b"%08d.\r\n.%064d\r\n" % (number, number) for number in range(60_000))
    async with connected() as (connection, server):
        assert (await send(connection, message)).code == 250
        assert (await send(connection)).code == 250

        assert server.messages == [message, MESSAGE]


@both_ways
async def test_a_reply_in_single_bytes_is_the_same_reply(extensions: tuple[str, ...]) -> None:
    def dribble(text: bytes) -> Any:
        return tuple(step for byte in text for step in (bytes([byte]), 0.0))

    script: Script = {"RCPT": dribble(b"550-5.1.1 no such\r\n550 5.1.1 user\r\n")}
    async with connected(script, extensions=extensions) as (connection, _):
        assert await send(connection) == Reply(550, "5.1.1", "no such user", "rcpt", "127.0.0.1")


# Refusals


@both_ways
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("code", [450, 550])
async def test_a_refusal_is_that_of_its_command_and_the_connection_goes_on(
    extensions: tuple[str, ...], stage: str, code: int
) -> None:
    script: Script = {stage: [f"{code}-{code // 100}.7.1 no\n{code} {code // 100}.7.1 thanks", (b"", "")]}
    async with connected(script, extensions=extensions) as (connection, server):
        server.script[stage] = server.script[stage][:1]
        reply = await send(connection)
        del server.script[stage]

        assert reply == Reply(code, f"{code // 100}.7.1", "no thanks", stage.lower(), "127.0.0.1")  # type: ignore[arg-type]
        assert server.envelopes == []
        assert connection.usable
        assert (await send(connection)).code == 250
        assert server.messages == [MESSAGE]
        assert server.connections == 1


@pytest.mark.parametrize("refused", ["MAIL", "RCPT"])
@pytest.mark.parametrize("dot", ["250 ok", "554 5.5.1 no valid recipients"])
async def test_a_body_that_nobody_wants_is_ended_with_a_lone_dot(refused: str, dot: str) -> None:
    script: Script = {refused: ["550 5.7.1 no", "250 ok"], "DATA": ["354 anyway", "354 go on"], "DOT": [dot, "250 ok"]}
    async with connected(script) as (connection, server):
        reply = await send(connection)

        assert (reply.code, reply.text, reply.stage) == (550, "no", refused.lower())
        server.script.clear()
        assert (await send(connection)).code == 250
        assert server.messages == [MESSAGE]


async def test_a_lone_dot_that_is_not_answered_does_not_change_the_refusal() -> None:
    script: Script = {"RCPT": "550 5.1.1 no", "DATA": "354 anyway", "DOT": SILENT}
    async with connected(script, replace(PATIENT, data=0.5)) as (connection, _):
        assert (await send(connection)).code == 550
        assert not connection.usable


async def test_after_a_refusal_rset_goes_first_in_the_same_write() -> None:
    async with connected({"RCPT": ["550 5.1.1 no", "250 ok"]}) as (connection, server):
        await send(connection)
        server.script.clear()
        await send(connection)

        assert [command[:4] for command in server.batches[-1]] == ["RSET", "MAIL", "RCPT", "DATA"]
        assert len(server.messages) == 1


async def test_the_first_refusal_counts() -> None:
    script: Script = {"MAIL": "450 4.1.8 sender later", "RCPT": "550 5.1.1 no", "DATA": "503 first MAIL"}
    async with connected(script) as (connection, _):
        assert await send(connection) == Reply(450, "4.1.8", "sender later", "mail", "127.0.0.1")


async def test_a_recipient_that_will_be_forwarded_is_accepted() -> None:
    async with connected({"RCPT": "251 user not local; will forward"}) as (connection, server):
        assert (await send(connection)).code == 250
        assert len(server.messages) == 1


# Goodbye


@both_ways
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("then", [CLOSE, SILENT])
async def test_421_ends_the_connection_at_any_moment(extensions: tuple[str, ...], stage: str, then: Act) -> None:
    async with connected({stage: ("421 4.7.0 too many", then)}, extensions=extensions) as (connection, _):
        reply = await send(connection)

        assert reply == Reply(421, "4.7.0", "too many", stage.lower(), "127.0.0.1")  # type: ignore[arg-type]
        assert not connection.usable


async def test_a_refusal_before_421_still_counts() -> None:
    async with connected({"RCPT": "550 5.1.1 no", "DATA": ("421 bye", CLOSE)}) as (connection, _):
        assert (await send(connection)).code == 550
        assert not connection.usable


async def test_421_while_nothing_is_sent_makes_the_connection_unusable() -> None:
    async with connected({"DOT": ("250 ok", 0.02, "421 4.4.2 idle too long", CLOSE)}) as (connection, _):
        assert (await send(connection)).code == 250
        await until(lambda: not connection.usable)

        with pytest.raises(ConnectionLost) as lost:
            await send(connection)
        assert (lost.value.stage, lost.value.sent_final_dot) == ("mail", False)


async def test_421_right_behind_the_last_reply_leaves_that_reply_alone() -> None:
    async with connected({"DOT": (b"250 2.0.0 queued\r\n421 4.7.0 enough\r\n", CLOSE)}) as (connection, _):
        assert (await send(connection)).code == 250
        assert not connection.usable


# Silence


@both_ways
@pytest.mark.parametrize("act", [CLOSE, RESET])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_a_host_that_goes_away_tells_whether_the_message_may_be_repeated(
    extensions: tuple[str, ...], act: Act, stage: str
) -> None:
    async with connected({stage: act}, extensions=extensions) as (connection, _):
        with pytest.raises(ConnectionLost) as lost:
            await send(connection)

        assert lost.value.stage == stage.lower()
        assert lost.value.sent_final_dot == (stage == "DOT")
        assert lost.value.host == "127.0.0.1"
        assert not connection.usable


async def test_a_refusal_before_the_host_goes_away_still_counts() -> None:
    async with connected({"RCPT": "550 5.1.1 no", "DATA": CLOSE}) as (connection, _):
        assert (await send(connection)).code == 550
        assert not connection.usable


@both_ways
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_a_host_that_falls_silent_is_left_in_time(extensions: tuple[str, ...], stage: str) -> None:
    short = replace(PATIENT, **{stage.lower(): 0.2})
    async with connected({stage: SILENT}, short, extensions=extensions) as (connection, _):
        with pytest.raises(ConnectionLost, match=f"no answer to {stage} in time") as lost:
            await send(connection)

        assert lost.value.sent_final_dot == (stage == "DOT")
        assert not connection.usable


async def test_each_phase_has_its_own_time() -> None:
    slow: Script = {"MAIL": (0.5, "250 ok"), "RCPT": (0.5, "250 ok"), "DATA": (0.5, "354 go"), "DOT": (1, "250 ok")}
    async with connected(slow, replace(PATIENT, mail=1.4, rcpt=1.4, data=1.4)) as (connection, _):
        assert (await send(connection)).code == 250


async def test_a_host_that_stops_reading_is_left_and_cannot_have_taken_the_message() -> None:
    script: Script = {"DATA": ("354 go on", DEAF)}
    async with connected(script, replace(PATIENT, block=0.2), extensions=("PIPELINING",)) as (connection, _):
        with pytest.raises(ConnectionLost) as lost:
            await send(connection, b"x" * 70 + b"\r\n" + b"y" * 30_000_000)

        assert (lost.value.stage, lost.value.sent_final_dot) == ("dot", False)


async def test_a_refusal_in_the_middle_of_a_large_message_counts_and_ends_the_connection() -> None:
    script: Script = {"DATA": ("354 go on", "552 5.3.4 too much", DEAF)}
    async with connected(script, extensions=("PIPELINING",)) as (connection, _):
        reply = await send(connection, b"y" * 30_000_000)

        assert (reply.code, reply.stage) == (552, "dot")
        assert not connection.usable


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        ({"MAIL": b"hello\r\n"}, "mail"),
        ({"MAIL": b"999 what\r\n"}, "mail"),
        ({"MAIL": b"\xff\xfe\r\n"}, "mail"),
        ({"MAIL": b"250?ok\r\n"}, "mail"),
        ({"MAIL": "354 early"}, "mail"),
        ({"RCPT": "354 early"}, "rcpt"),
        ({"DATA": "250 ok, what next"}, "data"),
        ({"DOT": "354 more"}, "dot"),
        ({"MAIL": b"250-" + b"x" * 40_000}, "mail"),
        ({"MAIL": b"250-x\r\n" * 200_000}, "mail"),
    ],
)
async def test_nonsense_ends_the_connection(script: Script, stage: str) -> None:
    async with connected(script) as (connection, _):
        with pytest.raises(ConnectionLost) as lost:
            await send(connection)

        assert lost.value.stage == stage
        assert not connection.usable


async def test_who_stops_waiting_leaves_the_connection_unusable() -> None:
    async with connected({"DOT": SILENT}) as (connection, server):
        waiting = asyncio.create_task(send(connection))
        await until(lambda: len(server.batches) >= 2)

        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not connection.usable


async def test_421_in_the_middle_of_a_large_message_counts_and_ends_the_connection() -> None:
    script: Script = {"DATA": ("354 go on", "421 4.3.2 shutting down", DEAF)}
    async with connected(script, extensions=("PIPELINING",)) as (connection, _):
        reply = await send(connection, b"y" * 30_000_000)

        assert (reply.code, reply.stage) == (421, "dot")
        assert not connection.usable


# Before the body


class Before:
    """Asked before the body, it waits for `go`, and raises if it is given something to raise."""

    def __init__(self, error: Exception | None = None, *, go: bool = True) -> None:
        self.error, self.asked, self.go = error, asyncio.Event(), asyncio.Event()
        if go:
            self.go.set()

    async def __call__(self) -> None:
        self.asked.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error


async def send_after(connection: Connection, before: Before, message: bytes = MESSAGE) -> Reply:
    return await connection.send("b-1@bounces.example", "ana@example.net", message, before)


@both_ways
async def test_what_is_asked_before_the_body_is_asked_once_the_host_waits_for_it(extensions: tuple[str, ...]) -> None:
    before = Before(go=False)
    async with connected(extensions=extensions) as (connection, server):
        sending = asyncio.create_task(send_after(connection, before, MESSAGE * 100_000))
        await before.asked.wait()
        await asyncio.sleep(0.05)

        assert server.commands[-1] == "DATA"
        assert not sending.done()
        before.go.set()
        assert (await sending).code == 250
        assert (await send_after(connection, Before())).code == 250
        assert (await send(connection)).code == 250
        assert server.messages == [MESSAGE * 100_000, MESSAGE, MESSAGE]


@both_ways
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("then", ["550 5.7.1 no", ("421 4.7.0 no", CLOSE), CLOSE])
async def test_nothing_is_asked_if_the_host_does_not_want_the_body(
    extensions: tuple[str, ...], stage: str, then: Any
) -> None:
    before = Before()
    async with connected({stage: then}, extensions=extensions) as (connection, _):
        with suppress(ConnectionLost):
            assert (await send_after(connection, before)).code in (421, 550)

        assert not before.asked.is_set()


async def test_nothing_is_asked_for_a_body_that_is_a_lone_dot() -> None:
    before = Before()
    async with connected({"RCPT": "550 5.1.1 no", "DATA": "354 anyway"}) as (connection, _):
        assert (await send_after(connection, before)).code == 550
        assert not before.asked.is_set()


async def test_what_fails_before_the_body_is_told_and_nothing_of_the_body_was_sent() -> None:
    async with connected() as (connection, server):
        with pytest.raises(LookupError, match="no"):
            await send_after(connection, Before(LookupError("no")))

        assert not connection.usable
        await until(lambda: server.open_connections == 0)
        assert server.envelopes == []
        assert server.unfinished == [b""]


@pytest.mark.parametrize("act", [CLOSE, RESET])
@pytest.mark.parametrize("fails", [True, False])
async def test_a_host_that_goes_before_the_body_has_nothing_of_it(act: Act, fails: bool) -> None:
    before = Before(LookupError("no") if fails else None, go=False)
    async with connected({"DATA": ("354 go on", act)}) as (connection, server):
        sending = asyncio.create_task(send_after(connection, before))
        await before.asked.wait()
        await until(lambda: not connection.usable)
        before.go.set()

        if fails:
            with pytest.raises(LookupError):
                await sending
        else:
            with pytest.raises(ConnectionLost) as lost:
                await sending
            assert (lost.value.stage, lost.value.sent_final_dot) == ("dot", False)
        assert server.envelopes == []


async def test_a_refusal_before_the_body_counts() -> None:
    before = Before(go=False)
    async with connected({"DATA": ("354 go on", 0.01, "451 4.3.0 disk full")}) as (connection, server):
        sending = asyncio.create_task(send_after(connection, before))
        await before.asked.wait()
        await until(lambda: not connection.usable)
        before.go.set()

        assert (await sending).code == 451
        assert server.envelopes == []


async def test_a_body_that_is_withheld_too_long_is_not_sent() -> None:
    before = Before(go=False)
    async with connected(timeouts=replace(PATIENT, block=0.1)) as (connection, server):
        sending = asyncio.create_task(send_after(connection, before))
        await before.asked.wait()
        await until(lambda: not connection.usable)
        before.go.set()

        with pytest.raises(ConnectionLost, match="withheld too long") as lost:
            await sending
        assert not lost.value.sent_final_dot
        await until(lambda: server.open_connections == 0)
        assert server.unfinished == [b""]


async def test_who_stops_waiting_before_the_body_sends_none() -> None:
    before = Before(go=False)
    async with connected() as (connection, server):
        sending = asyncio.create_task(send_after(connection, before))
        await before.asked.wait()

        sending.cancel()

        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not connection.usable
        await until(lambda: server.open_connections == 0)
        assert server.unfinished == [b""]


# What the host offers


async def test_8_bits_are_announced_where_they_are_and_are_needed() -> None:
    async with connected() as (connection, server):
        await send(connection, "Subject: x\r\n\r\né\r\n".encode())
        await send(connection)

        assert "BODY=8BITMIME" in server.envelopes[0].mail
        assert "BODY" not in server.envelopes[1].mail


async def test_8_bits_are_not_sent_to_a_host_without_them() -> None:
    async with connected(extensions=("PIPELINING",)) as (connection, server):
        reply = await send(connection, b"x: y\r\n\r\n\xe9\r\n")

        assert (reply.code, reply.enhanced) == (554, "5.6.3")
        assert server.envelopes == []
        assert connection.usable


async def test_an_address_beyond_ascii_needs_smtputf8() -> None:
    async with connected() as (connection, server):
        assert (await send(connection, rcpt_to="zoë@example.net")).code == 250
        assert "SMTPUTF8" in server.envelopes[0].mail
        assert server.envelopes[0].rcpts == ["TO:<zoë@example.net>"]

    async with connected(extensions=("PIPELINING", "8BITMIME")) as (connection, server):
        reply = await send(connection, rcpt_to="zoë@example.net")
        assert (reply.code, reply.enhanced, reply.stage) == (553, "5.6.7", "rcpt")
        assert len(server.commands) == 1
        assert (await send(connection)).code == 250


async def test_headers_beyond_ascii_need_smtputf8() -> None:
    message = "From: zoë@example.org\r\n\r\nhello\r\n".encode()
    async with connected() as (connection, server):
        reply = await connection.send("b-1@bounces.example", "ana@example.net", message, utf8=True)

        assert reply.code == 250
        assert server.envelopes[0].mail.endswith("BODY=8BITMIME SMTPUTF8")

    async with connected(extensions=("PIPELINING", "8BITMIME")) as (connection, server):
        reply = await connection.send("b-1@bounces.example", "ana@example.net", message, utf8=True)

        # It is the sender's address that is in the way: nothing is wrong with the recipient's.
        assert (reply.code, reply.enhanced, reply.stage) == (553, "5.6.7", "mail")
        assert len(server.commands) == 1


async def test_the_size_is_announced_and_its_limit_obeyed() -> None:
    async with connected(extensions=("PIPELINING", "SIZE 100")) as (connection, server):
        assert (await send(connection)).code == 250
        assert f"SIZE={len(MESSAGE) + 3}" in server.envelopes[0].mail

        reply = await send(connection, b"x" * 200)
        assert (reply.code, reply.enhanced) == (552, "5.3.4")
        assert "100" in reply.text
        assert len(server.envelopes) == 1
        assert connection.usable


@pytest.mark.parametrize("size", ["SIZE", "SIZE 0", "SIZE ²", "SIZE many"])
async def test_a_size_without_a_number_is_no_limit(size: str) -> None:
    async with connected(extensions=("PIPELINING", size)) as (connection, _):
        assert (await send(connection, b"x" * 100_000)).code == 250


@pytest.mark.parametrize(
    "address", ["a@b> NOTIFY=NEVER", "a b@c", "a@b\r\nRCPT TO:<x@y.z>", "a@b\n", "", "a", "a@", "@b", "<a@b>", 'a"b@c']
)
async def test_what_is_no_address_never_becomes_a_command(address: str) -> None:
    async with connected() as (connection, server):
        reply = await send(connection, rcpt_to=address)

        assert (reply.code, reply.enhanced, reply.stage) == (553, "5.1.3", "rcpt")
        assert len(server.commands) == 1
        with pytest.raises(ValueError, match="not an envelope sender"):
            await connection.send(address or "x y", "ana@example.net", MESSAGE)


async def test_a_quoted_local_part_is_an_address() -> None:
    async with connected() as (connection, server):
        assert (await send(connection, rcpt_to='"a <b> c"@example.net')).code == 250
        assert server.envelopes[0].rcpts == ['TO:<"a <b> c"@example.net>']


@pytest.mark.parametrize("local", ["a..b", ".a", "a.", "..a+b.."])
async def test_dots_that_have_no_place_are_said_in_quotes(local: str) -> None:
    async with connected() as (connection, server):
        assert (await send(connection, rcpt_to=str(addresses.parse(f"{local}@docomo.example")))).code == 250
        assert server.envelopes[0].rcpts == [f'TO:<"{local}"@docomo.example>']


# Opening


async def test_helo_is_said_where_ehlo_is_not_understood() -> None:
    async with connected({"EHLO": "502 5.5.1 what"}) as (connection, server):
        assert (await send(connection)).code == 250
        assert [batch[0] for batch in server.batches[:2]] == ["EHLO relay.example", "HELO relay.example"]
        assert server.envelopes[0].mail == "FROM:<b-1@bounces.example>"


@pytest.mark.parametrize(
    ("script", "stage", "code"),
    [
        ({"CONNECT": ("554 5.7.1 you are blocked", CLOSE)}, "greeting", 554),
        ({"CONNECT": ("421 4.3.2 too many connections", CLOSE)}, "greeting", 421),
        ({"EHLO": "550 5.7.1 bad name"}, "ehlo", 550),
        ({"EHLO": ("421 4.7.0 go away", CLOSE)}, "ehlo", 421),
        ({"EHLO": "500 what", "HELO": "550 5.7.1 no"}, "ehlo", 550),
    ],
)
async def test_a_host_that_will_not_talk_says_so(script: Script, stage: str, code: int) -> None:
    with pytest.raises(ConnectFailed) as failed:
        async with connected(script):
            pass

    assert (failed.value.stage, failed.value.host) == (stage, "127.0.0.1")
    assert failed.value.reply is not None
    assert failed.value.reply.code == code
    assert failed.value.reply.stage == stage


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        ({"CONNECT": CLOSE}, "greeting"),
        ({"CONNECT": SILENT}, "greeting"),
        ({"CONNECT": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "greeting"),
        ({"EHLO": CLOSE}, "ehlo"),
        ({"EHLO": RESET}, "ehlo"),
        ({"EHLO": SILENT}, "ehlo"),
    ],
)
async def test_a_host_that_does_not_answer_is_left_in_time(script: Script, stage: str) -> None:
    with pytest.raises(ConnectFailed) as failed:
        async with connected(script, replace(PATIENT, **{stage: 0.3})):
            pass

    assert (failed.value.stage, failed.value.reply) == (stage, None)
    assert failed.value.reason


async def test_nobody_at_the_port_is_a_refused_connection() -> None:
    async with SmtpServer() as server:
        port = server.port

    with pytest.raises(ConnectFailed, match=r"connect: Connection refused \(127\.0\.0\.1\)") as failed:
        await Connection.open("127.0.0.1", port, helo="relay.example", tls=NEVER)

    assert failed.value.stage == "connect"


async def test_a_name_that_does_not_exist_cannot_be_connected_to() -> None:
    with pytest.raises(ConnectFailed) as failed:
        await Connection.open("nowhere.invalid", 25, helo="relay.example", tls=NEVER)

    assert failed.value.stage == "connect"


async def test_a_host_is_connected_to_at_the_address_given() -> None:
    async with SmtpServer() as server:
        connection = await Connection.open(
            "mx.example.net", server.port, address="127.0.0.1", helo="relay.example", tls=NEVER
        )

        assert (await send(connection)).host == "mx.example.net"
        await connection.close()


async def test_a_name_that_the_system_knows_is_connected_to() -> None:
    async with SmtpServer() as server:
        connection = await Connection.open("localhost", server.port, helo="relay.example", tls=NEVER)

        assert (await send(connection)).code == 250
        await connection.close()


async def test_a_connection_leaves_from_the_source_address_given() -> None:
    async with SmtpServer() as server:
        connection = await Connection.open(
            "127.0.0.1", server.port, helo="relay.example", tls=NEVER, source_ip="127.0.0.2"
        )
        assert connection.source_ip == "127.0.0.2"
        await connection.close()

        with pytest.raises(ConnectFailed, match="connect"):
            await Connection.open("127.0.0.1", server.port, helo="relay.example", tls=NEVER, source_ip="192.0.2.1")


async def test_an_opening_that_is_cancelled_leaves_nothing_open() -> None:
    async with SmtpServer({"EHLO": SILENT}) as server:
        opening = asyncio.create_task(
            Connection.open("127.0.0.1", server.port, helo="relay.example", tls=OPPORTUNISTIC)
        )
        await until(lambda: bool(server.batches))

        opening.cancel()

        with pytest.raises(asyncio.CancelledError):
            await opening
        await until(lambda: server.open_connections == 0)


def test_a_machine_has_a_route_for_some_version_of_ip() -> None:
    assert set(routed_versions()) <= {4, 6}
    assert routed_versions()


# TLS


@pytest.mark.parametrize("tls", [OPPORTUNISTIC, REQUIRED])
async def test_what_is_offered_is_encrypted(tls: TlsPolicy) -> None:
    async with connected(tls=tls, encrypted=True) as (connection, server):
        assert connection.tls == "TLSv1.3"
        assert server.encryptions == 1
        for _ in range(3):
            assert (await send(connection)).code == 250
        assert server.messages == [MESSAGE] * 3
        assert [batch[0].split()[0] for batch in server.batches[:3]] == ["EHLO", "STARTTLS", "EHLO"]
        assert [command[:4] for command in server.batches[3]] == ["MAIL", "RCPT", "DATA"]


async def test_a_large_message_arrives_whole_under_tls() -> None:
    message = b"".join(b"%070d\r\n" % number for number in range(40_000))
    async with connected(encrypted=True) as (connection, server):
        assert (await send(connection, message)).code == 250
        assert server.messages == [message]


async def test_tls_is_not_used_where_it_is_not_wanted() -> None:
    async with connected(tls=NEVER, encrypted=True) as (connection, server):
        assert connection.tls is None
        assert (await send(connection)).code == 250
        assert "STARTTLS" not in server.commands


@pytest.mark.parametrize("junk", [b"this is not TLS\r\n", CLOSE, RESET])
async def test_a_failed_handshake_is_followed_by_a_connection_in_clear(junk: bytes | Act) -> None:
    script: Script = {"STARTTLS": ("220 go ahead", junk, CLOSE)}
    async with connected(script, extensions=(*EXTENSIONS, "STARTTLS")) as (connection, server):
        assert connection.tls is None
        assert (await send(connection)).code == 250
        assert server.connections == 2


async def test_a_silent_handshake_is_left_in_time() -> None:
    script: Script = {"STARTTLS": ("220 go ahead", SILENT)}
    async with connected(script, replace(PATIENT, tls=0.1), extensions=(*EXTENSIONS, "STARTTLS")) as (
        connection,
        server,
    ):
        assert (await send(connection)).code == 250
        assert server.connections == 2


async def test_a_refused_starttls_goes_on_in_clear_on_the_same_connection() -> None:
    script: Script = {"STARTTLS": "454 4.7.0 TLS not available"}
    async with connected(script, extensions=(*EXTENSIONS, "STARTTLS")) as (connection, server):
        assert connection.tls is None
        assert (await send(connection)).code == 250
        assert server.connections == 1


@pytest.mark.parametrize(
    ("script", "extensions"),
    [
        ({}, EXTENSIONS),
        ({"STARTTLS": "454 4.7.0 TLS not available"}, (*EXTENSIONS, "STARTTLS")),
        ({"STARTTLS": ("220 go ahead", b"this is not TLS\r\n", CLOSE)}, (*EXTENSIONS, "STARTTLS")),
    ],
)
async def test_where_encryption_is_required_nothing_goes_in_clear(script: Script, extensions: tuple[str, ...]) -> None:
    with pytest.raises(ConnectFailed) as failed:
        async with connected(script, tls=REQUIRED, extensions=extensions):
            pass

    assert failed.value.stage == "tls"


async def test_what_is_said_in_clear_after_starttls_is_not_believed() -> None:
    script: Script = {"STARTTLS": b"220 go ahead\r\n250 injected\r\n250 injected\r\n"}
    async with connected(script, encrypted=True) as (connection, _):
        assert connection.tls == "TLSv1.3"
        assert (await send(connection)).text == "queued"


@pytest.mark.parametrize("stage", ["MAIL", "DOT"])
async def test_a_host_that_goes_away_under_tls_is_noticed(stage: str) -> None:
    async with connected({stage: CLOSE}, encrypted=True) as (connection, _):
        with pytest.raises(ConnectionLost) as lost:
            await send(connection)

        assert lost.value.sent_final_dot == (stage == "DOT")


# Passwords


LOGIN = ("ana", "s3cret")
AUTH = (*EXTENSIONS, "AUTH PLAIN LOGIN")


async def test_a_password_is_given_under_a_verified_certificate(
    tmp_path: Path,
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(server_certificate()[1])
    async with SmtpServer(extensions=AUTH, encrypted=True) as server:
        connection = await Connection.open(
            "localhost", server.port, helo="relay.example", tls=OPPORTUNISTIC, login=LOGIN, ca_file=str(trusted)
        )

        assert connection.tls == "TLSv1.3"
        assert [command.split()[0] for command in server.commands] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]
        assert (await send(connection)).code == 250
        await connection.close()


@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_password_is_not_given_to_somebody_unknown(encrypted: bool) -> None:
    async with SmtpServer(extensions=AUTH, encrypted=encrypted) as server:
        with pytest.raises(ConnectFailed) as failed:
            await Connection.open("localhost", server.port, helo="relay.example", tls=OPPORTUNISTIC, login=LOGIN)

        assert failed.value.stage == "tls"
        assert not any(command.startswith("AUTH") for command in server.commands)


async def test_a_password_goes_in_clear_only_where_that_was_asked_for() -> None:
    async with SmtpServer(extensions=AUTH) as server:
        connection = await Connection.open("127.0.0.1", server.port, helo="relay.example", tls=NEVER, login=LOGIN)

        assert server.commands[-1].startswith("AUTH PLAIN")
        await connection.close()


async def test_a_wrong_password_is_said_with_the_hosts_words() -> None:
    async with SmtpServer({"AUTH": "535 5.7.8 wrong"}, extensions=AUTH) as server:
        with pytest.raises(ConnectFailed, match=r"auth: 535 5\.7\.8 wrong") as failed:
            await Connection.open("127.0.0.1", server.port, helo="relay.example", tls=NEVER, login=LOGIN)

        assert LOGIN[1] not in str(failed.value)


# Closing


async def test_a_connection_says_goodbye() -> None:
    async with SmtpServer() as server:
        connection = await Connection.open("127.0.0.1", server.port, helo="relay.example", tls=NEVER)
        await send(connection)

        await connection.close()
        await connection.close()

        assert server.commands[-1] == "QUIT"
        assert not connection.usable
        assert server.open_connections == 0


@pytest.mark.parametrize("step", [SILENT, CLOSE, RESET, "500 what", ("221 bye", SILENT)])
@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_goodbye_that_is_not_answered_does_not_take_long(step: Any, encrypted: bool) -> None:
    async with SmtpServer({"QUIT": step}, encrypted=encrypted) as server:
        connection = await Connection.open(
            "127.0.0.1", server.port, helo="relay.example", tls=OPPORTUNISTIC, timeouts=Timeouts(quit=0.1)
        )

        async with asyncio.timeout(60):
            await connection.close()


async def test_closing_gives_up_what_is_being_sent() -> None:
    async with connected({"DOT": SILENT}) as (connection, server):
        sending = asyncio.create_task(send(connection))
        await until(lambda: len(server.batches) >= 2)

        await connection.close()

        with pytest.raises(ConnectionLost):
            await sending


# What is odd and means something all the same


@both_ways
@pytest.mark.parametrize(
    "said",
    [
        b"250 ok\r\n\r\n",
        b"\r\n250 ok\r\n",
        b"250 2.0.0 ok\r\nqueued as 4711\r\n",
        b"250 ok\r\n continued\r\n",
        b"250 ok\r\n250-and\r\n",
        b"250-ok\r\nqueued as 4711\r\n250 done\r\n",
        b"250-ok\r\n\r\n250\r\n",
        b"250-" + b"x" * 40_000 + b"\r\n250 ok\r\n",
        b"250-ok\r\n" * 5_000 + b"250 ok\r\n",
        b"250 ok\r\n\xff\xfe\x00\r\n",
        b"250 ok\r\n354 go on\r\n",
        b"250 ok\r\n421 closing\r\n",
    ],
)
async def test_a_mail_that_was_taken_is_taken_whatever_follows(extensions: tuple[str, ...], said: bytes) -> None:
    async with connected({"DOT": said}, extensions=extensions) as (connection, server):
        assert (await send(connection)).code == 250
        assert len(server.batches) == (2 if "PIPELINING" in extensions else 4)


@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_a_reply_to_the_final_dot_that_has_no_last_line_counts_when_the_host_goes(end: Step) -> None:
    async with connected({"DOT": (b"250-2.0.0 ok\r\n queued as 4711\r\n", 0.05, end)}) as (connection, _):
        assert await send(connection) == Reply(250, "2.0.0", "ok queued as 4711", "dot", "127.0.0.1")
        assert not connection.usable


@both_ways
@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"550-5.1.1 no such\r\n user here\r\n550 end\r\n", "550 5.1.1 no such user here end"),
        (b"550-5.1.1 no such\r\n\r\n550 end\r\n", "550 5.1.1 no such end"),
        (b"\r\n550 5.1.1 no such user\r\n", "550 5.1.1 no such user"),
        (b"550 5.1.1 no such user\r\n\r\n", "550 5.1.1 no such user"),
        (b"550-5.1.1 see\r\n100 ways to leave\r\n550 end\r\n", "550 5.1.1 see 100 ways to leave end"),
        (b"250-5.1.1 well\r\n550 no\r\n", "550 5.1.1 well no"),
    ],
)
async def test_a_refusal_is_heard_however_it_is_laid_out(extensions: tuple[str, ...], said: bytes, heard: str) -> None:
    async with connected({"RCPT": said}, extensions=extensions) as (connection, server):
        reply = await send(connection)

        assert (reply.line, reply.stage) == (heard, "rcpt")
        assert server.envelopes == []


@pytest.mark.parametrize("refusal", ["503 5.5.1 what", "502 no such command", "421 bye", "354 go on"])
@both_ways
async def test_a_refused_rset_ends_the_connection_and_no_empty_mail_is_handed_over(
    extensions: tuple[str, ...], refusal: str
) -> None:
    script: Script = {"RCPT": ["550 5.1.1 no", "250 ok"], "RSET": refusal}
    async with connected(script, extensions=extensions) as (connection, server):
        assert (await send(connection)).code == 550

        if refusal.startswith("421"):
            assert (await send(connection)).code == 421
        else:
            with pytest.raises(ConnectionLost) as lost:
                await send(connection)
            assert not lost.value.sent_final_dot
        assert not connection.usable
        assert server.envelopes == []


@pytest.mark.parametrize(
    "script",
    [
        {"CONNECT": b"\r\n220 mx.example ESMTP\r\n"},
        {"CONNECT": b"220-mx.example\r\n no spam here\r\n\r\n220 ESMTP\r\n"},
        {"EHLO": b"250-mx.example\r\nwelcome\r\n250-PIPELINING\r\n\r\n250 SIZE 1000000\r\n"},
        {"EHLO": b"\r\n250-mx.example\r\n250-PIPELINING\r\n250 SIZE 1000000\r\n\r\n"},
        {"EHLO": b"250-mx.example\r\n" + b"250-X%s\r\n" % (b"y" * 3_000) * 20 + b"250 HELP\r\n"},
    ],
)
async def test_a_greeting_with_odd_lines_is_understood(script: Script) -> None:
    async with connected(script) as (connection, server):
        assert (await send(connection)).code == 250
        assert server.messages == [MESSAGE]


async def test_nonsense_for_a_greeting_is_still_nonsense() -> None:
    async with SmtpServer({"CONNECT": b"HTTP/1.1 400 Bad Request\r\n"}) as server:
        with pytest.raises(ConnectFailed) as failed:
            await Connection.open("127.0.0.1", server.port, helo="relay.example", tls=OPPORTUNISTIC)

    assert failed.value.reply is None

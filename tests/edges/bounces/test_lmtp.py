"""LMTP from a mail server in front: a reply a recipient, whom it is believed, and its socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.bounces.smtp import LmtpListener
from shared.net.places import place_of
from shared.words import events
from tests.unit.bounces.parts import COMPLAIN, DOMAIN, RETURN_PATH, UNSUBSCRIBE, Desk, sample

BOUNCE = sample("postfix-user-unknown.eml")


@asynccontextmanager
async def listening(
    desk: Desk, place: tuple[str, int] | Path = ("127.0.0.1", 0), **bounds: int
) -> AsyncIterator[LmtpListener]:
    listener = LmtpListener(desk.bounces, place, DOMAIN, **bounds)
    await listener.open()
    try:
        yield listener
    finally:
        await listener.close()


class Client:
    """What a mail server says, line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def reply(self) -> list[str]:
        lines = [(await self._reader.readline()).decode().rstrip()]
        while lines[-1][3:4] == "-":
            lines.append((await self._reader.readline()).decode().rstrip())
        return lines

    async def say(self, command: str) -> list[str]:
        self._writer.write(command.encode() + b"\r\n")
        return await self.reply()

    async def data(self, raw: bytes, replies: int) -> list[str]:
        assert (await self.say("DATA"))[0].startswith("354")
        self._writer.write(raw.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")
        return [(await self.reply())[0] for _ in range(replies)]

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


@asynccontextmanager
async def connected(where: int | Path) -> AsyncIterator[Client]:
    if isinstance(where, Path):
        client = Client(*await asyncio.open_unix_connection(str(where)))
    else:
        client = Client(*await asyncio.open_connection("127.0.0.1", where))
    assert (await client.reply())[0].startswith("220 ")
    try:
        yield client
    finally:
        await client.close()


async def test_the_final_dot_has_a_reply_for_each_recipient_that_was_taken() -> None:
    desk = Desk()

    async with listening(desk) as listener, connected(listener.port) as client:
        greeted = await client.say("LHLO mx.example")
        await client.say("MAIL FROM:<>")
        taken = [
            (await client.say(f"RCPT TO:<{to}>"))[0] for to in (RETURN_PATH, f"nobody@{DOMAIN}", UNSUBSCRIBE, COMPLAIN)
        ]
        ends = await client.data(BOUNCE, replies=3)
        then = await client.say("NOOP")

    assert {"250-PIPELINING", "250-ENHANCEDSTATUSCODES", "250-8BITMIME"} <= set(greeted)
    assert [one[:9] for one in taken] == ["250 2.1.5", "550 5.1.1", "250 2.1.5", "250 2.1.5"]
    assert [one[:9] for one in ends] == ["250 2.0.0"] * 3
    assert then[0].startswith("250 2.0.0")
    assert [type(fact) for fact in desk.bus.facts].count(events.Bounced) == 1


async def test_while_nothing_can_be_stored_each_recipient_is_put_off() -> None:
    desk = Desk()
    desk.bus.is_away = True

    async with listening(desk) as listener, connected(listener.port) as client:
        await client.say("LHLO mx.example")
        await client.say("MAIL FROM:<>")
        await client.say(f"RCPT TO:<{RETURN_PATH}>")
        await client.say(f"RCPT TO:<postmaster@{DOMAIN}>")
        ends = await client.data(BOUNCE, replies=2)

    assert [one[:9] for one in ends] == ["451 4.3.0"] * 2


async def test_a_mail_that_is_too_large_is_refused_for_each_recipient() -> None:
    desk = Desk()

    async with listening(desk, max_mail_bytes=4_000) as listener, connected(listener.port) as client:
        await client.say("LHLO mx.example")
        await client.say("MAIL FROM:<>")
        await client.say(f"RCPT TO:<{RETURN_PATH}>")
        await client.say(f"RCPT TO:<postmaster@{DOMAIN}>")
        ends = await client.data(BOUNCE + b"x" * 4_000, replies=2)

    assert [one[:9] for one in ends] == ["552 5.3.4"] * 2
    assert desk.bus.facts == []


async def test_without_a_recipient_there_is_no_mail_and_no_reply_is_missing() -> None:
    async with listening(Desk()) as listener, connected(listener.port) as client:
        await client.say("LHLO mx.example")
        await client.say("MAIL FROM:<>")
        refused = await client.say(f"RCPT TO:<nobody@{DOMAIN}>")
        none = await client.say("DATA")
        then = await client.say("QUIT")

    assert refused[0].startswith("550 5.1.1")
    assert none[0].startswith("503 5.5.1")
    assert then[0].startswith("221 2.0.0")


async def test_the_greetings_of_smtp_are_not_lmtps_and_every_reply_has_a_status() -> None:
    async with listening(Desk()) as listener, connected(listener.port) as client:
        replies = [
            (await client.say(command))[0]
            for command in ("HELO x", "EHLO x", "MAIL FROM:<>", "LHLO", "NONSENSE", "LHLO x", "VRFY ana", "RSET")
        ]

    assert [one[:3] for one in replies] == ["500", "500", "503", "501", "500", "250", "252", "250"]
    assert all(one[4] == one[0] and one[5] == "." for one in (*replies[:3], replies[4], *replies[6:]))


async def test_a_mail_server_is_held_off_for_nobodys_guesses() -> None:
    async with listening(Desk()) as listener, connected(listener.port) as client:
        await client.say("LHLO mx.example")
        await client.say("MAIL FROM:<>")
        guesses = {(await client.say(f"RCPT TO:<guess-{n}@{DOMAIN}>"))[0][:9] for n in range(200)}
        fixed = await client.say(f"RCPT TO:<postmaster@{DOMAIN}>")

    assert guesses == {"550 5.1.1"}
    assert fixed[0].startswith("250")


@pytest.mark.parametrize(
    ("said", "peer"),
    [
        ("ADDR=192.0.2.7", "192.0.2.7"),
        ("NAME=mx.example ADDR=IPV6:2001:db8::7 PROTO=ESMTP", "2001:db8::7"),
        ("ADDR=[UNAVAILABLE]", ""),
        ("NAME=mx.example", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
async def test_it_is_believed_when_it_says_who_brought_the_mail(said: str, peer: str) -> None:
    desk = Desk()

    async with listening(desk) as listener, connected(listener.port) as client:
        await client.say("LHLO mx.example")
        await client.say(f"XFORWARD {said}".rstrip())
        for _ in range(2):  # for one mail
            await client.say("MAIL FROM:<ana@example.fr>")
            await client.say(f"RCPT TO:<postmaster@{DOMAIN}>")
            await client.data(b"Subject: Hello\r\n\r\nHello", replies=1)

    assert [received.peer for _, received, _ in desk.drawer.mails] == [peer, "127.0.0.1"]


async def test_it_listens_at_a_socket_and_takes_it_away_again(tmp_path: Path) -> None:
    desk, path = Desk(), tmp_path / "lmtp"

    async with listening(desk, path), connected(path) as client:
        await client.say("LHLO mx.example")
        await client.say("MAIL FROM:<>")
        await client.say(f"RCPT TO:<{RETURN_PATH}>")
        ends = await client.data(BOUNCE, replies=1)
        mode = path.stat().st_mode & 0o777

    assert ends[0].startswith("250")
    assert mode == 0o666
    assert not path.exists()


async def test_the_socket_of_the_dead_is_taken_over_and_that_of_the_living_is_not(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async with listening(Desk(), path):
        with pytest.raises(OSError, match="another process listens there"):
            await LmtpListener(Desk().bounces, path, DOMAIN).open()
        async with connected(path) as client:
            still = await client.say("NOOP")

    assert still[0].startswith("250")


async def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    path.write_text("a file of somebody's")

    with pytest.raises(FileExistsError):
        await LmtpListener(Desk().bounces, path, DOMAIN).open()

    assert path.read_text() == "a file of somebody's"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:24", ("127.0.0.1", 24)),
        ("[::1]:2424", ("::1", 2424)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("unix:/run/estafette/lmtp", Path("/run/estafette/lmtp")),
    ],
)
def test_a_place_is_a_port_or_a_socket(text: str, place: object) -> None:
    assert place_of(text) == place


@pytest.mark.parametrize("text", ["24", ":24", "127.0.0.1", "host:65536", "host:-1", "unix:lmtp", "unix:/" + "x" * 200])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|absolute path"):
        place_of(text)

"""Dialogues that an operator asked for: of as many sessions as he asked for, over all relays, and of nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.relay.delivery.connection import Connection
from services.relay.delivery.overheard import Dialogue
from services.relay.words.reply import ConnectFailed
from services.relay.words.tls import NEVER, OPPORTUNISTIC
from shared.redis import dialogues as dialogues_module
from shared.redis.dialogues import DialogueList, Dialogues, Line, Session
from tests.fakes.smtp_server import EXTENSIONS, Script, SmtpServer

SITE = "mx.partner.example"
NOW_MS = 1_790_000_000_000
PASSWORD = "hunter2-is-a-secret"


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class Relays:
    """Two of them, and the operator."""

    def __init__(self, client: Any) -> None:
        self.clock = Clock()
        self.list = DialogueList(client, self.clock)
        self.first, self.second = Dialogues(client, "r1", self.clock), Dialogues(client, "r2", self.clock)

    async def tend(self) -> None:
        await self.first.tend()
        await self.second.tend()

    async def told(self, request: str) -> list[Line]:
        await self.tend()
        return [line for _, line in await self.list.lines(request, "0-0", 10_000)]

    async def taken(self, of: Dialogues, site: str = SITE) -> Session:
        session = await of.take(site, "mx1.partner.example", "a1")
        assert session is not None
        return session


@pytest.fixture
def relays(client: Any) -> Relays:
    return Relays(client)


@asynccontextmanager
async def greeted(server: SmtpServer, session: Session, **options: Any) -> AsyncIterator[Connection]:
    options = {"tls": NEVER, **options}
    connection = await Connection.open(
        "127.0.0.1", server.port, helo="relay.example", dialogue=Dialogue(session), **options
    )
    try:
        yield connection
    finally:
        await connection.close()


async def test_as_many_sessions_are_told_as_were_asked_for_over_all_relays(relays: Relays) -> None:
    asked = await relays.list.ask(SITE, 3, 60)
    before = await relays.first.take(SITE, "mx1", "a1")

    await relays.tend()
    taken = [await one.take(SITE, "mx1", "a1") for one in (relays.first, relays.second) * 3]

    assert before is None
    assert sum(one is not None for one in taken) == 3
    assert await relays.first.take("elsewhere.example", "mx1", "a1") is None
    for one in taken:
        if one is not None:
            one.note("end", "closed")
    assert sorted((line.session, line.relay) for line in await relays.told(asked.id)) == [
        (1, "r1"), (2, "r2"), (3, "r1"),
    ]  # fmt: skip
    assert await relays.list.taken(asked.id) == 3


async def test_a_session_is_told_as_it_was_without_anybodys_secrets(relays: Relays) -> None:
    asked = await relays.list.ask(SITE, 1, 60)
    await relays.tend()
    script: Script = {"RCPT": ["250 2.1.5 <ana.secret@x.test> ok", "550-5.1.1 no <ben.secret@x.test>\n550 5.1.1 here"]}
    extensions = (*EXTENSIONS, "AUTH PLAIN LOGIN")

    async with SmtpServer(script, extensions=extensions) as server:
        session = await relays.taken(relays.first)
        async with greeted(server, session, login=("ana.secret", PASSWORD)) as connection:
            await connection.send("b-token.secret@bounces.test", "ana.secret@x.test", b"Subject: secret\r\n\r\nsecret")
            await connection.send("b-token.secret@bounces.test", "ben.secret@x.test", b"Subject: secret\r\n\r\nsecret")

    told = await relays.told(asked.id)
    texts = [(line.kind, line.text) for line in told]
    assert texts[0] == ("note", f"connects to 127.0.0.1:{server.port}; TLS: never")
    assert ("received", "220 fake.example ESMTP") in texts
    assert ("sent", "EHLO relay.example") in texts
    (auth,) = [text for kind, text in texts if kind == "sent" and text.startswith("AUTH")]
    assert auth.endswith("***")
    assert ("sent", "MAIL FROM:<***@bounces.test> SIZE=30") in texts
    assert ("sent", "RCPT TO:<***@x.test>") in texts
    assert ("received", "250 2.1.5 <***@x.test> ok") in texts
    assert ("sent", "(the mail: 30 bytes)") in texts
    assert ("received", "550-5.1.1 no <***@x.test>") in texts
    assert texts[-3:] == [("sent", "QUIT"), ("received", "221 2.0.0 bye"), ("end", "closed by the host")]
    everything = "\n".join(text for _, text in texts)
    assert "secret" not in everything
    assert "YW5h" not in everything  # `ana`, as AUTH sends it
    assert {(line.host, line.source) for line in told} == {("mx1.partner.example", "a1")}


async def test_a_password_that_is_asked_for_in_steps_is_hidden_in_each(relays: Relays) -> None:
    asked = await relays.list.ask(SITE, 1, 60)
    await relays.tend()
    dialogue = Dialogue(await relays.taken(relays.first))

    dialogue.sent(b"AUTH LOGIN\r\n")
    dialogue.received(334, [b"VXNlcm5hbWU6"])
    dialogue.sent(b"YW5hLnNlY3JldA==\r\n")
    dialogue.received(334, [b"UGFzc3dvcmQ6"])
    dialogue.sent(b"aHVudGVyMg==\r\n")
    dialogue.received(235, [b"2.7.0 welcome"])
    dialogue.sent(b"MAIL FROM:<x@y.test>\r\n")

    assert [line.text for line in await relays.told(asked.id)] == [
        "AUTH LOGIN", "334 ***", "***", "334 ***", "***", "235 2.7.0 welcome", "MAIL FROM:<***@y.test>",
    ]  # fmt: skip


async def test_what_is_encrypted_is_told_in_clear_with_its_cipher_and_goes_on_in_clear_where_tls_fails(
    relays: Relays,
) -> None:
    asked = await relays.list.ask(SITE, 2, 60)
    await relays.tend()

    async with (
        SmtpServer(encrypted=True) as server,
        greeted(server, await relays.taken(relays.first), tls=OPPORTUNISTIC) as connection,
    ):
        await connection.send("a@b.test", "c@d.test", b"x")
    async with (
        SmtpServer({"STARTTLS": "454 4.7.0 not now"}, encrypted=True) as server,
        greeted(server, await relays.taken(relays.second), tls=OPPORTUNISTIC),
    ):
        pass

    told = await relays.told(asked.id)
    first = [line.text for line in told if line.session == 1]
    assert any(text.startswith("encrypted: TLSv1.") for text in first)
    assert first.count("EHLO relay.example") == 2
    assert "RCPT TO:<***@d.test>" in first
    assert "454 4.7.0 not now" in [line.text for line in told if line.session == 2]


async def test_a_host_that_is_not_to_be_had_ends_the_session_with_the_reason(relays: Relays) -> None:
    asked = await relays.list.ask(SITE, 1, 60)
    await relays.tend()
    session = await relays.taken(relays.first)

    async with SmtpServer({"CONNECT": "554 5.7.1 you are <ana@x.test>, go away"}) as server:
        with pytest.raises(ConnectFailed) as caught:
            async with greeted(server, session):
                pass
        Dialogue(session).ended(str(caught.value))

    told = await relays.told(asked.id)
    assert told[1].text == "554 5.7.1 you are <***@x.test>, go away"
    assert (told[-1].kind, "greeting" in told[-1].text) == ("end", True)


async def test_nothing_more_is_told_when_the_time_is_over_or_the_operator_has_left(relays: Relays) -> None:
    asked = await relays.list.ask(SITE, 5, 60)
    await relays.tend()
    left, late = await relays.taken(relays.first), await relays.taken(relays.second)
    left.note("sent", "NOOP")
    late.note("sent", "NOOP")
    await relays.tend()

    await relays.list.end(SITE, asked)
    await relays.first.tend()
    relays.clock.now_ms += 60_001
    await relays.second.tend()
    left.note("received", "250 ok")
    late.note("received", "250 ok")

    assert [line.text for line in await relays.told(asked.id)] == ["NOOP", "NOOP"]
    assert await relays.first.take(SITE, "mx1", "a1") is None
    assert await relays.list.all() == {}


async def test_a_later_request_for_a_site_takes_the_place_of_the_earlier_and_is_not_ended_with_it(
    relays: Relays,
) -> None:
    earlier = await relays.list.ask(SITE, 5, 60)
    later = await relays.list.ask(SITE, 5, 60)

    await relays.list.end(SITE, earlier)

    assert await relays.list.all() == {SITE: later}


async def test_what_a_session_and_a_process_may_tell_has_an_end(
    relays: Relays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogues_module, "SESSION_LINES", 10)
    monkeypatch.setattr(dialogues_module, "GATHERED", 15)
    asked = await relays.list.ask(SITE, 5, 60)
    await relays.tend()
    first, second = await relays.taken(relays.first), await relays.taken(relays.first)

    for number in range(30):
        first.note("sent", f"NOOP {number}")
    for number in range(30):
        second.note("sent", f"NOOP {number}")

    told = await relays.told(asked.id)
    of_first = [line for line in told if line.session == 1]
    assert len(told) == 15
    assert (len(of_first), of_first[-1].kind) == (10, "end")


async def test_a_redis_that_does_not_answer_keeps_no_connection_from_being_opened(relays: Relays, client: Any) -> None:
    from shared.redis import redis

    await relays.list.ask(SITE, 1, 60)
    await relays.tend()
    nobody = redis.connect("redis://127.0.0.1:1/0")
    away = Dialogues(nobody, "r3", relays.clock)
    away.asked = dict(relays.first.asked)

    assert await asyncio.wait_for(away.take(SITE, "mx1", "a1"), 30) is None
    await redis.close(nobody)

"""The SMTP door over real sockets, before an API that answers as told: who is let in, and what is said to a mail."""

import asyncio
import smtplib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from services.submission.smtp import MAX_ERRORS, Listener
from services.submission.submission import SLOWED_S, Submission
from shared.net import server_certificate
from shared.net.smtp_in import Bounds
from shared.words.errors import StorageAway
from shared.words.principal import Principal

KEY, READER, BOUND, OVER = (f"est_{letter * 10}_{letter * 32}" for letter in "abcd")
SEND = frozenset(("send",))
PRINCIPALS = {
    KEY: Principal("acme", SEND),
    READER: Principal("acme", frozenset(("read",))),
    BOUND: Principal("acme", SEND, networks=(ip_network("127.0.0.0/8"),)),
    OVER: Principal("acme", frozenset(), is_over=True),
}
MAIL = b"From: news@exemple.fr\r\nSubject: a\r\n\r\n.dots\r\n..more\r\n"
TLS = server_certificate.self_made("localhost").context
LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
Talk = Callable[[smtplib.SMTP], Any]


class Here:
    """Keys, an API, and a clock."""

    def __init__(self, status: int = 202, body: bytes = b'{"id": "job1"}') -> None:
        self.answer: tuple[int, bytes] | None = (status, body)
        self.is_away = False
        self.sent: list[tuple[str, bytes, list[str]]] = []
        self.slept: list[float] = []
        self.dsn: list[Any] = []

    async def verify(self, text: str) -> Principal | None:
        if self.is_away:
            raise StorageAway
        return PRINCIPALS.get(text)

    async def send(self, key: str, body: bytes) -> tuple[int, bytes] | None:
        asked = msgspec.json.decode(body, type=dict[str, Any])
        self.dsn.append(asked.get("dsn"))
        self.sent.append((key, msgspec.convert(asked["mail"], bytes), asked["recipients"]))
        return self.answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@asynccontextmanager
async def listening(here: Here, *, implicit: bool = False, plain: bool = False, **more: Any) -> AsyncIterator[Listener]:
    bounds = Bounds(100_000, 20, 20, 60.0)
    listener = Listener(
        Submission(here, here, here.sleep), "127.0.0.1", 0, hostname="localhost", bounds=bounds, tls=lambda: TLS,
        implicit=implicit, plain_on_loopback=plain, **more,
    )  # fmt: skip
    await listener.open()
    try:
        yield listener
    finally:
        await listener.close()


def anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def talked(here: Here, talk: Talk, *, tls: str = "starttls", **more: Any) -> Any:
    """What came of a session, as the standard library's client has it."""

    def session(port: int) -> Any:
        client = smtplib.SMTP_SSL("127.0.0.1", port, context=anybody()) if tls == "implicit" else None
        with client or smtplib.SMTP("127.0.0.1", port) as one:
            if tls == "starttls":
                one.starttls(context=anybody())
            one.ehlo()
            with suppress(smtplib.SMTPServerDisconnected):
                return talk(one)

    async with listening(here, implicit=tls == "implicit", plain=tls == "plain", **more) as listener:
        return await asyncio.to_thread(session, listener.port)


def brought(*recipients: str, mail: bytes = MAIL) -> Callable[[smtplib.SMTP], tuple[int, bytes]]:
    def talk(client: smtplib.SMTP) -> tuple[int, bytes]:
        client.login("acme", KEY)
        client.mail("app@exemple.fr")
        for one in recipients or ("ana@exemple.fr",):
            client.rcpt(one)
        return client.data(mail)

    return talk


def told(*commands: str) -> Callable[[smtplib.SMTP], list[str]]:
    def talk(client: smtplib.SMTP) -> list[str]:
        return [f"{code} {text.decode()}" for code, text in (client.docmd(one) for one in commands)]

    return talk


@pytest.mark.parametrize("tls", ["starttls", "implicit", "plain"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_mail_is_handed_over_as_it_came_and_named_in_the_reply(loop: Any, tls: str) -> None:
    here = Here()

    with asyncio.Runner(loop_factory=loop) as runner:
        reply = runner.run(talked(here, brought("ana@exemple.fr", "Bo@Exemple.fr", "ana@exemple.fr"), tls=tls))

    assert reply == (250, b"2.0.0 OK, job job1")
    assert here.sent == [(KEY, MAIL, ["ana@exemple.fr", "Bo@Exemple.fr"])]


async def test_what_is_offered_is_said() -> None:
    def offers(client: smtplib.SMTP) -> dict[str, str]:
        return {name: value.strip() for name, value in client.esmtp_features.items()}

    clear = await talked(Here(), offers, tls="none")
    under_tls = await talked(Here(), offers)

    both = {
        "size": "100000",
        "8bitmime": "",
        "smtputf8": "",
        "pipelining": "",
        "enhancedstatuscodes": "",
        "help": "",
        "dsn": "",
    }
    assert clear == {**both, "starttls": ""}
    assert under_tls == {**both, "auth": "PLAIN LOGIN"}


async def test_no_key_is_taken_in_clear() -> None:
    credentials = b64encode(f"\0acme\0{KEY}".encode()).decode()

    assert await talked(Here(), told(f"AUTH PLAIN {credentials}", "MAIL FROM:<a@b.fr>"), tls="none") == [
        "538 5.7.11 Encryption required for requested authentication mechanism",
        "530 5.7.0 Must issue a STARTTLS command first",
    ]


async def test_a_key_that_was_shown_in_clear_is_shown_again_under_tls() -> None:
    def talk(client: smtplib.SMTP) -> int:
        client.login("acme", KEY)
        client.starttls(context=anybody())
        client.ehlo()
        return client.mail("a@b.fr")[0]

    assert await talked(Here(), talk, tls="plain") == 530


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [True, False])
async def test_both_mechanisms_begin_with_the_command_or_behind_it(mechanism: str, *, initial: bool) -> None:
    def talk(client: smtplib.SMTP) -> int:
        method = client.auth_plain if mechanism == "PLAIN" else client.auth_login
        client.user, client.password = "acme", KEY
        return client.auth(mechanism, method, initial_response_ok=initial)[0]

    assert await talked(Here(), talk) == 235


@pytest.mark.parametrize(
    ("user", "password", "reply"),
    [
        ("acme", "est_aaaaaaaaaa_wrong", "535 5.7.8 Not a tenant and a key of theirs"),
        ("other", KEY, "535 5.7.8 Not a tenant and a key of theirs"),
        ("acme", READER, "535 5.7.8 The key lacks the scope send"),
        ("acme", BOUND, "535 5.7.8 The key is bound to networks, and so is for the API alone"),
        ("acme", OVER, "535 5.7.8 The time of the key is over"),
    ],
)
async def test_a_wrong_key_is_refused(user: str, password: str, reply: str) -> None:
    credentials = b64encode(f"\0{user}\0{password}".encode()).decode()

    assert await talked(Here(), told(f"AUTH PLAIN {credentials}", "MAIL FROM:<a@b.fr>")) == [
        reply,
        "530 5.7.0 Authentication required",
    ]


async def test_wrong_keys_cost_more_time_each_and_the_session_in_the_end() -> None:
    here = Here()
    wrong = f"AUTH PLAIN {b64encode(b'.acme.x'.replace(b'.', bytes(1))).decode()}"

    await talked(here, told(wrong, wrong, wrong, "NOOP", "NOOP"))

    assert here.slept == [SLOWED_S, 2 * SLOWED_S, 4 * SLOWED_S]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (["AUTH"], "504"),
        (["AUTH CRAM-MD5"], "504"),
        (["AUTH PLAIN ?"], "501"),
        (["AUTH PLAIN /w=="], "501"),
        (["AUTH PLAIN YQ=="], "501"),
        (["AUTH LOGIN", "*"], "501"),
        (["AUTH PLAIN", "="], "501"),
    ],
)
async def test_what_is_no_login_is_refused_and_the_session_goes_on(said: list[str], code: str) -> None:
    replies = await talked(Here(), told(*said, "NOOP"))

    assert replies[-2].startswith(code)
    assert replies[-1] == "250 2.0.0 OK"


async def test_where_keys_cannot_be_looked_up_the_client_comes_again() -> None:
    here = Here()
    here.is_away = True
    credentials = b64encode(f"\0acme\0{KEY}".encode()).decode()

    [reply] = await talked(here, told(f"AUTH PLAIN {credentials}"))

    assert reply.startswith("454 4.7.0 ")


@pytest.mark.parametrize(
    ("status", "body", "reply"),
    [
        (500, b"oops", (451, b"4.3.0 Cannot store this now, please try again later")),
        (202, b"oops", (451, b"4.3.0 Cannot store this now, please try again later")),
        (503, b'{"detail": "away"}', (451, b"4.3.0 Cannot store this now, please try again later")),
        (429, b'{"detail": "the quota"}', (452, b"4.3.1 the quota")),
        (401, b'{"detail": "revoked"}', (550, b"5.7.8 revoked")),
        (413, b'{"detail": "large"}', (552, b"5.3.4 large")),
        (
            422,
            '{"detail": "two", "faults": [{"at": "From", "what": "é\\r\\n250"}, {"at": "To", "what": "b"}]}'.encode(),
            (550, b"5.6.0 two\n5.6.0 From: ???250\n5.6.0 To: b"),
        ),
        (
            403,
            b'{"type": "urn:estafette:problem:unknown_sending_domain", "detail": "x.fr", "faults": []}',
            (550, b"5.7.1 x.fr"),
        ),
    ],
)
async def test_what_the_api_says_is_said_to_the_client(status: int, body: bytes, reply: tuple[int, bytes]) -> None:
    assert await talked(Here(status, body), brought()) == reply


async def test_an_api_that_does_not_answer_is_no_250() -> None:
    here = Here()
    here.answer = None

    assert (await talked(here, brought()))[0] == 451


@pytest.mark.parametrize(
    "mail", [b"a: b\r\n\r\nx\ny\r\n", b"a: b\r\n\r\nx\ry\r\n", b"a: b\r\n\r\n\n.\r\nMAIL FROM:<>\r\n"]
)
async def test_a_mail_with_other_line_ends_is_refused(mail: bytes) -> None:
    here = Here()

    def talk(client: smtplib.SMTP) -> tuple[int, bytes]:
        brought()(client)
        here.sent.clear()
        client.docmd("MAIL FROM:<a@b.fr>")
        client.docmd("RCPT TO:<a@b.fr>")
        client.docmd("DATA")
        client.send(mail + b".\r\n")
        return client.getreply()

    assert await talked(here, talk) == (550, b"5.6.0 The mail has a CR or an LF alone")
    assert here.sent == []


async def test_limits_and_wrong_envelopes_are_told() -> None:
    def talk(client: smtplib.SMTP) -> list[str]:
        client.login("acme", KEY)
        return told(
            "MAIL FROM:<a@b.fr> SIZE=100001",
            "MAIL FROM:<a@b.fr> RET=ALL",
            "MAIL FROM:<a@b.fr> MT-PRIORITY=3",
            "MAIL FROM:<a@b.fr> SIZE=10 BODY=8BITMIME AUTH=<>",
            "RCPT TO:<nobody>",
            "RCPT TO:<a@b.fr>",
            "RCPT TO:<b@b.fr>",
            "RCPT TO:<c@b.fr>",
        )(client)

    client_codes = [reply[:9] for reply in await talked(Here(), talk, max_recipients=2)]

    assert [code.strip() for code in client_codes] == [
        "552 5.3.4", "501 5.5.4", "501 5.5.4", "250 2.1.0", "553 5.1.3", "250 2.1.5", "250 2.1.5", "452 4.5.3",
    ]  # fmt: skip


async def test_reports_are_asked_for_in_the_words_of_the_api() -> None:
    here = Here()
    long = f"ORCPT=rfc822;{'x' * 480}@b.fr"

    def talk(client: smtplib.SMTP) -> list[str]:
        client.login("acme", KEY)
        replies = told(
            "MAIL FROM:<app@b.fr> RET=FULL ENVID=order+2B1 SIZE=10",
            f"RCPT TO:<a@b.fr> NOTIFY=FAILURE,DELAY {long}",
            "RCPT TO:<b@b.fr> NOTIFY=SOMETIMES",
            "RCPT TO:<b@b.fr> NOTIFY=NEVER",
            "RCPT TO:<c@b.fr> NOTIFY=SUCCESS,NEW=1",
            "RCPT TO:<c@b.fr> COLOUR=BLUE",
            "RCPT TO:<c@b.fr>",
        )(client)
        client.data(MAIL)
        client.sendmail("<>", ["a@b.fr"], MAIL, rcpt_options=["NOTIFY=FAILURE"])
        client.sendmail("app@b.fr", ["a@b.fr"], MAIL)
        return replies

    codes = [reply[:9] for reply in await talked(here, talk)]

    assert codes == [
        "250 2.1.0", "250 2.1.5", "501 5.5.4", "250 2.1.5", "501 5.5.4", "555 5.5.4", "250 2.1.5",
    ]  # fmt: skip
    assert here.dsn == [
        {
            "sender": "app@b.fr",
            "content": "full",
            "envelope_id": "order+1",
            "recipients": [
                {"notify": ["failure"], "original_recipient": long.partition("=")[2]},
                {"notify": [], "original_recipient": ""},
                {"notify": [], "original_recipient": ""},
            ],
        },
        None,
        None,
    ]


async def test_a_session_of_helo_knows_no_reports() -> None:
    def talk(client: smtplib.SMTP) -> list[str]:
        client.login("acme", KEY)
        return told("HELO x", "MAIL FROM:<a@b.fr> RET=FULL")(client)

    assert (await talked(Here(), talk))[1].startswith("501")


async def test_who_talks_garbage_is_hung_up_on() -> None:
    def talk(client: smtplib.SMTP) -> int:
        replies = 0
        with suppress(smtplib.SMTPServerDisconnected, ConnectionError):
            for _ in range(MAX_ERRORS + 5):
                client.docmd("HOHO")
                replies += 1
        return replies

    assert await talked(Here(), talk) <= MAX_ERRORS + 2


garbage = st.lists(
    st.binary(max_size=40)
    | st.sampled_from(
        [
            b"MAIL FROM:<a@b.fr> RET=FULL ENVID=+0\r\n", b"RCPT TO:<a@b.fr> NOTIFY=FAILURE ORCPT=x;y\r\n",
            b"EHLO x\r\n", b"STARTTLS\r\n", b"AUTH PLAIN\r\n", b"AUTH LOGIN YQ==\r\n", b"MAIL FROM:<a@b.fr>\r\n",
            b"RCPT TO:<a@b.fr>\r\n", b"DATA\r\n", b".\r\n", b"\r\n", b"RSET\r\n", b"BDAT 3\r\nabc",
            b"\x16\x03\x01\x02\x00",
            b"A" * 3000 + b"\r\n", b"HELO\r\n", b"=\r\n", b"*\r\n", b"VRFY a\r\n", b"HELP AUTH\r\n",
            b"AUTH PLAIN " + b64encode(f"\0acme\0{KEY}".encode()) + b"\r\n",
        ]
    ),
    max_size=12,
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.lists(garbage, min_size=1, max_size=3), st.booleans())
def test_whatever_clients_say_others_are_served(sessions: list[list[bytes]], implicit: bool) -> None:
    here = Here()

    async def attack(port: int, said: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            writer.write(b"".join(said))
            writer.write_eof()
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def served() -> tuple[int, bytes]:
        async with listening(here, implicit=implicit, plain=True) as listener:
            await asyncio.gather(*(attack(listener.port, said) for said in sessions))

            def session() -> tuple[int, bytes]:
                kind = smtplib.SMTP_SSL("127.0.0.1", listener.port, context=anybody()) if implicit else None
                with kind or smtplib.SMTP("127.0.0.1", listener.port) as client:
                    return brought()(client)

            return await asyncio.to_thread(session)

    assert asyncio.run(served())[0] == 250

"""Our connection to hosts of three makes, with and without what they may offer: what they say, and what arrives."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from services.relay.delivery.connection import Connection
from services.relay.message.outcome import (
    Bounce,
    Defer,
    Deliver,
    outcome,
)
from services.relay.words.tls import OPPORTUNISTIC
from tests.peers import makes, receivers
from tests.peers.receivers import CROWD, MAILS_PER_CONNECTION, MAKES, SIZE_LIMIT_BYTES, VARIANTS, Receiver

SENDER = "b-0@bounces.test"
PATIENCE_SECONDS = 30.0
#: What the makes offer in their variant `whole`.
OFFERS_SMTPUTF8 = {"postfix": True, "exim": True, "opensmtpd": False}


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, Receiver]]:
    with makes.running() as running:
        yield running


@asynccontextmanager
async def connected(host: Receiver, variant: str = "whole") -> AsyncIterator[Connection]:
    connection = await opened(host, variant)
    try:
        yield connection
    finally:
        await connection.close()


async def opened(host: Receiver, variant: str = "whole") -> Connection:
    return await Connection.open(
        receivers.host(host.make, variant),
        host.port,
        address=receivers.address(host.make, variant),
        helo="relay.exemple.test",
        tls=OPPORTUNISTIC,
    )


def to(host: Receiver, user: str, variant: str = "whole") -> str:
    return f"{user}@{receivers.domain(host.make, variant)}"


def a_mail(subject: str, body: bytes = b"Bonjour\r\n") -> bytes:
    fields = (
        "From: Chouette <news@exemple.fr>",
        f"Subject: {subject}",
        "Date: Sun, 22 Nov 2026 01:00:00 +0000",
        f"Message-ID: <{subject}@exemple.fr>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    )
    return "".join(f"{field}\r\n" for field in fields).encode() + b"\r\n" + body


async def arrived(host: Receiver, address: str, subjects: set[str]) -> list[bytes]:
    """The mails of this address, once those with these subjects are among them."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not subjects <= set(subjects_of(mails := host.mails(address))):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"{len(mails)} mails for {address}\n{host.log()[-4000:]}")
        await asyncio.sleep(0.05)
    return mails


def subjects_of(mails: list[bytes]) -> list[str]:
    return [found[1].decode() for mail in mails if (found := re.search(rb"^Subject: (.*)$", mail, re.M))]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("make", MAKES)
async def test_a_mail_arrives_as_it_was_sent_encrypted_where_that_is_offered(
    hosts: dict[str, Receiver], make: str, variant: str
) -> None:
    host, mail = hosts[make], a_mail("first")

    async with connected(host, variant) as connection:
        answer = await connection.send(SENDER, to(host, "ana", variant), mail)
        again = await connection.send(SENDER, to(host, "ben", variant), mail)
    stored, *more = await arrived(host, to(host, "ana", variant), {"first"})

    encrypted = variant != "clear" and host.encrypts()
    assert (outcome(answer), outcome(again)) == (Deliver(), Deliver())
    assert connection.tls == ("TLSv1.3" if encrypted else None)
    assert stored.endswith(mail.replace(b"\r\n", b"\n"))
    # RFC 3848: the host notes how it came.
    assert bool(re.search(rb"\bwith \w*smtps\b", stored, re.I)) == encrypted
    assert more == []


BODIES = {
    "dots": b".\r\n..\r\n...\r\n.a\r\n\r\n.\r\nend\r\n",
    "bits": bytes(range(128, 256)) + "\r\nété à Besançon €\r\n".encode(),
    # 998 octets and CRLF are the most that a line may have (RFC 5321 section 4.5.3.1.6).
    "lines": b"".join(b"%03d" % number + b"x" * 995 + b"\r\n" for number in range(40)),
    "dotted": (b"." * 998 + b"\r\n") * 5,
    "blanks": b"  \t \r\n\r\n\r\n trailing   \r\n\r\n\r\n",
    "froms": b"From here\r\n>From there\r\n",
    "nothing": b"",
    "controls": b"a\x01b\x02\x0b\x0c\x1b\x7f\r\n",
    "large": b"0123456789" * 9 + b"\r\n" + b"0123456789abcdef\r\n" * 10_000,
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("make", MAKES)
async def test_every_byte_arrives(hosts: dict[str, Receiver], make: str, body: str) -> None:
    host, mail = hosts[make], a_mail(f"bytes-{body}", BODIES[body])

    async with connected(host) as connection:
        answer = await connection.send(SENDER, to(host, "cleo"), mail)
    mails = await arrived(host, to(host, "cleo"), {f"bytes-{body}"})

    assert outcome(answer) == Deliver(), answer.line
    stored = next(mail for mail in mails if subjects_of([mail]) == [f"bytes-{body}"])
    assert stored.endswith(mail.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize("make", MAKES)
async def test_a_line_end_that_is_half_of_one_ends_no_mail(hosts: dict[str, Receiver], make: str) -> None:
    """SMTP smuggling: whatever the host takes for the end of a mail, we send only ours."""
    host, mail = hosts[make], a_mail("smuggled", b"a\n.\nMAIL FROM:<b@c.test>\r.\rb\r\n.\nc\n.\r\nd\r\n")

    async with connected(host) as connection:
        answers = [await connection.send(SENDER, to(host, "dora"), each) for each in (mail, a_mail("after"))]
    mails = sorted(await arrived(host, to(host, "dora"), {"smuggled", "after"}), key=len)

    assert [outcome(answer) for answer in answers] == [Deliver(), Deliver()]
    assert [subjects_of([mail]) for mail in mails] == [["after"], ["smuggled"]]
    assert mails[1].endswith(b"\n\na\n.\nMAIL FROM:<b@c.test>\n.\nb\n.\nc\n.\nd\n")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("make", MAKES)
async def test_letters_beyond_ascii_are_taken_or_refused_in_clear_words(
    hosts: dict[str, Receiver], make: str, variant: str
) -> None:
    host = hosts[make]
    offered = OFFERS_SMTPUTF8[make] and variant != "bare"

    async with connected(host, variant) as connection:
        answer = await connection.send(SENDER, to(host, "zoë", variant), a_mail("utf8"))
        next_one = await connection.send(SENDER, to(host, "ben", variant), a_mail("ascii"))

    assert outcome(next_one) == Deliver()
    if offered:
        assert outcome(answer) == Deliver()
        assert len(await arrived(host, to(host, "zoë", variant), {"utf8"})) == 1
    else:
        assert answer.line == "553 5.6.7 The host does not take addresses with letters beyond ASCII"
        assert isinstance(outcome(answer), Bounce)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("make", MAKES)
async def test_who_is_unknown_bounces_and_the_next_one_is_served_over_the_same_connection(
    hosts: dict[str, Receiver], make: str, variant: str
) -> None:
    host, users = hosts[make], ("unknown-1", "emil", "unknown-2", "unknown-3", "emil")

    async with connected(host, variant) as connection:
        answers = [
            await connection.send(SENDER, to(host, user, variant), a_mail(f"known-{number}"))
            for number, user in enumerate(users)
        ]
    mails = await arrived(host, to(host, "emil", variant), {"known-1", "known-4"})

    unknown = Bounce("hard", "unknown_user")
    assert [outcome(answer) for answer in answers] == [unknown, Deliver(), unknown, unknown, Deliver()]
    assert [answers[0].stage, answers[0].code] == ["rcpt", 550]
    assert len(mails) == 2


@pytest.mark.parametrize("make", MAKES)
async def test_what_is_larger_than_announced_is_not_even_begun(hosts: dict[str, Receiver], make: str) -> None:
    host, mail = hosts[make], a_mail("huge", b"0123456789abcdef\r\n" * (SIZE_LIMIT_BYTES // 18))

    async with connected(host) as connection:
        answer = await connection.send(SENDER, to(host, "fay"), mail)
        after = await connection.send(SENDER, to(host, "fay"), a_mail("small"))

    assert (answer.code, answer.enhanced, answer.stage) == (552, "5.3.4", "mail")
    assert f"limit of {SIZE_LIMIT_BYTES}" in answer.text
    assert outcome(after) == Deliver()
    assert subjects_of(await arrived(host, to(host, "fay"), {"small"})) == ["small"]


@pytest.mark.parametrize("make", ["postfix", "exim"])
async def test_who_is_greylisted_comes_again_and_is_taken(hosts: dict[str, Receiver], make: str) -> None:
    host = hosts[make]

    async with connected(host) as connection:
        first = await connection.send(SENDER, to(host, "grey-1"), a_mail("grey"))
        between = await connection.send(SENDER, to(host, "gus"), a_mail("white"))
        second = await connection.send(SENDER, to(host, "grey-1"), a_mail("grey"))

    assert outcome(first) == Defer("greylisted", retry_after_s=1)
    assert (outcome(between), outcome(second)) == (Deliver(), Deliver())
    assert subjects_of(await arrived(host, to(host, "grey-1"), {"grey"})) == ["grey"]


@pytest.mark.parametrize(
    ("make", "variant", "enough"),
    [
        ("postfix", "whole", "421 4.7.0"),
        ("postfix", "bare", "421 4.7.0"),
        ("exim", "whole", "421 "),
        ("exim", "bare", "421 "),
        ("opensmtpd", "whole", "452 4.5.3"),
    ],
)
async def test_many_mails_go_over_one_connection_and_over_a_new_one_when_the_host_has_enough(
    hosts: dict[str, Receiver], make: str, variant: str, enough: str
) -> None:
    host, waiting = hosts[make], [f"crowd-{number}" for number in range(CROWD)]
    taken: list[int] = []
    refusals: list[str] = []

    while waiting:
        connection = await opened(host, variant)
        count = 0
        while waiting and connection.usable:
            answer = await connection.send(SENDER, to(host, "hana", variant), a_mail(waiting[0]))
            if outcome(answer) != Deliver():
                refusals.append(answer.line)
                break
            waiting.pop(0)
            count += 1
        await connection.close()
        taken.append(count)
        assert count > 0, refusals
    mails = await arrived(host, to(host, "hana", variant), {f"crowd-{number}" for number in range(CROWD)})

    assert taken == [*[MAILS_PER_CONNECTION] * 4, CROWD - 4 * MAILS_PER_CONNECTION]
    assert [refusal[: len(enough)] for refusal in refusals] == [enough] * 4
    assert set(Counter(subjects_of(mails)).values()) == {1}

"""Scripted dialogues: real hosts on sockets that follow a script, and what becomes of the message.

Each row is one conversation of the courier with a host (two, where there is a next one), heard with the shipped
shaping: what was said at which stage, and the end: `delivered`, `deferred reason`, `bounced kind reason`, or `in line`.
"""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.relay.delivery.connection import Connection
from services.relay.delivery.courier import ASKS_NEXT_FROM, Courier, Parcel
from services.relay.delivery.dial import Timeouts
from services.relay.message.outcome import (
    Bounce,
    Defer,
    Deliver,
    outcome,
)
from services.relay.traffic import shaping
from services.relay.traffic.egress import Source
from services.relay.traffic.hosts import Hosts
from services.relay.traffic.shaping import Rule, Shaping
from services.relay.words.hop import Hop
from services.relay.words.notnow import NotNow
from services.relay.words.reply import Reply
from services.relay.words.tls import (
    NEVER,
    OPPORTUNISTIC,
    REQUIRED,
    TlsPolicy,
)
from tests.fakes.passage import FreePassage
from tests.fakes.smtp_server import CLOSE, EXTENSIONS, RESET, Script, SmtpServer, Step
from tests.servers import free_port

SITE = "mx.example.net"
SHAPING = Shaping.parse(Path(shaping.__file__).with_name("shaping.toml").read_text("utf-8"))
STEPWISE = tuple(word for word in EXTENSIONS if word != "PIPELINING")
NO_UTF8 = tuple(word for word in EXTENSIONS if word != "SMTPUTF8")
GREETS = "250-fake.example greets you\n250-PIPELINING\n250 STARTTLS"
IN_CLEAR = "250-fake.example greets you\n250 PIPELINING"
DEAD = "nobody listens"


class ShapedPassage(FreePassage):
    def heard(self, source: str, reply: Reply) -> Rule | None:  # type: ignore[override]
        self.replies.append(reply)
        return SHAPING.rule_of(SITE, reply)


class World:
    """Hosts in the order of their preference, and one worker."""

    def __init__(self, servers: Sequence[SmtpServer | None], tls: TlsPolicy) -> None:
        self.servers = servers
        self._hops = [
            Hop(f"mx{number}.example.net", server.port if server else free_port(), "127.0.0.1", tls)
            for number, server in enumerate(servers)
        ]
        self.passage = ShapedPassage()
        self.courier = Courier(self, self.passage, self._open, Hosts(time.monotonic))

    async def hops(self, _domain: str) -> Sequence[Hop]:
        return self._hops

    async def _open(self, hop: Hop, _source: Source) -> Connection:
        return await Connection.open(
            hop.host, hop.port, address=hop.address, helo="relay.example", tls=hop.tls, timeouts=Timeouts(quit=1)
        )

    async def send(self, rcpt_to: str = "ana@example.net", attempt: int = 1) -> str:
        parcel = Parcel("example.net", "b-1@bounces.example", rcpt_to, b"Subject: x\r\n\r\nx\r\n", attempt=attempt)
        result: Any = await self.courier.deliver(parcel, _go)
        if isinstance(result, NotNow):
            return "in line"
        match outcome(result.answer, result.rule):
            case Deliver():
                return "delivered"
            case Defer(reason=reason):
                return f"deferred {reason}"
            case Bounce(kind=kind, reason=reason):
                return f"bounced {kind} {reason}"


async def _go(_source: str) -> None:
    """Nothing is withheld."""


@dataclass
class Dialogue:
    """`scripts` by host; `sends` are recipients, one after the other."""

    scripts: Sequence[Script | str]
    encrypted: bool = False
    tls: TlsPolicy = NEVER
    attempt: int = 1
    extensions: Sequence[str] = EXTENSIONS
    sends: Sequence[str] = ("ana@example.net",)

    async def ends(self) -> tuple[list[str], World]:
        async with AsyncExitStack() as stack:
            servers = [
                None
                if isinstance(script, str)
                else await stack.enter_async_context(
                    SmtpServer(script, encrypted=self.encrypted, extensions=self.extensions)
                )
                for script in self.scripts
            ]
            world = World(servers, self.tls)
            stack.push_async_callback(world.courier.close)
            return [await world.send(to, self.attempt) for to in self.sends], world


async def end_of(*scripts: Script | str, **options: Any) -> str:
    ends, _ = await Dialogue(scripts, **options).ends()
    return ends[-1]


# 421, 4xx, 5xx at every stage

CODES = (421, 450, 451, 452, 471, 521, 541, 550, 554, 571)


@pytest.mark.parametrize("extensions", [EXTENSIONS, STEPWISE], ids=["pipelined", "step by step"])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
async def test_a_refusal_for_now_is_deferred_and_one_for_good_of_the_message_ends_it(
    stage: str, code: int, extensions: Sequence[str]
) -> None:
    end = await end_of({stage: f"{code} odd words"}, extensions=extensions)

    about_the_message = stage not in ("CONNECT", "EHLO")
    assert end.partition(" ")[0] == ("bounced" if code >= 500 and about_the_message else "deferred")


@pytest.mark.parametrize("act", [CLOSE, RESET], ids=["closed", "reset"])
@pytest.mark.parametrize(
    ("stage", "end"),
    [
        ("CONNECT", "deferred connection_failed"),
        ("EHLO", "deferred connection_failed"),
        ("MAIL", "deferred connection_lost"),
        ("RCPT", "deferred connection_lost"),
        ("DATA", "deferred connection_lost"),
        ("DOT", "deferred unknown_end"),
    ],
)
async def test_a_host_that_closes_in_the_midst_defers_and_says_whether_it_may_have_the_mail(
    stage: str, end: str, act: Step
) -> None:
    assert await end_of({stage: act}) == end


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("step", ["421 closing", ("421 closing", CLOSE), CLOSE, RESET], ids=str)
async def test_a_host_that_ends_the_conversation_before_the_mail_is_out_makes_room_for_the_next(
    stage: str, step: Step
) -> None:
    ends, world = await Dialogue([{stage: step}, {}]).ends()

    assert ends == ["delivered"]
    assert world.servers[1] is not None
    assert len(world.servers[1].envelopes) == 1


async def test_where_nobody_listens_the_next_host_is_asked_and_without_one_the_message_waits() -> None:
    assert await end_of(DEAD, {}) == "delivered"
    assert await end_of(DEAD) == "deferred connection_failed"
    assert await end_of(DEAD, DEAD) == "deferred connection_failed"


# STARTTLS, and what follows it

EHLO_AFTER_TLS: dict[str, list[Step]] = {
    "503": [GREETS, "503 5.5.1 bad sequence of commands", IN_CLEAR],
    "503 twice": [GREETS, "503 what", IN_CLEAR],
    "550": [GREETS, "550 5.7.1 no", IN_CLEAR],
    "554": [GREETS, "554 5.7.0 no SMTP over TLS here", IN_CLEAR],
    "451": [GREETS, "451 4.3.0 local error", IN_CLEAR],
    "530": [GREETS, "530 must not", IN_CLEAR],
    "closed": [GREETS, CLOSE, IN_CLEAR],
    "reset": [GREETS, RESET, IN_CLEAR],
}


@pytest.mark.parametrize("ehlo", EHLO_AFTER_TLS.values(), ids=EHLO_AFTER_TLS)
async def test_ehlo_that_is_refused_after_tls_costs_the_encryption_that_nobody_asked_for_and_not_the_mail(
    ehlo: list[Step],
) -> None:
    assert await end_of({"EHLO": [*ehlo]}, encrypted=True, tls=OPPORTUNISTIC) == "delivered"
    required = await end_of({"EHLO": [*ehlo]}, encrypted=True, tls=REQUIRED)
    assert required.partition(" ")[0] == "deferred"


async def test_helo_is_said_over_tls_too_where_ehlo_is_not_understood() -> None:
    script: Script = {"EHLO": [GREETS, "502 not implemented"]}

    ends, world = await Dialogue([script], encrypted=True, tls=OPPORTUNISTIC).ends()

    assert ends == ["delivered"]
    assert world.servers[0] is not None
    assert (world.servers[0].connections, world.servers[0].encryptions) == (1, 1)


async def test_421_after_tls_is_a_host_that_has_no_time() -> None:
    ends, world = await Dialogue([{"EHLO": [GREETS, "421 later"]}], encrypted=True, tls=OPPORTUNISTIC).ends()

    assert ends[0].partition(" ")[0] == "deferred"
    assert world.servers[0] is not None
    assert world.servers[0].connections == 1


@pytest.mark.parametrize(
    "answer", ["454 4.7.0 not now", "501 no", "502 no", "503 no", "554 5.7.0 no", "500 what", CLOSE, RESET], ids=str
)
async def test_starttls_that_is_refused_costs_the_encryption_and_not_the_mail(answer: Step) -> None:
    assert await end_of({"STARTTLS": answer, "EHLO": GREETS}, tls=OPPORTUNISTIC) == "delivered"
    assert (await end_of({"STARTTLS": answer, "EHLO": GREETS}, tls=REQUIRED)).startswith("deferred ")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_what_is_said_after_tls_is_heard_as_in_clear(stage: str, code: int) -> None:
    end = await end_of({stage: f"{code} odd words"}, encrypted=True, tls=REQUIRED)

    assert end.partition(" ")[0] == ("bounced" if code >= 500 else "deferred")


# Words about us

HELO = [
    ("RCPT", "504 5.5.2 <relay>: Helo command rejected: need fully-qualified hostname"),
    ("RCPT", "550 5.7.1 <relay.example>: Helo command rejected: Host not found"),
    ("RCPT", "450 4.7.1 <relay.example>: Helo command rejected: Host not found"),
    ("MAIL", "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)"),
    ("MAIL", "550 5.7.1 HELO should be a FQDN or address literal (See RFC 2821 4.1.1.1)"),
    ("RCPT", "554 5.7.1 <relay.example>: Helo command rejected: You are not me"),
    ("RCPT", "550 HELO/EHLO argument does not match reverse DNS"),
    ("MAIL", "501 5.5.4 Invalid EHLO domain"),
    ("RCPT", "550 Bad HELO - Host impersonating [relay.example]"),
    ("RCPT", "550-Your EHLO hostname relay.example is forged.\n550 Go away"),
    ("DOT", "550 5.7.1 EHLO name is not allowed here"),
    ("EHLO", "550 5.7.1 relay.example? I do not think so"),
    ("EHLO", "501 5.5.4 syntactically invalid argument"),
    ("EHLO", "554 5.7.1 bad helo"),
]


@pytest.mark.parametrize(("stage", "words"), HELO)
async def test_what_speaks_of_our_helo_ends_no_message(stage: str, words: str) -> None:
    ends, _ = await Dialogue([{stage: words}]).ends()

    assert ends[0].startswith("deferred ")
    if stage != "EHLO":
        assert ends == ["deferred helo_rejected"]


@pytest.mark.parametrize(
    ("stage", "words", "end"),
    [
        ("CONNECT", "554 5.7.1 Your IP 192.0.2.1 is listed at zen.spamhaus.org", "deferred blocklisted"),
        ("CONNECT", "554 mx.example.net ESMTP not accepting mail from your host", "deferred"),
        ("CONNECT", "521 5.3.2 does not accept mail", "deferred"),
        ("CONNECT", "420 4.7.0 slow down", "deferred rate_limited"),
        ("EHLO", "550 5.7.1 Service unavailable; client blocked", "deferred"),
        ("MAIL", "550 5.7.1 Client host [192.0.2.1] blocked using bl.spamcop.net", "deferred blocklisted"),
        ("RCPT", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "deferred"),
        ("RCPT", "550 5.7.25 Client host rejected: cannot find your reverse hostname", "deferred reverse_dns"),
        ("RCPT", "451 4.7.1 Your host has no PTR record", "deferred reverse_dns"),
        ("MAIL", "452 4.3.1 Insufficient system storage", "deferred system_unavailable"),
        ("RCPT", "554 5.7.1 Access denied by policy", "bounced block policy"),
        ("DOT", "550 5.7.1 Rejected due to local policy", "bounced block policy"),
        ("MAIL", "550 5.1.8 Sender address rejected: Domain not found", "bounced block sender_rejected"),
        ("MAIL", "530 5.7.0 Must issue a STARTTLS command first", "deferred tls_required"),
        ("MAIL", "530 5.7.0 Authentication required", "bounced block authentication"),
        ("DOT", "550 5.7.26 Unauthenticated email is not accepted due to the domain's DMARC policy", "bounced block"),
    ],
)
async def test_what_speaks_of_our_address_or_of_policy_never_blames_the_recipient(
    stage: str, words: str, end: str
) -> None:
    found = await end_of({stage: words})

    assert found.startswith(end)
    assert not found.startswith("bounced hard")


# Words about the recipient, and about the message


@pytest.mark.parametrize(
    ("stage", "words", "end"),
    [
        ("RCPT", "550 5.1.1 <ana@example.net>: Recipient address rejected: User unknown", "bounced hard unknown_user"),
        ("RCPT", "550 No such user here", "bounced hard unknown_user"),
        ("RCPT", "550-5.1.1 no such\n550 user here", "bounced hard unknown_user"),
        ("DOT", "550 5.1.1 User unknown", "bounced hard unknown_user"),
        ("RCPT", "553 5.1.3 Bad recipient address syntax", "bounced hard bad_address"),
        ("RCPT", "550 5.2.1 Mailbox disabled", "bounced hard mailbox_disabled"),
        ("RCPT", "552 5.2.2 Mailbox full", "bounced soft mailbox_full"),
        ("RCPT", "452 4.2.2 Mailbox full", "deferred mailbox_full"),
        ("RCPT", "450 4.1.1 User unknown", "deferred unknown_user_deferred"),
        ("RCPT", "450 4.2.0 Greylisted, try again in 300 seconds", "deferred greylisted"),
        ("RCPT", "451 4.7.1 Greylisting in action", "deferred greylisted"),
        ("RCPT", "556 5.1.10 Recipient address has null MX", "bounced hard domain_refuses_mail"),
        ("RCPT", "551 5.1.6 User has moved, please try <x@example.net>", "bounced hard mailbox_moved"),
        ("DOT", "552 5.3.4 Message size exceeds fixed limit", "bounced soft too_big"),
        ("MAIL", "552 5.3.4 Message too big", "bounced soft too_big"),
        ("DOT", "554 5.7.1 Message rejected as spam", "bounced block spam"),
        ("DOT", "554 5.6.0 Message cannot be read", "bounced soft content"),
        ("DOT", "550 5.7.1 Virus found", "bounced block malware"),
        ("DOT", "554 5.4.6 Too many hops", "bounced soft loop"),
        ("DOT", "451 4.3.0 Temporary lookup failure", "deferred"),
    ],
)
async def test_what_speaks_of_the_recipient_or_of_the_message_is_heard_as_what_it_is(
    stage: str, words: str, end: str
) -> None:
    assert (await end_of({stage: words})).startswith(end)


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
@pytest.mark.parametrize(
    "words",
    [
        "552 too many recipients",
        "552 5.5.3 Too many recipients",
        "552 Error: too many recipients",
        "550 5.5.3 Too many recipients this hour",
        "554 5.5.3 sorry",
        "452 4.5.3 Too many recipients",
        "552-Too many rcpts\n552 in this session",
    ],
)
async def test_too_many_recipients_is_for_now_whatever_its_code(stage: str, words: str) -> None:
    assert (await end_of({stage: words})).startswith("deferred ")


async def test_too_many_unknown_recipients_are_something_else() -> None:
    assert not (await end_of({"RCPT": "550 5.1.1 User unknown"})).startswith("deferred")
    assert (await end_of({"RCPT": "552 5.2.2 Quota exceeded"})) == "bounced soft mailbox_full"


@pytest.mark.parametrize(
    ("script", "extensions", "rcpt_to"),
    [
        ({}, NO_UTF8, "anaï@example.net"),
        ({"RCPT": "550 5.6.7 SMTPUTF8 is not supported"}, EXTENSIONS, "anaï@example.net"),
        ({"RCPT": "553 5.6.7 Non-ASCII addresses not permitted for that recipient"}, EXTENSIONS, "anaï@example.net"),
        ({"MAIL": "553 5.6.7 not me"}, EXTENSIONS, "anaï@example.net"),
        ({"MAIL": "550 Internationalized addresses are not accepted here"}, EXTENSIONS, "anaï@example.net"),
    ],
)
async def test_a_host_without_smtputf8_says_nothing_of_the_content(
    script: Script, extensions: Sequence[str], rcpt_to: str
) -> None:
    assert await end_of(script, extensions=extensions, sends=[rcpt_to]) == "bounced soft no_smtputf8"


# The next host from the third attempt on


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("words", ["451 4.3.0 try again", "450 4.2.0 Greylisted", "452 4.2.2 Mailbox full"])
async def test_the_next_host_is_asked_from_the_third_attempt_on(stage: str, words: str) -> None:
    for attempt in range(1, ASKS_NEXT_FROM):
        assert (await end_of({stage: words}, {}, attempt=attempt)).startswith("deferred ")

    assert await end_of({stage: words}, {}, attempt=ASKS_NEXT_FROM) == "delivered"


@pytest.mark.parametrize(
    ("first", "second", "end"),
    [
        ("451 4.7.1 first", {"RCPT": "450 4.2.2 second: mailbox full"}, "deferred"),
        ("451 4.7.1 first: Greylisted", DEAD, "deferred greylisted"),
        ("450 4.2.2 first: Mailbox full", {"CONNECT": "421 no"}, "deferred mailbox_full"),
        ("450 4.2.2 first: Mailbox full", {"MAIL": CLOSE}, "deferred mailbox_full"),
        ("451 4.3.0 first", {"RCPT": "550 5.1.1 User unknown"}, "bounced hard unknown_user"),
    ],
    ids=str,
)
async def test_if_the_next_has_no_answer_either_that_of_the_first_counts(
    first: str, second: Script | str, end: str
) -> None:
    assert (await end_of({"RCPT": first}, second, attempt=3)).startswith(end)


@pytest.mark.parametrize(
    "words",
    [
        "450 4.7.1 Client host rejected: cannot find your reverse hostname",
        "451 4.7.1 rate limit exceeded",
        "450 4.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.spamcop.net",
        "550 5.1.1 User unknown",
    ],
)
async def test_the_next_is_not_asked_what_the_first_said_of_us_or_for_good(words: str) -> None:
    ends, world = await Dialogue([{"RCPT": words}, {}], attempt=5).ends()

    assert ends != ["delivered"]
    assert world.servers[1] is not None
    assert world.servers[1].connections == 0


async def test_a_kept_connection_that_refuses_for_now_makes_the_next_host_be_asked_too() -> None:
    script: Script = {"RCPT": ["250 ok", "451 4.3.0 broken"]}

    ends, world = await Dialogue([script, {}], attempt=3, sends=["ana@example.net", "ben@example.net"]).ends()

    assert ends == ["delivered", "delivered"]
    assert [len(server.envelopes) for server in world.servers if server] == [1, 1]
    assert [server.connections for server in world.servers if server] == [1, 1]


# RSET and QUIT


@pytest.mark.parametrize("extensions", [EXTENSIONS, STEPWISE], ids=["pipelined", "step by step"])
@pytest.mark.parametrize(
    "answer", ["250 ok", "421 bye", "450 no", "451 no", "500 what", "502 no", "503 no", "554 no", CLOSE, RESET], ids=str
)
async def test_whatever_is_said_to_rset_the_next_recipient_gets_the_mail(
    answer: Step, extensions: Sequence[str]
) -> None:
    script: Script = {"RCPT": ["550 5.1.1 User unknown", "250 ok"], "RSET": answer}

    ends, world = await Dialogue(
        [script], extensions=extensions, sends=["bad@example.net", "ana@example.net", "ben@example.net"]
    ).ends()

    assert ends == ["bounced hard unknown_user", "delivered", "delivered"]
    assert world.servers[0] is not None
    assert [envelope.rcpts for envelope in world.servers[0].envelopes] == [
        ["TO:<ana@example.net>"],
        ["TO:<ben@example.net>"],
    ]


@pytest.mark.parametrize("answer", ["221 bye", "250 ok", "421 bye", "500 what", "503 no", CLOSE, RESET], ids=str)
async def test_whatever_is_said_to_quit_is_nobodys(answer: Step) -> None:
    ends, world = await Dialogue([{"QUIT": answer}]).ends()

    assert ends == ["delivered"]
    assert not world.courier.is_open


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("step", ["421 4.4.2 idle too long", ("421 enough", CLOSE), CLOSE, RESET], ids=str)
async def test_a_kept_connection_that_has_served_its_time_costs_a_new_one(stage: str, step: Step) -> None:
    usual = {"MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go on"}[stage]
    script: Script = {stage: [usual, step, usual]}

    ends, world = await Dialogue([script], sends=["ana@example.net", "ben@example.net"]).ends()

    assert ends == ["delivered", "delivered"]
    assert world.passage.refused_sources == []

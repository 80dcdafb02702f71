"""From what happened in an attempt to the fact and to what the message does next."""

from random import Random

import msgspec
import pytest

from services.relay.delivery.courier import Answer, Result
from services.relay.message import ends
from services.relay.message.ends import MAX_REPLY_CHARS
from services.relay.message.mail import End, Mail, Unmade
from services.relay.message.retry import Retries
from services.relay.words.hop import NoRoute
from services.relay.words.notnow import NotNow
from services.relay.words.reply import (
    ConnectFailed,
    ConnectionLost,
    Reply,
    Stage,
)
from shared.redis.bus import ends_message
from shared.redis.ready import Lease, Recorded
from shared.words import events, ids

CREATED_MS = 1_790_000_000_000
JOB = ids.new_job_id(CREATED_MS, b"chance", 8)
BEGAN_MS = CREATED_MS + 60_000
NOW_MS = BEGAN_MS + 250
HOST = "mx.example.net"


class NoChance(Random):
    """Waits are not stretched."""

    def random(self) -> float:
        return 0.0


RETRIES = Retries(NoChance())


def mail(attempt: int = 1, expires_at: int = 0, last_reply: str = "", ordinal: int = 7, stream: str = "bulk") -> Mail:
    ready = events.Ready(
        tenant="acme",
        job=JOB,
        ordinal=ordinal,
        email="ana@example.net",
        name="Ana",
        variables=msgspec.Raw(msgspec.msgpack.encode({"prenom": "Ana"})),
        attempt=attempt,
        expires_at=expires_at,
        untracked=True,
        last_reply=last_reply,
        stream=stream,
    )
    return Mail(Lease(2, 41, "example.net", events.encode(ready)), ready)


def reply(code: int, text: str, stage: Stage, enhanced: str = "") -> Reply:
    return Reply(code, enhanced, text, stage, HOST)


def result(answer: Answer, text: str = "what it said", tls: str | None = None) -> Result:
    clear = {"tls": None, "tls_cipher": "", "tls_policy": "opportunistic"}
    encrypted = {"tls": tls, "tls_cipher": "TLS_AES_128_GCM_SHA256", "tls_policy": "dane"}
    return Result(answer, text, HOST, "mta1", **(encrypted if tls else clear))  # type: ignore[arg-type]


def attempted(what: Result, of: Mail | None = None, stream: str = "bulk") -> End:
    return ends.attempted(of or mail(), stream, 12_345, what, BEGAN_MS, NOW_MS, RETRIES)


def common(word: str) -> dict[str, object]:
    return {
        "event_id": events.event_id(JOB, 7, word),
        "occurred_at": NOW_MS,
        "tenant": "acme",
        "job": JOB,
        "ordinal": 7,
        "sequence": NOW_MS - CREATED_MS,
        "email": "ana@example.net",
    }


# What an answer becomes


def test_a_delivery_says_all_that_is_known_of_it() -> None:
    end = attempted(result(reply(250, "queued as 1", "dot", "2.0.0"), "250 2.0.0 queued as 1", tls="TLSv1.3"))

    assert end.fact == events.Delivered(
        **common("delivered"),  # type: ignore[arg-type]
        attempt=1,
        site="example.net",
        host=HOST,
        reply="250 2.0.0 queued as 1",
        tls="TLSv1.3",
        size_bytes=12_345,
        duration_ms=250,
        source="mta1",
        tls_cipher="TLS_AES_128_GCM_SHA256",
        tls_policy="dane",
    )
    assert end.recorded == Recorded(41)


def test_a_refusal_for_good_is_a_bounce() -> None:
    end = attempted(result(reply(550, "User unknown", "rcpt", "5.1.1"), "550 5.1.1 User unknown"))

    assert end.fact == events.Bounced(
        **common("bounced"),  # type: ignore[arg-type]
        attempt=1,
        site="example.net",
        host=HOST,
        source="mta1",
        reply="550 5.1.1 User unknown",
        reason="unknown_user",
        kind="hard",
    )
    assert end.recorded == Recorded(41)


def test_a_refusal_for_now_is_deferred_and_comes_back_as_the_next_attempt() -> None:
    end = attempted(result(reply(450, "Greylisted", "rcpt", "4.7.1"), "450 4.7.1 Greylisted"))

    retry_at = NOW_MS + 300_000
    assert end.fact == events.Deferred(
        **common("deferred 1"),  # type: ignore[arg-type]
        attempt=1,
        site="example.net",
        host=HOST,
        source="mta1",
        reply="450 4.7.1 Greylisted",
        reason="greylisted",
        retry_at=retry_at,
    )
    assert (end.recorded.number, end.recorded.retry_at) == (41, retry_at)
    assert events.decode("Ready", end.recorded.body) == msgspec.structs.replace(
        mail().ready, attempt=2, last_reply="450 4.7.1 Greylisted"
    )


@pytest.mark.parametrize(
    ("answer", "fact", "reason", "kind"),
    [
        (reply(250, "ok", "dot"), events.Delivered, None, None),
        (reply(554, "blocked using zen.spamhaus.org", "rcpt", "5.7.1"), events.Bounced, "blocklisted", "block"),
        (reply(552, "Mailbox full", "rcpt", "5.2.2"), events.Bounced, "mailbox_full", "soft"),
        (reply(550, "No such user", "mail", "5.1.1"), events.Bounced, "sender_rejected", "block"),
        (reply(421, "going down", "dot", "4.3.2"), events.Deferred, None, None),
        (ConnectFailed("connect", HOST, "refused"), events.Deferred, "connection_failed", None),
        (ConnectionLost("rcpt", HOST, "closed", False), events.Deferred, "connection_lost", None),
        (ConnectionLost("dot", HOST, "closed", True), events.Deferred, "unknown_end", None),
        (NoRoute("no_mail_host", "null MX", True), events.Bounced, "no_mail_host", "hard"),
        (NoRoute("dns_unavailable", "SERVFAIL", False), events.Deferred, "dns_unavailable", None),
    ],
    ids=str,
)  # fmt: skip
def test_each_answer_has_its_fact(answer: Answer, fact: type, reason: str | None, kind: str | None) -> None:
    end = attempted(result(answer))

    assert type(end.fact) is fact
    assert reason in (None, getattr(end.fact, "reason", None))
    assert kind == getattr(end.fact, "kind", None)
    assert (end.recorded.retry_at is not None) == (fact is events.Deferred)
    assert (end.recorded.body != b"") == (fact is events.Deferred)


# When it comes back


@pytest.mark.parametrize(
    ("stream", "attempt", "wait_s"),
    [("bulk", 1, 300), ("bulk", 3, 1800), ("transactional", 1, 60), ("one_to_one", 2, 300), ("bulk", 99, 14_400)],
)
def test_the_next_attempt_is_due_by_the_schedule_of_the_stream(stream: str, attempt: int, wait_s: int) -> None:
    end = attempted(result(reply(451, "later", "rcpt")), mail(attempt), stream)

    assert end.recorded.retry_at == NOW_MS + wait_s * 1000
    again = events.decode("Ready", end.recorded.body)
    assert isinstance(again, events.Ready)
    assert again.attempt == attempt + 1


def test_not_sooner_than_the_host_asked_for() -> None:
    end = attempted(result(reply(450, "try again in 40 minutes", "rcpt")))

    assert end.recorded.retry_at == NOW_MS + 2_400_000


@pytest.mark.parametrize("attempt", [1, 4])
@pytest.mark.parametrize("expires_at", [NOW_MS + 300_000, NOW_MS + 1, NOW_MS - 1])
def test_a_message_that_would_be_too_late_then_expires_now(expires_at: int, attempt: int) -> None:
    end = attempted(result(reply(451, "later", "rcpt"), "451 later"), mail(attempt, expires_at))

    assert end.fact == events.Expired(
        **common("expired"),  # type: ignore[arg-type]
        attempt=attempt,
        site="example.net",
        host=HOST,
        reply="451 later",
    )
    assert end.recorded == Recorded(41)


def test_a_message_that_is_in_time_then_does_not() -> None:
    end = attempted(result(reply(451, "later", "rcpt")), mail(expires_at=NOW_MS + 300_001))

    assert isinstance(end.fact, events.Deferred)


# No attempt


def test_a_message_whose_time_is_over_expires_with_the_last_thing_that_was_said() -> None:
    end = ends.expired(mail(3, 1, "450 4.2.2 Mailbox full"), NOW_MS)

    assert end.fact == events.Expired(
        **common("expired"),  # type: ignore[arg-type]
        attempt=2,
        site="example.net",
        reply="450 4.2.2 Mailbox full",
    )
    assert end.recorded == Recorded(41)


def test_who_left_in_the_meantime_is_suppressed_at_the_attempt() -> None:
    end = ends.suppressed(mail(), "unsubscribed", NOW_MS)

    assert end.fact == events.Suppressed(
        **common("suppressed"),  # type: ignore[arg-type]
        reason="unsubscribed",
        where="attempt",
    )
    assert end.recorded == Recorded(41)


def test_content_that_makes_no_mail_fails_and_is_no_bounce() -> None:
    end = ends.unmade(mail(), Unmade("render_failed", "line 3: no such filter", final=True), NOW_MS, RETRIES)

    assert end.fact == events.Failed(
        **common("failed"),  # type: ignore[arg-type]
        attempt=1,
        site="example.net",
        reason="render_failed",
        detail="line 3: no such filter",
    )
    assert end.recorded == Recorded(41)


def test_a_job_that_is_gone_bounces_and_says_nothing_of_the_address() -> None:
    end = ends.unmade(mail(), Unmade("no_such_job", "job x is not stored", final=True), NOW_MS, RETRIES)

    assert isinstance(end.fact, events.Bounced)
    assert (end.fact.kind, end.fact.reason) == ("block", "no_such_job")


def test_what_brought_relays_down_fails_with_that_reason() -> None:
    end = ends.brought_down(mail(), NOW_MS)

    assert isinstance(end.fact, events.Failed)
    assert (end.fact.reason, end.fact.site) == ("brought_relay_down", "example.net")
    assert end.recorded == Recorded(41)


def test_what_may_be_mended_is_deferred_by_the_schedule_of_its_stream() -> None:
    why = Unmade("unknown_sending_domain", "nobody's", final=False)

    end = ends.unmade(mail(stream="transactional"), why, NOW_MS, RETRIES)

    assert isinstance(end.fact, events.Deferred)
    assert (end.fact.reason, end.fact.reply, end.fact.host) == ("unknown_sending_domain", "nobody's", "")
    assert end.recorded.retry_at == end.fact.retry_at == NOW_MS + 60_000


# Replies and ids


@pytest.mark.parametrize(
    "answer",
    [reply(250, "ok", "dot"), reply(550, "no", "rcpt"), reply(450, "later", "rcpt")],
    ids=["delivered", "bounced", "deferred"],
)
def test_long_replies_are_cut_on_facts_and_on_the_way_to_the_next_attempt(answer: Reply) -> None:
    end = attempted(result(answer, "é" * 2_000))

    assert end.fact is not None
    assert end.fact.reply == "é" * MAX_REPLY_CHARS  # type: ignore[attr-defined]
    if end.recorded.body:
        again = events.decode("Ready", end.recorded.body)
        assert isinstance(again, events.Ready)
        assert again.last_reply == "é" * MAX_REPLY_CHARS


def _every_end(attempt: int = 1, ordinal: int = 7, now_ms: int = NOW_MS) -> dict[str, str]:
    """Event ids by fact."""
    of = mail(attempt, ordinal=ordinal)
    made = [
        ends.attempted(of, "bulk", 1, result(answer), now_ms - 5, now_ms, RETRIES)
        for answer in (reply(250, "ok", "dot"), reply(550, "no", "rcpt"), reply(450, "later", "rcpt"))
    ]
    made += [ends.expired(of, now_ms), ends.suppressed(of, "manual", now_ms)]
    return {type(end.fact).__name__: end.fact.event_id for end in made if end.fact is not None}


def test_a_repeated_end_is_the_same_event_whenever_it_happens() -> None:
    assert _every_end() == _every_end(now_ms=NOW_MS + 99_999)


def test_each_end_of_each_message_is_an_event_of_its_own() -> None:
    known = [*_every_end().values(), *_every_end(ordinal=8).values()]

    assert len(set(known)) == len(known) == 10


def test_of_two_attempts_only_the_deferrals_are_two_events() -> None:
    first, second = _every_end(attempt=1), _every_end(attempt=2)

    assert {name for name in first if first[name] != second[name]} == {"Deferred"}


def test_promise_1_every_end_but_a_deferral_is_the_final_fact() -> None:
    of = mail()
    for answer in (reply(250, "ok", "dot"), reply(550, "no", "rcpt"), reply(450, "later", "rcpt")):
        end = attempted(result(answer))
        assert end.fact is not None
        assert ends_message(end.fact) == (end.recorded.retry_at is None)
    for end in (ends.expired(of, NOW_MS), ends.suppressed(of, "manual", NOW_MS)):
        assert end.fact is not None
        assert ends_message(end.fact)


def test_clocks_that_differ_make_no_negative_sequence() -> None:
    end = ends.expired(mail(), CREATED_MS - 5_000)

    assert end.fact is not None
    assert end.fact.sequence == 0


# At most once


def at_most_once(attempt: int = 1) -> Mail:
    of = mail(attempt)
    of.ready = msgspec.structs.replace(of.ready, at_most_once=True)
    return of


def test_promise_2_an_unknown_end_is_the_end_of_what_is_sent_at_most_once() -> None:
    lost = ConnectionLost("dot", HOST, "closed", sent_final_dot=True)

    end = attempted(result(lost, "connection lost after the final dot"), at_most_once(3))

    assert isinstance(end.fact, events.Bounced)
    assert (end.fact.kind, end.fact.reason, end.fact.attempt) == ("soft", "unknown_outcome", 3)
    assert end.recorded == Recorded(41)
    assert attempted(result(lost), mail(3)).retry_at is not None


def test_what_was_not_taken_for_certain_is_tried_again_at_most_once_or_not() -> None:
    for answer in (
        ConnectionLost("data", HOST, "closed", sent_final_dot=False),
        ConnectFailed("connect", HOST, "refused"),
        reply(451, "try later", "dot", "4.3.0"),
    ):
        end = attempted(result(answer), at_most_once())

        assert isinstance(end.fact, events.Deferred)
        assert end.retry_at is not None


def test_an_attempt_of_a_relay_that_died_is_an_end_that_says_so_and_never_suppresses() -> None:
    end = ends.unknown(at_most_once(2), NOW_MS)

    assert isinstance(end.fact, events.Bounced)
    assert ends_message(end.fact)
    assert (end.fact.kind, end.fact.reason, end.fact.attempt, end.fact.host) == ("soft", "unknown_outcome", 2, "")
    assert "unknown outcome" in end.fact.reply
    assert end.fact.event_id == events.event_id(JOB, 7, "bounced")


def test_what_could_not_be_tried_has_no_fact_and_comes_back_as_it_was_with_the_reason() -> None:
    shut = NotNow(5_000, "host", f"host:{HOST}", reply="554 5.7.1 nobody gets in")

    end = ends.untried(mail(attempt=4), shut, NOW_MS, RETRIES)

    assert (end.fact, end.retry_at) == (None, NOW_MS + 5_000)
    again = events.decode("Ready", end.again)
    assert isinstance(again, events.Ready)
    assert (again.attempt, again.last_reply) == (4, "554 5.7.1 nobody gets in")


def test_what_cannot_be_tried_in_its_time_is_expired_with_the_attempts_that_were_made() -> None:
    shut = NotNow(5_000, "host", f"host:{HOST}", reply="554 5.7.1 nobody gets in")

    end = ends.untried(mail(attempt=4, expires_at=NOW_MS + 4_000), shut, NOW_MS, RETRIES)

    assert isinstance(end.fact, events.Expired)
    assert (end.fact.attempt, end.fact.reply) == (3, "554 5.7.1 nobody gets in")

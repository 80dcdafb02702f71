"""What an answer means for a message."""

import pytest

from services.relay.message.outcome import (
    MAX_RETRY_AFTER_S,
    Bounce,
    Defer,
    Deliver,
    outcome,
    retry_after_s,
)
from services.relay.traffic.shaping import Action, Rule
from services.relay.words.hop import NoRoute
from services.relay.words.reply import (
    ConnectFailed,
    ConnectionLost,
    Reply,
    Stage,
)

HOST = "mx.example.net"


def reply(line: str, stage: Stage = "rcpt") -> Reply:
    code, enhanced, text = line.split(" ", 2)
    return Reply(int(code), enhanced, text, stage, HOST)


def rule(action: Action, for_s: int = 0, defer: bool = False) -> Rule:
    return Rule("rule", action, "", "", "", for_s=for_s, defer=defer)


def test_a_positive_answer_to_the_final_dot_is_delivery() -> None:
    assert outcome(reply("250 2.0.0 queued", "dot")) == Deliver()


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_no_other_positive_answer_is(stage: Stage) -> None:
    assert isinstance(outcome(reply("250 2.0.0 ok", stage)), Defer)


@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
@pytest.mark.parametrize(
    ("line", "bounce"),
    [
        ("550 5.1.1 User unknown", Bounce("hard", "unknown_user")),
        ("552 5.2.2 Mailbox full", Bounce("soft", "mailbox_full")),
        ("554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org", Bounce("block", "blocklisted")),
        ("550 5.7.1 Our system has detected that this message is spam", Bounce("block", "spam")),
    ],
)
def test_a_refusal_for_good_is_a_bounce_of_the_kind_it_speaks_of(line: str, bounce: Bounce, stage: Stage) -> None:
    assert outcome(reply(line, stage)) == bounce


def test_a_refusal_for_good_that_nobody_understands_is_soft() -> None:
    bounce = outcome(Reply(599, "", "?", "rcpt", HOST))

    assert isinstance(bounce, Bounce)
    assert bounce.kind == "soft"


def test_what_is_said_to_mail_from_is_never_about_the_recipient() -> None:
    assert outcome(reply("550 5.1.1 User unknown", "mail")) == Bounce("block", "sender_rejected")
    assert outcome(reply("552 5.3.4 Message size exceeds fixed limit", "mail")) == Bounce("soft", "too_big")


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize("line", ["450 4.1.1 User unknown", "421 4.7.0 Try again later", "451 4.7.1 Greylisted"])
def test_a_refusal_for_now_is_deferred_whatever_it_says(line: str, stage: Stage) -> None:
    assert isinstance(outcome(reply(line, stage)), Defer)


def test_an_odd_code_is_temporary() -> None:
    assert isinstance(outcome(Reply(354, "", "go on", "rcpt", HOST)), Defer)


@pytest.mark.parametrize("code", [421, 450, 521, 554])
@pytest.mark.parametrize("stage", ["greeting", "ehlo", "tls", "auth"])
def test_a_host_that_will_not_talk_says_nothing_of_the_recipient(code: int, stage: Stage) -> None:
    said = Reply(code, "", "No SMTP service here", stage, HOST)

    assert isinstance(outcome(ConnectFailed(stage, HOST, said.line, said)), Defer)


def test_a_host_that_cannot_be_reached_is_temporary() -> None:
    assert outcome(ConnectFailed("connect", HOST, "Connection refused")) == Defer("connection_failed")


def test_silence_is_temporary_and_says_whether_the_end_is_known() -> None:
    assert outcome(ConnectionLost("rcpt", HOST, "closed", sent_final_dot=False)) == Defer("connection_lost")
    assert outcome(ConnectionLost("dot", HOST, "closed", sent_final_dot=True)) == Defer("unknown_end")


def test_a_domain_without_mail_is_a_hard_bounce_and_silent_dns_is_not() -> None:
    assert outcome(NoRoute("no_mail_host", "no such domain", final=True)) == Bounce("hard", "no_mail_host")
    assert outcome(NoRoute("dns_unavailable", "timeout", final=False)) == Defer("dns_unavailable")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Greylisted for 300 seconds (see http://postgrey.schweikert.ch)", 300),
        ("Greylisting in action, please come back in 5 minutes", 300),
        ("try again in 00 min", 0),
        ("please retry after 90s", 90),
        ("try again in 2 hours", MAX_RETRY_AFTER_S),
        ("try again in 999999 hours", MAX_RETRY_AFTER_S),
        ("try again later", 0),
        ("message for 42 users", 0),
        ("[TSS04] Messages from 192.0.2.1 temporarily deferred", 0),
        ("after 3 messages", 0),
        ("", 0),
    ],
)
def test_a_host_may_say_when_to_come_back(text: str, seconds: int) -> None:
    assert retry_after_s(text) == seconds
    deferred = outcome(Reply(451, "4.7.1", text, "rcpt", HOST))
    assert isinstance(deferred, Defer)
    assert deferred.retry_after_s == seconds


LISTED = reply("554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org")


def test_a_refusal_for_good_that_a_rule_defers_is_tried_again() -> None:
    assert outcome(LISTED, rule("rest_source", 3600, defer=True)) == Defer("blocklisted")
    assert outcome(LISTED, rule("none")) == Bounce("block", "blocklisted")


def test_a_rule_that_blames_us_is_never_a_hard_bounce() -> None:
    unknown = reply("550 5.1.1 User unknown, too many of them")

    assert outcome(unknown, rule("rest_source", 3600)) == Bounce("block", "unknown_user")
    assert outcome(unknown, rule("slow_down")) == Bounce("block", "unknown_user")
    assert outcome(unknown, rule("none")) == outcome(unknown) == Bounce("hard", "unknown_user")


def test_a_rule_about_a_recipient_makes_this_message_wait() -> None:
    busy = reply("450 4.2.1 The user is receiving mail too quickly, try again in 5 minutes")

    assert outcome(busy, rule("defer_recipient", 3600)) == Defer("rate_limited", 3600)
    assert outcome(busy, rule("defer_recipient", 60)) == Defer("rate_limited", 300)


def test_what_a_rule_does_to_the_site_does_not_make_the_message_wait_longer() -> None:
    assert outcome(reply("421 4.7.0 Too busy"), rule("suspend", 7200)) == outcome(reply("421 4.7.0 Too busy"))


def test_a_rule_for_a_greeting_makes_the_message_wait_too() -> None:
    said = Reply(554, "5.7.1", "Not now", "greeting", HOST)

    assert outcome(ConnectFailed("greeting", HOST, said.line, said), rule("defer_recipient", 600)) == Defer(
        "policy", 600
    )


def test_a_rule_does_not_undo_a_delivery() -> None:
    assert outcome(reply("250 2.0.0 queued", "dot"), rule("suspend", 60, defer=True)) == Deliver()

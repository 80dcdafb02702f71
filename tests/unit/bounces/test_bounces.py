"""A received mail becomes facts about messages, or is kept; the samples are what real programs write."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.bounces.bounces import Received
from shared.redis.bus import BusUnavailable
from shared.redis.redis import RedisAway
from shared.words import events, ids
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys
from tests.unit.bounces.parts import (
    COMPLAIN,
    DOMAIN,
    JOB,
    KEYS,
    NOW_MS,
    ORDINAL,
    RETURN_PATH,
    SAMPLES,
    TOKENS,
    UNSUBSCRIBE,
    Desk,
    sample,
)

#: Sample, kind, reason: to the return path, from the null reverse-path.
BOUNCES = [
    ("postfix-user-unknown.eml", "hard", "unknown_user"),
    ("postfix-expired.eml", "soft", "no_answer"),
    ("postfix-mailbox-full.eml", "soft", "mailbox_full"),
    ("postfix-blocklisted.eml", "block", "blocklisted"),
    ("postfix-unknown-host.eml", "hard", "unknown_host"),
    ("postfix-prose.eml", "block", "spam"),
    ("alias-of-three-one-fails.eml", "soft", "unknown_user"),
    ("international-smtputf8.eml", "hard", "unknown_user"),
    ("international-base64.eml", "hard", "unknown_user"),
    ("sendmail-user-unknown.eml", "hard", "unknown_user"),
    ("sendmail-prose.eml", "soft", "mailbox_full"),
    ("exchange-online-not-found.eml", "hard", "unknown_user"),
    ("exchange-online-full.eml", "soft", "mailbox_full"),
    ("exchange-2010-prose.eml", "hard", "unknown_user"),
    ("exchange-2003-prose.eml", "hard", "unknown_user"),
    ("gmail-no-such-user.eml", "hard", "unknown_user"),
    ("gmail-prose.eml", "hard", "unknown_user"),
    ("gmx-user-unknown.eml", "hard", "unknown_user"),
    ("exim-report.eml", "hard", "unknown_user"),
    ("exim-user-unknown.eml", "hard", "unknown_user"),
    ("courier-one-block.eml", "hard", "unknown_user"),
    ("qmail-user-unknown.eml", "hard", "unknown_user"),
    ("qmail-unknown-host.eml", "hard", "unknown_host"),
    ("yahoo-prose.eml", "hard", "unknown_user"),
    ("domino-prose.eml", "hard", "unknown_user"),
    ("unknown-program.eml", "hard", "unknown_user"),
    ("unknown-program-no-reason.eml", "soft", "undefined"),
]
#: Reports that call for nothing.
PASSING = ["postfix-delayed.eml", "postfix-relayed.eml", "exim-delayed.eml", "arf-not-spam.eml"]
#: Sample, where it goes, the feedback type.
COMPLAINTS = [
    ("arf-abuse-signed.eml", RETURN_PATH, "abuse"),
    ("arf-abuse-signed.eml", f"fbl@{DOMAIN}", "abuse"),
    ("arf-abuse-signed.eml", UNSUBSCRIBE, "abuse"),
    ("arf-yahoo-redacted.eml", f"fbl@{DOMAIN}", "abuse"),
    ("arf-message-id-signed.eml", f"abuse@{DOMAIN}", "abuse"),
    ("arf-fraud.eml", RETURN_PATH, "fraud"),
    ("arf-unknown-type.eml", RETURN_PATH, "other"),
    ("outlook-junk-report.eml", f"fbl@{DOMAIN}", "abuse"),
    ("outlook-junk-report.eml", COMPLAIN, "abuse"),
    ("arf-abuse-signed.eml", COMPLAIN, "abuse"),
    ("arf-cfbl-minimal.eml", COMPLAIN, "abuse"),
    ("arf-cfbl-minimal.eml", f"fbl@{DOMAIN}", "abuse"),
]
#: Sample, kind: to the return path, and to the unsubscribe address.
AUTOMATIC = [
    ("vacation-rfc3834.eml", "vacation"),
    ("vacation-exchange.eml", "vacation"),
    ("vacation-gmail.eml", "vacation"),
    ("vacation-subject-de.eml", "vacation"),
    ("challenge-mailinblack.eml", "challenge"),
    ("ticket-received.eml", "other"),
    ("read-receipt.eml", "read_receipt"),
]
#: Sample, where it goes, its sender, why it is kept.
KEPT = [
    ("person-to-return-path.eml", RETURN_PATH, "", "not_a_report"),
    ("person-to-postmaster.eml", f"postmaster@{DOMAIN}", "ana@example.fr", "to_fixed_address"),
    ("vacation-rfc3834.eml", f"abuse@{DOMAIN}", "", "to_fixed_address"),
    ("broken-report.eml", RETURN_PATH, "", "unreadable_report"),
    ("postfix-user-unknown.eml", UNSUBSCRIBE, "", "report_to_unsubscribe"),
    ("qmail-user-unknown.eml", UNSUBSCRIBE, "", "report_to_unsubscribe"),
    ("unsubscribe-by-person.eml", UNSUBSCRIBE, "", "null_sender"),
    ("arf-auth-failure.eml", RETURN_PATH, "", "authentication_report"),
    *(
        (name, COMPLAIN, "", "to_feedback_address")
        for name in (
            "postfix-user-unknown.eml",
            "vacation-rfc3834.eml",
            "qmail-user-unknown.eml",
            "person-to-postmaster.eml",
        )
    ),
    ("unsubscribe-by-person.eml", COMPLAIN, "ana@example.fr", "to_feedback_address"),
    ("arf-auth-failure.eml", COMPLAIN, "", "authentication_report"),
    ("arf-message-id-only.eml", f"abuse@{DOMAIN}", "feedback@provider.example", "no_name"),
    ("arf-message-id-guessed.eml", f"fbl@{DOMAIN}", "mallory@attacker.example", "no_name"),
]


@pytest.mark.parametrize(("name", "kind", "reason"), BOUNCES, ids=lambda value: value)
async def test_a_delivery_report_is_a_late_bounce(name: str, kind: str, reason: str) -> None:
    desk = Desk()

    await desk.receive(sample(name))

    assert desk.drawer.reasons == []
    [fact] = desk.bus.facts
    assert isinstance(fact, events.Bounced)
    assert (fact.kind, fact.reason) == (kind, reason)
    assert (fact.tenant, fact.job, fact.ordinal, fact.late) == ("demo", JOB, ORDINAL, True)
    assert fact.occurred_at == NOW_MS
    assert fact.sequence == events.sequence(JOB, NOW_MS)
    assert fact.email is None


async def test_a_report_about_a_copy_of_one_mail_is_about_its_recipient_alone() -> None:
    """The header that it returns names several, and the Message-ID none: the return path is the copy's own."""
    desk = Desk()
    returned = sample("postfix-user-unknown.eml").replace(
        b"To: Ana <ana@example.fr>", b"To: Bo <bo@example.fr>, Ana <ana@example.fr>\r\nCc: cy@example.fr"
    )
    shared = returned.replace(f"<{JOB}.258@exemple.fr>".encode(), f"<{JOB}@exemple.fr>".encode())

    await desk.receive(shared)

    assert (shared != returned, desk.drawer.reasons) == (True, [])
    [fact] = desk.bus.facts
    assert (type(fact), fact.job, fact.ordinal) == (events.Bounced, JOB, ORDINAL)


async def test_a_bounce_says_who_said_what() -> None:
    desk = Desk()

    await desk.receive(sample("postfix-user-unknown.eml"))

    [fact] = desk.bus.facts
    assert isinstance(fact, events.Bounced)
    assert fact.host == "mbox.example.fr"
    assert fact.reply == (
        "550 5.1.1 <ana@example.fr>: Recipient address rejected: User unknown in virtual mailbox table"
    )


@pytest.mark.parametrize("name", PASSING)
async def test_a_report_that_calls_for_nothing_is_neither_a_fact_nor_kept(name: str) -> None:
    desk = Desk()

    await desk.receive(sample(name))

    assert desk.bus.facts == []
    assert desk.drawer.reasons == []


@pytest.mark.parametrize(("name", "to", "feedback_type"), COMPLAINTS, ids=lambda value: value[:30])
async def test_a_feedback_report_is_a_complaint(name: str, to: str, feedback_type: str) -> None:
    desk = Desk()

    await desk.receive(sample(name), to, "feedback@provider.example")

    assert desk.drawer.reasons == []
    [fact] = desk.bus.facts
    assert isinstance(fact, events.Complained)
    assert fact.feedback_type == feedback_type
    assert (fact.tenant, fact.job, fact.ordinal) == ("demo", JOB, ORDINAL)
    assert fact.reporter


@pytest.mark.parametrize("to", [RETURN_PATH, UNSUBSCRIBE], ids=["return path", "unsubscribe"])
@pytest.mark.parametrize(("name", "kind"), AUTOMATIC, ids=lambda value: value)
async def test_an_automatic_answer_is_recognised_wherever_it_goes(name: str, kind: str, to: str) -> None:
    desk = Desk()

    await desk.receive(sample(name), to, "ana@example.fr")

    assert desk.drawer.reasons == []
    [fact] = desk.bus.facts
    assert isinstance(fact, events.AutoReplied)
    assert fact.kind == kind
    assert fact.subject


ANSWER = b"From: Ana <ana@example.fr>\r\nSubject: Re: Nos offres\r\nIn-Reply-To: <1@bounces.example>\r\n%b\r\n%b\r\n"


async def test_a_persons_answer_is_a_fact_and_is_kept_to_be_read() -> None:
    desk = Desk()

    for _ in range(2):  # the peer brings it again: the same event
        await desk.receive(ANSWER % (b"", b"Merci, mais quand ?"), sender="ana@example.fr")

    [fact] = desk.bus.facts
    assert isinstance(fact, events.Replied)
    assert (fact.tenant, fact.job, fact.ordinal, fact.subject) == ("demo", JOB, ORDINAL, "Re: Nos offres")
    assert {(reason, tenant) for reason, _, tenant in desk.drawer.mails} == {("not_a_report", "demo")}


@pytest.mark.parametrize(
    ("fields", "text", "sender"),
    [
        (b"List-Id: <us.example.fr>\r\n", b"To all of us", "us@example.fr"),
        (b"", b"I am out of the office until Monday.", "ana@example.fr"),
        (b"", b"Merci", ""),
    ],
    ids=["a list's", "who is away", "from nowhere"],
)
async def test_what_may_be_a_machines_answer_is_kept_and_no_fact(fields: bytes, text: bytes, sender: str) -> None:
    desk = Desk()

    await desk.receive(ANSWER % (fields, text), sender=sender)

    assert desk.bus.facts == []
    assert desk.drawer.reasons == ["not_a_report"]


async def test_a_suppressing_field_is_a_sign_only_beside_a_null_sender() -> None:
    desk = Desk()

    await desk.receive(sample("vacation-subject-only-suppress.eml"), sender="ana@example.fr")
    await desk.receive(sample("vacation-subject-only-suppress.eml"), sender="")

    assert desk.drawer.reasons == ["not_a_report"]
    assert [type(fact) for fact in desk.bus.facts] == [events.AutoReplied]


@pytest.mark.parametrize("name", ["unsubscribe-by-person.eml", "unsubscribe-in-words.eml", "unsubscribe-button.eml"])
async def test_mail_to_the_unsubscribe_address_unsubscribes(name: str) -> None:
    desk = Desk()

    await desk.receive(sample(name), UNSUBSCRIBE, "ana@example.fr")

    [fact] = desk.bus.facts
    assert isinstance(fact, events.Unsubscribed)
    assert fact.by == "mail"
    assert (fact.tenant, fact.job, fact.ordinal) == ("demo", JOB, ORDINAL)


@pytest.mark.parametrize(("name", "to", "sender", "reason"), KEPT, ids=lambda value: value[:30])
async def test_what_is_not_understood_is_kept_with_its_reason(name: str, to: str, sender: str, reason: str) -> None:
    desk = Desk()

    await desk.receive(sample(name), to, sender)

    assert desk.bus.facts == []
    [(kept_for, received, _)] = desk.drawer.mails
    assert kept_for == reason
    assert received.raw == sample(name)


async def test_kept_mail_belongs_to_the_tenant_whose_message_it_names() -> None:
    desk = Desk()

    await desk.receive(sample("person-to-return-path.eml"), RETURN_PATH, "ana@example.fr")
    await desk.receive(sample("person-to-postmaster.eml"), f"postmaster@{DOMAIN}", "ana@example.fr")

    assert [tenant for _, _, tenant in desk.drawer.mails] == ["demo", ""]


async def test_a_report_about_a_job_that_nobody_knows_is_kept() -> None:
    desk = Desk()
    other_job = ids.job_text(b"another job!")

    await desk.receive(sample("postfix-user-unknown.eml"), KEYS.return_path(other_job, 1, DOMAIN))

    assert desk.bus.facts == []
    assert desk.drawer.reasons == ["unknown_job"]


async def test_promise_7_a_complaint_cannot_be_made_up_for_somebody_elses_message() -> None:
    desk = Desk()
    forged = VerpKeys(b"x" * 32).return_path(JOB, ORDINAL, DOMAIN)
    report = sample("arf-message-id-guessed.eml").replace(b"<x-", forged.encode())

    await desk.receive(report, f"fbl@{DOMAIN}", "mallory@attacker.example")
    guesses = b"Original-Rcpt-To: " + b", ".join(b"ana%d@example.fr" % n for n in range(50)) + b", ana@example.fr"
    await desk.receive(
        report.replace(b"Original-Rcpt-To: somebody.else@example.fr", guesses),
        f"fbl@{DOMAIN}",
        "mallory@attacker.example",
    )

    assert desk.bus.facts == []
    assert desk.drawer.reasons == ["no_name", "no_name"]


@pytest.mark.parametrize(
    ("networks", "is_believed"),
    [
        ("192.0.2.0/24", True),
        ("2001:db8::/32, 192.0.2.9", True),
        ("192.0.2.8", False),
        ("198.51.100.0/24,2001:db8::/32", False),
        ("", False),
    ],
)
async def test_an_unsigned_message_id_is_believed_of_a_feedback_loop_that_the_operator_named(
    networks: str, is_believed: bool
) -> None:
    desk = Desk(feedback_loops=networks)

    missed = await desk.bounces.receive(
        Received("", (f"fbl@{DOMAIN}",), sample("arf-message-id-only.eml"), "192.0.2.9")
    )

    assert (len(desk.bus.facts) == 1) is is_believed
    assert missed is not is_believed


@pytest.mark.parametrize(
    ("said", "loops", "is_believed"),
    [
        ("Original-Rcpt-To: ana@example.fr", "192.0.2.0/24", True),
        ("Original-Rcpt-To: ana@example.fr", "", False),
        ("Original-Rcpt-To: eve@example.fr", "192.0.2.0/24", False),
        ("Original-Rcpt-To: ana@example.fr, cy@example.fr", "192.0.2.0/24", False),
        ("Source-IP: 192.0.2.44", "192.0.2.0/24", False),
    ],
)
async def test_of_copies_of_one_mail_a_named_feedback_loop_has_to_say_whose_it_was(
    said: str, loops: str, is_believed: bool
) -> None:
    """Their Message-ID is the job's, and To names several."""
    desk = Desk(feedback_loops=loops, recipients={0: "bo@example.fr", 1: "ana@example.fr", 2: "cy@example.fr"})
    report = sample("arf-message-id-only.eml").replace(b"<000g40o40k30e209185g.258@", b"<000g40o40k30e209185g@")
    report = report.replace(b"To: Ana <ana@example.fr>", b"To: Ana <ana@example.fr>, bo@example.fr")
    report = report.replace(b"Original-Rcpt-To: ana@example.fr", said.encode())

    await desk.bounces.receive(Received("", (f"fbl@{DOMAIN}",), report, "192.0.2.9"))

    named = [(type(fact), fact.job, fact.ordinal) for fact in desk.bus.facts]
    assert named == ([(events.Complained, JOB, 1)] if is_believed else [])


async def test_a_feedback_loop_still_has_to_know_the_recipient() -> None:
    desk = Desk(feedback_loops="192.0.2.0/24")

    await desk.receive(sample("arf-message-id-guessed.eml"), f"fbl@{DOMAIN}")

    assert desk.bus.facts == []


def _forged_names() -> dict[str, bytes]:
    """What stands where our names stand, and is not ours; the Message-ID has the right job and ordinal."""
    others = VerpKeys(b"x" * 32)
    token = TokenKeys(b"x" * 32).unsubscribe(JOB, ORDINAL, "demo", "ana@example.fr")
    good = KEYS.message_id(JOB, ORDINAL)
    last = good[-1]
    of_another = f"{JOB}.{ORDINAL}.{KEYS.message_id(JOB, 7)[-13:]}"
    return {
        "unsigned": f"Message-ID: <{JOB}.{ORDINAL}@exemple.fr>".encode(),
        "what copies of one mail share": f"Message-ID: <{JOB}@exemple.fr>".encode(),
        "signed by another": f"Message-ID: <{others.message_id(JOB, ORDINAL)}@exemple.fr>".encode(),
        "a signature of zeros": f"Message-ID: <{JOB}.{ORDINAL}.{'0' * 13}@exemple.fr>".encode(),
        "one character off": f"Message-ID: <{good[:-1]}{'0' if last != '0' else 'g'}@exemple.fr>".encode(),
        "a signature of another message": f"Message-ID: <{of_another}@exemple.fr>".encode(),
        "a return path": f"Return-Path: <{others.return_path(JOB, ORDINAL, DOMAIN)}>".encode(),
        "a feedback id": f"CFBL-Feedback-ID: {others.feedback_address(JOB, ORDINAL, DOMAIN)}".encode(),
        "a link": f"List-Unsubscribe: <https://t.example/u/{token}>".encode(),
        "the kind of another": f"List-Unsubscribe: <mailto:u{RETURN_PATH[1:]}>".encode(),
    }


@pytest.mark.parametrize("name", _forged_names())
@pytest.mark.parametrize("to", ["fbl", "abuse", "postmaster"])
async def test_a_name_that_we_did_not_sign_makes_no_complaint(name: str, to: str) -> None:
    desk = Desk()
    field = f"Message-ID: <{JOB}.258@exemple.fr>".encode()
    report = sample("arf-message-id-only.eml").replace(field, _forged_names()[name])

    await desk.receive(report, f"{to}@{DOMAIN}", "mallory@attacker.example")

    assert desk.bus.facts == []


@pytest.mark.parametrize(
    "field",
    [
        f"Message-ID: <{KEYS.message_id(JOB, ORDINAL)}@exemple.fr>",
        f"Message-ID: <{KEYS.message_id(JOB, ORDINAL).upper()}@EXEMPLE.FR>",
        f"List-Unsubscribe: <https://t.example/x/u/{TOKENS.unsubscribe(JOB, ORDINAL, 'demo', 'ana@example.fr')}>",
        f"X-Link: http://t.example/c/{TOKENS.click(JOB, ORDINAL, 'demo', 'ana@example.fr', 0, 'https://a.example/')}",
        f"CFBL-Feedback-ID: {COMPLAIN.partition('@')[0]}",
        f"Return-Path: <{RETURN_PATH}>",
    ],
)
async def test_a_name_that_we_signed_is_enough(field: str) -> None:
    desk = Desk()
    was = f"Message-ID: <{JOB}.258@exemple.fr>".encode()

    await desk.receive(sample("arf-message-id-only.eml").replace(was, field.encode()), f"fbl@{DOMAIN}", "a@p.example")

    assert [(type(fact), fact.ordinal) for fact in desk.bus.facts] == [(events.Complained, ORDINAL)]


async def test_a_complaint_about_a_job_that_was_removed_counts_by_the_address_in_its_link() -> None:
    desk = Desk()
    gone = ids.new_job_id(NOW_MS - 91 * 86_400_000, b"chance", 8)
    link = TOKENS.unsubscribe(gone, 7, "demo", "ana@example.fr")
    was = f"Message-ID: <{JOB}.258@exemple.fr>".encode()
    field = f"List-Unsubscribe: <https://t.example/x/u/{link}>".encode()

    await desk.receive(sample("arf-message-id-only.eml").replace(was, field), f"fbl@{DOMAIN}", "a@p.example")

    assert [(type(fact), fact.job, fact.tenant, fact.email) for fact in desk.bus.facts] == [
        (events.Complained, gone, "demo", "ana@example.fr")
    ]


@pytest.mark.parametrize("name", ["postfix-user-unknown.eml", "person-to-return-path.eml", "vacation-rfc3834.eml"])
async def test_a_bounce_a_person_and_an_answer_count_by_the_envelope_alone(name: str) -> None:
    desk = Desk()
    unsigned = re.sub(rb"[buf]-[0-9a-v]{39}", b"b-" + b"0" * 39, sample(name))

    for to in ("postmaster", "abuse", "fbl"):
        await desk.receive(unsigned, f"{to}@{DOMAIN}", "mallory@attacker.example")

    assert desk.bus.facts == []


def test_a_message_id_is_no_address() -> None:
    assert Desk().bounces.accepts(f"{KEYS.message_id(JOB, ORDINAL)}@{DOMAIN}") is None


async def test_the_same_report_brought_twice_is_one_event() -> None:
    first, again = Desk(), Desk(NOW_MS + 60_000)
    report = sample("postfix-user-unknown.eml")

    await first.receive(report)
    await again.receive(b"Received: from elsewhere by mx.exemple.fr; Thu, 09 Oct 2025 09:10:00 +0000\r\n" + report)

    assert [fact.event_id for fact in first.bus.facts] == [fact.event_id for fact in again.bus.facts]
    assert list(first.bus.batches) == list(again.bus.batches)


async def test_two_reports_about_one_message_are_two_events() -> None:
    desk = Desk()

    await desk.receive(sample("postfix-user-unknown.eml"))
    await desk.receive(sample("postfix-mailbox-full.eml"))

    assert len({fact.event_id for fact in desk.bus.facts}) == 2


async def test_one_mail_for_two_messages_is_a_fact_about_each() -> None:
    desk = Desk()
    other = KEYS.return_path(JOB, 7, DOMAIN)

    await desk.receive(sample("vacation-rfc3834.eml"), [RETURN_PATH, other, RETURN_PATH.upper()], "ana@example.fr")

    assert sorted(fact.ordinal or 0 for fact in desk.bus.facts) == [7, ORDINAL]


async def test_while_the_bus_is_away_nothing_is_kept_and_the_caller_is_told() -> None:
    desk = Desk()
    desk.bus.is_away = True

    with pytest.raises(BusUnavailable):
        await desk.receive(sample("postfix-user-unknown.eml"))


async def test_mail_that_cannot_be_kept_is_not_taken() -> None:
    desk = Desk()
    desk.drawer.is_away = True

    with pytest.raises(RedisAway):
        await desk.receive(sample("person-to-postmaster.eml"), f"postmaster@{DOMAIN}", "ana@example.fr")


@pytest.mark.parametrize(
    ("address", "is_accepted"),
    [
        (RETURN_PATH, True),
        (RETURN_PATH.upper(), True),
        (UNSUBSCRIBE, True),
        ("postmaster", True),
        ("Postmaster@bounces.example", True),
        ("abuse@bounces.example", True),
        ("fbl@BOUNCES.example", True),
        ("postmaster@elsewhere.example", False),
        (RETURN_PATH.replace(DOMAIN, "elsewhere.example"), False),
        ("u" + RETURN_PATH[1:], False),
        (VerpKeys(b"x" * 32).return_path(JOB, ORDINAL, DOMAIN), False),
        ("ana@bounces.example", False),
        ("abuse", False),
        ("", False),
        ("@", False),
        ("\udcff@\udcff", False),
    ],
)
def test_only_addresses_of_ours_are_accepted(address: str, is_accepted: bool) -> None:
    assert (Desk().bounces.accepts(address) is not None) is is_accepted


def test_every_sample_is_in_a_table() -> None:
    named = {row[0] for row in (*BOUNCES, *COMPLAINTS, *AUTOMATIC, *KEPT)} | set(PASSING)
    named |= {"vacation-subject-only-suppress.eml", "unsubscribe-in-words.eml", "unsubscribe-button.eml"}

    assert {path.name for path in SAMPLES.glob("*.eml")} == named


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(path.name for path in SAMPLES.glob("*.eml"))),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 40), st.binary(max_size=20)), min_size=1, max_size=8),
    st.sampled_from([RETURN_PATH, UNSUBSCRIBE, f"fbl@{DOMAIN}"]),
    st.sampled_from(["", "ana@example.fr"]),
)
async def test_a_damaged_mail_ends_as_a_fact_or_kept_or_nothing(
    name: str, damage: list[tuple[int, int, bytes]], to: str, sender: str
) -> None:
    desk = Desk()
    raw = sample(name)
    for at, length, replacement in damage:
        raw = raw[:at] + replacement + raw[at + length :]

    await desk.receive(raw, to, sender)

    told, kept = [type(fact).__name__ for fact in desk.bus.facts], desk.drawer.reasons
    # What a person writes is both: a fact, and kept for whoever answers.
    assert len(told) + len(kept) <= 1 or (told, kept) == (["Replied"], ["not_a_report"])

"""Complaints that somebody makes up, over SMTP: the attack of which this is the memory, and its siblings one by one."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from services.bounces.smtp import Listener
from shared.redis.recipients import Recipient
from shared.words import events, ids
from shared.words.tokens import TokenKeys
from shared.words.verp import VerpKeys
from tests.edges.bounces.test_smtp import listening, send
from tests.unit.bounces.parts import DOMAIN, JOB, KEYS, ORDINAL, TOKENS, Desk, sample

#: Whom the attacker knows by address, at guessed ordinals.
KNOWN = [f"known{number}@example.fr" for number in range(12)]
FIRST = 240
#: A job of another tenant, and one of nobody.
OTHERS_JOB = ids.job_text(b"another job!")
MESSAGE_ID = f"Message-ID: <{JOB}.{ORDINAL}@exemple.fr>".encode()
REPORT = sample("arf-message-id-only.eml")


class TwoJobs:
    """Of two tenants, each with the dozen."""

    async def tenant_of(self, job: str) -> str | None:
        return {JOB: "demo", OTHERS_JOB: "other"}.get(job)

    async def find(self, job: str, ordinals: Sequence[int]) -> Mapping[int, Recipient]:
        known = {FIRST + number: Recipient(email) for number, email in enumerate(KNOWN)}
        return {one: known[one] for one in ordinals if one in known}


def desk() -> Desk:
    made = Desk()
    made.bounces._jobs = TwoJobs()
    return made


def report(field: str, recipient: str = KNOWN[0]) -> bytes:
    """A complaint whose returned mail has this field and no other name."""
    return REPORT.replace(MESSAGE_ID, field.encode()).replace(b"ana@example.fr", recipient.encode())


async def brought(at: Desk, mails: Sequence[bytes], **options: Any) -> None:
    async with listening(at, max_sessions_per_peer=50, **options) as listener:
        assert isinstance(listener, Listener)
        for mail in mails:
            try:
                await send(listener.port, "mallory@attacker.example", f"fbl@{DOMAIN}", mail)
            except Exception as refused:  # held off by then, which is told elsewhere
                assert "451" in str(refused)


async def test_480_reports_that_guess_ordinals_for_a_dozen_addresses_complain_of_nobody() -> None:
    at = desk()
    guesses = [
        report(f"Message-ID: <{JOB}.{FIRST + ordinal}@exemple.fr>", email) for ordinal in range(40) for email in KNOWN
    ]
    assert len(guesses) == 480

    await brought(at, guesses)

    assert at.bus.facts == []
    assert len(at.drawer.mails) <= 50  # and its peer is held off


async def test_nor_if_no_peer_is_ever_held_off() -> None:
    at = desk()

    for ordinal in range(40):
        for email in KNOWN:
            await at.receive(report(f"Message-ID: <{JOB}.{FIRST + ordinal}@exemple.fr>", email), f"fbl@{DOMAIN}")

    assert at.bus.facts == []


_STRANGER = TokenKeys(b"x" * 32)
_STRANGERS = VerpKeys(b"x" * 32)
_GONE = TOKENS.unsubscribe(ids.job_text(b"a gone job!!"), FIRST, "demo", "")
_OWN = TOKENS.unsubscribe(JOB, FIRST, "demo", "")
_CHANGED = _OWN[:9] + ("B" if _OWN[9] != "B" else "C") + _OWN[10:]
MADE_UP = {
    "an unsubscribe URL with a guessed token": f"List-Unsubscribe: <https://t.example/u/{'A' * 42}>",
    "an unsubscribe URL that another key signed": (
        f"List-Unsubscribe: <https://t.example/u/{_STRANGER.unsubscribe(JOB, FIRST, 'demo', '')}>"
    ),
    "a token with a character changed": f"List-Unsubscribe: <https://t.example/u/{_CHANGED}>",
    "a token cut short": f"List-Unsubscribe: <https://t.example/u/{_OWN[:-1]}>",
    "a token for this job in another tenant's name": (
        f"List-Unsubscribe: <https://t.example/u/{TOKENS.unsubscribe(JOB, FIRST, 'other', '')}>"
    ),
    "a token of a job that is gone": (f"List-Unsubscribe: <https://t.example/u/{_GONE}>"),
    "a CFBL-Feedback-ID that another key signed": (
        f"CFBL-Feedback-ID: {_STRANGERS.feedback_address(JOB, FIRST, DOMAIN).partition('@')[0]}"
    ),
    "a CFBL-Feedback-ID with the signature of another ordinal": (
        f"CFBL-Feedback-ID: {KEYS.feedback_address(JOB, FIRST, DOMAIN)[:28]}"
        f"{KEYS.feedback_address(JOB, FIRST + 1, DOMAIN)[28:41]}"
    ),
    "the signature of a return path as a CFBL-Feedback-ID": (
        f"CFBL-Feedback-ID: f{KEYS.return_path(JOB, FIRST, DOMAIN).partition('@')[0][1:]}"
    ),
    "a Message-ID with another job's signature": (
        f"Message-ID: <{JOB}.{FIRST}.{KEYS.message_id(OTHERS_JOB, FIRST)[-13:]}@exemple.fr>"
    ),
}


@pytest.mark.parametrize("field", MADE_UP.values(), ids=MADE_UP)
async def test_what_is_made_up_complains_of_nobody(field: str) -> None:
    at = desk()

    await brought(at, [report(field, email) for email in KNOWN])

    assert at.bus.facts == []


@pytest.mark.parametrize(
    "field",
    [
        f"List-Unsubscribe: <https://t.example/u/{_OWN}>",
        f"CFBL-Feedback-ID: {KEYS.feedback_address(JOB, FIRST, DOMAIN).partition('@')[0]}",
        f"Message-ID: <{KEYS.message_id(JOB, FIRST)}@exemple.fr>",
    ],
    ids=["token", "feedback id", "message id"],
)
async def test_a_mail_that_was_forwarded_complains_of_its_own_recipient_and_of_nobody_else(field: str) -> None:
    at = desk()

    await brought(at, [report(field, email) for email in KNOWN])  # whomever they say that it was sent to

    assert {(type(fact), fact.job, fact.ordinal) for fact in at.bus.facts} == {(events.Complained, JOB, FIRST)}
    assert len({fact.event_id for fact in at.bus.facts}) <= len(KNOWN)


async def test_a_token_of_another_tenant_is_about_that_tenants_message_alone() -> None:
    at = desk()
    others = f"List-Unsubscribe: <https://t.example/u/{TOKENS.unsubscribe(OTHERS_JOB, FIRST, 'other', '')}>"

    await brought(at, [report(f"Message-ID: <{JOB}.{FIRST}@exemple.fr>\r\n{others}")])

    assert [(fact.tenant, fact.job) for fact in at.bus.facts] == [("other", OTHERS_JOB)]

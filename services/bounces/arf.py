"""Feedback reports (RFC 5965): a recipient has called our mail spam, says their provider.

The report goes to the return path, to the CFBL-Address of the mail (RFC 9477) or, more often, to one address agreed
with the provider; then the report itself must name the message. It does so by what it returns of it, and providers
strip that in different ways. Two kinds of names:

    signed      an address of ours (`shared.words.verp`) in any field, the CFBL-Feedback-ID, the Message-ID with its
                signed part, the token of a link: nobody else can make one
    unsigned    job and ordinal in the Message-ID, which anybody who has seen one mail of a job can guess for the others

so an unsigned name counts only from a feedback loop that the operator named, and with the recipient's address beside it
(`bounces.py` asks and compares). Copies of one mail, whose readers see each other, share a Message-ID that names their
job alone; then To, which names several, says nothing of whose copy it was.

All is bounded: the fields that are looked at (`mail.py`), the names in all of them, and the links.
"""

import re
from itertools import chain, islice

import msgspec

from services.bounces.dsn import original
from services.bounces.mail import Fields, Mail, addresses, parse_blocks
from shared.words import ids

#: What a report may say of the message (RFC 5965 section 7.3), and whether that is a complaint. An unknown type is read
#: as `other`. `auth-failure` (RFC 6591) is about our authentication; `opt-out` is from before the RFC.
TYPES = {
    "abuse": True,
    "fraud": True,
    "virus": True,
    "other": True,
    "miscategorized": True,
    "opt-out": True,
    "opt-out-list": True,
    "not-spam": False,
    "auth-failure": False,
}
#: Reports of before RFC 5965: subject and nothing but the returned message (Outlook.com's junk mail reporting, AOL's
#: first loop, SpamCop's like), and who writes them whatever the subject is.
PLAIN_REPORT_SUBJECTS = (
    r"complaint about message from", r"client tos notification", r"e-?mail feedback report",
    r"\[?(abuse|spam) (report|complaint)",
)  # fmt: skip
PLAIN_REPORTERS = frozenset(
    (
        "staff@hotmail.com",
        "scomp@aol.net",
        "scomp@aol.com",
        "complaints@email-abuse.amazonses.com",
        "abuse-report@aol.com",
    )
)

#: Our mail has one recipient, which a provider may repeat in its own fields; a list of guesses is longer.
MAX_RECIPIENTS = 3
#: Names of each kind that are tried: a mail of ours has three addresses, and a link or two in its header.
MAX_NAMES = 20

_SIGNED = re.compile(r"\b[buf]-[0-9a-v]{39}@[\w.-]{1,253}", re.IGNORECASE)
# Blanks in it mean nothing (RFC 9477).
_FEEDBACK_ID = re.compile(r"f-[0-9a-v]{39}", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<?([0-9a-v]{20}\.[0-9]{1,10})((?:\.[0-9a-v]{13})?)@[^\s<>]{1,253}>?", re.IGNORECASE)
_SHARED_ID = re.compile(r"\s*<?([0-9a-v]{20})@[^\s<>]{1,253}>?\s*", re.IGNORECASE)
#: `…/u/<token>` in List-Unsubscribe, `…/c/<token>` where a provider quotes a link.
_TOKEN = re.compile(r"https?://[^\s<>\"/?#]{1,253}(?:/[\w.~-]{1,100}){0,5}/[cou]/([A-Za-z0-9_-]{40,8192})")
_TYPE = re.compile(r"^feedback-type[ \t]*:", re.IGNORECASE | re.MULTILINE)
_PLAIN_REPORT = re.compile("|".join(PLAIN_REPORT_SUBJECTS), re.IGNORECASE)
_RECIPIENT_FIELDS = ("to", "delivered-to", "x-original-to", "x-hmxmroriginalrecipient", "original-recipient")


class Feedback(msgspec.Struct, frozen=True):
    """`signed` are addresses and ids that may be ours, `tokens` are of links that may be, `unsigned` names of messages
    as (job, ordinal), `recipients` the addresses that the report or the returned message gives as the recipient's, in
    lower case. `copies_of` are jobs, of one of whose copies it is."""

    feedback_type: str
    is_complaint: bool
    reporter: str
    signed: tuple[str, ...]
    unsigned: tuple[tuple[str, int], ...]
    recipients: frozenset[str]
    tokens: tuple[str, ...] = ()
    copies_of: tuple[str, ...] = ()


def read(mail: Mail) -> Feedback | None:
    """The feedback in this mail, or None if it is not a report of that kind."""
    returned = original(mail)
    report = _report(mail)
    if report:
        return _feedback(mail, report, returned)
    if not returned and mail.fields.get("x-hmxmroriginalrecipient"):
        returned = mail.fields  # Hotmail's junk reports sent the mail on as it was, with this field
        return _feedback(mail, Fields((("feedback-type", "abuse"),)), returned)
    senders = addresses(mail.fields.get("from"))
    is_plain = _PLAIN_REPORT.match(mail.fields.get("subject")) or not PLAIN_REPORTERS.isdisjoint(senders[-1:])
    return _feedback(mail, Fields((("feedback-type", "abuse"),)), returned) if returned and is_plain else None


def _report(mail: Mail) -> Fields:
    """The fields of the report, empty if there are none: in a part of their own, or in a text where that went missing.
    A part that says no type is a complaint, for that is what such parts are for."""
    part = mail.part("message/feedback-report")
    blocks = part.blocks if part is not None else ()
    if mail.report_type == "feedback-report" and not blocks:
        texts = (one.text for one in mail.parts if one.content_type.startswith("text/"))
        blocks = tuple(block for text in texts if _TYPE.search(text) for block in parse_blocks(text))
    pairs = tuple(pair for block in blocks for pair in block.pairs)
    fields = Fields(pairs)
    if fields.get("feedback-type") or not (fields.get("user-agent") and fields.get("version")):
        return fields if fields.get("feedback-type") else Fields()
    return Fields((("feedback-type", "abuse"), *pairs))


def signed_names(fields: Fields) -> list[str]:
    """Names of the form that we sign, wherever they stand: Return-Path, List-Unsubscribe, Received, Message-ID, …"""
    ids_given = ("".join(value.split()) for value in fields.all("cfbl-feedback-id"))
    addresses_given = (found for _, value in fields.pairs for found in _SIGNED.findall(value))
    messages = (found[1] + found[2] for found in _message_ids(fields) if found[2])
    names = chain(addresses_given, (one for one in ids_given if _FEEDBACK_ID.fullmatch(one)), messages)
    return list(islice(dict.fromkeys(names), MAX_NAMES))


def _feedback(mail: Mail, report: Fields, returned: Fields) -> Feedback:
    said = report.get("feedback-type").strip().lower()
    feedback_type = said if said in TYPES else "other"
    copies_of = _shared_names(returned)
    return Feedback(
        feedback_type,
        TYPES[feedback_type],
        _reporter(mail, report),
        tuple(dict.fromkeys(signed_names(report) + signed_names(returned))),
        tuple(_message_names(returned)),
        frozenset(_recipients(report.all("original-rcpt-to"), returned, are_copies=bool(copies_of))),
        _tokens(report, returned),
        copies_of,
    )


def _tokens(report: Fields, returned: Fields) -> tuple[str, ...]:
    found = (token for _, value in (*report.pairs, *returned.pairs) for token in _TOKEN.findall(value))
    return tuple(islice(dict.fromkeys(found), MAX_NAMES))


def _reporter(mail: Mail, report: Fields) -> str:
    """Who reports: the domain it comes from, else the program that wrote it."""
    senders = addresses(mail.fields.get("from"))
    return (senders[-1].rpartition("@")[2] if senders else report.get("user-agent"))[:200]


def _message_ids(fields: Fields) -> list["re.Match[str]"]:
    values = islice(fields.all("message-id"), MAX_NAMES)
    return [found for value in values if (found := _MESSAGE_ID.search(value)) is not None]


def _message_names(returned: Fields) -> list[tuple[str, int]]:
    names = []
    for found in _message_ids(returned):
        try:
            names.append(ids.split_message_id(found[1].lower()))
        except ValueError:  # the form of one, but no job's id
            continue
    return names


def _shared_names(returned: Fields) -> tuple[str, ...]:
    found = map(_SHARED_ID.fullmatch, islice(returned.all("message-id"), MAX_NAMES))
    return tuple(job for one in found if one is not None and ids.is_job_id(job := one[1].lower()))


def _recipients(reported: list[str], returned: Fields, *, are_copies: bool) -> list[str]:
    fields = [field for field in _RECIPIENT_FIELDS if not (are_copies and field == "to")]
    values = reported + [value for field in fields for value in returned.all(field)]
    named = dict.fromkeys(address for value in values for address in addresses(value))
    return list(named) if len(named) <= MAX_RECIPIENTS else []

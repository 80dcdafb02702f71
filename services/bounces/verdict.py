"""What a received mail is: the order of questions, from the mail alone.

The address that it was sent to counts as much as what it says:

                        to b-…                  to u-…                   to postmaster@, abuse@, fbl@
    delivery report     Bounced, or nothing     kept: we never send      as to b-…, if it names a message
                                                from there
    feedback report     Complained              Complained               Complained, if it names a message
    bounce in prose     Bounced, or nothing     kept                     kept
    automatic answer    AutoReplied             AutoReplied              kept
    null reverse-path   kept                    kept                     kept
    a person's answer   Replied, and kept       Unsubscribed             kept
    another person's    kept                    Unsubscribed             kept

At f-… (RFC 9477) a feedback report is Complained, and everything else is kept.

A delivery report, in prose or not, counts if a mail system wrote it (`author.py`). What a person quotes or forwards of
one says nothing about whom our mail was for: it is a person's, and at u-… it is kept, for it may be about anybody.

Bounces in prose come before automatic answers because Exim marks its bounces `Auto-Submitted: auto-replied`; both come
before a person's mail, so that no machine unsubscribes anybody. The one exception is a client's or a provider's
"unsubscribe" button, which writes on a person's word: it says what our link asks for (an absence note says `Re:`, or a
subject of its own), and may honestly say that it was generated, or even, as Apple's does, that it is an answer.
"""

import re
from typing import Literal

import msgspec

from services.bounces import arf, author, auto_reply, dsn, findings, prose
from services.bounces.arf import Feedback
from services.bounces.findings import Finding
from services.bounces.mail import Mail
from shared.words.replies import Kind
from shared.words.verp import UNSUBSCRIBE_SUBJECT

#: What kind of address the mail was sent to: a return path, one to leave or to complain by, or one of our fixed ones.
Addressed = Literal["bounce", "unsubscribe", "feedback", "fixed"]

#: Subjects by which people leave, in the languages of our pages: what the link asks for, or a word alone.
LEAVING_SUBJECTS = re.compile(
    rf"{UNSUBSCRIBE_SUBJECT}\b(?!\s*:)|(un-?subscribe|opt[- ]?out|remove( me)?|stop|(se )?désinscri(re|ption)"
    r"|(se )?désabonne(r|ment)|abmelde(n|ung)|abbestell(en|ung)|abmelden bitte|(dar(me)? de )?baja|cancella(mi|zione)"
    r"|disiscri(vimi|zione)|afmelden|uitschrijven|cancelar( inscrição)?)[\s.!]*$",
    re.IGNORECASE,
)
#: Fields of mail that goes to many.
BULK_FIELDS = frozenset((
    "list-unsubscribe", "list-id", "list-post", "list-help", "list-subscribe", "list-archive", "list-owner",
    "mailing-list", "x-mailing-list", "x-mailman-version", "x-beenthere", "x-ml-name", "feedback-id", "x-campaign-id",
    "x-mailgun-sid",
))  # fmt: skip
#: Of an answer's subject, in facts.
MAX_SUBJECT_CHARS = 200
#: Field and value (a pattern) of clients' buttons.
BUTTON_FIELDS = (("x-apple-unsubscribe", re.compile(r"true|yes|1", re.IGNORECASE)),)


class Failed(msgspec.Struct, frozen=True):
    """The message did not arrive. `names` are signed addresses in the report, for one sent to a fixed address."""

    kind: Kind
    reason: str
    reply: str
    host: str
    names: tuple[str, ...] = ()


class Complaint(msgspec.Struct, frozen=True):
    feedback: Feedback


class Automatic(msgspec.Struct, frozen=True):
    kind: auto_reply.Kind
    subject: str


class Answer(msgspec.Struct, frozen=True):
    """A person answers. Nobody but people reads what they say: the mail is kept besides."""

    subject: str


class Leaves(msgspec.Struct, frozen=True):
    """A person, or their provider on their word, wants no more mail."""


class Nothing(msgspec.Struct, frozen=True):
    """Understood, and nothing that anybody has to know: `delayed`, `delivered`, `not_spam` …"""

    word: str


#: Why a mail is kept and looked at.
Why = Literal[
    "not_a_report",
    "unreadable_report",
    "report_to_unsubscribe",
    "null_sender",
    "authentication_report",
    "to_fixed_address",
    "to_feedback_address",
]


class Unrecognised(msgspec.Struct, frozen=True):
    """To be kept and looked at."""

    reason: Why


Verdict = Failed | Complaint | Automatic | Answer | Leaves | Nothing | Unrecognised


def judge(mail: Mail, to: Addressed, null_reverse_path: bool) -> Verdict:
    """What this mail is. `null_reverse_path`: its envelope sender is empty."""
    if to == "feedback":
        feedback = arf.read(mail)
        return _feedback(feedback) if feedback is not None else Unrecognised("to_feedback_address")
    if (feedback := arf.read(mail)) is not None:
        return _feedback(feedback)
    # In prose alone a report names no message of ours, which one to a fixed address has to.
    has_fields = dsn.read(mail) is not None
    automatic = auto_reply.read(mail, null_reverse_path)
    if (has_fields or (to != "fixed" and not is_letter(automatic))) and (found := reported(mail, null_reverse_path)):
        return _found(found, mail) if to != "unsubscribe" else Unrecognised("report_to_unsubscribe")
    is_button = to == "unsubscribe" and _is_button(mail, automatic)
    if automatic is not None and to != "fixed" and not is_button:
        return Automatic(automatic.kind, automatic.subject[:MAX_SUBJECT_CHARS])
    if mail.content_type == "multipart/report":
        return Unrecognised("unreadable_report")
    if to == "unsubscribe":
        if null_reverse_path:
            return Unrecognised("null_sender")
        return (
            Leaves()
            if is_button or not (has_fields or prose.is_quoted(mail))
            else Unrecognised("report_to_unsubscribe")
        )
    quotes_report = has_fields or prose.is_quoted(mail)
    if to == "bounce" and not (null_reverse_path or quotes_report) and is_answer(mail, automatic):
        return Answer(mail.fields.get("subject")[:MAX_SUBJECT_CHARS])
    return Unrecognised("not_a_report" if to == "bounce" else "to_fixed_address")


def is_answer(mail: Mail, automatic: auto_reply.AutoReply | None) -> bool:
    """Whether a person answers: no machine by its fields or its words, and no mail to many."""
    if automatic is not None or mail.fields.has(BULK_FIELDS) or author.is_from_daemon(mail) or author.is_forward(mail):
        return False
    fields = mail.fields.get("in-reply-to") or mail.fields.get("references")
    return (author.is_reply(mail) or fields != "") and auto_reply.says_so(mail) is None


def is_letter(automatic: auto_reply.AutoReply | None) -> bool:
    """Whether it is sure to be no bounce in prose: who asks for proof, or confirms a reading, may speak of delivery."""
    return automatic is not None and automatic.kind in ("challenge", "read_receipt")


def reported(mail: Mail, null_reverse_path: bool) -> tuple[Finding, ...]:
    """What a mail system's report says of each recipient; empty if this is none."""
    return findings.read(mail, null_reverse_path, _is_programs(mail, null_reverse_path))


def _is_programs(mail: Mail, null_reverse_path: bool) -> bool:
    """Whether a delivery report is what the mail is, and not what somebody forwards: a report proper (RFC 6522) may
    have got a sender on its way, or any subject, but not both a sender and that of an answer."""
    if mail.content_type == "multipart/report":
        return null_reverse_path or author.is_from_daemon(mail) or not author.is_reply(mail)
    return author.is_program(mail, null_reverse_path)


def _is_button(mail: Mail, automatic: auto_reply.AutoReply | None) -> bool:
    """Whether a client or a provider wrote it on a person's word. One that passes over the subject of the link leaves
    it empty; who asks for proof, or confirms a reading, says nothing about leaving."""
    kind = automatic.kind if automatic is not None else None
    return is_leaving(mail, automatic) or (not mail.fields.get("subject").strip() and kind == "other")


def is_leaving(mail: Mail, automatic: auto_reply.AutoReply | None) -> bool:
    """Whether a subject asks for nothing but to leave, or a client says that its user does."""
    if is_letter(automatic):
        return False
    return LEAVING_SUBJECTS.match(mail.fields.get("subject").strip()) is not None or any(
        pattern.fullmatch(mail.fields.get(field).strip()) for field, pattern in BUTTON_FIELDS
    )


def _found(found: tuple[Finding, ...], mail: Mail) -> Verdict:
    failed = [one for one in found if one.action == "failed"]
    if not failed:
        return Nothing(found[0].action)
    # Behind an alias some may fail and others not: the address is bad only if all of them say so.
    worst = next((one for one in failed if one.kind != "hard"), failed[0])
    kind = "soft" if worst.kind == "hard" and len(failed) < len(found) else worst.kind
    return Failed(kind, worst.reason, worst.reply, worst.host, tuple(arf.signed_names(dsn.original(mail))))


def _feedback(feedback: Feedback) -> Verdict:
    if feedback.is_complaint:
        return Complaint(feedback)
    return Nothing("not_spam") if feedback.feedback_type == "not-spam" else Unrecognised("authentication_report")

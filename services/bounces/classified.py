"""What a received mail is, judged by the mail alone, as one row for each recipient that it reports: what the console's
`classify` prints. Pure.

The service knows to which of its addresses a mail was sent, and from which envelope; here both are looked for in the
fields where hosts leave them (Return-Path, Delivered-To, To). A mail that was sent to no address of ours is judged as
one to a return path, and a person's that asks for nothing but to leave is an unsubscription wherever it was sent.
"""

import re
from typing import Literal

import msgspec

from services.bounces import arf, author, auto_reply, copies, dsn, verdict
from services.bounces import mail as opening
from services.bounces.findings import Finding
from services.bounces.mail import Mail, addresses
from shared.words.replies import UNDEFINED, classify, reply_codes

Kind = Literal["bounce", "delay", "complaint", "unsubscribe", "auto_reply", "reply", "not_a_report"]
#: What a row is about: the address, its mailbox, us who sent, this one content, somebody's policy, their hosts, names
#: in DNS, the network, or nobody knows.
About = Literal["recipient", "mailbox", "sender", "content", "policy", "host", "dns", "network", "unknown"]

#: What a reason is about, whatever its kind. What is missing is about us if it is a block, else about the address.
ABOUT: dict[str, About] = {
    "unknown_host": "host", "domain_refuses_mail": "host", "mailbox_disabled": "mailbox", "owner_changed": "mailbox",
    "mailbox_full": "mailbox", "greylisted": "policy", "relaying_denied": "policy", "mailer_error": "host",
    "system_unavailable": "host", "loop": "host", "dns_failure": "dns", "expired": "network", "no_answer": "network",
    "tls_failed": "network", "too_big": "content", "no_smtputf8": "content", "content": "content",
    "undefined": "unknown", "policy": "policy", "spam": "content", "malware": "content", "protocol": "content",
}  # fmt: skip
_KINDS: dict[str, Kind] = {"failed": "bounce", "delayed": "delay"}
_SIGNED = re.compile(r"(?P<kind>[buf])-[0-9a-v]{39}")
#: Addresses of ours, or of anybody, that are there to leave by.
_LEAVE = re.compile(
    r"(list-?)?(un-?subscribe|opt-?out|leave|remove|abmelde\w*|desinscri\w*|baja)([-+_.=].*)?", re.IGNORECASE
)
#: A whole text that asks for nothing else.
_LEAVES = re.compile(
    r"(please )?(un-?subscribe|opt[- ]?out|remove|stop|take) ?(me|us)?( please)?( off| from)?( (your|this"
    r"|the) (mailing )?list)?"
    r"|(merci de )?(me )?(désabonner|désinscrire)|désinscription|désabonnement|(bitte )?abmelden|austragen"
    r"|(dar(me)? de )?baja"
    r"|cancellami|uitschrijven|afmelden",
    re.IGNORECASE,
)
#: Senders of lists: `owner-list@`, `list-bounces@`.
_LIST_SENDER = re.compile(r"owner-[^@]{1,64}@|[^@]{1,64}-(owner|admin|bounces)@", re.IGNORECASE)
_ADDRESSED_FIELDS = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "to")
_OWN_PREFIX = re.compile(rb"From ([^\s]+)[^\n]*\n")


class Row(msgspec.Struct, frozen=True):
    """One recipient. `status`: the enhanced status code. `class_` (in JSON `class`): a reason of
    `shared/words/replies.py`, a feedback type, a kind of automatic answer, or what else happened (`delivered`)."""

    kind: Kind
    recipient: str | None = None
    status: str | None = None
    class_: str | None = msgspec.field(default=None, name="class")
    verdict: Literal["hard", "soft", "none"] = "none"
    about: About | None = None
    diagnostic: str | None = None


def of_mail(raw: bytes) -> tuple[Row, ...]:
    """What the mail is; at least one row. Never raises."""
    raw = raw.lstrip()  # files that were edited begin with blank lines
    own = _OWN_PREFIX.match(raw)  # of an mbox: the envelope sender, or MAILER-DAEMON for the null one
    mail = opening.read(raw[own.end() :] if own else raw)
    null_reverse_path = _is_from_nobody(mail, own[1].decode("latin-1") if own else "")
    if (feedback := arf.read(mail)) is not None:
        return _of_feedback(feedback)
    automatic = auto_reply.read(mail, null_reverse_path)
    is_letter = verdict.is_letter(automatic) and dsn.read(mail) is None
    if not is_letter and (found := verdict.reported(mail, null_reverse_path)):
        return tuple(_of_finding(one, mail) for one in found)
    is_report = mail.report_type == "delivery-status"
    if not is_letter and is_report and author.is_program(mail, null_reverse_path):  # torn beyond reading
        return (Row("bounce", _addressee(mail), None, UNDEFINED.reason, "soft", "unknown"),)
    return (_of_letter(mail, automatic, null_reverse_path),)


def of_reply(text: str) -> Row:
    """What one reply says, `550 5.1.1 User unknown`: a bounce, or for 4xx a delay."""
    says = classify(None, None, text)
    code, status = reply_codes(text)
    is_delay = (code is not None and code < 500) or (code is None and (status or "5").startswith("4"))
    row = Finding("", "delayed" if is_delay else "failed", status or "", text, "", says.kind, says.reason)
    return _row(row, None)


def _is_from_nobody(mail: Mail, envelope: str) -> bool:
    return_path = mail.fields.get("return-path").strip()
    return return_path in ("<>", "< >") or "mailer-daemon" in return_path.lower() or envelope in ("MAILER-DAEMON", "<>")


def _of_finding(one: Finding, mail: Mail) -> Row:
    return _row(one, one.recipient or _addressee(mail))


def _row(one: Finding, recipient: str | None) -> Row:
    kind = _KINDS.get(one.action)
    if kind is None:  # delivered, relayed, expanded: a report, and nothing that failed
        return Row("not_a_report", recipient, one.status or None, one.action, diagnostic=one.reply or None)
    is_ours = one.kind == "block"
    about = ABOUT.get(one.reason, "sender" if is_ours else "recipient")
    word: Literal["hard", "soft", "none"] = "none" if one.kind == "block" else one.kind
    return Row(kind, recipient, one.status or None, one.reason, word, about, one.reply or None)


def _addressee(mail: Mail) -> str | None:
    """Whom our mail was to, says its copy; None where there is none, or many."""
    returned = addresses(dsn.original(mail).get("to"))
    return returned[0] if len(returned) == 1 else None


def _of_feedback(feedback: arf.Feedback) -> tuple[Row, ...]:
    kind: Kind = "complaint" if feedback.is_complaint else "not_a_report"
    about: About | None = "sender" if feedback.is_complaint else None
    word = feedback.feedback_type.replace("-", "_")
    recipients: list[str | None] = [*sorted(feedback.recipients)]
    return tuple(Row(kind, one, class_=word, about=about) for one in recipients or [None])


def _of_letter(mail: Mail, automatic: auto_reply.AutoReply | None, null_reverse_path: bool) -> Row:
    """What is no report: a word of leaving, a machine's answer, a person's, or a mail to many."""
    writer = next(iter(addresses(mail.fields.get("from"))[-1:]), None)
    to = _sent_to(mail)
    if verdict.is_leaving(mail, automatic) or (to == "unsubscribe" and automatic is None and not null_reverse_path):
        return Row("unsubscribe", writer)
    if automatic is not None and (automatic.kind != "other" or not _is_to_many(mail)):
        return Row("auto_reply", writer, class_=automatic.kind)
    is_persons = author.is_reply(mail) or author.is_from_daemon(mail)
    if null_reverse_path and not is_persons and not mail.fields.has(verdict.BULK_FIELDS):
        return Row("auto_reply", writer, class_="other")  # nobody writes from nowhere (RFC 3834 section 3.3)
    text = " ".join(copies.own_text(mail).split())
    if len(text) < 80 and _LEAVES.fullmatch(text.strip(" .!")) and not _is_to_many(mail):
        return Row("unsubscribe", writer)
    if (
        automatic is None
        and not mail.fields.has(verdict.BULK_FIELDS)
        and (kind := auto_reply.says_so(mail)) is not None
    ):
        return Row("auto_reply", writer, class_=kind)
    is_reply = author.is_reply(mail) or mail.fields.get("in-reply-to") or mail.fields.get("references")
    if is_reply and automatic is None:
        return Row("reply", writer)
    return Row("not_a_report", writer)


def _sent_to(mail: Mail) -> verdict.Addressed:
    for field in _ADDRESSED_FIELDS:
        for address in addresses(" ".join(mail.fields.all(field))):
            local_part = address.rpartition("@")[0]
            signed = _SIGNED.fullmatch(local_part)
            if signed is not None:
                return {"b": "bounce", "u": "unsubscribe", "f": "feedback"}[signed["kind"]]  # type: ignore[return-value]
            if _LEAVE.fullmatch(local_part):
                return "unsubscribe"
    return "bounce"


def _is_to_many(mail: Mail) -> bool:
    """A newsletter, a list's mail, a notice: a machine's, and no answer to anybody."""
    if mail.fields.has(verdict.BULK_FIELDS) or any(map(_LIST_SENDER.match, addresses(mail.fields.get("sender")))):
        return True
    return not (mail.fields.get("in-reply-to") or author.is_reply(mail)) and mail.fields.get("auto-submitted") == ""

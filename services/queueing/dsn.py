"""The mail that tells a sender what became of a message: a report of three parts (RFC 6522).

    text/plain                  for people
    message/delivery-status     for programs (RFC 3464): one recipient, what became of it, and who said so
    text/rfc822-headers         the header of the mail; message/rfc822: all of it, where that was asked for and is small

It is a content that came whole, with the null sender: whoever cannot take it tells nobody, and no report is made of a
report. Pure.
"""

import re
from binascii import b2a_qp
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from services.queueing.dsn_wanted import MAX_FULL_BYTES, MAX_HEADER_BYTES
from shared.mail import addresses, headers, quoted_printable
from shared.words import events
from shared.words.consent import NOT_OPTED_IN, OBJECTED
from shared.words.content import CompiledContent, Link, Part, Segment, Subject
from shared.words.pressure import PRESSURE

#: By which a sender knows a mail: of a header that is too long, these fields come back first.
_NAMING = frozenset(("from", "subject", "date", "message-id"))
_ASCII = bytes(range(128))
#: Of what a host said: a field's line has 998 characters.
MAX_SAID_CHARS = 500

_REPLY = re.compile(r"[245]\d\d[ -]?([245]\.\d{1,3}\.\d{1,3})?")
#: QCHAR of RFC 6533.
_AS_IT_IS = re.compile(r"[!-*,-<>-\[\]-~]")
_HOST = re.compile(r"[A-Za-z0-9.-]*[A-Za-z0-9]")
#: Why a message was not sent, and the enhanced status code of it (RFC 3463); else 5.0.0.
_STATUS = {
    "invalid_address": "5.1.3",
    "no_mail_host": "5.1.2",
    PRESSURE: "5.7.1",
    NOT_OPTED_IN: "5.7.1",
    OBJECTED: "5.7.1",
}
#: No message of its own was made for it: the one that it repeats has an end.
_NOT_TOLD = "duplicate_address"

End = (
    events.Delivered
    | events.Bounced
    | events.Expired
    | events.Failed
    | events.Suppressed
    | events.Rejected
    | events.Cancelled
)
ENDS = (
    events.Delivered, events.Bounced, events.Expired, events.Failed, events.Suppressed, events.Rejected,
    events.Cancelled,
)  # fmt: skip


class Told(msgspec.Struct, frozen=True):
    """What became of a message: `action` and `status` as RFC 3464 has them, in `words`, and the `host` that `said` it,
    or "" where it was ourselves."""

    action: str
    status: str
    words: str
    host: str = ""
    said: str = ""


class About(msgspec.Struct, frozen=True):
    """The message, `recipient` its address, `sender` who is told; the rest as `dsn_wanted` has it."""

    message: str
    recipient: str
    sender: str
    reporting_mta: str
    original_recipient: str = ""
    envelope_id: str = ""
    is_full: bool = False


def told(end: End) -> Told | None:
    """None where there is nothing to tell."""
    match end:
        case events.Delivered():
            words = "was handed to the next mail host, which took the responsibility for it"
            return Told("relayed", _status(end.reply, "2.0.0"), words, end.host, end.reply)
        case events.Bounced():
            late = " after it had taken it" if end.late else ""
            words = f"could not be delivered: the mail host of the recipient refused it{late}"
            return Told("failed", _status(end.reply, "5.0.0"), words, end.host, end.reply)
        case events.Expired():
            words = "could not be delivered in time, and is not tried any more"
            return Told("failed", "4.4.7", words, end.host, end.reply)
        case events.Failed():
            return Told("failed", "5.3.0", "could not be made or sent by this system", said=end.reason)
        case events.Suppressed():
            words = "was not sent: the recipient must not be mailed (suppression list)"
            return Told("failed", "5.7.1", words, said=f"suppressed: {end.reason}")
        case events.Cancelled():
            return Told("failed", "5.0.0", "was not sent: it was cancelled before", said=f"cancelled by {end.by}")
    if end.reason == _NOT_TOLD:
        return None
    status = _STATUS.get(end.reason, "5.0.0")
    return Told("failed", status, f"was not sent: {end.reason.replace('_', ' ')}", said=f"rejected: {end.reason}")


def returnable(original: CompiledContent, is_full: bool) -> CompiledContent:
    """The mail without a body that does not come back."""
    is_small = is_full and len(untracked(original.body)) <= MAX_FULL_BYTES
    return msgspec.structs.replace(original, links=[], body=original.body if is_small else [])


def compiled(about: About, end: Told, original: CompiledContent) -> CompiledContent:
    """The content of the report's job. `original` is `returnable`."""
    domain = addresses.domain_of(about.sender)
    boundary = f"=_{blake2b(f'{about.message} {end.action}'.encode(), digest_size=16).hexdigest()}"
    # Not the recipient: the subjects of jobs are shown, and outlive who is erased.
    title = "Handed on" if end.action == "relayed" else "Not delivered"
    subject = f"{title}: {named}" if (named := _subject(original)) else title
    parts = [_for_people(about, end, original), _for_programs(about, end), _returned(about, end, original)]
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts)
    described = f'multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"'
    fields = {
        "From": f"Mail Delivery System <MAILER-DAEMON@{domain}>",
        "To": f"<{about.sender}>",
        "Subject": headers.unstructured(subject, len("Subject")),
        "Auto-Submitted": "auto-replied",
        "MIME-Version": "1.0",
        "Content-Type": described,
    }
    return CompiledContent(
        stream="transactional",
        from_value=f"MAILER-DAEMON@{domain}",
        from_domain=domain,
        subject=Subject((subject,)),
        body_fields=[],
        body=[body + b"--%b--\r\n" % boundary.encode()],
        given=[(name, value.encode()) for name, value in fields.items()],
        null_sender=True,
    )


def _subject(original: CompiledContent) -> str:
    """In one line, and not all of a long one."""
    return headers.one_line("".join(one for one in original.subject.pieces if isinstance(one, str)))[:200].strip()


def _for_people(about: About, end: Told, original: CompiledContent) -> bytes:
    subject = _subject(original)
    asked = "SUCCESS" if end.action == "relayed" else "FAILURE"
    lines = [
        f"This is the mail system of {about.reporting_mta}.",
        "",
        f"Your mail to {headers.one_line(about.recipient)}",
        f"{end.words}.",
        "",
        *([f"  Subject:  {subject}"] if subject else []),
        *([f"  Host:     {end.host}"] if end.host else []),
        *([f"  It said:  {_shown(end.said)}"] if end.host and end.said else []),
        *([f"  Because:  {_shown(end.said)}"] if end.said and not end.host else []),
        f"  Message:  {about.message}",
        "",
        f"The program that handed it over asked for this report (NOTIFY={asked}).",
        "",
    ]
    text = quoted_printable.encode("\n".join(lines))
    return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + text


def _for_programs(about: About, end: Told) -> bytes:
    of_mail = [("Reporting-MTA", f"dns; {about.reporting_mta}")]
    if about.envelope_id:
        of_mail.append(("Original-Envelope-Id", about.envelope_id))
    of_recipient = []
    if about.original_recipient:
        kind, _, address = about.original_recipient.partition(";")
        of_recipient.append(("Original-Recipient", f"{kind}; {address}"))
    of_recipient += [
        ("Final-Recipient", _typed(about.recipient)),
        ("Action", end.action),
        ("Status", end.status),
    ]
    if (host := _HOST.match(end.host)) is not None:
        of_recipient.append(("Remote-MTA", f"dns; {host[0]}"))
    if end.said:
        kind = "smtp" if end.host and _REPLY.match(end.said) else "X-Estafette"
        of_recipient.append(("Diagnostic-Code", f"{kind}; {_shown(end.said)}"))
    blocks = ["".join(f"{name}: {value}\r\n" for name, value in block) for block in (of_mail, of_recipient)]
    return b"Content-Type: message/delivery-status\r\n\r\n" + "\r\n".join(blocks).encode("ascii", "replace")


def _returned(about: About, end: Told, original: CompiledContent) -> bytes:
    every = [b"%b: %b\r\n" % (name.encode("ascii"), value) for name, value in original.given]
    header = b"".join(every)
    if about.is_full and original.body and end.action == "failed" and header.isascii():
        whole = header + b"\r\n" + untracked(original.body)
        if len(whole) <= MAX_FULL_BYTES and whole.isascii():
            return b"Content-Type: message/rfc822\r\n\r\n" + whole
    header = b"".join(_most_of(every))
    if not header.isascii():  # RFC 6533 section 6.3
        encoded = b2a_qp(header.replace(b"\r\n", b"\n"), istext=True).replace(b"\n", b"\r\n")
        return b"Content-Type: message/global-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded
    return b"Content-Type: text/rfc822-headers\r\n\r\n" + header


def _most_of(fields: Sequence[bytes]) -> list[bytes]:
    """Those that fit, in their order."""
    kept, left = set[int](), MAX_HEADER_BYTES
    names = [field.partition(b":")[0].decode("ascii").lower() for field in fields]
    for at in sorted(range(len(fields)), key=lambda at: names[at] not in _NAMING):
        # In quoted-printable what is not ASCII takes three times its room.
        size = len(fields[at]) + 2 * len(fields[at].translate(None, _ASCII))
        if size <= left:
            kept.add(at)
            left -= size
    return [field for at, field in enumerate(fields) if at in kept]


def untracked(body: Sequence[bytes | Part]) -> bytes:
    """The body of a mail that came whole, with the links that its sender wrote."""
    return b"".join(item if isinstance(item, bytes) else b"".join(map(_segment, item.segments)) for item in body)


def _segment(segment: Segment) -> bytes:
    match segment:
        case bytes():
            return segment
        case Link():
            return quoted_printable.encode("".join(piece for piece in segment.source if isinstance(piece, str)))
    return b""


def _status(reply: str, otherwise: str) -> str:
    """The enhanced code that the host said, of the same class."""
    found = _REPLY.match(reply)
    return found[1] if found and found[1] and (found[1][0] == "2") == (otherwise[0] == "2") else otherwise


def _typed(address: str) -> str:
    """RFC 6533 section 3: what is not ASCII as `utf-8-addr-xtext`, in which `+`, `=` and the backslash are written so,
    too."""
    if address.isascii():
        return f"rfc822; {_printable(address)}"
    return "utf-8; " + "".join(one if _AS_IT_IS.fullmatch(one) else f"\\x{{{ord(one):X}}}" for one in address)


def _shown(said: str) -> str:
    return _printable(" ".join(said.split()))[:MAX_SAID_CHARS]


def _printable(text: str) -> str:
    return "".join(one if " " <= one <= "~" else "?" for one in text)

"""What a receiving host sends back after it took a message: a bounce (RFC 3464) or a complaint (RFC 5965)."""

from datetime import datetime
from email.utils import format_datetime

import msgspec

#: The name this host goes by in reports. `.localhost` never leaves the machine (RFC 6761).
HOST = "mailbox.localhost"
#: A complaint carries the whole message up to here, beyond it the header alone (RFC 5965 section 2 allows both).
MAX_RETURNED_BYTES = 64 * 1024


class Sent(msgspec.Struct, frozen=True):
    """The message a notice is about, as far as a notice carries it; `whole` is None for a large one."""

    return_path: str
    recipient: str
    header: bytes
    whole: bytes | None


def sent(return_path: str, recipient: str, raw: bytes) -> Sent:
    """Of a message with CRLF line ends, what its notices will need: never more than twice MAX_RETURNED_BYTES."""
    whole = raw if len(raw) <= MAX_RETURNED_BYTES else None
    return Sent(return_path, recipient, head(raw)[:MAX_RETURNED_BYTES], whole)


def bounce(about: Sent, at: datetime, boundary: str) -> bytes:
    """A delivery status notification: the user is unknown after all. Its reverse path is empty (RFC 3464 section 2)."""
    status = _lines(
        f"Reporting-MTA: dns; {HOST}",
        f"Arrival-Date: {format_datetime(at)}",
        "",
        f"Final-Recipient: {_typed(about.recipient)}",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown",
        f"Last-Attempt-Date: {format_datetime(at)}",
    )
    told = _lines(
        f"This is the mail system at {HOST}.",
        "",
        "Your message could not be delivered to this recipient:",
        "",
        f"    {_ascii(about.recipient)}: 550 5.1.1 User unknown",
    )
    return _report(
        about,
        at,
        boundary,
        "Undelivered Mail Returned to Sender",
        "delivery-status",
        [
            _part("text/plain; charset=us-ascii", told),
            _part("message/delivery-status", status),
            _part("text/rfc822-headers", about.header),
        ],
    )


def complaint(about: Sent, at: datetime, boundary: str) -> bytes:
    """A feedback report of type `abuse`, as a mailbox provider sends when a recipient presses "spam"."""
    fields = _lines(
        "Feedback-Type: abuse",
        "User-Agent: Estafette-Mailbox/1",
        "Version: 1",
        f"Original-Mail-From: <{_ascii(about.return_path)}>",
        f"Original-Rcpt-To: <{_ascii(about.recipient)}>",
        f"Arrival-Date: {format_datetime(at)}",
        f"Reporting-MTA: dns; {HOST}",
    )
    told = _lines("This is a report of abuse for a message that was received here.")
    return _report(
        about,
        at,
        boundary,
        "Abuse report",
        "feedback-report",
        [
            _part("text/plain; charset=us-ascii", told),
            _part("message/feedback-report", fields),
            _part("text/rfc822-headers", about.header) if about.whole is None else _part("message/rfc822", about.whole),
        ],
    )


def head(raw: bytes) -> bytes:
    """The header of a message, with the line end of its last field."""
    end = raw.find(b"\r\n\r\n")
    return raw if end < 0 else raw[: end + 2]


def _report(about: Sent, at: datetime, boundary: str, subject: str, report_type: str, parts: list[bytes]) -> bytes:
    header = _lines(
        f"From: Mail Delivery System <mailer-daemon@{HOST}>",
        f"To: <{_ascii(about.return_path)}>",
        f"Subject: {subject}",
        f"Date: {format_datetime(at)}",
        f"Message-ID: <{boundary}@{HOST}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type={report_type}; boundary="{boundary}"',
    )
    delimiter = f"--{boundary}\r\n".encode("ascii")
    end = f"--{boundary}--\r\n".encode("ascii")
    return header + b"\r\n" + b"".join(delimiter + part for part in parts) + end


def _part(content_type: str, content: bytes) -> bytes:
    encoding = "7bit" if content.isascii() else "8bit"
    ends = b"" if content.endswith(b"\r\n") else b"\r\n"
    # The line end before a delimiter belongs to the delimiter (RFC 2046 section 5.1.1), hence one more.
    return (
        _lines(f"Content-Type: {content_type}", f"Content-Transfer-Encoding: {encoding}", "") + content + ends + b"\r\n"
    )


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _typed(address: str) -> str:
    """The address with its type; beyond ASCII as utf-8-addr-xtext (RFC 6533 section 3)."""
    return f"rfc822; {address}" if address.isascii() else f"utf-8; {_ascii(address)}"


def _ascii(address: str) -> str:
    return "".join(char if char.isascii() else f"\\x{{{ord(char):X}}}" for char in address)

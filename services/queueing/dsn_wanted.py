"""What the sender of a mail that came whole wants to be told of it by mail (RFC 3461): how it is asked for, what is
wrong with that, and how it is kept with the job. Pure.

Nobody is told who has not asked: what becomes of a mail is told by events, and a platform that mailed every bounce of a
campaign back would flood its sender.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.mail import addresses
from shared.words.described import says
from shared.words.errors import Fault

When = Literal["failure", "success"]
#: Of a recipient, when their mail is told of; bits of a number.
FAILURE, SUCCESS = 1, 2
_BITS: dict[str, int] = {"failure": FAILURE, "success": SUCCESS}

#: RFC 3461 sections 4.4 and 4.2; of both without the encoding.
MAX_ENVELOPE_ID_CHARS, MAX_ORIGINAL_CHARS = 100, 500
#: What comes back at most: the header; all of a mail (as Postfix's bounce_size_limit). Each of a thousand recipients
#: may have a report of their own.
MAX_HEADER_BYTES, MAX_FULL_BYTES = 10_000, 50_000
#: Of a report without that: its texts, and what any job costs.
REPORT_BYTES = 3_000
_PRINTABLE = re.compile(r"[ -~]*")
_ORIGINAL = re.compile(r"[A-Za-z0-9-]{1,60};[ -~]+")


class RecipientDsn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is told of one recipient."""

    notify: Annotated[
        list[When],
        says(
            "When: `failure`, where it will not arrive; `success`, where the next host took it. Never where empty.",
            ["failure"],
            max_length=2,
        ),
    ] = []
    original_recipient: Annotated[
        str,
        says(
            "The address before anybody forwarded it: its type, a semicolon, and it, in ASCII (ORCPT).",
            "rfc822;ana@exemple.fr",
            max_length=MAX_ORIGINAL_CHARS,
        ),
    ] = ""


class Dsn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets a delivery status notification (RFC 3464) by mail, and when. Without it nobody gets one."""

    sender: Annotated[
        str,
        says("The envelope sender, at a sending domain of the tenant's: there it goes.", "app@exemple.fr"),
        Meta(max_length=320),
    ]
    recipients: Annotated[
        list[RecipientDsn], says("What is told of each recipient, in the order of `recipients`.", max_length=1_000)
    ]
    envelope_id: Annotated[
        str,
        says(
            "What the sender knows the mail by (ENVID); it stands in what is told.",
            "order-4711",
            max_length=MAX_ENVELOPE_ID_CHARS,
        ),
    ] = ""
    content: Annotated[
        Literal["headers", "full"],
        says("What comes back of a mail that failed (RET); all of it only if that is no more than 50 kB.", "headers"),
    ] = "headers"


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """As it is kept: `recipients` by ordinal, when they are told of, and the original address."""

    sender: str
    envelope_id: str
    is_full: bool
    recipients: list[tuple[int, str]]

    def of(self, ordinal: int | None) -> tuple[int, str]:
        """When the message is told of (0: never), and its original address."""
        return self.recipients[ordinal] if ordinal is not None and ordinal < len(self.recipients) else (0, "")


def faults(asked: Dsn, recipients: Sequence[str]) -> list[Fault]:
    """All that is wrong with what is asked."""
    found = []
    try:
        addresses.parse(asked.sender)
    except addresses.InvalidAddress as fault:
        found.append(Fault("$.dsn.sender", f"not an address: {fault}"))
    if _PRINTABLE.fullmatch(asked.envelope_id) is None:
        found.append(Fault("$.dsn.envelope_id", "expected printable characters of ASCII"))
    if len(asked.recipients) != len(recipients):
        what = f"has {len(asked.recipients)} entries, and `recipients` has {len(recipients)}"
        found.append(Fault("$.dsn.recipients", what))
    found += [
        Fault(f"$.dsn.recipients[{at}].original_recipient", "expected `type;address`, printable characters of ASCII")
        for at, one in enumerate(asked.recipients)
        if one.original_recipient and _ORIGINAL.fullmatch(one.original_recipient) is None
    ]
    return found


def packed(asked: Dsn | None) -> bytes:
    """Of what has no faults; b"" where nobody is to be told anything."""
    if asked is None or not any(one.notify for one in asked.recipients):
        return b""
    each = [(sum({_BITS[when] for when in one.notify}), one.original_recipient) for one in asked.recipients]
    sender = str(addresses.parse(asked.sender))
    return msgspec.msgpack.encode(Wanted(sender, asked.envelope_id, asked.content == "full", each))


def unpacked(stored: bytes) -> Wanted | None:
    """None of a job whose sender wants to be told nothing."""
    return msgspec.msgpack.decode(stored, type=Wanted) if stored else None


def owed_bytes(stored: bytes, content_bytes: int) -> int:
    """What the reports may take that the sender of a mail is owed, one for each recipient that is told of."""
    wanted = unpacked(stored)
    if wanted is None:
        return 0
    most = MAX_FULL_BYTES if wanted.is_full else MAX_HEADER_BYTES
    return sum(when > 0 for when, _ in wanted.recipients) * (REPORT_BYTES + min(content_bytes, most))

"""Delivery status notifications (RFC 3464, internationalised RFC 6533): what became of the message, says the report.

A report has a block about itself and one for each recipient. One message of ours has one recipient; where there are
more blocks, an alias or a list was behind the address. Some programs put all into one block, leave out the Action, or
write a Status of 5.0.0 and the truth into the Diagnostic-Code: all of that is read.
"""

import re

import msgspec

from services.bounces.mail import HEADERS, RETURNED, Fields, Mail

STATUS_PARTS = ("message/delivery-status", "message/global-delivery-status")
#: What a recipient's block may say happened (RFC 3464 section 2.3.3).
ACTIONS = frozenset(("failed", "delayed", "delivered", "relayed", "expanded"))

_STATUS = re.compile(r"\b([245])\.[0-7]\.[0-9]{1,3}\b")
_ACTION_OF_CLASS = {"5": "failed", "4": "delayed", "2": "delivered"}


class Recipient(msgspec.Struct, frozen=True):
    """One recipient's block. `diagnostic` and `remote_mta` are without their type (`smtp;`, `dns;`)."""

    action: str
    status: str | None
    diagnostic: str
    final_recipient: str
    remote_mta: str


class Report(msgspec.Struct, frozen=True):
    """`original` is the header of the returned message, empty if none came along."""

    reporting_mta: str
    recipients: tuple[Recipient, ...]
    original: Fields


def read(mail: Mail) -> Report | None:
    """The report in this mail, or None if it has none that says anything about a recipient."""
    status = mail.part(*STATUS_PARTS)
    if status is None:
        return None
    recipients = tuple(found for block in status.blocks if (found := _recipient(block)) is not None)
    if not recipients:
        return None
    reporting_mta = next((value for block in status.blocks if (value := block.get("reporting-mta"))), "")
    return Report(_untyped(reporting_mta), recipients, original(mail))


def original(mail: Mail) -> Fields:
    """The header of the message that a report returns, empty if it returns none."""
    returned = mail.part(*RETURNED, *HEADERS)
    return returned.blocks[0] if returned is not None and returned.blocks else Fields()


def _recipient(block: Fields) -> Recipient | None:
    final_recipient = block.get("final-recipient") or block.get("original-recipient")
    found = _STATUS.search(block.get("status"))
    words = block.get("action").lower().split()  # `failed (bad destination mailbox)` is common
    action = words[0] if words and words[0] in ACTIONS else _ACTION_OF_CLASS.get(found[1] if found else "")
    if action is None or not (final_recipient or words):
        return None
    return Recipient(
        action,
        found[0] if found else None,
        _untyped(block.get("diagnostic-code")),
        _untyped(final_recipient),
        _untyped(block.get("remote-mta")),
    )


def _untyped(value: str) -> str:
    """`smtp; 550 …` without the type; a value that has none as it is."""
    kind, semicolon, rest = value.partition(";")
    return rest.strip() if semicolon and re.fullmatch(r"[\w-]{1,20}", kind.strip()) else value.strip()

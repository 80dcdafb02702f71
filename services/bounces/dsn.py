"""Delivery status notifications (RFC 3464, internationalised RFC 6533): what became of the message, says the report.

A report has a block about itself and one for each recipient. Programs put all into one block, tear one apart, leave out
the Action, call the part text/plain, or lose the parts altogether, so that the fields stand in the text: all of that is
read. What is not read is a copy of a report in the message that comes back.
"""

import re
from collections.abc import Iterator

import msgspec

from services.bounces.mail import HEADERS, RETURNED, Fields, Mail, addresses, parse_blocks

STATUS_PARTS = (
    "message/delivery-status", "message/global-delivery-status", "message/x-delivery-status",
    "message/xdelivery-status", "message/deliverystatus",
)  # fmt: skip
#: What a recipient's block may say happened (RFC 3464 section 2.3.3).
ACTIONS = frozenset(("failed", "delayed", "delivered", "relayed", "expanded"))
#: The same in the words of those who have not read it.
OTHER_ACTIONS = {
    "fail": "failed", "failure": "failed", "bounced": "failed", "bounce": "failed", "error": "failed",
    "expired": "failed", "undeliverable": "failed", "rejected": "failed", "failed-permanent": "failed",
    "delay": "delayed", "deferred": "delayed", "retry": "delayed", "deliverable": "delivered",
    "relay": "relayed",
}  # fmt: skip
#: Recipients that are read.
MAX_RECIPIENTS = 100

_STATUS = re.compile(r"\b([245])\.[0-7]\.[0-9]{1,3}\b")
_REPLY_CLASS = re.compile(r"(?:^|;\s*)([245])\d\d\b")
_ACTION_OF_CLASS = {"5": "failed", "4": "delayed", "2": "delivered"}
_ADDRESSED = ("final-recipient", "original-recipient")
_OF_RECIPIENT = frozenset((*_ADDRESSED, "action", "status", "diagnostic-code", "remote-mta", "x-actual-recipient"))
_LOOSE = re.compile(r"^(?:final|original)-recipient[ \t]*:", re.IGNORECASE | re.MULTILINE)
_TYPE = re.compile(r"[\w-]{1,20}")
_ESCAPED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")


class Recipient(msgspec.Struct, frozen=True):
    """One recipient's block. `diagnostic` and `remote_mta` are without their type (`smtp;`, `dns;`), `diagnostic_type`
    is that, in lower case. `original_recipient`: as the sender wrote it, "" if the report does not say; the message may
    have gone on to `final_recipient` from there."""

    action: str
    status: str | None
    diagnostic: str
    final_recipient: str
    remote_mta: str
    original_recipient: str = ""
    diagnostic_type: str = ""


class Report(msgspec.Struct, frozen=True):
    """`original` is the header of the returned message, empty if none came along."""

    reporting_mta: str
    recipients: tuple[Recipient, ...]
    original: Fields


def read(mail: Mail) -> Report | None:
    """The report in this mail, or None if it has none that says anything about a recipient."""
    for part in mail.parts:
        if part.content_type in STATUS_PARTS and (report := _report(part.blocks, mail)) is not None:
            return report
    return None


def read_loose(mail: Mail, text: str) -> Report | None:
    """The report whose fields stand in a text (that of the mail, without the copy of what is returned)."""
    found = _LOOSE.search(text)
    if found is None:
        return None
    # From the beginning of the block on: Action and Status may come before the recipient.
    start = max(text.rfind("\n\n", 0, found.start()), 0)
    return _report(parse_blocks(text[start:]), mail)


def original(mail: Mail) -> Fields:
    """The header of the message that a report returns, empty if it returns none."""
    returned = mail.part(*RETURNED, *HEADERS)
    return returned.blocks[0] if returned is not None and returned.blocks else Fields()


def _report(blocks: tuple[Fields, ...], mail: Mail) -> Report | None:
    found = (_recipient(block) for block in _recipients_of(blocks))
    recipients = tuple(one for one in found if one is not None)[:MAX_RECIPIENTS]
    if not recipients:
        return None
    reporting_mta = next((value for block in blocks if (value := block.get("reporting-mta"))), "")
    return Report(_untyped(reporting_mta), recipients, original(mail))


def _recipients_of(blocks: tuple[Fields, ...]) -> Iterator[Fields]:
    """A block for each recipient, wherever the blank lines are."""
    pairs: list[tuple[str, str]] = []
    names: set[str] = set()
    for block in blocks:
        fresh = {name for name, _ in block.pairs} & _OF_RECIPIENT
        if fresh and _is_another(names, fresh):
            yield Fields(tuple(pairs))
            pairs, names = [], set()
        for name, value in block.pairs:
            if name in names and name in (*_ADDRESSED, "action") and _is_told(names):
                yield Fields(tuple(pairs))
                pairs, names = [], set()
            pairs.append((name, value))
            names.add(name)
    yield Fields(tuple(pairs))


def _is_told(names: set[str]) -> bool:
    return not names.isdisjoint(_ADDRESSED) or "action" in names


def _is_another(names: set[str], fresh: set[str]) -> bool:
    """Whether a block with these fields begins another recipient's, or goes on with the one before."""
    if not fresh.isdisjoint(_ADDRESSED):
        return not names.isdisjoint(_ADDRESSED)
    return "action" in fresh and "action" in names


def _recipient(block: Fields) -> Recipient | None:
    status = block.get("status")
    found = _STATUS.search(status)
    kind, diagnostic = _typed(" ".join(block.all("diagnostic-code")))
    action = _action(block.get("action"), found[1] if found else "", diagnostic)
    final = address_in(block.get("x-actual-recipient")) or address_in(block.get("final-recipient"))
    original_recipient = address_in(block.get("original-recipient")) or address_in(block.get("final-recipient"))
    if "@" not in final:
        final = original_recipient or final
    if not action or not (final or block.get("action")):
        return None
    remote_mta = _untyped(block.get("remote-mta"))
    return Recipient(action, found[0] if found else None, diagnostic, final, remote_mta, original_recipient, kind)


def _action(said: str, status_class: str, diagnostic: str) -> str:
    """`failed (bad destination mailbox)` is common, and so is none."""
    word = re.split(r"[\s;,(]", said.lower().strip(), maxsplit=1)[0].rstrip(".")
    if word in ACTIONS:
        return word
    reply = _REPLY_CLASS.search(diagnostic)
    by_code = status_class or (reply[1] if reply else "")
    return OTHER_ACTIONS.get(word) or _ACTION_OF_CLASS.get(by_code, "")


def address_in(value: str) -> str:
    """The address in `rfc822; <ana@example.fr>` and its like, as it is written; what is no address without its type."""
    untyped = _ESCAPED.sub(lambda found: _letter(int(found[1], 16)), _untyped(value))
    found = addresses(untyped)
    if not found:
        return untyped.strip("<>\"' ")
    start = untyped.lower().replace('"', "").find(found[-1])
    return untyped.replace('"', "")[start : start + len(found[-1])] if start >= 0 else found[-1]


def _letter(code: int) -> str:
    """RFC 6533 section 3: `\\x{E9}` in an address that has to be ASCII."""
    return chr(code) if 0x20 < code < 0x110000 and not 0xD800 <= code < 0xE000 else ""


def _untyped(value: str) -> str:
    return _typed(value)[1]


def _typed(value: str) -> tuple[str, str]:
    """`smtp; 550 …` as its type and the rest; a value that has none as it is."""
    kind, semicolon, rest = value.partition(";")
    if semicolon and _TYPE.fullmatch(kind.strip()):
        return kind.strip().lower(), rest.strip()
    return "", value.strip()

"""What a fact means for its address: a table."""

from typing import NamedTuple

from shared.redis.suppression import Reason
from shared.words import events

#: More of a reply or a note is of no use to anybody.
MAX_DIAGNOSTIC_CHARS = 1000


class Listing(NamedTuple):
    """An address is to be listed for that reason; `diagnostic` is what was said about it."""

    reason: Reason
    diagnostic: str


#: Facts that can list an address: all others are passed over undecoded.
NAMES = frozenset(("Bounced", "Complained", "Unsubscribed"))


def listing(fact: events.Message) -> Listing | None:
    """None if the address may be mailed as before: a soft bounce may pass, and a block is about us."""
    match fact:
        case events.Bounced(kind="hard"):
            return Listing("hard_bounce", _cut(fact.reply or fact.reason))
        case events.Complained():
            return Listing("complaint", _cut(" ".join(filter(None, (fact.feedback_type, fact.reporter)))))
        case events.Unsubscribed():
            return Listing("unsubscribed", _cut(fact.by))
    return None


def _cut(text: str) -> str:
    return text[:MAX_DIAGNOSTIC_CHARS]

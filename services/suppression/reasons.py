"""What a fact means for its address: a table."""

from typing import NamedTuple

from shared.words import events, scopes
from shared.words.scopes import Reason

#: More of a reply or a note is of no use to anybody.
MAX_DIAGNOSTIC_CHARS = 1000


class Listing(NamedTuple):
    """An address is to be listed for that reason; `diagnostic` is what was said about it. `scope` is "" where it is the
    usual one, which may be that of the list of the fact's job."""

    reason: Reason
    diagnostic: str
    scope: str = ""


#: Facts that can list an address: all others are passed over undecoded.
NAMES = frozenset(("Bounced", "Complained", "Unsubscribed"))


def listing(fact: events.Message) -> Listing | None:
    """None if the address may be mailed as before: a soft bounce may pass, and a block is about us."""
    match fact:
        case events.Bounced(kind="hard"):
            return Listing("hard_bounce", _cut(fact.reply or fact.reason), scopes.ALL)
        case events.Complained():
            said = " ".join(filter(None, (fact.feedback_type, fact.reporter)))
            return Listing("complaint", _cut(said), scopes.MARKETING)
        case events.Unsubscribed():
            return Listing("unsubscribed", _cut(fact.by), _left(fact))
    return None


def _left(fact: events.Unsubscribed) -> str:
    """A list that is left without a name is the job's. A word that a newer writer has is none that we know: all of
    marketing is left then, and not less."""
    match fact.scope, fact.list:
        case "", _:
            return ""
        case "list", name if 0 < len(name) <= scopes.MAX_LIST_CHARS:
            return scopes.of_list(name)
        case "list", "":
            return ""
        case scopes.ALL, _:
            return scopes.ALL
    return scopes.MARKETING


def _cut(text: str) -> str:
    return text[:MAX_DIAGNOSTIC_CHARS]

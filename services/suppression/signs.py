"""What a fact says of its address as long as it is not known to be bad: a soft bounce, a delivery, a person. Pure."""

from services.suppression.escalation import Delivery, Person, Seen, Soft, rule_of
from shared.words import events, ids
from shared.words.replies import classify

#: Facts that say something: all others are passed over undecoded.
NAMES = frozenset(("Bounced", "Expired", "Delivered", "Opened", "Clicked", "DocumentOpened", "Replied"))
#: Of these, what is passed over where it cannot be understood: nobody is listed because of them.
SIGNS_OF_LIFE = frozenset(("Delivered", "Opened", "Clicked", "DocumentOpened", "Replied"))


def seen(fact: events.Message) -> Seen | None:
    """None if it says nothing: a hard bounce lists its address by itself, a block is about us, and what expired without
    an answer may have waited for us. A deferral is none either: its message has its end still before it."""
    match fact:
        case events.Delivered():
            return Delivery(fact.occurred_at)
        case events.Opened(is_by_person=True) | events.Clicked(is_by_person=True) | events.Replied():
            return Person(fact.occurred_at)
        # A link that was in no mail says nothing of the address.
        case events.DocumentOpened(is_by_person=True, position=int()):
            return Person(fact.occurred_at)
        case events.Bounced(kind="soft"):
            return _soft(fact, fact.reason, late=fact.late)
        case events.Expired() if fact.reply:
            said = classify(None, None, fact.reply)
            return None if said.kind == "block" else _soft(fact, said.reason)
    return None


def _soft(fact: events.Fact, reason: str, *, late: bool = False) -> Soft | None:
    rule = rule_of(reason)
    if rule is None:
        return None
    about = fact.event_id if fact.ordinal is None else ids.message_id(fact.job, fact.ordinal)
    return Soft(fact.occurred_at, about, rule, late)

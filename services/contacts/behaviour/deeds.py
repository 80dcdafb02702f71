"""What is noted of a fact: a row in `behaviours`, bits in `sets`, counts in `tallies`. A table. Pure.

The numbers are those of `migrations/0001_contacts.sql`; what criteria ask for is the same (`segments/compiling.py`).
"""

from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from services.contacts.segments.compiling import (
    BOUNCES,
    CLICKED_ADDRESS,
    CLICKED_LINK,
    COUNTED_MACHINES,
    DEEDS,
    EPOCH,
    FACTS,
    MACHINES,
)
from shared.words import events

#: Facts of which something is noted.
NAMES = frozenset((
    "Accepted", "Rejected", "Suppressed", "Cancelled", "Delivered", "Bounced", "Opened", "Clicked", "DocumentOpened",
    "Unsubscribed", "Complained", "PageViewed", "VisitorActed", "OptedIn", "PreferencesChanged", "Replied",
))  # fmt: skip
SELECTED, RECIPIENT, EXCLUDED = FACTS["selected"], FACTS["recipient"], FACTS["excluded"]
DELIVERED, OPENED, CLICKED = FACTS["delivered"], FACTS["opened"], FACTS["clicked"]
BOUNCED, UNSUBSCRIBED, COMPLAINED = FACTS["bounced"], FACTS["unsubscribed"], FACTS["complained"]
PAGE_SEEN, NAMED_EVENT = DEEDS["page_seen"], DEEDS["event"]
#: Counted besides, of a delivery of marketing (M5): no fact has it.
RECEIVED_MARKETING = DEEDS["received_marketing"]
#: Kinds that only people do, or machines in their place; the rest is what happened to a contact.
_BY_PEOPLE = frozenset((OPENED, CLICKED, PAGE_SEEN, NAMED_EVENT))
_COUNTED = frozenset(DEEDS.values())
#: Whoever has the address is written to by another message of the job (E2).
DUPLICATE = "duplicate_address"
#: Of a message that was cancelled, as the others have theirs in the fact.
CANCELLED = "cancelled"
NO_POSITION = -1
#: Of an address of a page, or of whatever else becomes a name: more is cut off.
MAX_NAME_CHARS = 8_192
_LEAST, _MOST = -(2**31), 2**31 - 1


class Word(NamedTuple):
    """What has a number in `names`: an URL (`url`), a page (`page`), a named event (`event`), a reason of exclusion
    (`reason`), a kind of bounce (`bounce`)."""

    kind: str
    text: str


class Deed(NamedTuple):
    """`kind` is that of `behaviours`, 0 for what leaves no row. `marks` are (fact, item) of the operation. `excluded`
    is why the message is not sent. `acts`: the contact did something that counts as an interaction (K13)."""

    kind: int = 0
    machine: bool = False
    word: Word | None = None
    position: int = NO_POSITION
    marks: tuple[tuple[int, int], ...] = ()
    excluded: str = ""
    acts: bool = False


_AS_RECIPIENT = ((SELECTED, 0), (RECIPIENT, 0))


def deed(fact: events.Fact) -> Deed | None:
    """None where nothing is noted: an address enters the list, or a document was opened that was in no mail."""
    match fact:
        case events.Accepted():
            return Deed(marks=_AS_RECIPIENT)
        case events.Rejected():
            return _excluded(fact.reason or "rejected")
        case events.Suppressed():
            return _excluded(fact.reason or "suppressed") if fact.job and fact.ordinal is not None else None
        case events.Cancelled():
            return _excluded(CANCELLED)
        case events.Delivered():
            return Deed(DELIVERED, marks=(*_AS_RECIPIENT, (DELIVERED, 0)))
        case events.Bounced():
            kind = fact.kind if fact.kind in BOUNCES else "soft"
            marks = (*_AS_RECIPIENT, (BOUNCED, 0), (BOUNCED, BOUNCES[kind]))
            return Deed(BOUNCED, word=Word("bounce", kind), marks=marks)
        case events.Unsubscribed():
            return Deed(UNSUBSCRIBED, marks=((UNSUBSCRIBED, 0),), acts=True)
        case events.Complained():
            return Deed(COMPLAINED, marks=((COMPLAINED, 0),), acts=True)
        case events.OptedIn() | events.PreferencesChanged() | events.Replied():
            return Deed(acts=True)
    return _by_somebody(fact)


def _excluded(reason: str) -> Deed:
    return Deed(marks=((SELECTED, 0),), excluded=_text(reason))


def _by_somebody(fact: events.Fact) -> Deed | None:
    """What a person did, or a machine in their place. A mere opening is no interaction."""
    match fact:
        case events.Opened():
            return Deed(OPENED, not fact.is_by_person)
        case events.Clicked():
            where = min(max(fact.position, 0), _MOST)
            return Deed(CLICKED, not fact.is_by_person, _word("url", fact.url), where, acts=fact.is_by_person)
        case events.DocumentOpened(position=int(position)):
            return Deed(CLICKED, not fact.is_by_person, _word("url", fact.url), position, acts=fact.is_by_person)
        case events.PageViewed():
            return Deed(PAGE_SEEN, not fact.is_by_person, _word("page", fact.url), acts=fact.is_by_person)
        case events.VisitorActed():
            return Deed(NAMED_EVENT, not fact.is_by_person, _word("event", fact.name), acts=fact.is_by_person)
    return None


def _word(kind: str, text: str) -> Word | None:
    return Word(kind, cut) if (cut := _text(text)) else None


def _text(text: str) -> str:
    """What PostgreSQL takes as text."""
    return text[:MAX_NAME_CHARS].replace("\0", "").encode("utf-8", "replace").decode()


def trail(kind: int, name: int, position: int, *, machine: bool) -> Iterator[tuple[int, int]]:
    """The (fact, item) that an opening or a click leaves in the sets of its operation: whoever clicked has opened
    (E19), and what machines did is apart."""
    if kind not in (OPENED, CLICKED):
        return
    for more in (MACHINES,) if machine else (0, MACHINES):
        yield OPENED + more, 0
        if kind == CLICKED:
            yield CLICKED + more, 0
            if name:
                yield CLICKED_ADDRESS + more, name
            if position != NO_POSITION:
                yield CLICKED_LINK + more, position


def counted(kind: int, name: int, *, machine: bool, marketing: bool = False) -> Iterator[tuple[int, int]]:
    """The (kind, name) of `tallies` in which it counts (E29): of machines apart, of named events by name besides, of
    deliveries those of marketing besides (M5)."""
    if kind not in _COUNTED:
        return
    apart = (0, COUNTED_MACHINES) if kind in _BY_PEOPLE else (0,)
    for more in (COUNTED_MACHINES,) if machine else apart:
        yield kind + more, 0
        if kind == NAMED_EVENT and name:
            yield kind + more, name
    if kind == DELIVERED and marketing:
        yield RECEIVED_MARKETING, 0


def event_number(event_id: str) -> int:
    """Sixteen hex digits as a signed number; of what another program calls an event, a digest."""
    try:
        raw = bytes.fromhex(event_id)
    except ValueError:
        raw = b""
    if len(raw) != 8:
        raw = blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "big", signed=True)


def seconds(at: datetime) -> int:
    """As `tallies` has times: whole ones that have begun."""
    return max(_LEAST, min(_MOST, (at - EPOCH) // _SECOND))


_SECOND = EPOCH.resolution * 1_000_000

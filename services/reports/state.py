"""The state of a message: one byte, which facts move forward and never back.

Facts of one message may arrive in any order: a relay records a delivery while queueing has yet to say that it accepted
the message, a bounce message may overtake the record of the delivery. So `Accepted` is a bit of its own, and the state
beside it depends on the ends alone. Every figure of a report about messages is the number of them in some states, and
therefore the figures add up.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple, TypeAlias, cast

from shared.words import events
from shared.words.standing import ACCEPTED as ACCEPTED
from shared.words.standing import State as State
from shared.words.standing import word as word


class Code(IntEnum):
    """A fact in one byte, as timelines keep it: numbers are never given again."""

    ACCEPTED = 1
    REJECTED = 2
    SUPPRESSED = 3
    DELIVERED = 4
    DEFERRED = 5
    BOUNCED_HARD = 6
    BOUNCED_SOFT = 7
    BOUNCED_BLOCK = 8
    LATE_HARD = 9
    LATE_SOFT = 10
    LATE_BLOCK = 11
    EXPIRED = 12
    OPENED = 13
    CLICKED = 14
    UNSUBSCRIBED = 15
    COMPLAINED = 16
    AUTO_REPLIED = 17
    MACHINE_OPENED = 18
    MACHINE_CLICKED = 19
    FAILED = 20
    CANCELLED = 21
    SOON_CLICKED = 22
    BURST_CLICKED = 23
    PAGE_VIEWED = 24
    VISITOR_ACTED = 25
    DOCUMENT_OPENED = 26
    MACHINE_DOCUMENT_OPENED = 27
    SOON_DOCUMENT_OPENED = 28
    BURST_DOCUMENT_OPENED = 29
    #: Its link was in no mail: nothing of the mail decides who followed it.
    OTHER_DOCUMENT_OPENED = 30
    MACHINE_PAGE_VIEWED = 32
    MACHINE_VISITOR_ACTED = 33
    VISITOR_CONSENTED = 34
    REPLIED = 35


#: The table that scripts read has so many codes to a state.
CODES = 64

_CODES = {
    "Accepted": Code.ACCEPTED,
    "Rejected": Code.REJECTED,
    "Suppressed": Code.SUPPRESSED,
    "Delivered": Code.DELIVERED,
    "Deferred": Code.DEFERRED,
    "Expired": Code.EXPIRED,
    "Failed": Code.FAILED,
    "Cancelled": Code.CANCELLED,
    "Opened": Code.OPENED,
    "Clicked": Code.CLICKED,
    "DocumentOpened": Code.DOCUMENT_OPENED,
    "Unsubscribed": Code.UNSUBSCRIBED,
    "Complained": Code.COMPLAINED,
    "AutoReplied": Code.AUTO_REPLIED,
    "Replied": Code.REPLIED,
    "PageViewed": Code.PAGE_VIEWED,
    "VisitorActed": Code.VISITOR_ACTED,
    "VisitorConsented": Code.VISITOR_CONSENTED,
}
_BOUNCES = {
    ("hard", False): Code.BOUNCED_HARD,
    ("soft", False): Code.BOUNCED_SOFT,
    ("block", False): Code.BOUNCED_BLOCK,
    ("hard", True): Code.LATE_HARD,
    ("soft", True): Code.LATE_SOFT,
    ("block", True): Code.LATE_BLOCK,
}
#: A code → the state that it leads to, from a state in which the message has no end yet.
_LEADS_TO: dict[int, State] = {
    Code.DEFERRED: State.DEFERRED,
    Code.DELIVERED: State.DELIVERED,
    Code.BOUNCED_HARD: State.BOUNCED_HARD,
    Code.BOUNCED_SOFT: State.BOUNCED_SOFT,
    Code.BOUNCED_BLOCK: State.BOUNCED_BLOCK,
    Code.EXPIRED: State.EXPIRED,
    Code.FAILED: State.FAILED,
    Code.CANCELLED: State.CANCELLED,
    Code.SUPPRESSED: State.SUPPRESSED,
    Code.REJECTED: State.REJECTED,
    Code.LATE_HARD: State.LATE_HARD,
    Code.LATE_SOFT: State.LATE_SOFT,
    Code.LATE_BLOCK: State.LATE_BLOCK,
}
_LATE = (Code.LATE_HARD, Code.LATE_SOFT, Code.LATE_BLOCK)

#: Code → the name of the fact, for what is left of a fact whose details are gone.
FACT_NAMES: dict[int, str] = {
    **{code: name for name, code in _CODES.items()},
    **dict.fromkeys(_BOUNCES.values(), "Bounced"),
    Code.MACHINE_OPENED: "Opened",
    Code.MACHINE_CLICKED: "Clicked",
    Code.SOON_CLICKED: "Clicked",
    Code.BURST_CLICKED: "Clicked",
    Code.MACHINE_DOCUMENT_OPENED: "DocumentOpened",
    Code.SOON_DOCUMENT_OPENED: "DocumentOpened",
    Code.BURST_DOCUMENT_OPENED: "DocumentOpened",
    Code.OTHER_DOCUMENT_OPENED: "DocumentOpened",
    Code.MACHINE_PAGE_VIEWED: "PageViewed",
    Code.MACHINE_VISITOR_ACTED: "VisitorActed",
}
#: Of clicks that were judged late (`services.reports.late`): the reason.
LATE_REASONS: dict[int, str] = {
    Code.SOON_CLICKED: "soon",
    Code.BURST_CLICKED: "burst",
    Code.SOON_DOCUMENT_OPENED: "soon",
    Code.BURST_DOCUMENT_OPENED: "burst",
}
BOUNCE_KINDS: dict[int, str] = {code: kind for (kind, _), code in _BOUNCES.items()}
LATE_CODES = frozenset(_LATE)
#: The name of a fact → its code where it was not by a person.
_MACHINE_CODES: dict[str, Code] = {
    "Opened": Code.MACHINE_OPENED,
    "Clicked": Code.MACHINE_CLICKED,
    "DocumentOpened": Code.MACHINE_DOCUMENT_OPENED,
    "PageViewed": Code.MACHINE_PAGE_VIEWED,
    "VisitorActed": Code.MACHINE_VISITOR_ACTED,
}
_Seen: TypeAlias = events.Opened | events.Clicked | events.DocumentOpened | events.PageViewed | events.VisitorActed


def code_of(fact: events.Fact) -> Code | None:
    """The code of a fact; None for one that is not about a message (Reactivated, Stopped …)."""
    name = type(fact).__name__
    if isinstance(fact, events.Bounced):
        return _BOUNCES.get((fact.kind, fact.late), _BOUNCES["soft", fact.late])
    if name in _MACHINE_CODES and not cast(_Seen, fact).is_by_person:
        return _MACHINE_CODES[name]
    if isinstance(fact, events.DocumentOpened) and fact.position is None:
        return Code.OTHER_DOCUMENT_OPENED
    return _CODES.get(name)


def after(byte: int, code: int) -> int:
    """The byte of a message after one more fact. The first end stays, except that a delivery may bounce late."""
    if code == Code.ACCEPTED:
        return byte | ACCEPTED
    state = State(byte & ~ACCEPTED)
    following = _LEADS_TO.get(code, state)
    no_end_yet = state in (State.NONE, State.DEFERRED)
    if no_end_yet or (state == State.DELIVERED and code in _LATE):
        return byte & ACCEPTED | following
    return byte


def transitions() -> bytes:
    """`after` as a table for scripts: the state at `state * CODES + code`; `Accepted` is not in it."""
    return bytes(after(state, code) if code in _LEADS_TO else state for state in State for code in range(CODES))


class Tally(NamedTuple):
    """How many messages are where. Each is in exactly one of: `at_queueing` (suppressed before it was accepted),
    `rejected`, `cancelled_at_queueing`, and, accepted: `waiting` (for its first attempt), `deferred`, `delivered`,
    `hard`, `soft`, `block` (bounced; `late` of them after they had been delivered), `expired`, `failed`, `at_attempt`
    (suppressed after it was accepted), `cancelled_later`.
    """

    at_queueing: int
    rejected: int
    waiting: int
    deferred: int
    delivered: int
    hard: int
    soft: int
    block: int
    late: int
    expired: int
    failed: int
    at_attempt: int
    cancelled_at_queueing: int
    cancelled_later: int

    @property
    def bounced(self) -> int:
        return self.hard + self.soft + self.block

    @property
    def pending(self) -> int:
        return self.waiting + self.deferred

    @property
    def accepted(self) -> int:
        ended = self.delivered + self.bounced + self.expired + self.failed + self.at_attempt + self.cancelled_later
        return ended + self.pending

    @property
    def ended(self) -> int:
        """Those to which nothing more will happen than their readers do."""
        return self.accepted - self.pending + self.at_queueing + self.rejected + self.cancelled_at_queueing


def tally(histogram: Mapping[int, int]) -> Tally:
    """The figures from the number of messages in each byte."""

    def number(*states: State) -> int:
        return sum(histogram.get(state | flag, 0) for state in states for flag in (0, ACCEPTED))

    return Tally(
        at_queueing=histogram.get(State.SUPPRESSED, 0),
        rejected=number(State.REJECTED),
        waiting=histogram.get(ACCEPTED, 0),
        deferred=number(State.DEFERRED),
        delivered=number(State.DELIVERED),
        hard=number(State.BOUNCED_HARD, State.LATE_HARD),
        soft=number(State.BOUNCED_SOFT, State.LATE_SOFT),
        block=number(State.BOUNCED_BLOCK, State.LATE_BLOCK),
        late=number(State.LATE_HARD, State.LATE_SOFT, State.LATE_BLOCK),
        expired=number(State.EXPIRED),
        failed=number(State.FAILED),
        at_attempt=histogram.get(State.SUPPRESSED | ACCEPTED, 0),
        cancelled_at_queueing=histogram.get(State.CANCELLED, 0),
        cancelled_later=histogram.get(State.CANCELLED | ACCEPTED, 0),
    )

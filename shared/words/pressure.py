"""Marketing pressure: at most so many mails to an address in so many days (M5). Pure.

A tenant has some rules, such as 2 mails in a day and 5 in seven; a mail goes out if it keeps all of them. A day is
86,400 seconds that slide: at no moment are there more than `most` mails within the last `days` days. What counts is
marketing (the stream `bulk`), from the second in which a mail is queued, once for each message, however often its
queueing is tried. A mail that ends without having been sent is given back.

What is kept of an address is what it got within the longest of the periods: of each mail the second, and six bytes by
which the message is known again.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from shared.words import events
from shared.words.errors import Fault

#: Why a message is not sent.
PRESSURE = "pressure"
#: More say nothing that fewer do not.
MAX_RULES = 5
#: Of a rule. What is kept of an address has ten bytes a mail.
MOST_MAILS, MOST_DAYS = 100, 366
DAY_S = 86_400
MARK_BYTES = 6
_MARKS = 1 << 8 * MARK_BYTES
_MAIL = struct.Struct(f">I{MARK_BYTES}s")


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """At most `most` mails in `days` days."""

    most: int
    days: int


Rules = tuple[Rule, ...]


def ordered(rules: Sequence[Rule]) -> Rules:
    """The shortest period first."""
    return tuple(sorted(rules, key=lambda rule: rule.days))


def faults(rules: Sequence[Rule]) -> list[Fault]:
    """What is wrong with rules beyond their numbers."""
    days = [rule.days for rule in rules]
    again = (at for at, one in enumerate(days) if one in days[:at])
    return [Fault(f"$.rules[{at}].days", f"{days[at]} days have a rule already") for at in again]


def longest_s(rules: Sequence[Rule]) -> int:
    """For how long mails are remembered; 0 where there are no rules."""
    return max((rule.days for rule in rules), default=0) * DAY_S


def used(sent_s: Sequence[int], rule: Rule, now_s: int) -> int:
    """How many of the mails that went out at these seconds count under the rule."""
    return sum(now_s - at_s < rule.days * DAY_S for at_s in sent_s)


def is_unsent(fact: events.Fact | None) -> bool:
    """Whether it ends a mail that no host took, so that it presses on nobody. One that bounced did; what failed did
    where it could be made: who had it in hand may have sent it."""
    if isinstance(fact, events.Failed):
        return fact.reason in events.UNMADE_REASONS or fact.reason == events.LOST_ATTACHMENT
    return isinstance(fact, events.Cancelled | events.Expired | events.Suppressed)


def first_mark(job: str) -> int:
    """That of the message 0 of a job."""
    return int.from_bytes(blake2b(job.encode(), digest_size=MARK_BYTES).digest(), "big")


def mark(first: int, ordinal: int) -> bytes:
    """Of another message of that job."""
    return ((first + ordinal) % _MARKS).to_bytes(MARK_BYTES, "big")


def ordinal(first: int, mark: bytes) -> int:
    """Which message of that job a mark is of; a number that no job reaches, if it is of another job."""
    return (int.from_bytes(mark, "big") - first) % _MARKS


def mails(stored: bytes) -> list[tuple[int, bytes]]:
    """What is kept of an address: second and mark of each mail. ValueError if it is not that."""
    try:
        return list(_MAIL.iter_unpack(stored))
    except struct.error as error:
        raise ValueError(f"no mails: {error}") from None


def sent_s(stored: bytes) -> list[int]:
    """When these went out. ValueError as above."""
    return [at_s for at_s, _ in mails(stored)]

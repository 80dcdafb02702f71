"""What a fact says of its message for the breakers, and when figures are too bad: thresholds and sums, pure.

How many bad ones there must be at least keeps chance out: no job stops for one bad address of three, and of jobs with
2 % one in 3,700 (computed), while a list that is all bad stops after twenty mails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgspec

from shared.redis.stops import COMPLAINT_RATE, INVALID_RATE
from shared.words import events

DAY_MS = 86_400_000
#: Days with deliveries over which complaints are judged.
SENDING_DAYS = 5


@dataclass(frozen=True)
class Threshold:
    """Exceeded by more than `per_million` bad ones of a million, once there are `least` of them."""

    reason: str
    per_million: int
    least: int

    def exceeded(self, figures: "Figures") -> bool:
        return figures.bad >= self.least and 0 < figures.of * self.per_million < figures.bad * 1_000_000


@dataclass(frozen=True)
class Figures:
    """`bad` of `of` messages."""

    bad: int
    of: int


#: 5 %. A job at twice that stops after about 200 mails.
JOB_STOPS = Threshold(INVALID_RATE, 50_000, 20)
#: 0.05 % and 0.03 %. Ten complaints stop whoever has mailed fewer than 20,000; five warn them.
TENANT_STOPS = Threshold(COMPLAINT_RATE, 500, 10)
TENANT_IS_WARNED = Threshold(COMPLAINT_RATE, 300, 5)


class Saw(IntEnum):
    """What a fact says of its message."""

    DELIVERED = 0
    BOUNCED = 1
    INVALID = 2
    COMPLAINED = 3


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One thing seen of one message, on a day since 1970."""

    tenant: str
    job: str
    ordinal: int
    what: Saw
    day: int


#: Facts that count for a breaker: all others are passed over undecoded.
NAMES = frozenset(("Delivered", "Bounced", "Complained"))


def seen(fact: events.Message) -> Seen | None:
    """What a fact counts for; None if for nothing."""
    match fact:
        case events.Delivered():
            what = Saw.DELIVERED
        case events.Bounced(kind="hard"):
            what = Saw.INVALID
        case events.Bounced(kind="soft"):
            what = Saw.BOUNCED
        case events.Complained():
            what = Saw.COMPLAINED
        case _:
            return None
    if not fact.job or fact.ordinal is None:
        return None
    return Seen(fact.tenant, fact.job, fact.ordinal, what, fact.occurred_at // DAY_MS)


def first_day(delivered: Mapping[int, int]) -> int:
    """The first of the last days with deliveries: what happened since is judged."""
    return min(sorted(day for day, number in delivered.items() if number > 0)[-SENDING_DAYS:], default=0)


def complaint_figures(delivered: Mapping[int, int], complaints: Mapping[int, int]) -> Figures:
    """The figures of a tenant from its deliveries and complaints by day."""
    first = first_day(delivered)
    return Figures(
        bad=sum(number for day, number in complaints.items() if day >= first),
        of=sum(number for day, number in delivered.items() if day >= first),
    )


@dataclass(frozen=True)
class Counted:
    """What a batch touched: figures of the jobs that have a bad address in it; the tenants with a complaint in it or
    whose first deliveries of a day are in it."""

    jobs: Mapping[str, Figures]
    tenants: Sequence[str]


@dataclass(frozen=True)
class TenantDays:
    """What was delivered for a tenant and complained of, by day."""

    delivered: Mapping[int, int]
    complaints: Mapping[int, int]

"""Which period of a drop is due, and what its file is called. Pure.

Periods are hours, or days that begin at an hour, in UTC. One ends where the next begins, whatever is changed meanwhile:
a period begins where the last one ended, and ends at the next bound of the schedule that holds now. So a change makes
one period shorter, which is named by its hour, and leaves neither gap nor overlap.
"""

from datetime import UTC, datetime
from typing import Literal, NamedTuple

Schedule = Literal["hourly", "daily"]

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
#: A period is written so long after its end: the clock by which events are recorded may be behind ours, and what was
#: recorded has to come into the feed.
SETTLE_MS = 60_000


class Period(NamedTuple):
    """From `begin_ms` on, and before `end_ms`."""

    begin_ms: int
    end_ms: int


def containing(schedule: Schedule, hour: int, at_ms: int) -> Period:
    """The period of the schedule in which that moment is. `hour`: at which days begin."""
    length, first = (HOUR_MS, 0) if schedule == "hourly" else (DAY_MS, hour * HOUR_MS)
    begin = (at_ms - first) // length * length + first
    return Period(begin, begin + length)


def following(schedule: Schedule, hour: int, begin_ms: int) -> Period:
    """The period that begins where the one before ended."""
    return Period(begin_ms, containing(schedule, hour, begin_ms).end_ms)


def label(schedule: Schedule, period: Period) -> str:
    """`2026-01-31` of a whole day, `2026-01-31T09` of an hour, and of a day that was cut short."""
    is_day = schedule == "daily" and period.end_ms - period.begin_ms == DAY_MS
    return f"{datetime.fromtimestamp(period.begin_ms / 1000, UTC):{'%Y-%m-%d' if is_day else '%Y-%m-%dT%H'}}"


def file_name(tenant: str, drop: str, schedule: Schedule, period: Period) -> str:
    """Names of tenants and drops are of a-z, 0-9 and -."""
    return f"{tenant}-{drop}-{label(schedule, period)}.csv"

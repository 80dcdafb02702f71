"""When each message of a chunk goes, where its job says something of that: pure.

A job that asks for the best hour of its recipients has a period for it: that over which it is spread, else a day from
when its hours are open first. Of the hours in it that are open, that are not over and in which nothing has expired, the
recipient gets the mail in the one around which they react most, the next time that it comes; in which minute, the place
of the message says, so that not everybody is due when a clock strikes. Who has no such hour, or none that is open, goes
when the rest of the job's rules say.
"""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Literal

from shared.words import timing
from shared.words.timing import Timing
from shared.words.usual_hours import DAY_HOURS, HOUR_MS

DAY_MS = DAY_HOURS * HOUR_MS

#: What is known of a recipient's best hour: `closed`, that none of theirs is open in the period.
Best = Literal["known", "unknown", "closed"]


class Moments:
    """Of a job that began at `begin_ms` and expires at `expires_at_ms` (0: never), for what is decided now."""

    def __init__(self, asked: Timing, begin_ms: int, now_ms: int, expires_at_ms: int) -> None:
        self._asked = asked
        self._begin_ms = begin_ms
        self._now_ms = now_ms
        self._expires_at_ms = expires_at_ms
        self._slots: dict[str, dict[int, tuple[int, int]]] = {}

    def of(self, time_zone: str, share: float, best: Sequence[int] = ()) -> tuple[int, Best]:
        """The moment of a recipient who is in that time zone ("": not known) and whose message has that place, by their
        hours of the day in UTC, the best first. What would be over by then comes when it is over."""
        slots = self._slots_in(time_zone) if best else {}
        for hour in best:
            if hour in slots:
                begin, end = slots[hour]
                return begin + int((end - begin) * share), "known"
        due_ms = timing.due(self._asked, time_zone, self._begin_ms, self._now_ms, share)
        return min(due_ms, self._expires_at_ms or due_ms), "closed" if best else "unknown"

    def _slots_in(self, time_zone: str) -> dict[int, tuple[int, int]]:
        if time_zone not in self._slots:
            self._slots[time_zone] = self._find(timing.clock_of(self._asked, time_zone))
        return self._slots[time_zone]

    def _find(self, where: tzinfo) -> dict[int, tuple[int, int]]:
        """Of each hour of the day what is open of it when it comes next in the period."""
        hours, spread_ms = self._asked.hours, self._asked.spread_ms
        first = timing.moment(hours, where, self._begin_ms)
        end = timing.moment(hours, where, self._begin_ms, spread_ms) if spread_ms else first + DAY_MS
        end = min(end, self._expires_at_ms or end)
        found: dict[int, tuple[int, int]] = {}
        for opens, closes in timing.open_spans(hours, where, max(first, self._now_ms), end):
            while opens < closes and len(found) < DAY_HOURS:
                number = opens // HOUR_MS
                until = min((number + 1) * HOUR_MS, closes)
                found.setdefault(number % DAY_HOURS, (opens, until))
                opens = until
        return found

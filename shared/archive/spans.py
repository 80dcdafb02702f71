"""In which steps a search goes through time, and which folders a step looks into.

A folder has the events that happened on a day, and a search goes by when they were recorded, which is the order of the
streams: later, mostly by a second, and by days where a bounce or an opening could not be recorded before. Clocks may
differ as well. So a step from one moment to another looks into the folders of its days, of the day after them, and of
the month before; which of their files have anything of that time their footers tell.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from shared.archive.names import DAY_MS, day_begins_ms

#: So much later than it happened an event is recorded at most, and so much earlier, where clocks differ.
LATE_MS, EARLY_MS = 31 * DAY_MS, DAY_MS
#: The first step, which is enough where there are many events, and the longest.
FIRST_MS, LONGEST_MS = DAY_MS // 4, 64 * DAY_MS


class Span(NamedTuple):
    """From when and before when something was recorded, in ms."""

    begin: int
    end: int


def spans(first_ms: int, end_ms: int, days: Sequence[str], is_newest: bool) -> Iterator[Span]:
    """Steps from `first_ms` to before `end_ms`, or back, as far as folders of these days may have something. Each is
    twice as long as the one before."""
    if not days:
        return
    begins = [day_begins_ms(day) for day in days]
    first_ms = max(first_ms, min(begins) - EARLY_MS)
    end_ms = min(end_ms, max(begins) + DAY_MS + LATE_MS)
    length = FIRST_MS
    while first_ms < end_ms:
        if is_newest:
            span = Span(max(first_ms, end_ms - length), end_ms)
            end_ms = span.begin
        else:
            span = Span(first_ms, min(end_ms, first_ms + length))
            first_ms = span.end
        yield span
        length = min(2 * length, LONGEST_MS)


def days_of(span: Span, days: Iterable[str]) -> list[str]:
    """Those whose folders may have something that was recorded then."""
    first_ms, end_ms = span.begin - LATE_MS - DAY_MS, span.end + EARLY_MS
    return [day for day in days if first_ms < day_begins_ms(day) < end_ms]

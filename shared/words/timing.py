"""When a message may go: hours of the week in its recipient's time zone, and its place in a period over which its job
is spread. Queueing decides each message's moment by it, and relays look at the hours once more before each attempt.

Hours are those of the wall clock. Where it is turned, the smaller reading holds: what is shown twice has begun when it
is shown the second time, and is over when it is shown the first time; so the clock of the recipient never shows another
hour than those asked for.

A spread runs while the hours are open: four hours that begin two hours before closing end two hours after the next
opening. The place of a message is a pure function of its id, and those of a job are as even as can be: ordinals times
the golden ratio, from a place that the job's id gives.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from hashlib import blake2b
from zoneinfo import ZoneInfo

import msgspec

DAY_MINUTES = 24 * 60
#: As long as the name of a time zone may be; the longest there is has 32.
MAX_ZONE_CHARS = 64
#: Files beside the database: what the machine is set to, and zones with other seconds. None is the same elsewhere.
_OF_THE_MACHINE = ("localtime", "posixrules", "posix/", "right/")
#: Days that are looked at for an opening. The hours of a week fit a spread (`services.queueing.windows`), but where the
#: clock is turned.
_MOST_DAYS = 30
_MINUTE_MS, _DAY_MS = 60_000, 86_400_000
#: 2**64 divided by the golden ratio.
_GOLDEN = 0x9E3779B97F4A7C15
_ONES = 2**64

#: Of each weekday, Monday first: the minutes of the day from and to which it is open; the same twice where it is not.
Hours = tuple[tuple[int, int], ...]


class Timing(msgspec.Struct, frozen=True, array_like=True):
    """`hours` is empty where any time will do; `time_zone` that of recipients of whom none is known. `best_hour`: each
    at the hour at which they usually react, where that is known."""

    hours: Hours = ()
    time_zone: str = "UTC"
    spread_ms: int = 0
    best_hour: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Timing).decode


def packed(timing: Timing | None) -> bytes:
    """As it is kept with a job; b"" for none."""
    return b"" if timing is None else _encode(timing)


def unpacked(stored: bytes) -> Timing | None:
    return _decode(stored) if stored else None


@lru_cache(2_000)
def zone(name: str) -> tzinfo | None:
    """The time zone of that name in the IANA database; None if there is none."""
    if not 0 < len(name) <= MAX_ZONE_CHARS or name.startswith(_OF_THE_MACHINE):
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return None


def window(hours: Hours, time_zone: str) -> str:
    """As a message carries it: `Europe/Paris 540-1140,540-1140,,,,,`; "" for any time."""
    spans = ",".join(f"{begin}-{end}" if begin < end else "" for begin, end in hours)
    return f"{time_zone} {spans}" if hours else ""


@lru_cache(2_000)
def _read(window: str) -> tuple[Hours, tzinfo]:
    name, _, spans = window.partition(" ")
    hours = []
    for span in spans.split(","):
        begin, _, end = span.partition("-")
        hours.append((int(begin or 0), int(end or 0)))
    return tuple(hours), zone(name) or UTC


def open_from(window: str, at_ms: int) -> int:
    """The first moment from that one on at which a message with this `window` may go."""
    return moment(*_read(window), at_ms) if window else at_ms


def moment(hours: Hours, where: tzinfo, begin_ms: int, open_ms: int = 0) -> int:
    """When the hours have been open for so long, from that moment on."""
    if not hours:
        return begin_ms + open_ms
    for opens, closes in _openings(hours, where, begin_ms):
        opens = max(opens, begin_ms)
        if opens < closes:
            if open_ms < closes - opens:
                return opens + open_ms
            open_ms -= closes - opens
    return begin_ms + _MOST_DAYS * _DAY_MS


def open_spans(hours: Hours, where: tzinfo, begin_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """From which moment to which it is open between these two, each not empty."""
    for opens, closes in _openings(hours, where, begin_ms) if hours else ((begin_ms, end_ms),):
        if opens >= end_ms:
            return
        opens, closes = max(opens, begin_ms), min(closes, end_ms)
        if opens < closes:
            yield opens, closes


def _openings(hours: Hours, where: tzinfo, begin_ms: int) -> Iterator[tuple[int, int]]:
    """From which moment to which it is open, from the day of that moment on."""
    day = datetime.fromtimestamp(begin_ms / 1000, where).date()
    for ahead in range(_MOST_DAYS):
        its = day + timedelta(days=ahead)
        begin, end = hours[its.weekday()]
        if begin < end:
            yield max(_readings(its, begin, where)), min(_readings(its, end, where))


def _readings(day: date, minute: int, where: tzinfo) -> tuple[int, int]:
    """The moments at which the clock shows that minute of the day. They differ where it is turned: then it shows it
    twice, or never."""
    days, minute = divmod(minute, DAY_MINUTES)
    shown = datetime.combine(day + timedelta(days=days), time(*divmod(minute, 60)), where)
    return int(shown.timestamp() * 1000), int(shown.replace(fold=1).timestamp() * 1000)


def place(job: str, ordinal: int) -> float:
    """Of a message in the period that its job is spread over: from 0 to below 1."""
    start = int.from_bytes(blake2b(job.encode(), digest_size=8).digest())
    return ((start + ordinal * _GOLDEN) % _ONES >> 11) / 2**53


def clock_of(timing: Timing, time_zone: str) -> tzinfo:
    """The clock of a recipient who is in that time zone, "" for one of whom none is known."""
    return zone(time_zone) or zone(timing.time_zone) or UTC


def due(timing: Timing, time_zone: str, begin_ms: int, now_ms: int, share: float) -> int:
    """When a message goes whose recipient is in that time zone, of a job that began then: `share` is its place. One
    whose moment has passed goes as soon as hours are open."""
    where = clock_of(timing, time_zone)
    found = moment(timing.hours, where, begin_ms, int(timing.spread_ms * share))
    return found if found > now_ms else moment(timing.hours, where, now_ms)

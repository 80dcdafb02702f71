"""What a job says of the time of each message, and what it means. Pure."""

import re
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from shared.redis.recipients import Waiting
from shared.words import timing
from shared.words.content import Stream
from shared.words.described import says
from shared.words.errors import Fault
from shared.words.timing import DAY_MINUTES, Hours, Timing
from shared.words.variables import decoded

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
MINUTE_MS = 60_000
DAY_MS = DAY_MINUTES * MINUTE_MS
#: The longest period that a job is spread over.
MOST_MS = 7 * DAY_MS
#: A job with hours lives so much longer where it does not say: each weekday comes within.
LONGER_MS = 8 * DAY_MS
#: The variable that has a recipient's time zone where the recipient has no such field: contacts and CSV give variables.
VARIABLE = "time_zone"
_PERIODS_MS = {"m": MINUTE_MS, "h": 60 * MINUTE_MS, "d": DAY_MS}
_PERIOD = re.compile(r"(\d{1,4})([mhd])", re.ASCII)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)

Clock = Annotated[str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)(?!\n)$")]


class HoursOfDay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Hours of one weekday."""

    from_: Annotated[Clock, says("From when on.", "10:00")]
    to: Annotated[Clock, says("Until when; `24:00` is the end of the day.", "12:00")]


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Hours in which mail goes, by the clock of each recipient: that of their `time_zone`, or of the variable of this
    name, or of the `time_zone` of the window."""

    from_: Annotated[Clock, says("From when on.", "09:00")] = "00:00"
    to: Annotated[Clock, says("Until when; `24:00` is the end of the day.", "19:00")] = "24:00"
    days: Annotated[
        Annotated[list[Day], Meta(max_length=7)] | None,
        says("On which days; every day where null.", ["mon", "tue", "wed", "thu", "fri"]),
    ] = None
    per_day: Annotated[
        dict[Day, HoursOfDay],
        says("Days with other hours, whether in `days` or not.", {"sat": {"from": "10:00", "to": "12:00"}}),
    ] = {}
    time_zone: Annotated[
        str, says("By the IANA database: of recipients of whom none is known.", "Europe/Paris", max_length=64)
    ] = "UTC"


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A period over which messages are spread evenly, of a window only what is open of it."""

    over: Annotated[str, says("In minutes, hours or days; at most `7d`.", "4h", "90m", max_length=8)]


BestHour = Annotated[
    bool,
    says(
        "Of bulk: each recipient gets it in the hour of the day around which they usually open and click, where that "
        "is known: within `window`, and the period of `spread` or else a day. The others when these say.",
        False,
    ),
]


def read(
    window: Window | None, spread: Spread | None, best_hour: bool = False, stream: Stream = "bulk"
) -> tuple[Timing | None, list[Fault]]:
    """What they come to in a job of that stream; None where nothing is asked for."""
    faults: list[Fault] = []
    if best_hour and stream != "bulk":
        faults.append(Fault("$.best_hour", f"for bulk only: {stream} mail is waited for now"))
    hours, zone = (), "UTC"  # type: tuple[Hours, str]
    if window is not None:
        hours, zone = _hours(window, faults), window.time_zone
        if timing.zone(zone) is None:
            faults.append(Fault("$.window.time_zone", "there is no such time zone in the IANA database"))
    spread_ms = 0 if spread is None else _period_ms(spread, faults)
    open_ms = sum(end - begin for begin, end in hours) * MINUTE_MS
    if hours and not faults and spread_ms > open_ms:
        faults.append(Fault("$.spread.over", "longer than the window is open in a week"))
    if faults or (window is None and spread is None and not best_hour):
        return None, faults
    return Timing(hours, zone, spread_ms, best_hour), []


def _hours(window: Window, faults: list[Fault]) -> Hours:
    usual = _span(window.from_, window.to)
    days = DAYS if window.days is None else window.days
    if days and usual[0] >= usual[1]:
        faults.append(Fault("$.window.to", "not after `from`: hours end on the day on which they begin"))
    hours: list[tuple[int, int]] = []
    for day in DAYS:
        own = window.per_day.get(day)
        span = _span(own.from_, own.to) if own is not None else usual if day in days else (0, 0)
        if own is not None and span[0] >= span[1]:
            faults.append(Fault(f"$.window.per_day.{day}.to", "not after `from`: hours end on their day"))
        hours.append(span)
    if not days and not window.per_day:
        faults.append(Fault("$.window.days", "no day at all: nothing would ever go"))
    return tuple(hours)


def _span(begin: str, end: str) -> tuple[int, int]:
    return _minute(begin), _minute(end)


def _minute(clock: str) -> int:
    hour, _, minute = clock.partition(":")
    return int(hour) * 60 + int(minute)


def _period_ms(spread: Spread, faults: list[Fault]) -> int:
    found = _PERIOD.fullmatch(spread.over)
    period_ms = int(found[1]) * _PERIODS_MS[found[2]] if found else 0
    if not 0 < period_ms <= MOST_MS:
        faults.append(Fault("$.spread.over", "a period is like `90m`, `4h` or `2d`, and at most `7d`"))
    return period_ms


def longer_ms(timing: Timing | None) -> int:
    """How much longer a job lives that does not say when it expires."""
    if timing is None:
        return 0
    period_ms = timing.spread_ms or (DAY_MS if timing.best_hour else 0)
    return period_ms + (LONGER_MS if timing.hours else 0)


def zone_of(recipient: Waiting) -> str:
    """The name of the recipient's own time zone, as far as it is one; else ""."""
    if recipient.time_zone:
        return recipient.time_zone
    if VARIABLE.encode() not in bytes(recipient.variables):
        return ""
    try:
        given = decoded(recipient.variables).get(VARIABLE)
    except ValueError:
        return ""
    return given if isinstance(given, str) and timing.zone(given) is not None else ""

"""Rates as jobs and operators write them (`100/s`, `50000/h burst 100`), and what they promise to who counts them.

The promise is kept at the receiver: in any second it sees at most `rate + burst` messages, and so in any period of the
rate, whatever became of them on the way for up to `DELAY_MS`.

How. The limiter is the generic cell rate algorithm (GCRA; ITU-T I.371, annex A): a limit is one time, `due_us`, when it
would be empty of what was permitted; a message is permitted at `now` if `due_us <= now + tolerance`, and moves `due_us`
to `max(due_us, now) + interval`. Of k messages permitted within a time L, measured from the first to the last, the last
finds `due_us` at least `(k - 1) * interval` after the first, hence `(k - 1) * interval <= L + tolerance`.

What the receiver sees in a window of length W was permitted within W + DELAY, because a message arrives between 0 and
DELAY after its permit (a delay that all share is none: only their differences count). The window is open at one end, so
`k <= allowed` follows from `allowed * interval >= W + DELAY + tolerance`. `spacing` solves that for both windows: the
interval is the rate's own, or a little longer where the burst is too small to cover the delay, and the tolerance is all
that is left. So a part of the burst is kept for delays, and who sets `burst 0` pays with a twentieth of the rate.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

#: By how much the ways of two messages from their permits to the receiver may differ: the answer of Redis, a turn of
#: the event loop, the network.
DELAY_MS = 50
#: Beyond it a limit is none, and an interval is too short to be told in sixteenths of a microsecond.
MOST_PER_SECOND = 100_000
#: Default burst: what a tenth of a second carries. Half of it covers the delay, half lets a busy sender catch up.
BURST_PART = 10
#: Intervals are whole sixteenths of a microsecond, so that sums of them and times until 2041 are exact in doubles.
_PARTS = 16
_SECOND_MS = 1000
_PERIODS_MS = {"s": _SECOND_MS, "m": 60 * _SECOND_MS, "h": 3600 * _SECOND_MS, "d": 86_400 * _SECOND_MS}
_UNITS = {period_ms: unit for unit, period_ms in _PERIODS_MS.items()}
_WRITTEN = re.compile(r"\s*(\d{1,12})\s*/\s*([smhd])(?:\s+burst\s+(\d{1,12}))?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many messages a period, and so many more in any window."""

    messages: int
    period_ms: int
    burst: int

    def __str__(self) -> str:
        written = f"{self.messages}/{_UNITS.get(self.period_ms, f'{self.period_ms}ms')}"
        usual = self.burst == default_burst(self.messages, self.period_ms)
        return written if usual else f"{written} burst {self.burst}"

    @property
    def per_s(self) -> float:
        return self.messages * _SECOND_MS / self.period_ms


@dataclass(frozen=True, slots=True)
class Spacing:
    """A rate as GCRA has it, both in microseconds and exact in a double."""

    interval_us: float
    tolerance_us: float


def default_burst(messages: int, period_ms: int) -> int:
    return max(1, messages * _SECOND_MS // (period_ms * BURST_PART))


@lru_cache(1024)
def parse_rate(text: str) -> Rate:
    """`<messages>/<s|m|h|d>`, perhaps followed by `burst <messages>`. ValueError says what is wrong."""
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise ValueError(
            f"{text[:40]!r} is not a rate: expected such as 100/s, 6000/m, 50000/h, 1000/d, 100/s burst 20"
        )
    messages, period_ms = int(written[1]), _PERIODS_MS[written[2]]
    if messages == 0:
        raise ValueError(f"{text[:40]!r}: a rate is at least one message; to stop a site, suspend it")
    if messages * _SECOND_MS > MOST_PER_SECOND * period_ms:
        raise ValueError(f"{text[:40]!r}: more than {MOST_PER_SECOND} a second; leave the rate out for no limit")
    burst = default_burst(messages, period_ms) if written[3] is None else int(written[3])
    if burst > messages:
        raise ValueError(f"{text[:40]!r}: a burst of more than the rate itself")
    return Rate(messages, period_ms, burst)


def allowed(rate: Rate, window_ms: int) -> int:
    """What the receiver may see of this rate in any window of so many ms."""
    return -(-rate.messages * window_ms // rate.period_ms) + rate.burst


def spacing(rate: Rate, delay_ms: int = DELAY_MS) -> Spacing:
    """The interval and tolerance that keep the promise for any second and any period."""
    parts = 1000 * _PARTS
    windows = {_SECOND_MS, rate.period_ms}
    needed = [((window_ms + delay_ms) * parts, allowed(rate, window_ms)) for window_ms in windows]
    interval = max(
        -(-rate.period_ms * parts // rate.messages),
        *(-(-length // most) for length, most in needed),
    )
    tolerance = min(most * interval - length for length, most in needed)
    return Spacing(interval / _PARTS, tolerance / _PARTS)

"""The pace at which a provider takes mail, found by its refusals: what a `slow down` means, and the way back.

A pace exists from the first refusal on, by site and source address. It has a *ceiling*, the rate at which refusals
began as far as is known, and grows in time without any message being needed for it, so that all relays compute the
same from the same few numbers.

- Decrease, at most once a minute: from what the provider accepted, which is measured (`Seen`), not from what was tried.
  The first is to a half of it: how much is too much is not known yet. A later one is to nine tenths of the ceiling.
- The ceiling, at a decrease. If more than a tenth was refused in the last minute, the pace was above what is accepted
  all the time, and what was accepted is the ceiling: a whole minute of that is a good measure, whatever the provider
  counts by. Else refusals have only just begun, and the ceiling lies between what was accepted and the pace of now;
  what was known before is believed within these.
- Refusals within a minute of a decrease do not decrease again, but growth stops until that minute is over: the pace
  stays a hair above the ceiling, which costs little, and the next decrease knows it well.
- Increase, while no ceiling is known: twice as much every 20 seconds, so that a first guess that was far too low is
  corrected within three minutes, and a single refusal that is not repeated is forgotten by then.
- Increase, with a ceiling: a little at a time, in the shape of CUBIC (RFC 9438, 4.2): quickly at first, slowly about
  the ceiling, where it stays for two minutes, then ever faster, because a provider that has refused nothing for so long
  has relented. A known ceiling is met again after about two and a half minutes, with a refusal or two; ten times the
  ceiling is reached after 14 minutes without a refusal; after half an hour there is no pace any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from shared.words.rates import Rate

#: What rests at every source, because a rule suspended the site, rests at this one.
EVERY_SOURCE = "*"
#: What is seen is counted in pieces of this length: twelve make the last whole minute, and one is running.
BUCKET_MS = 5_000
BUCKETS = 14
#: How often relays tell each other.
TOLD_MS = 500
#: At most one decrease in this time: a minute, and what it takes until a whole minute after the last is known.
BETWEEN_MS = 70_000
#: Refusals so soon after a decrease are of messages that were on their way.
SETTLE_MS = 5_000
#: What a decrease leaves: of what was accepted at the first one, of the ceiling later, of the pace where nothing at all
#: was accepted.
FIRST_PART = 0.5
PART = 0.9
NOTHING_PART = 0.1
#: From this part of refusals on the pace is taken to have been too high all the time. It is what `PART` takes off: with
#: fewer, nine tenths of the pace are accepted.
TOO_HIGH = 0.1
#: If nothing was refused for so long after a decrease, the pace at which refusals began counts as much as what was
#: accepted since: slightly above one message a second, a provider that looks back a second refuses every other one.
CLEAN_MS = 8_000
#: By how much a peak may be too low, because it is a whole number of messages in five seconds.
FEW_PER_S = 0.4
#: The pace doubles in this time while no ceiling is known, until it is over.
DOUBLES_MS = 20_000
DOUBLED_OVER_MS = 7 * DOUBLES_MS
#: When the ceiling is met again, and how steep growth is beyond it: 1.1 times the ceiling after twice the time, 1.8
#: after three times, 3.7, 7.4, 13.5 …
CEILING_MS = 150_000
BEYOND = 0.1
#: Without a refusal for so long there is no pace any more. It had grown to 134 times the ceiling by then.
OVER_MS = 1_800_000
#: A provider that accepts nothing is asked once a minute; after a first refusal, which may mean little where there was
#: no mail before, every two seconds.
LEAST_PER_S = 1 / 60
FIRST_LEAST_PER_S = 0.5
#: A pace may be exceeded for an instant by this part of a second, as a rate may, but slow ones are even.
BURST_PER_S = 0.1


@dataclass(frozen=True, slots=True)
class Seen:
    """What all relays saw of a site and source: messages a second, accepted and refused, in the last whole minute; and
    the most accepted in any few seconds up to now."""

    accepted_per_s: float
    refused_per_s: float
    peak_per_s: float


def seen(buckets: Sequence[tuple[int, int]], running_ms: int) -> Seen:
    """From messages accepted and refused by `BUCKET_MS`, `BUCKETS` of them, the last having run for so long. A bucket
    counts as whole when all relays have had the time to tell what they saw of it."""
    whole = buckets[-14:-2] if running_ms < TOLD_MS else buckets[-13:-1]
    accepted, refused = (sum(bucket[at] for bucket in whole) * 1000 / (len(whole) * BUCKET_MS) for at in (0, 1))
    running = buckets[-1][0] * 1000 / max(1000, running_ms)
    return Seen(accepted, refused, max(running, *(bucket[0] * 1000 / BUCKET_MS for bucket in buckets[-3:-1])))


class Pace(msgspec.Struct, frozen=True, array_like=True):
    """`per_s` at the time of the last decrease, `at_ms`; `ceiling_per_s`: 0 if not known; `held_ms`: when growth
    stopped, 0 if it has not."""

    per_s: float
    ceiling_per_s: float
    at_ms: int
    held_ms: int = 0


def slowed(pace: Pace | None, seen: Seen, now_ms: int) -> Pace:
    """The pace after a refusal: decreased, held, or as it was."""
    current = None if pace is None else current_per_s(pace, now_ms)
    if pace is None or current is None:
        return Pace(max(seen.peak_per_s * FIRST_PART, FIRST_LEAST_PER_S), 0.0, now_ms)
    if now_ms - pace.at_ms >= BETWEEN_MS:
        ceiling = max(_ceiling(pace, current, seen), LEAST_PER_S)
        return Pace(max(ceiling * PART, LEAST_PER_S), ceiling, now_ms)
    if is_settled(pace, now_ms):
        return pace
    return Pace(pace.per_s, pace.ceiling_per_s, pace.at_ms, now_ms)


def is_settled(pace: Pace, now_ms: int) -> bool:
    """Whether one more refusal changes nothing."""
    return now_ms - pace.at_ms < (BETWEEN_MS if pace.held_ms else SETTLE_MS)


def _ceiling(pace: Pace, current: float, seen: Seen) -> float:
    if seen.refused_per_s <= TOO_HIGH * (seen.accepted_per_s + seen.refused_per_s):
        known = pace.ceiling_per_s or seen.peak_per_s + FEW_PER_S
        return min(current, max(known, seen.accepted_per_s))
    if pace.held_ms - pace.at_ms > CLEAN_MS:
        return min(current, (current + seen.accepted_per_s) / 2)
    return min(current, seen.accepted_per_s or current * NOTHING_PART)


def current_per_s(pace: Pace, now_ms: int) -> float | None:
    """Messages a second that may go now; None when the pace is over."""
    growing_ms = max(now_ms - pace.at_ms, 0)
    if pace.held_ms:
        growing_ms = pace.held_ms - pace.at_ms + max(0, growing_ms - BETWEEN_MS)
    if not pace.ceiling_per_s:
        return pace.per_s * 2 ** (growing_ms / DOUBLES_MS) if growing_ms < DOUBLED_OVER_MS else None
    if growing_ms >= OVER_MS:
        return None
    distance = growing_ms / CEILING_MS - 1
    steepness = 1 - pace.per_s / pace.ceiling_per_s if distance < 0 else BEYOND
    return pace.ceiling_per_s * (1 + steepness * distance**3)


def current_rate(pace: Pace, now_ms: int) -> Rate | None:
    """The same as a rate that limits can count."""
    per_s = current_per_s(pace, now_ms)
    if per_s is None:
        return None
    return Rate(max(1, int(per_s * 3600)), 3_600_000, int(per_s * BURST_PER_S))

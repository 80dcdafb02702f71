"""When a message is tried again, and when that is too late: schedules as data.

A schedule lists the seconds from one attempt to the next; its last entry repeats. Each wait is stretched by chance,
never shortened: greylisting counts from the first attempt, and messages that were deferred together should not come
back together.

Greylisting has a schedule of its own. It lets in whoever comes back after some minutes, and forgets who does not come
back within hours: what counts is when it began, not how often the message was refused for other reasons before.
"""

from collections.abc import Mapping, Sequence
from random import Random

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86_400

#: By stream. Bulk: greylisting lets in after 5 min mostly; four hours as RFC 5321 section 4.5.4.1 has in mind for later
#: attempts. Transactional: a code to log in is worth minutes, so many early attempts.
SCHEDULES_S: Mapping[str, Sequence[float]] = {
    "bulk": (5 * MINUTE_S, 15 * MINUTE_S, 30 * MINUTE_S, HOUR_S, 2 * HOUR_S, 4 * HOUR_S),
    "one_to_one": (2 * MINUTE_S, 5 * MINUTE_S, 10 * MINUTE_S, 30 * MINUTE_S, HOUR_S, 2 * HOUR_S),
    "transactional": (MINUTE_S, 2 * MINUTE_S, 5 * MINUTE_S, 10 * MINUTE_S, 30 * MINUTE_S, HOUR_S),
}
#: After greylisting that does not say for how long: postgrey, rspamd and SQLgrey have 5 min by default. Who is still
#: greylisted after many attempts meets one that does not let in, or counts in longer times (milter-greylist: 30 min).
GREYLISTED_S: Sequence[float] = (
    5 * MINUTE_S, 5 * MINUTE_S, 5 * MINUTE_S, 10 * MINUTE_S, 15 * MINUTE_S, 30 * MINUTE_S,
)  # fmt: skip
#: What a greylisting host says is counted by its clock, in whole seconds, from when it looked: not sooner than that.
GREYLIST_MARGIN_S = 5
#: A wait for greylisting becomes up to a fifth longer: 5 min are over within 6.
GREYLIST_JITTER = 0.2
#: A wait in the settings that is longer is a mistake: no message lives so long.
MAX_WAIT_S = 30 * DAY_S
#: Over how long those come back that were not tried: so many times what the host is left alone for, within this.
UNTRIED_SPREAD_PART = 10
UNTRIED_SPREAD_S = 120.0
#: A wait becomes up to a quarter longer.
JITTER = 0.25


def parse_schedule(text: str) -> tuple[float, ...]:
    """Seconds separated by commas, as in the setting `relay.retry_schedule`; empty is (). ValueError in words."""
    try:
        schedule = tuple(float(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        raise ValueError(f"a retry schedule is seconds separated by commas, not {text!r:.100}") from None
    if any(not 0 < seconds < MAX_WAIT_S for seconds in schedule):
        raise ValueError(f"the waits of a retry schedule are above 0 and below 30 days, not {text!r:.100}")
    return schedule


class Retries:
    """The schedules in force: `schedule_s`, where given, replaces that of every stream."""

    def __init__(self, chance: Random, schedule_s: Sequence[float] = ()) -> None:
        self._chance = chance
        self._own = schedule_s
        self._schedules = {stream: schedule_s or own for stream, own in SCHEDULES_S.items()}

    def next_attempt(
        self, attempt: int, stream: str, now_ms: int, retry_after_s: float = 0, greylisted: bool = False
    ) -> int:
        """When (ms) the attempt after this one is due; `attempt` is the one that just failed, the first being 1.
        `retry_after_s` is what the host asked for: not sooner than that, and, if it greylists, then."""
        if greylisted:
            # An own schedule that is quicker than ours is quicker here too.
            usual_s = min(_entry(GREYLISTED_S, attempt), _entry(self._own, attempt) if self._own else DAY_S)
            wait_s = retry_after_s + GREYLIST_MARGIN_S if retry_after_s else usual_s
            return now_ms + int(wait_s * (1 + GREYLIST_JITTER * self._chance.random()) * 1000)
        wait_s = max(_entry(self._schedules[stream], attempt), retry_after_s)
        return now_ms + int(wait_s * (1 + JITTER * self._chance.random()) * 1000)

    def untried(self, now_ms: int, wait_ms: int) -> int:
        """When (ms) a message comes back that could not be tried, because its host is left alone for so long. They come
        one after the other: the host has to be found well first, and a thousand at once would all be told to wait."""
        spread_s = min(UNTRIED_SPREAD_S, UNTRIED_SPREAD_PART * wait_ms / 1000, *self._own[:1])
        return now_ms + wait_ms + int(spread_s * self._chance.random() * 1000)

    def is_over(self, expires_at: int, at_ms: int) -> bool:
        """At that time the message is too late. A retry due then is not worth waiting for: the message is Expired now.
        0 is never."""
        return 0 < expires_at <= at_ms


def _entry(schedule: Sequence[float], attempt: int) -> float:
    return schedule[min(max(attempt, 1), len(schedule)) - 1]

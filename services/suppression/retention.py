"""How long somebody is kept from whom nothing comes: the rule of a tenant, and what it means on a day. Pure.

The law that this follows (CNIL, on prospects) counts three years from the last contact that came from the person: a
click is one, a mere opening is not, nor is a delivery. What comes from a person is here

- a click (no machine's), a leaving, an opt-in or another choice, as facts tell it: noted as `Seen.last_day`;
- what the tenant notes of its own (`POST /v1/interactions`): a purchase, a call;
- an answer about consent, and joining a list, at the time at which that was.

Of whom nothing of that is known, the day on which they came on the suppression list counts.

Days are days since 1970 in UTC. The tenant is warned `warn_days` before the day, and never erases anybody of whom it
was not warned so long before: a rule that is set today erases nobody today. Who shows after the warning stays.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Literal, NamedTuple

import msgspec

from shared.words.consent import TOPICS, State
from shared.words.scopes import PROTECTED, Entry

#: Longer than anybody may keep prospects.
MOST_YEARS = 20
MOST_WARN_DAYS = 365
NEW_WARN_DAYS = 30
#: A warning is forgotten so long after the day that it named: the rule was off meanwhile, or nobody looked.
STALE_DAYS = 30
DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)

Verdict = Literal["keep", "warn", "wait", "erase"]


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """Of a tenant. `years` 0: nobody is erased. `dry_run`: nobody is warned of or erased, it is only counted."""

    years: int = 0
    warn_days: int = NEW_WARN_DAYS
    dry_run: bool = False


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """What is noted of an address: the day of its last interaction, and that of the warning; 0 for none."""

    last_day: int = 0
    warned_day: int = 0


class Near(NamedTuple):
    """What a rule means for somebody on a day. `erase_day`: when they are erased, as far as is known."""

    verdict: Verdict
    erase_day: int


_decoder = msgspec.msgpack.Decoder(Seen)


def decode(stored: bytes) -> Seen:
    """ValueError if it is none."""
    return _decoder.decode(stored)


def day_of(at_ms: int) -> int:
    """The day of a time in ms."""
    return at_ms // DAY_MS


def shown_day(day: int) -> str:
    """A day as ISO 8601 has it."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def of_consent(state: State) -> int:
    """The day of the last answer."""
    return max(state.said(topic).at_s for topic in TOPICS) * 1000 // DAY_MS


def of_entries(entries: Iterable[Entry]) -> int:
    """The day on which an address came on the suppression list; 0 if an operator alone put it there, for the law: that
    stays whatever a tenant's rule says."""
    return max((day_of(entry.first_ms) for entry in entries if entry.reason not in PROTECTED), default=0)


def near(rule: Rule, last_day: int, warned_day: int, today: int) -> Near:
    """What becomes of somebody of whom was heard last on that day."""
    if not rule.years:
        return Near("keep", 0)
    due = years_after(last_day, rule.years)
    is_warned = last_day < warned_day and today - warned_day <= rule.warn_days + STALE_DAYS
    if is_warned:
        erase_day = max(due, warned_day + rule.warn_days)
        return Near("erase" if today >= erase_day else "wait", erase_day)
    erase_day = max(due, today + rule.warn_days)
    return Near("warn" if today >= due - rule.warn_days else "keep", erase_day)


def years_after(day: int, years: int) -> int:
    """The same day so many years later; of the 29th of February the 28th where there is none."""
    since = _EPOCH + timedelta(days=day)
    try:
        later = since.replace(year=since.year + years)
    except ValueError:
        later = since.replace(year=since.year + years, day=28)
    return (later - _EPOCH).days

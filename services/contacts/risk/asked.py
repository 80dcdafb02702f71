"""For how long somebody has done nothing until they are at risk, and when a tenant's contacts are looked at. Pure."""

from typing import Annotated

import msgspec

from services.contacts.segments.compiling import QUIET_DAYS
from shared.words.described import says
from shared.words.errors import Fault

DAY_MS = 86_400_000
#: A week, and ten years.
LEAST_DAYS, MOST_DAYS = 7, 3_653
#: Between two looks.
EVERY_MS = DAY_MS


class RiskRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tenant calls at risk."""

    days: Annotated[
        int,
        says("For so many times 24 hours nothing they got was opened or clicked: from 7 to 3,653.", QUIET_DAYS),
    ] = QUIET_DAYS


USUAL = RiskRule()


class Look(msgspec.Struct, frozen=True):
    """The last look at everybody: when, in ms since the epoch, with which period, and how many were at risk."""

    at_ms: int
    days: int
    contacts: int


def faults(asked: RiskRule) -> list[Fault]:
    """What is wrong with settings."""
    if LEAST_DAYS <= asked.days <= MOST_DAYS:
        return []
    return [Fault("$.days", f"expected {LEAST_DAYS} to {MOST_DAYS}, got {asked.days}")]


def due_ms(made_ms: int, last: Look | None) -> int:
    """When everybody is looked at next, in ms since the epoch: at first as soon as there is a base."""
    return made_ms if last is None else last.at_ms + EVERY_MS


def tells(asked: RiskRule, last: Look | None) -> bool:
    """Whether a look tells who is at risk now. Who is it when a tenant's contacts are looked at for the first time, or
    by another period, did not become it: the rule came to them."""
    return last is not None and last.days == asked.days

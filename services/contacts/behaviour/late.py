"""When a click is found out to be a machine's after it was noted: too soon after the delivery, or one of a burst. Pure.

Reports judge the same in the script that counts (`services/reports`), and no fact tells of it: so it is judged here as
well, over what was noted of the contact. It is decided over a set of rows, in whatever order they came:

- `soon`: the click came less than `soon_ms` after the delivery, or before it: gateways follow links while they take a
  mail. Where jobs share an operation, a click before a delivery is one of an earlier mail, and stays.
- `burst`: `burst_links` different links were clicked within `burst_ms`, or a trap and any other: all of these.

An opening is never judged so.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.words.tokens import TRAP_POSITION

#: For so long before a delivery a click is looked for, and after a click a delivery.
KEEP = timedelta(minutes=10)


class Rule(NamedTuple):
    """0 in `soon_ms` or `burst_links` means that it is not judged by that."""

    soon_ms: int = 1_000
    burst_links: int = 3
    burst_ms: int = 2_000

    @property
    def before(self) -> timedelta:
        """How much earlier than a click there may be something that judges it."""
        return timedelta(milliseconds=max(self.soon_ms, self.burst_ms))

    @property
    def judges(self) -> bool:
        return self.soon_ms > 0 or self.burst_links > 0


class Click(NamedTuple):
    """A click that a person seemed to make, a trap's among them; `event` tells it apart."""

    event: int
    at: datetime
    position: int


def judged(rule: Rule, clicks: Iterable[Click], deliveries: Sequence[datetime], *, shared: bool) -> set[int]:
    """The events that are a machine's, of the clicks of one contact in one operation."""
    in_order = sorted(clicks, key=lambda one: (one.at, one.event))
    return _soon(rule, in_order, deliveries, shared=shared) | _burst(rule, in_order)


def _soon(rule: Rule, clicks: Sequence[Click], deliveries: Sequence[datetime], *, shared: bool) -> set[int]:
    if not rule.soon_ms:
        return set()
    soon = timedelta(milliseconds=rule.soon_ms)
    return {
        click.event
        for click in clicks
        for at in deliveries
        if click.at < at + soon and (at <= click.at if shared else at <= click.at + KEEP)
    }


def _burst(rule: Rule, clicks: Sequence[Click]) -> set[int]:
    found: set[int] = set()
    if not rule.burst_links:
        return found
    within, first = timedelta(milliseconds=rule.burst_ms), 0
    for last, latest in enumerate(clicks):
        while clicks[first].at < latest.at - within:
            first += 1
        window = clicks[first : last + 1]
        positions = {one.position for one in window}
        if TRAP_POSITION in positions or len(positions) >= rule.burst_links:
            found.update(one.event for one in window)
    return found

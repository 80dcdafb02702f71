"""The hours of the day at which somebody opens and clicks: how they are kept of one address, and what they come to.

Suppression notes them from facts (`services/suppression/reactions_note.lua` counts), queueing goes by them. Hours are
those of UTC: of most people no time zone is known, and where clocks are turned a habit moves by an hour, which its
neighbours make good until the new one has taken its place.

    bytes 0 – 2    the last hour that was counted, since 1970
    then           a byte for each hour of the day that has any: the hour times eight, and its count, 1 to 7

An hour of somebody's counts once, however much they click in it, and none before the last one: so a fact that is
repeated counts nothing. Where a count would pass seven all of them are halved first: what was long ago fades.
"""

from typing import NamedTuple

#: So many hours with a reaction say something; fewer are chance.
FEWEST = 3
#: The highest count of an hour.
MOST = 7
HOUR_MS = 3_600_000
DAY_HOURS = 24
_LAST_BYTES = 3
#: What an hour weighs beside each of its neighbours: who opens at 8:55 opens at 9:05.
_WEIGHT = 2


class UsualHours(NamedTuple):
    """The last hour that was counted, since 1970; of each hour of the day that has any, how often."""

    last_hour: int = 0
    counts: tuple[tuple[int, int], ...] = ()


def decode(stored: bytes | None) -> UsualHours:
    """What was kept; nothing of None."""
    if not stored:
        return UsualHours()
    counts = tuple(sorted(divmod(cell, MOST + 1) for cell in stored[_LAST_BYTES:]))
    return UsualHours(int.from_bytes(stored[:_LAST_BYTES]), counts)


def ranked(usual: UsualHours) -> tuple[int, ...]:
    """The hours of the day around which somebody reacts, the best first; none where too little is known."""
    own = dict(usual.counts)
    if sum(own.values()) < FEWEST:
        return ()
    weights: dict[int, int] = {}
    for hour, count in own.items():
        for near, weight in ((hour, _WEIGHT), (hour - 1, 1), (hour + 1, 1)):
            weights[near % DAY_HOURS] = weights.get(near % DAY_HOURS, 0) + weight * count
    return tuple(sorted(weights, key=lambda hour: (-weights[hour], -own.get(hour, 0), hour)))

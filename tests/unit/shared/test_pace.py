"""Pace: found within minutes, kept without annoying the provider, given up when it relents. All time is simulated."""

from itertools import pairwise

import pytest

from shared.words.pace import (
    BETWEEN_MS,
    OVER_MS,
    Pace,
    Seen,
    current_per_s,
    current_rate,
    slowed,
)
from tests.unit.relay.provider import Fixed, Provider, Relays, Sliding

HALF_AN_HOUR = 30


def counts_by(name: str, per_s: float) -> Provider:
    providers: dict[str, Provider] = {
        "a second by the clock": Fixed(per_s, 1),
        "any second": Sliding(per_s, 1),
        "a minute by the clock": Fixed(per_s, 60),
        "any minute": Sliding(per_s, 60),
    }
    return providers[name]


@pytest.mark.parametrize("counting", ["a second by the clock", "any second"])
@pytest.mark.parametrize(
    ("limit_per_s", "demand_per_s"),
    [(1, 1.5), (1, 5000), (5, 50), (20, 5000), (100, 150), (1000, 10_000)],
)
def test_a_provider_that_starts_to_refuse_is_sent_what_it_takes_within_three_minutes(
    counting: str, limit_per_s: float, demand_per_s: float
) -> None:
    provider = counts_by(counting, limit_per_s)
    relays = Relays(lambda now_s: provider if now_s >= 60 else None, lambda now_s: demand_per_s)

    relays.run(1 + 3 + HALF_AN_HOUR)

    afterwards = relays.minutes[1 + 3 :]
    attempts = sum(minute.accepted + minute.refused for minute in afterwards)
    assert all(minute.accepted_per_s >= 0.8 * limit_per_s for minute in afterwards)
    assert all(minute.attempted_per_s <= 1.05 * limit_per_s for minute in afterwards)
    assert sum(minute.refused for minute in afterwards) < 0.02 * attempts


@pytest.mark.parametrize("counting", ["a second by the clock", "any second"])
@pytest.mark.parametrize(("limit_per_s", "demand_per_s"), [(20, 200), (1000, 5000)])
def test_so_is_one_that_has_refused_from_the_first_message_on(
    counting: str, limit_per_s: float, demand_per_s: float
) -> None:
    provider = counts_by(counting, limit_per_s)
    relays = Relays(lambda now_s: provider, lambda now_s: demand_per_s)

    relays.run(3 + HALF_AN_HOUR)

    afterwards = relays.minutes[3:]
    attempts = sum(minute.accepted + minute.refused for minute in afterwards)
    assert all(0.8 * limit_per_s <= minute.accepted_per_s for minute in afterwards)
    assert all(minute.attempted_per_s <= 1.05 * limit_per_s for minute in afterwards)
    assert sum(minute.refused for minute in afterwards) < 0.02 * attempts


@pytest.mark.parametrize("counting", ["a minute by the clock", "any minute"])
@pytest.mark.parametrize(("limit_per_s", "demand_per_s"), [(1, 5000), (20, 30), (1000, 5000)])
def test_who_counts_by_the_minute_is_known_a_minute_later(
    counting: str, limit_per_s: float, demand_per_s: float
) -> None:
    provider = counts_by(counting, limit_per_s)
    relays = Relays(lambda now_s: provider if now_s >= 60 else None, lambda now_s: demand_per_s)

    relays.run(1 + 3 + HALF_AN_HOUR)

    afterwards = relays.minutes[1 + 3 :]
    attempts = sum(minute.accepted + minute.refused for minute in afterwards)
    assert all(0.8 * limit_per_s <= minute.accepted_per_s for minute in afterwards)
    assert all(minute.attempted_per_s <= 1.05 * limit_per_s for minute in afterwards[1:])
    assert sum(minute.refused for minute in afterwards) < 0.05 * attempts


@pytest.mark.parametrize("limit_per_s", [1, 20, 1000])
def test_a_provider_that_relents_gets_full_pace_again_within_half_an_hour(limit_per_s: float) -> None:
    provider = Fixed(limit_per_s, 1)
    relays = Relays(lambda now_s: provider if now_s < 600 else None, lambda now_s: 10 * limit_per_s)
    relays.run(10)
    limited = not relays.unlimited

    relays.run(HALF_AN_HOUR + 1)

    assert limited
    assert relays.unlimited
    assert all(minute.attempted_per_s > 1.5 * limit_per_s for minute in relays.minutes[10 + 8 :])
    assert all(minute.attempted_per_s > 9.5 * limit_per_s for minute in relays.minutes[10 + 15 :])


def test_a_limit_that_is_raised_or_lowered_is_followed() -> None:
    limits = {0: 100, 10: 20, 25: 60}
    providers = {begin: Fixed(per_s, 1) for begin, per_s in limits.items()}
    relays = Relays(lambda now_s: providers[max(at for at in limits if at * 60 <= now_s)], lambda now_s: 1000)

    relays.run(45)

    assert all(80 <= minute.accepted_per_s <= 100 for minute in relays.minutes[4:10])
    assert all(16 <= minute.accepted_per_s <= 20 for minute in relays.minutes[13:25])
    assert all(48 <= minute.accepted_per_s <= 60 for minute in relays.minutes[40:45])


def test_one_refusal_that_is_not_repeated_is_forgotten_within_three_minutes() -> None:
    once = Fixed(10, 1)
    relays = Relays(lambda now_s: once if 60 <= now_s < 60.2 else None, lambda now_s: 150)

    relays.run(5)

    assert len(relays.decreases) == 1
    assert relays.unlimited
    assert all(minute.accepted_per_s >= 149 for minute in relays.minutes[3:])


def test_a_provider_that_takes_nothing_is_asked_less_and_less_and_found_again() -> None:
    limited, shut = Fixed(50, 1), Fixed(0, 1)
    relays = Relays(lambda now_s: shut if 300 <= now_s < 1500 else limited, lambda now_s: 500)

    relays.run(25)

    assert relays.minutes[12].refused < 100
    relays.run(60)
    assert all(40 <= minute.accepted_per_s <= 50 for minute in relays.minutes[-20:])


def test_demand_that_comes_and_goes_meets_the_ceiling_that_is_known() -> None:
    provider = Fixed(100, 1)
    relays = Relays(lambda now_s: provider, lambda now_s: 1000 if now_s % 600 < 300 else 10)

    relays.run(60)

    busy = [minute for at, minute in enumerate(relays.minutes) if at >= 10 and at % 10 < 5]
    assert sum(minute.refused for minute in busy) < 0.05 * sum(minute.accepted for minute in busy)
    assert sum(minute.accepted for minute in busy) >= 0.8 * 100 * 60 * len(busy)


# The functions themselves


def test_the_first_decrease_starts_from_what_was_accepted() -> None:
    assert slowed(None, Seen(10, 0, 40), 0) == Pace(20, 0, 0)


def test_a_refusal_where_nothing_had_been_sent_does_not_stop_a_site() -> None:
    assert slowed(None, Seen(0, 0, 0), 0) == Pace(0.5, 0, 0)


def test_there_is_at_most_one_decrease_a_minute() -> None:
    pace = slowed(None, Seen(10, 0, 40), 1000)

    paces = [pace := slowed(pace, Seen(1, 9, 1), now_ms) for now_ms in range(1500, 1000 + BETWEEN_MS, 500)]

    assert {one.at_ms for one in paces} == {1000}
    assert slowed(pace, Seen(1, 9, 1), 1000 + BETWEEN_MS).at_ms > 1000


def test_refusals_of_messages_on_their_way_do_not_stop_growth() -> None:
    pace = Pace(90, 100, 0)

    assert slowed(pace, Seen(50, 1, 50), 2000) == pace
    assert slowed(pace, Seen(50, 1, 50), 20_000).held_ms == 20_000


def test_growth_that_was_stopped_goes_on_a_minute_after_the_decrease() -> None:
    pace = Pace(90, 100, 0, held_ms=20_000)

    stopped = {current_per_s(pace, now_ms) for now_ms in range(20_000, BETWEEN_MS, 1000)}

    assert len(stopped) == 1
    assert current_per_s(pace, BETWEEN_MS + 10_000) == current_per_s(Pace(90, 100, 0), 30_000)


def test_a_pace_grows_to_its_ceiling_beyond_it_and_is_over() -> None:
    pace = Pace(90, 100, 0)

    grown = [per_s for now_ms in range(0, OVER_MS, 10_000) if (per_s := current_per_s(pace, now_ms)) is not None]

    assert len(grown) == OVER_MS / 10_000
    assert all(later > earlier for earlier, later in pairwise(grown))
    assert grown[0] == 90
    assert grown[15] == 100
    assert 98 < grown[8] < 102
    assert 98 < grown[21] < 102
    assert grown[-1] > 10_000
    assert current_per_s(pace, OVER_MS) is None


def test_a_slow_pace_is_even_and_never_below_one_a_minute() -> None:
    slowest = slowed(Pace(0.02, 0.02, 0), Seen(0, 5, 0), BETWEEN_MS)

    rate = current_rate(slowest, BETWEEN_MS)

    assert rate is not None
    assert rate.burst == 0
    assert 50 <= rate.messages <= 60
    assert rate.period_ms == 3_600_000


def test_a_clock_that_is_behind_sees_the_pace_as_it_began() -> None:
    assert current_per_s(Pace(90, 100, 10_000), 5000) == 90

"""A message goes in its recipient's best hour, and never outside of what its job asks for."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.queueing.moments import DAY_MS, Moments
from shared.words import timing
from shared.words.timing import Hours, Timing
from shared.words.usual_hours import DAY_HOURS, HOUR_MS
from tests.unit.shared.test_timing import WORK, ZONES, hours_of_week, is_open, moments, shares

ANY: Hours = ()
#: A Monday, 13:00 in UTC, 15:00 in Paris.
NOW_MS = int(datetime(2026, 9, 21, 13, tzinfo=UTC).timestamp() * 1000)

best_hours = st.lists(st.integers(0, DAY_HOURS - 1), max_size=DAY_HOURS, unique=True)


def at(day: int, hour: int, minute: int = 0) -> int:
    return int(datetime(2026, 9, day, hour, minute, tzinfo=UTC).timestamp() * 1000)


def asked(hours: Hours = ANY, zone: str = "UTC", spread_ms: int = 0) -> Timing:
    return Timing(hours, zone, spread_ms, True)


@pytest.mark.parametrize(
    ("timed", "best", "expected"),
    [
        (asked(), (18, 17), at(21, 18, 30)),  # today
        (asked(), (7,), at(22, 7, 30)),  # it is over today
        (asked(), (13,), at(21, 13, 30)),  # it is now
        (asked(WORK, "Europe/Paris"), (18, 8), at(22, 8, 30)),  # the best is after work: the second best
        (asked(WORK, "Europe/Paris"), (16,), at(21, 16, 30)),  # until 17:00, which is 19:00 in Paris
        (asked(spread_ms=4 * HOUR_MS), (18, 16), at(21, 16, 30)),  # the best is after the period
        (asked(spread_ms=3 * DAY_MS), (12,), at(22, 12, 30)),  # the next that comes
    ],
)
def test_it_is_the_next_best_hour_that_is_open_in_the_period(
    timed: Timing, best: tuple[int, ...], expected: int
) -> None:
    assert Moments(timed, NOW_MS, NOW_MS, 0).of("", 0.5, best) == (expected, "known")


def test_of_hours_that_open_days_later_the_day_counts_from_then_on() -> None:
    friday = at(25, 19)

    assert Moments(asked(WORK), friday, friday, 0).of("", 0.0, (10,)) == (at(28, 10), "known")


@pytest.mark.parametrize("timed", [asked(), asked(WORK), asked(spread_ms=HOUR_MS)])
@pytest.mark.parametrize(("best", "word"), [((), "unknown"), ((3,), "closed")])
def test_who_has_no_hour_that_fits_goes_as_the_rest_of_the_job_says(
    timed: Timing, best: tuple[int, ...], word: str
) -> None:
    expires_at_ms = NOW_MS + 2 * HOUR_MS

    found = Moments(timed, NOW_MS, NOW_MS, expires_at_ms).of("", 0.5, best)

    assert found == (timing.due(timed, "", NOW_MS, NOW_MS, 0.5), word)


def test_an_hour_that_is_half_open_is_shared_by_what_is_left_of_it() -> None:
    hours: Hours = ((0, 13 * 60 + 50),) * 7
    found = [Moments(asked(hours), NOW_MS, at(21, 13, 40), 0).of("", share, (13,))[0] for share in (0.0, 0.5, 0.999)]

    assert found == [at(21, 13, 40), at(21, 13, 45), at(21, 13, 40) + int(600_000 * 0.999)]


@given(
    st.one_of(st.just(ANY), hours_of_week),
    st.sampled_from(ZONES),
    moments,
    st.integers(0, 3 * DAY_MS),
    st.sampled_from([0, HOUR_MS, 30 * HOUR_MS]),
    st.one_of(st.just(0), st.integers(1, 5 * DAY_MS)),
    shares,
    best_hours,
)
def test_a_best_hour_is_never_before_now_nor_outside_of_the_window_the_period_and_the_life_of_the_job(
    hours: Hours, zone: str, begin_ms: int, late_ms: int, spread_ms: int, lives_ms: int, share: float, best: list[int]
) -> None:
    now_ms, expires_at_ms = begin_ms + late_ms, begin_ms + late_ms + lives_ms if lives_ms else 0
    timed, where = asked(hours, "UTC", spread_ms), ZoneInfo(zone)

    found_ms, word = Moments(timed, begin_ms, now_ms, expires_at_ms).of(zone, share, best)

    assert Moments(timed, begin_ms, now_ms, expires_at_ms).of(zone, share, best) == (found_ms, word)
    if word != "known":
        usual_ms = timing.due(timed, zone, begin_ms, now_ms, share)
        assert found_ms == min(usual_ms, expires_at_ms or usual_ms)
        return
    first_ms = timing.moment(hours, where, begin_ms)
    end_ms = timing.moment(hours, where, begin_ms, spread_ms) if spread_ms else first_ms + DAY_MS
    assert max(now_ms, first_ms) <= found_ms < min(end_ms, expires_at_ms or end_ms)
    assert found_ms // HOUR_MS % DAY_HOURS in best
    assert not hours or is_open(hours, zone, found_ms)


def test_those_of_one_hour_are_not_due_at_once() -> None:
    found = Moments(asked(), NOW_MS, NOW_MS, 0)

    due = sorted(found.of("", timing.place("068vjfm5s9m2rc1jqqrg", number), (18,))[0] for number in range(600))

    assert all(at(21, 18) <= moment < at(21, 19) for moment in due)
    per_minute = [sum(1 for moment in due if (moment - at(21, 18)) // 60_000 == minute) for minute in range(60)]
    assert max(per_minute) <= 12

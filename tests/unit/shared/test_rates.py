"""Rates as they are written, and what a receiver may see of them."""

from bisect import bisect_left
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.words.rates import (
    DELAY_MS,
    Rate,
    allowed,
    parse_rate,
    spacing,
)
from tests.permits import permitted


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", Rate(100, 1000, 10)),
        ("1/s", Rate(1, 1000, 1)),
        ("6000/m", Rate(6000, 60_000, 10)),
        ("50000/h", Rate(50_000, 3_600_000, 1)),
        ("1000/d", Rate(1000, 86_400_000, 1)),
        ("50000/h burst 100", Rate(50_000, 3_600_000, 100)),
        (" 10 / s  burst 0 ", Rate(10, 1000, 0)),
        ("100000/s", Rate(100_000, 1000, 10_000)),
    ],
)
def test_a_rate_is_messages_by_period_and_a_burst(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not a rate"),
        ("100", "not a rate"),
        ("100/w", "not a rate"),
        ("-1/s", "not a rate"),
        ("1.5/s", "not a rate"),
        ("100/s burst", "not a rate"),
        ("100/s burst -1", "not a rate"),
        ("١٠/s", "not a rate"),
        ("9" * 400 + "/s", "not a rate"),
        ("0/s", "at least one"),
        ("100001/s", "more than 100000 a second"),
        ("10/s burst 11", "more than the rate itself"),
    ],
)
def test_what_is_no_rate_is_refused_in_words(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_rate(text)


@pytest.mark.parametrize("text", ["100/s", "100/s burst 20", "6000/m", "50000/h burst 100", "1000/d burst 0"])
def test_a_rate_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_rate(text)) == text


rates = st.builds(
    lambda per_period, period_ms, burst: Rate(per_period, period_ms, min(burst, per_period)),
    st.integers(1, 3000),
    st.sampled_from([1000, 60_000, 3_600_000]),
    st.integers(0, 50),
)


@settings(max_examples=300, deadline=None)
@given(rate=rates, asked=st.integers(0, 2**32), seed=st.integers(0, 2**32))
def test_promise_6_a_receiver_never_sees_more_than_rate_and_burst(rate: Rate, asked: int, seed: int) -> None:
    """Whoever asks whenever, and however long each message is on its way."""
    random = Random(seed)
    spaced = spacing(rate)
    now, due = asked, 0.0
    seen: list[float] = []

    while len(seen) < 300:
        due, wait = permitted(due, now, spaced)
        if wait == 0:
            seen.append(now + random.choice((0, DELAY_MS * 1000, random.randint(0, DELAY_MS * 1000))))
        hurry = random.choice((0, 0, wait, random.uniform(0, 2 * spaced.interval_us)))
        now += max(1, int(hurry + 1)) if wait else int(random.choice((0, hurry)))

    seen.sort()
    for window_ms in {1000, rate.period_ms}:
        most = allowed(rate, window_ms)
        for first in range(len(seen) - most):
            assert seen[first + most] - seen[first] >= window_ms * 1000


@given(rate=rates)
def test_the_promise_breaks_where_delays_are_longer_than_was_kept_for_them(rate: Rate) -> None:
    """The proof has no slack to hide behind: a period later than the bound, one message too many is seen."""
    spaced = spacing(rate)
    late_us = (DELAY_MS + rate.period_ms) * 1000
    most = allowed(rate, rate.period_ms)
    now, due, seen = 0.0, 0.0, []

    while now <= rate.period_ms * 1000 + late_us:
        due, wait = permitted(due, now, spaced)
        if wait:
            now += wait
        else:
            seen.append(max(now, late_us))  # the first are held up, the last are not

    assert bisect_left(seen, late_us + rate.period_ms * 1000) > most


@given(rate=rates)
def test_the_rate_is_reached_but_for_a_twentieth_where_the_burst_is_too_small(rate: Rate) -> None:
    reached = 1_000_000 / spacing(rate).interval_us

    assert reached <= rate.per_s
    assert reached >= rate.per_s / (1 + DELAY_MS / 1000) * 0.999
    if rate.burst * 1000 >= rate.per_s * DELAY_MS:
        assert reached >= rate.per_s * 0.999


def test_a_burst_is_permitted_at_once_and_then_the_rate() -> None:
    spaced = spacing(parse_rate("100/s burst 25"))
    due, now, at_once = 0.0, 1_000_000.0, 0

    while True:
        due, wait = permitted(due, now, spaced)
        if wait:
            break
        at_once += 1

    # 25, less five for the delay, and the one that is due.
    assert at_once == 21
    assert wait == pytest.approx(10_000)


def test_a_clock_set_back_by_a_day_costs_one_interval() -> None:
    spaced = spacing(parse_rate("1/s"))
    day_us = 86_400e6
    due, _ = permitted(0.0, day_us, spaced)

    _, wait = permitted(due, 0.0, spaced)

    assert wait == spaced.interval_us


def test_intervals_add_up_exactly_in_doubles_until_2041() -> None:
    spaced = spacing(Rate(3000, 1000, 300))
    latest = 2.0**49

    assert (latest + spaced.interval_us) - latest == spaced.interval_us

"""What breakers count, and when they break."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.breakers.breakers import stopped
from services.breakers.figures import (
    DAY_MS,
    JOB_STOPS,
    NAMES,
    TENANT_IS_WARNED,
    TENANT_STOPS,
    Figures,
    Saw,
    Seen,
    complaint_figures,
    first_day,
    seen,
)
from shared.redis import stops
from shared.redis.stops import INVALID_RATE, Stop
from shared.words import events, ids

NOW_MS = 1_790_000_000_000
DAY = NOW_MS // DAY_MS
JOB = ids.new_job_id(NOW_MS, b"chance", 8)
COMMON: dict[str, Any] = {"event_id": "1", "occurred_at": NOW_MS, "tenant": "acme", "job": JOB, "ordinal": 7}


@pytest.mark.parametrize(
    ("fact", "what"),
    [
        (events.Delivered(**COMMON), Saw.DELIVERED),
        (events.Bounced(**COMMON, kind="hard"), Saw.INVALID),
        (events.Bounced(**COMMON, kind="hard", late=True), Saw.INVALID),
        (events.Bounced(**COMMON, kind="soft"), Saw.BOUNCED),
        (events.Bounced(**COMMON, kind="block"), None),
        (events.Complained(**COMMON), Saw.COMPLAINED),
        (events.Rejected(**COMMON, reason="invalid_address"), None),
        (events.Suppressed(**COMMON), None),
        (events.Expired(**COMMON), None),
        (events.Stopped(**{**COMMON, "ordinal": None}), None),
        (events.Complained(**{**COMMON, "job": ""}), None),
        (events.Complained(**{**COMMON, "ordinal": None}), None),
    ],
)
def test_a_fact_counts_for_what_it_says_of_an_address(fact: events.Fact, what: Saw | None) -> None:
    assert seen(fact) == (None if what is None else Seen("acme", JOB, 7, what, DAY))


def test_what_is_passed_over_undecoded_counts_for_nothing() -> None:
    for name, fact in events.FACTS.items():
        if name not in NAMES:
            assert seen(fact(**COMMON)) is None


@pytest.mark.parametrize(
    ("bad", "of", "exceeded"),
    [
        (1, 3, False),
        (19, 19, False),
        (20, 20, True),
        (20, 399, True),
        (20, 400, False),
        (500, 10_000, False),
        (501, 10_000, True),
    ],
)
def test_a_job_stops_above_five_percent_and_not_by_chance(bad: int, of: int, exceeded: bool) -> None:
    assert JOB_STOPS.exceeded(Figures(bad, of)) is exceeded


@pytest.mark.parametrize(
    ("bad", "of", "warned", "stopped"),
    [
        (4, 1_000, False, False),
        (5, 16_666, True, False),
        (5, 16_667, False, False),
        (9, 1_000, True, False),
        (10, 19_999, True, True),
        (10, 20_000, True, False),
        (30, 100_000, False, False),
        (31, 100_000, True, False),
        (50, 100_000, True, False),
        (51, 100_000, True, True),
        (20, 0, False, False),
    ],
)
def test_complaints_warn_above_three_in_ten_thousand_and_stop_above_five(
    bad: int, of: int, warned: bool, stopped: bool
) -> None:
    assert TENANT_IS_WARNED.exceeded(Figures(bad, of)) is warned
    assert TENANT_STOPS.exceeded(Figures(bad, of)) is stopped


def test_five_sending_days_are_days_with_deliveries_however_far_apart() -> None:
    delivered = {100: 1_000, 107: 10, 114: 10, 121: 10, 128: 10, 135: 10, 140: 0}
    complaints = {100: 50, 106: 7, 107: 1, 110: 1, 135: 1, 139: 1}

    assert first_day(delivered) == 107
    assert complaint_figures(delivered, complaints) == Figures(bad=4, of=50)


def test_a_tenant_of_fewer_days_is_judged_by_those_there_are() -> None:
    assert complaint_figures({100: 10, 101: 20}, {101: 3}) == Figures(bad=3, of=30)
    assert complaint_figures({}, {101: 3}) == Figures(bad=3, of=0)


@given(st.dictionaries(st.integers(1, 400), st.integers(1, 10**6)), st.dictionaries(st.integers(1, 400), st.integers()))
def test_at_most_five_days_are_judged(delivered: dict[int, int], complaints: dict[int, int]) -> None:
    first = first_day(delivered)

    judged = {day for day in delivered if day >= first}

    assert len(judged) == min(5, len(delivered))
    assert complaint_figures(delivered, complaints).of == sum(delivered[day] for day in judged)


def test_a_stop_is_told_as_one_event_of_the_job_or_the_tenant() -> None:
    stop = Stop(INVALID_RATE, "acme", NOW_MS + 60_000, "engine", 30, 400)

    of_job, of_tenant = stopped(stops.of_job(JOB), stop), stopped(stops.of_tenant("acme"), stop)

    assert (of_job.job, of_job.ordinal, of_job.sequence, of_job.email) == (JOB, None, 60_000, None)
    assert (of_job.reason, of_job.by, of_job.bad, of_job.of) == (INVALID_RATE, "engine", 30, 400)
    assert (of_tenant.job, of_tenant.sequence) == ("", 0)
    assert stopped(stops.of_job(JOB), stop).event_id == of_job.event_id != of_tenant.event_id

"""How long somebody is kept: the rule and what it means on a day."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.suppression.retention import (
    DAY_MS,
    STALE_DAYS,
    Rule,
    Seen,
    decode,
    near,
    of_consent,
    of_entries,
    shown_day,
    years_after,
)
from shared.words import consent, scopes

RULE = Rule(3, 30)


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


@pytest.mark.parametrize(
    ("last", "warned", "today", "verdict", "erased"),
    [
        ("2023-02-01", "", "2026-01-01", "keep", "2026-02-01"),
        ("2023-02-01", "", "2026-01-02", "warn", "2026-02-01"),
        # The rule is new, and the three years are long over: nobody is erased of whom the tenant was not warned.
        ("2020-02-01", "", "2026-01-02", "warn", "2026-02-01"),
        ("2023-02-01", "2026-01-02", "2026-01-31", "wait", "2026-02-01"),
        ("2023-02-01", "2026-01-02", "2026-02-01", "erase", "2026-02-01"),
        # Looked late: the warning counts from when it was given.
        ("2023-02-01", "2026-01-20", "2026-02-10", "wait", "2026-02-19"),
        # They showed after the warning, or on its day.
        ("2026-01-03", "2026-01-02", "2026-03-01", "keep", "2029-01-03"),
        ("2026-01-02", "2026-01-02", "2026-03-01", "keep", "2029-01-02"),
        # Nobody looked for long, or the rule was off: they are warned about anew.
        ("2023-02-01", "2026-01-02", "2026-04-01", "warn", "2026-05-01"),
    ],
)
def test_who_is_warned_about_and_erased_on_a_day(last: str, warned: str, today: str, verdict: str, erased: str) -> None:
    found = near(RULE, day(last), day(warned) if warned else 0, day(today))

    assert (found.verdict, shown_day(found.erase_day)) == (verdict, erased)


def test_without_years_nobody_goes() -> None:
    assert near(Rule(), 1, 2, 30_000).verdict == "keep"


def test_a_day_in_february_that_is_not_there_is_the_one_before() -> None:
    assert shown_day(years_after(day("2024-02-29"), 3)) == "2027-02-28"
    assert shown_day(years_after(day("2024-02-29"), 4)) == "2028-02-29"


@given(
    last=st.integers(10_000, 20_000),
    years=st.integers(1, 20),
    warn_days=st.integers(1, 365),
    looks=st.lists(st.integers(0, 400), max_size=60),
)
def test_nobody_is_erased_before_their_time_or_without_a_warning_of_that_length(
    last: int, years: int, warn_days: int, looks: list[int]
) -> None:
    rule, today, warned = Rule(years, warn_days), last, 0
    for step in looks:
        today += step
        found = near(rule, last, warned, today)
        if found.verdict == "warn":
            warned = today
        if found.verdict == "erase":
            assert today >= years_after(last, years)
            assert warn_days <= today - warned <= warn_days + STALE_DAYS
            return


def test_what_is_kept_says_when_somebody_was_heard_of() -> None:
    state = consent.merged(consent.change({"email": "yes"}, 5 * 86_400), consent.change({"tracking": "no"}, 9 * 86_400))
    listed = [scopes.entry("unsubscribed", "marketing", at_ms=4 * DAY_MS), scopes.entry("manual", at_ms=6 * DAY_MS)]

    assert of_consent(state) == 9
    assert of_entries(listed) == 6
    assert of_entries([scopes.entry("compliance", at_ms=6 * DAY_MS)]) == 0


def test_what_is_not_noted_by_us_is_refused() -> None:
    assert decode(b"\x92\x05\x00") == Seen(5, 0)
    with pytest.raises(ValueError, match="Expected"):
        decode(b"\x01")

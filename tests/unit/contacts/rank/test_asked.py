"""What a tenant may count as activity, and how far back that is."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.rank import asked
from services.contacts.rank.asked import Asked, Period
from services.contacts.rank.run import BEHAVIOURS


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_e34_by_default_two_months_one_event_and_what_anybody_would_call_active() -> None:
    usual = asked.USUAL

    assert (usual.period, usual.least) == (Period(2, "months"), 1)
    assert asked.counted(usual) == [
        ("email", "opened"),
        ("email", "clicked"),
        ("sms", "clicked"),
        ("survey", "answered"),
        ("form", "sent"),
    ]
    assert not asked.faults(usual)


def test_e35_a_tenant_sets_the_period_the_kinds_their_activities_and_the_least_number() -> None:
    found = msgspec.json.decode(
        b'{"period": {"count": 90, "unit": "days"}, "least": 3, "counts": {"email": ["clicked"], "form": ["sent"]}}',
        type=Asked,
    )

    assert not asked.faults(found)
    assert asked.counted(found) == [("email", "clicked"), ("form", "sent")]


@pytest.mark.parametrize(
    ("wrong", "at"),
    [
        (Asked(Period(0)), "$.period.count"),
        (Asked(Period(25)), "$.period.count"),
        (Asked(Period(732, "days")), "$.period.count"),
        (Asked(least=0), "$.least"),
        (Asked(least=10_001), "$.least"),
        (Asked(counts={}), "$.counts"),
        (Asked(counts={"email": []}), "$.counts"),
        (Asked(counts={"email": ["opened"], "fax": ["read"]}), "$.counts.fax"),
        (Asked(counts={"email": ["opened"], "sms": ["opened"]}), "$.counts.sms[0]"),
        (Asked(counts={"email": ["opened", "opened"]}), "$.counts.email[1]"),
    ],
)
def test_e35_settings_that_cannot_be_followed_are_named_by_their_place(wrong: Asked, at: str) -> None:
    assert [fault.at for fault in asked.faults(wrong)] == [at]


def test_whatever_may_count_is_something_that_is_followed() -> None:
    assert set(BEHAVIOURS) == {(kind, activity) for kind, known in asked.KINDS.items() for activity in known}


def test_every_fault_is_told_at_once() -> None:
    assert len(asked.faults(Asked(Period(0), 0, {"fax": []}))) == 4


@pytest.mark.parametrize(
    ("period", "run", "since"),
    [
        (Period(2), "2026-11-29T09:05:00.123", "2026-09-29T09:05:00.123"),
        (Period(2), "2026-01-15", "2025-11-15"),
        (Period(2), "2026-04-30", "2026-02-28"),
        (Period(2), "2024-04-30", "2024-02-29"),
        (Period(24), "2026-12-31", "2024-12-31"),
        (Period(10), "2026-12-31T23:00", "2026-02-28T23:00"),
        (Period(30, "days"), "2026-03-31", "2026-03-01"),
    ],
)
def test_e35_a_period_reaches_back_by_days_or_by_the_calendar(period: Period, run: str, since: str) -> None:
    assert asked.since_ms(period, ms(run)) == ms(since)


@given(st.builds(Period, st.integers(1, 24)), st.integers(946_684_800_000, 4_102_444_800_000))
def test_a_period_in_months_has_as_many_days_as_its_months(period: Period, run_ms: int) -> None:
    days = (run_ms - asked.since_ms(period, run_ms)) / 86_400_000

    assert 28 * period.count <= days <= 31 * period.count
    assert days == round(days)

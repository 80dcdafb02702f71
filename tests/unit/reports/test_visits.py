"""What who clicked did on a site, as the report of their job has it."""

from typing import Any

import pytest

from services.reports import visits
from services.reports.state import CODES, Code
from services.reports.tally import Impossible, change
from services.reports.visits import Amount, SiteEvent
from shared.words import events, ids

JOB = ids.new_job_id(1_700_000_000_000, b"chance", 8)
COMMON: dict[str, Any] = {"event_id": "e", "occurred_at": 1_700_000_000_001, "tenant": "t", "job": JOB, "ordinal": 4}


@pytest.mark.parametrize(
    ("fact", "code", "counters", "amounts"),
    [
        (events.PageViewed(**COMMON), Code.PAGE_VIEWED, ("page_views",), ()),
        (events.PageViewed(**COMMON, machine="tool"), Code.MACHINE_PAGE_VIEWED, ("machine_page_views",), ()),
        (events.VisitorActed(**COMMON, name="basket"), Code.VISITOR_ACTED, ("visit-basket",), ()),
        (
            events.VisitorActed(**COMMON, name="purchase", value="59.9", currency="EUR"),
            Code.VISITOR_ACTED,
            ("visit-purchase",),
            (("amount-purchase-EUR", 599_000),),
        ),
        (
            events.VisitorActed(**COMMON, name="purchase", value="59.9", currency="EUR", machine="tool"),
            Code.MACHINE_VISITOR_ACTED,
            ("machine_visit-purchase",),
            (),
        ),
        (events.VisitorConsented(**COMMON, given=True), Code.VISITOR_CONSENTED, (), ()),
    ],
)
def test_a_visit_counts_for_its_counters(
    fact: events.Fact, code: Code, counters: tuple[str, ...], amounts: tuple[tuple[str, int], ...]
) -> None:
    found = change(fact, "1700000000002-0")

    assert found is not None
    assert (found.code, found.counters, found.amounts) == (code, counters, amounts)
    assert max(Code) < CODES


def test_what_is_no_amount_is_impossible() -> None:
    with pytest.raises(Impossible, match="amount"):
        change(events.VisitorActed(**COMMON, name="purchase", value="much", currency="EUR"), "1-0")


def test_the_report_has_visits_events_by_name_and_amounts_by_currency() -> None:
    counters = {
        "clicks:total": b"9",
        "page_views:unique": b"2",
        "page_views:total": b"5",
        "machine_page_views:total": b"1",
        "visit-purchase:unique": b"2",
        "visit-purchase:total": b"3",
        "machine_visit-purchase:total": b"1",
        "amount-purchase-EUR": b"599000",
        "amount-purchase-CHF": b"12345000",
        "machine_visit-basket:total": b"4",
        "machine_visit-basket:unique": b"1",
    }

    found = visits.of(counters)

    assert (found.unique, found.total, found.machine_total) == (2, 5, 1)
    assert found.events == [
        SiteEvent(name="basket", unique=0, total=0, machine_total=4, amounts=[]),
        SiteEvent(
            name="purchase",
            unique=2,
            total=3,
            machine_total=1,
            amounts=[Amount(currency="CHF", total="1234.5"), Amount(currency="EUR", total="59.9")],
        ),
    ]


def test_without_visits_there_are_none() -> None:
    found = visits.of({"state:130": b"7", "clicks:total": b"1"})

    assert (found.unique, found.total, found.machine_total, found.events) == (0, 0, 0, [])

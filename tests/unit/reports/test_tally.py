"""What one fact changes."""

from typing import Any

import pytest

from services.reports.state import Code
from services.reports.tally import MAX_ORDINAL, Impossible, change
from shared.words import events, ids

JOB = ids.new_job_id(1_700_000_000_000, b"chance", 8)
COMMON: dict[str, Any] = {"event_id": "e", "occurred_at": 1_700_000_000_001, "tenant": "t", "job": JOB, "ordinal": 4}


@pytest.mark.parametrize(
    ("fact", "code", "counters"),
    [
        (events.Accepted(**COMMON), Code.ACCEPTED, ()),
        (events.Delivered(**COMMON), Code.DELIVERED, ()),
        (events.Deferred(**COMMON), Code.DEFERRED, ("deferrals",)),
        (events.Opened(**COMMON), Code.OPENED, ("opens",)),
        (events.Opened(**COMMON, machine="m"), Code.MACHINE_OPENED, ("machine_opens",)),
        (events.Clicked(**COMMON, position=3), Code.CLICKED, ("clicks", "click-3")),
        (
            events.Clicked(**COMMON, position=3, machine="m"),
            Code.MACHINE_CLICKED,
            ("machine_clicks", "machine_click-3"),
        ),
        (events.DocumentOpened(**COMMON, position=3), Code.DOCUMENT_OPENED, ("documents", "document-3")),
        (events.DocumentOpened(**COMMON), Code.OTHER_DOCUMENT_OPENED, ("documents", "document-65535")),
        (
            events.DocumentOpened(**COMMON, position=3, machine="m"),
            Code.MACHINE_DOCUMENT_OPENED,
            ("machine_documents", "machine_document-3"),
        ),
        (
            events.DocumentOpened(**COMMON, machine="m"),
            Code.MACHINE_DOCUMENT_OPENED,
            ("machine_documents", "machine_document-65535"),
        ),
        (events.Unsubscribed(**COMMON), Code.UNSUBSCRIBED, ("unsubscriptions",)),
        (events.Complained(**COMMON), Code.COMPLAINED, ("complaints",)),
        (events.AutoReplied(**COMMON), Code.AUTO_REPLIED, ("auto_replies",)),
        (events.Replied(**COMMON), Code.REPLIED, ("replies",)),
    ],
)
def test_a_fact_counts_for_its_counters(fact: events.Fact, code: Code, counters: tuple[str, ...]) -> None:
    found = change(fact, "1700000000002-0")

    assert found is not None
    assert (found.job, found.ordinal, found.code, found.counters) == (JOB, 4, code, counters)


@pytest.mark.parametrize(
    "fact",
    [
        events.Suppressed(event_id="e", occurred_at=1, tenant="t", email="a@b.example"),
        events.Reactivated(event_id="e", occurred_at=1, tenant="t", email="a@b.example"),
        events.Complained(**{**COMMON, "ordinal": None}),
        events.DocumentOpened(**{**COMMON, "job": "", "ordinal": None}),
    ],
)
def test_a_fact_about_no_message_changes_nothing(fact: events.Fact) -> None:
    assert change(fact, "1-0") is None


@pytest.mark.parametrize("wrong", [{"job": "nonsense"}, {"ordinal": MAX_ORDINAL + 1}, {"ordinal": -1}])
def test_a_fact_that_would_ruin_the_store_is_impossible(wrong: dict[str, Any]) -> None:
    with pytest.raises(Impossible):
        change(events.Opened(**{**COMMON, **wrong}), "1-0")


def test_a_change_has_the_position_of_its_click() -> None:
    found = [change(fact, "1-0") for fact in (events.Clicked(**COMMON, position=7), events.Opened(**COMMON))]

    assert [one.position for one in found if one is not None] == [7, 0]


def test_an_image_proxy_opens_for_its_person_and_clicks_for_nobody() -> None:
    opened = change(events.Opened(**COMMON, machine="image_proxy"), "1-0")
    clicked = change(events.Clicked(**COMMON, machine="image_proxy"), "1-0")

    assert opened is not None
    assert clicked is not None
    assert (opened.code, clicked.code) == (Code.OPENED, Code.MACHINE_CLICKED)

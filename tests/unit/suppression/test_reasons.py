"""What a fact means for its address."""

from typing import Any

import pytest

from services.suppression.reasons import MAX_DIAGNOSTIC_CHARS, NAMES, listing
from shared.words import events
from shared.words.scopes import REASONS

COMMON: dict[str, Any] = {"event_id": "e", "occurred_at": 1, "tenant": "t", "job": "j", "ordinal": 0}


@pytest.mark.parametrize(
    ("fact", "reason", "diagnostic", "scope"),
    [
        (
            events.Bounced(**COMMON, kind="hard", reply="550 5.1.1 no such user"),
            "hard_bounce",
            "550 5.1.1 no such user",
            "all",
        ),
        (events.Bounced(**COMMON, kind="hard", late=True, reason="unknown_user"), "hard_bounce", "unknown_user", "all"),
        (
            events.Complained(**COMMON, feedback_type="abuse", reporter="isp.example"),
            "complaint",
            "abuse isp.example",
            "marketing",
        ),
        (events.Unsubscribed(**COMMON, by="one_click"), "unsubscribed", "one_click", ""),
        (events.Unsubscribed(**COMMON, by="page", scope="marketing"), "unsubscribed", "page", "marketing"),
        (events.Unsubscribed(**COMMON, by="page", scope="all"), "unsubscribed", "page", "all"),
        (events.Unsubscribed(**COMMON, by="page", scope="list", list="news"), "unsubscribed", "page", "list:news"),
        (events.Unsubscribed(**COMMON, by="page", scope="list"), "unsubscribed", "page", ""),
        (events.Unsubscribed(**COMMON, by="page", scope="list", list="x" * 65), "unsubscribed", "page", "marketing"),
        (events.Unsubscribed(**COMMON, by="page", scope="a newer word"), "unsubscribed", "page", "marketing"),
    ],
)
def test_a_fact_that_ends_mailing_lists_the_address(
    fact: events.Fact, reason: str, diagnostic: str, scope: str
) -> None:
    assert listing(fact) == (reason, diagnostic, scope)
    assert reason in REASONS


@pytest.mark.parametrize(
    "fact",
    [
        events.Bounced(**COMMON, kind="soft"),
        events.Bounced(**COMMON, kind="block"),
        events.Deferred(**COMMON),
        events.Delivered(**COMMON),
        events.Suppressed(**COMMON, reason="complaint"),
        events.AutoReplied(**COMMON),
        events.Replied(**COMMON),
        events.Reactivated(**COMMON),
    ],
)
def test_any_other_fact_lists_nobody(fact: events.Fact) -> None:
    assert listing(fact) is None


def test_no_fact_that_lists_is_passed_over_by_its_name() -> None:
    facts = [fact(**COMMON) for fact in events.FACTS.values()] + [events.Bounced(**COMMON, kind="hard")]

    assert {type(fact).__name__ for fact in facts if listing(fact)} == NAMES


def test_a_long_diagnostic_is_cut() -> None:
    found = listing(events.Bounced(**COMMON, kind="hard", reply="x" * 5000))

    assert found is not None
    assert len(found.diagnostic) == MAX_DIAGNOSTIC_CHARS

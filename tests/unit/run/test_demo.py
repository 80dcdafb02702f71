"""The demo's cast is of one thousand, and its check finds what does not add up."""

from typing import Any

import pytest

from services.local import demo


def report(**changes: Any) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "accepted": 988,
        "rejected": 2,
        "suppressed": {"total": 10, "at_queueing": 10, "at_attempt": 0},
        "cancelled": {"total": 0, "at_queueing": 0, "later": 0},
        "delivered": 940,
        "bounced": {"total": 38, "hard": 28, "soft": 0, "block": 10, "late": 8},
        "expired": 0,
        "failed": 0,
        "pending": 10,
        "deferred": {"current": 10, "unique": 10, "total": 10},
        "opens": {"unique": 4, "total": 9},
        "clicks": {"unique": 2, "total": 2},
        "complaints": 1,
        "unsubscriptions": 1,
        **changes,
    }
    rates = dict.fromkeys(("delivered", "bounced", "opened", "clicked", "complained", "unsubscribed"), 0.5)
    return {"total": 1000, "counts": counts, "rates": rates, "links": [{"url": "https://a.org/", "unique": 2}]}


DONE = demo.Done(received=set(range(948)), opened={1, 2, 3, 4}, clicked={1, 2}, left={1})


def test_the_cast_is_of_one_thousand_and_new_each_time() -> None:
    first, second = demo.addressees("one"), demo.addressees("two")

    assert len(first) + demo.TWICE == demo.RECIPIENTS
    assert len({recipient["email"] for recipient in first}) == len(first)
    assert not {one["email"] for one in first} & {two["email"] for two in second}
    for kind, number in demo.CAST.items():
        assert sum(recipient["email"].startswith(kind) for recipient in first) == number


def test_bad_addresses_are_spread_so_that_no_breaker_stops_the_campaign() -> None:
    emails = [recipient["email"] for recipient in demo.addressees("one")]

    bad = [place for place, email in enumerate(emails) if email.startswith(("unknown", "bounce-later"))]

    assert all(number / (place + 1) < 0.05 for number, place in enumerate(bad, 1) if number >= 20)
    assert all(email.startswith("chouette") for email in emails[-demo.LEFT_BEFORE :])


def test_figures_that_add_up_have_no_fault() -> None:
    assert demo.check(report(), DONE) == []
    assert "940" in demo.table(report(), DONE)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"delivered": 939}, "accepted by state"),
        ({"accepted": 987}, "recipients by fate"),
        ({"unsubscriptions": 0}, "unsubscribed"),
        ({"complaints": 0}, "complained"),
        ({"opens": {"unique": 5}}, "opened"),
        ({"bounced": {"total": 38, "hard": 28, "soft": 1, "block": 10, "late": 8}}, "bounced by kind"),
    ],
)
def test_a_figure_that_does_not_is_named(change: dict[str, Any], fault: str) -> None:
    assert any(found.startswith(fault) for found in demo.check(report(**change), DONE))

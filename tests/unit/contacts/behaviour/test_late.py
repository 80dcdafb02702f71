"""Clicks that turn out to be a machine's: too soon, or several at once, in whatever order they are told."""

from datetime import UTC, datetime, timedelta

from services.contacts.behaviour.late import Click, Rule, judged

START = datetime(2026, 11, 29, tzinfo=UTC)


def click(event: int, ms: int, position: int = 0) -> Click:
    return Click(event, at(ms), position)


def at(ms: int) -> datetime:
    return START + timedelta(milliseconds=ms)


def test_a_click_within_the_time_after_the_delivery_or_before_it_is_a_machines() -> None:
    clicks = [click(1, -5_000), click(2, 999), click(3, 1_000)]

    assert judged(Rule(), clicks, [START], shared=False) == {1, 2}


def test_where_jobs_share_an_operation_a_click_before_a_delivery_is_of_an_earlier_mail() -> None:
    assert judged(Rule(), [click(1, -5_000), click(2, 999)], [START], shared=True) == {2}


def test_a_click_long_before_the_delivery_is_not_looked_at() -> None:
    assert judged(Rule(), [click(1, -600_001)], [START], shared=False) == set()


def test_so_many_different_links_within_the_time_are_a_machines() -> None:
    three = [click(1, 0, 1), click(2, 1_000, 2), click(3, 2_000, 3)]

    assert judged(Rule(), three, [], shared=False) == {1, 2, 3}
    assert judged(Rule(), [*three[:2], click(3, 2_001, 3)], [], shared=False) == set()
    assert judged(Rule(), [*three[:2], click(3, 2_000, 2)], [], shared=False) == set()


def test_a_trap_takes_whatever_was_clicked_with_it() -> None:
    assert judged(Rule(), [click(1, 0, 1), click(2, 500, 65_535), click(3, 9_000, 1)], [], shared=False) == {1, 2}


def test_what_is_switched_off_judges_nothing() -> None:
    clicks = [click(place, place, place) for place in range(5)]

    assert judged(Rule(0, 0, 0), clicks, [START], shared=False) == set()
    assert not Rule(0, 0, 0).judges

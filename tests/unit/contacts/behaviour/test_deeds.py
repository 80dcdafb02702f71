"""What is noted of each fact, and of which nothing is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.contacts.behaviour import deeds
from services.contacts.behaviour.deeds import Deed, Word, counted, deed, event_number, seconds, trail
from shared.words import events


def fact(made: type[events.Fact], /, **fields: Any) -> events.Fact:
    about = {"event_id": "0123456789abcdef", "occurred_at": 1, "tenant": "acme", "job": "j", "ordinal": 0}
    return made(**{**about, **fields})


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (fact(events.Accepted), Deed(marks=((1, 0), (2, 0)))),
        (fact(events.Rejected, reason="rule"), Deed(marks=((1, 0),), excluded="rule")),
        (fact(events.Suppressed, reason="hard_bounce"), Deed(marks=((1, 0),), excluded="hard_bounce")),
        (fact(events.Suppressed, job="", ordinal=None), None),  # an address enters the list
        (fact(events.Cancelled), Deed(marks=((1, 0),), excluded="cancelled")),
        (fact(events.Delivered), Deed(4, marks=((1, 0), (2, 0), (4, 0)))),
        (
            fact(events.Bounced, kind="block"),
            Deed(9, word=Word("bounce", "block"), marks=((1, 0), (2, 0), (9, 0), (9, 3))),
        ),
        (fact(events.Opened), Deed(5)),
        (fact(events.Opened, machine="image_proxy"), Deed(5)),
        (fact(events.Opened, machine="scanner"), Deed(5, machine=True)),
        (fact(events.Clicked, url="u", position=3), Deed(6, word=Word("url", "u"), position=3, acts=True)),
        (
            fact(events.Clicked, url="u", machine="scanner"),
            Deed(6, machine=True, word=Word("url", "u"), position=0),
        ),
        (fact(events.DocumentOpened, url="u", position=2), Deed(6, word=Word("url", "u"), position=2, acts=True)),
        (fact(events.DocumentOpened, url="u"), None),  # of a link that was in no mail
        (fact(events.Unsubscribed), Deed(10, marks=((10, 0),), acts=True)),
        (fact(events.Complained), Deed(11, marks=((11, 0),), acts=True)),
        (fact(events.PageViewed, url="p"), Deed(20, word=Word("page", "p"), acts=True)),
        (fact(events.VisitorActed, name="basket"), Deed(21, word=Word("event", "basket"), acts=True)),
        (fact(events.Replied), Deed(acts=True)),
        (fact(events.OptedIn), Deed(acts=True)),
        (fact(events.Deferred), None),
        (fact(events.AutoReplied), None),
    ],
)
def test_each_fact_leaves_what_the_table_says(one: events.Fact, expected: Deed | None) -> None:
    assert deed(one) == expected
    assert expected is None or type(one).__name__ in deeds.NAMES


def test_e19_a_click_leaves_an_opening_and_a_machines_is_apart() -> None:
    assert set(trail(6, 7, 2, machine=True)) == {(15, 0), (16, 0), (17, 7), (18, 2)}
    assert set(trail(6, 7, 2, machine=False)) == {(5, 0), (6, 0), (7, 7), (8, 2), *trail(6, 7, 2, machine=True)}
    assert set(trail(5, 0, -1, machine=False)) == {(5, 0), (15, 0)}
    assert list(trail(4, 0, -1, machine=False)) == []


def test_what_is_counted_is_what_criteria_ask_for() -> None:
    assert list(counted(4, 0, machine=False)) == [(4, 0)]
    assert list(counted(21, 9, machine=False)) == [(21, 0), (21, 9), (121, 0), (121, 9)]
    assert list(counted(5, 0, machine=True)) == [(105, 0)]
    assert list(counted(10, 0, machine=False)) == []


def test_an_event_is_a_signed_number_whatever_another_program_calls_it() -> None:
    assert event_number("0000000000000001") == 1
    assert event_number("ffffffffffffffff") == -1
    assert event_number("not hex") == event_number("not hex") != event_number("00")


def test_times_are_whole_seconds_that_have_begun_and_fit() -> None:
    assert seconds(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=1.9)) == 1
    assert seconds(datetime(2019, 12, 31, 23, 59, 59, 500_000, UTC)) == -1
    assert seconds(datetime(9999, 1, 1, tzinfo=UTC)) == 2**31 - 1


def test_what_postgresql_takes_for_no_text_is_no_obstacle() -> None:
    found = deed(fact(events.Clicked, url="a\0b\ud800"))

    assert found is not None
    assert found.word == Word("url", "ab?")

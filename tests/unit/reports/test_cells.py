"""Where facts count in statistics, and what is kept of that."""

from collections import Counter

import pytest

from services.reports.agents import agent_of
from services.reports.cells import HOUR_MS, Cell, Cells, cell_of
from services.reports.figures import counts_of, rates_of
from services.reports.state import Code
from shared.redis.statistics import Group, day_fields, days_of, group_words, job_fields, names_of, of_day, of_job
from shared.words import events

ABOUT: events.About = {
    "event_id": "e", "occurred_at": 5 * HOUR_MS + 1, "tenant": "acme", "job": "j", "ordinal": 3, "sequence": 0,
    "email": None,
}  # fmt: skip
GROUP = Group("bulk", "exemple.fr", "news", "", ("soldes", "hiver"))


@pytest.mark.parametrize(
    ("agent", "device", "client"),
    [
        ("", "other", "other"),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "other", "gmail"),
        ("Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", "tablet", "apple_mail"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604",
            "mobile",
            "safari",
        ),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/126.0.0.0 Mobile Safari/537.36", "mobile", "chrome"),
        ("Mozilla/5.0 (Linux; Android 14; SM-X710) Chrome/126.0.0.0 Safari/537.36", "tablet", "chrome"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/126.0.0.0 Safari/537.36 Edg/126.0", "desktop", "edge"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.1.0", "desktop", "thunderbird"),
    ],
)
def test_a_user_agent_says_with_what_a_mail_is_read(agent: str, device: str, client: str) -> None:
    assert agent_of(agent) == (device, client)


def test_a_delivery_counts_under_its_provider_and_source() -> None:
    fact = events.Delivered(**ABOUT, site="gmail", source="192.0.2.1")

    assert cell_of(fact, Code.DELIVERED, 6 * HOUR_MS) == Cell(5, 4, "pgmail", "s192.0.2.1", "")


def test_what_a_recipient_does_counts_under_the_place_of_the_message_and_the_device() -> None:
    fact = events.Clicked(**ABOUT, user_agent="Mozilla/5.0 (Windows NT 10.0) Firefox/128.0")

    assert cell_of(fact, Code.CLICKED, 6 * HOUR_MS) == Cell(5, 14, "", "", "adesktop/firefox")


def test_nothing_counts_in_an_hour_to_come() -> None:
    found = cell_of(events.Opened(**ABOUT), Code.OPENED, 2 * HOUR_MS)

    assert found is not None
    assert found.hour == 2


def test_a_reason_that_somebody_wrote_is_no_name() -> None:
    fact = events.Suppressed(**ABOUT, reason="asked by ana@exemple.fr")

    found = cell_of(fact, Code.SUPPRESSED, 6 * HOUR_MS)

    assert found is not None
    assert found.detail == "rother"


def test_what_visitors_do_has_a_part_of_its_own() -> None:
    assert cell_of(events.PageViewed(**ABOUT), Code.PAGE_VIEWED, 6 * HOUR_MS) is None


def test_facts_of_a_batch_that_are_alike_share_a_cell() -> None:
    cells = Cells()
    cell = Cell(5, 4, "pgmail", "s192.0.2.1")

    places = [cells.at(cell), cells.at(None), cells.at(Cell(5, 4, "pgmail", "s192.0.2.2")), cells.at(cell)]

    assert places == [1, 0, 2, 1]
    assert cells.names == ["pgmail", "s192.0.2.1", "s192.0.2.2"]
    assert cells.all == [(5, 4, 1, 2, 0), (5, 4, 1, 3, 0)]


def key(hour: int, provider: int, source: int, detail: int, code: int) -> int:
    return (((hour * 256 + provider) * 256 + source) * 256 + detail) * 256 + code


NAMES = {"p": {1: "gmail"}, "s": {1: "192.0.2.1"}, "r": {1: "unknown_user"}, "a": {1: "mobile/gmail"}}


def test_numbers_of_a_job_come_back_from_its_fields() -> None:
    numbers = {key(490_000, 1, 1, 0, 4): 7, key(490_001, 1, 255, 1, 13): 2, key(490_001, 0, 0, 1, 6): 1}
    stored = {field: str(number).encode() for field, number in job_fields(numbers).items()}

    found = of_job(stored, NAMES)

    assert found.hours == Counter({(490_000, 4): 7, (490_001, 13): 2, (490_001, 6): 1})
    assert found.places == Counter({(4, "gmail", "192.0.2.1"): 7, (13, "gmail", "other"): 2})
    assert found.details == Counter({(13, "mobile/gmail"): 2, (6, "unknown_user"): 1})


def test_numbers_of_a_day_come_back_from_its_fields_and_those_of_another_day_do_not() -> None:
    numbers = {key(48, 1, 1, 0, 4): 7, key(71, 1, 1, 1, 14): -1, key(72, 1, 1, 0, 4): 9}
    stored = {field: str(number).encode() for field, number in day_fields(numbers, 2, 300).items()}
    stored |= {b"#": b"300", b"g" + group_words(GROUP).encode(): b"300"}

    found = of_day(stored, NAMES, 2)

    assert days_of(numbers) == {2, 3}
    assert found.hours == Counter({(GROUP, 48, 4): 7, (GROUP, 71, 14): -1})
    assert found.places == Counter({(GROUP, 4, "gmail", "192.0.2.1"): 7, (GROUP, 14, "gmail", "192.0.2.1"): -1})
    assert found.details == Counter({(GROUP, 14, "mobile/gmail"): -1})
    assert found.providers == Counter({(48, 4, "gmail"): 7, (71, 14, "gmail"): -1})
    assert found.sources == Counter({(48, 4, "192.0.2.1"): 7, (71, 14, "192.0.2.1"): -1})
    for letter, name in zip("hpdPS", found._fields, strict=True):
        alone = of_day(stored, NAMES, 2, letter)
        assert alone == found.__class__(*(value if at == name else Counter() for at, value in found._asdict().items()))


def test_names_have_numbers_by_kind() -> None:
    assert names_of({b"#p": b"2", b"pgmail": b"1", b"pother": b"2", b"sa": b"1"}) == {
        "p": {1: "gmail", 2: "other"},
        "s": {1: "a"},
    }


def test_rates_are_shares_of_what_they_say_and_null_where_there_is_nothing() -> None:
    counts = counts_of({1: 10, 4: 8, 9: 1, 6: 1, 13: 5, 13 + 64: 4, 14: 3, 14 + 64: 2, 16: 1, 16 + 64: 1, 15 + 64: 1})

    rates = rates_of(counts)

    assert (rates.delivered, rates.bounced, rates.invalid) == (0.7, 0.2, 0.2)
    assert (rates.opened, rates.clicked, rates.click_to_open) == (0.571429, 0.285714, 0.5)
    assert (rates.complained, rates.unsubscribed) == (0.142857, 0.142857)
    assert set(msgspec_values(rates_of(counts_of({})))) == {None}


def msgspec_values(rates: object) -> list[object]:
    return [getattr(rates, name) for name in rates.__struct_fields__]  # type: ignore[attr-defined]

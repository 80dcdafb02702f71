"""What happened over time has no gaps, and is told by the hour, the day or the week, whichever is seen well."""

from hypothesis import given
from hypothesis import strategies as st

from services.pages.over_time import over_time
from shared.words.times import rfc3339
from tests.fakes.api_answers import hour

START_S = 1_769_850_000  # 2026-01-31T09:00:00Z


def at(hours: int, opened: int = 1) -> dict[str, object]:
    return hour(rfc3339((START_S + 3600 * hours) * 1000), 10, opened, 0)


def test_an_hour_in_which_nothing_happened_is_there_with_nothing() -> None:
    found = over_time([at(0), at(2)], ["Opened"])

    assert found.step == "hour"
    assert [(when, numbers) for when, numbers in found.rows] == [
        ("31 Jan 09:00", [10, 1, 0]), ("31 Jan 10:00", [0, 0, 0]), ("31 Jan 11:00", [10, 1, 0]),
    ]  # fmt: skip
    assert found.said == "Opened: 2, at most 1, 31 Jan 09:00."


def test_what_is_long_is_told_by_day_and_what_is_longer_by_week() -> None:
    days, weeks = over_time([at(0), at(24 * 10)], ["Opened"]), over_time([at(0), at(24 * 400)], ["Opened"])

    assert (days.step, len(days.rows), days.rows[0][0]) == ("day", 11, "31 Jan 2026")
    assert (weeks.step, len(weeks.rows)) == ("week", 58)


def test_of_nothing_there_is_an_empty_curve() -> None:
    found = over_time([], ["Opened"])

    assert (found.rows, found.said) == ([], "Nothing happened.")


@given(st.lists(st.integers(0, 24 * 500), min_size=1, max_size=30, unique=True), st.sampled_from(["hour", "day"]))
def test_nothing_is_lost_by_whatever_it_is_told(hours: list[int], shortest: str) -> None:
    found = over_time([at(one, one) for one in hours], ["Delivered", "Opened"], shortest)

    assert [line.total for line in found.curve.lines] == [10 * len(hours), sum(hours)]
    assert sum(numbers[1] for _, numbers in found.rows) == sum(hours)

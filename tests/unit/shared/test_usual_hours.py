"""The hours of the day at which somebody reacts: what is kept, and which of them are the best."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import usual_hours
from shared.words.usual_hours import DAY_HOURS, FEWEST, MOST, UsualHours, ranked

counts = st.dictionaries(st.integers(0, DAY_HOURS - 1), st.integers(1, MOST))


def stored(last: int, **cells: int) -> bytes:
    return last.to_bytes(3) + bytes(int(hour[1:]) * 8 + count for hour, count in cells.items())


def test_what_is_kept_is_read_in_the_order_of_the_day() -> None:
    assert usual_hours.decode(stored(500_000, h23=7, h0=1)) == UsualHours(500_000, ((0, 1), (23, 7)))
    assert usual_hours.decode(None) == usual_hours.decode(b"") == UsualHours()


@pytest.mark.parametrize(
    ("cells", "best"),
    [
        ({8: 3}, (8, 7, 9)),
        ({8: 1, 9: 1}, ()),  # two are chance
        ({7: 2, 8: 2, 9: 2, 20: 3}, (8, 20, 7, 9, 19, 21, 6, 10)),  # twenty has the highest count
        ({23: 2, 0: 2}, (0, 23, 1, 22)),  # midnight is an hour as any other
        ({}, ()),
    ],
)
def test_the_best_hour_is_the_one_around_which_somebody_reacts(cells: dict[int, int], best: tuple[int, ...]) -> None:
    assert ranked(UsualHours(1, tuple(sorted(cells.items())))) == best


@given(counts)
def test_hours_are_named_once_and_each_is_one_of_theirs_or_beside_one(cells: dict[int, int]) -> None:
    found = ranked(UsualHours(1, tuple(sorted(cells.items()))))

    near = {(hour + step) % DAY_HOURS for hour in cells for step in (-1, 0, 1)}
    assert len(found) == len(set(found))
    assert set(found) == (near if sum(cells.values()) >= FEWEST else set())

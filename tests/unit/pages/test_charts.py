"""Charts are geometry: what is drawn stands in the proportion of its numbers, and inside its canvas."""

from hypothesis import given
from hypothesis import strategies as st

from services.pages import charts

NUMBERS = st.integers(0, 10**9)


def test_bars_are_as_long_as_their_numbers_and_shares_are_of_the_first() -> None:
    drawn = charts.funnel([("Recipients", 1_000), ("Delivered", 500), ("Clicked", 1), ("Read", 0)])

    assert [bar.width for bar in drawn.bars] == [340, 170, 2.0, 0.0]
    assert [bar.share for bar in drawn.bars] == [1.0, 0.5, 0.001, 0.0]
    assert drawn.said == "Recipients: 1000; Delivered: 500; Clicked: 1; Read: 0."


def test_of_nobody_there_is_no_share() -> None:
    drawn = charts.funnel([("Recipients", 0), ("Delivered", 0)])

    assert [(bar.width, bar.share) for bar in drawn.bars] == [(0.0, None), (0.0, None)]


@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_no_bar_leaves_the_canvas(numbers: list[int]) -> None:
    drawn = charts.funnel([(str(index), number) for index, number in enumerate(numbers)])

    assert all(0 <= bar.width <= drawn.width for bar in drawn.bars)
    assert all(bar.y + drawn.bar_height <= drawn.height for bar in drawn.bars)

"""Charts are geometry: what is drawn stands in the proportion of its numbers, and inside its canvas."""

from hypothesis import given
from hypothesis import strategies as st

from services.pages import charts

NUMBERS = st.integers(0, 10**9)


def test_bars_are_as_long_as_their_numbers_and_shares_are_of_the_first() -> None:
    drawn = charts.funnel([("Recipients", 1_000), ("Delivered", 500), ("Clicked", 1), ("Read", 0)])

    assert [bar.width for bar in drawn.bars] == [100, 50, 0.6, 0.0]
    assert [bar.share for bar in drawn.bars] == [1.0, 0.5, 0.001, 0.0]
    assert drawn.said == "Recipients: 1000; Delivered: 500; Clicked: 1; Read: 0."


def test_of_nobody_there_is_no_share() -> None:
    drawn = charts.funnel([("Recipients", 0), ("Delivered", 0)])

    assert [(bar.width, bar.share) for bar in drawn.bars] == [(0.0, None), (0.0, None)]


@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_no_bar_leaves_the_canvas(numbers: list[int]) -> None:
    drawn = charts.funnel([(str(index), number) for index, number in enumerate(numbers)])

    assert all(0 <= bar.width <= charts.WIDTH for bar in drawn.bars)
    assert all(bar.y + drawn.bar_height <= drawn.height for bar in drawn.bars)


@given(st.lists(NUMBERS, min_size=1, max_size=72))
def test_no_point_of_a_curve_leaves_the_canvas(numbers: list[int]) -> None:
    drawn = charts.curve([f"{hour}" for hour in range(len(numbers))], [("opened", numbers)])

    points = [tuple(map(float, point.split(","))) for point in drawn.lines[0].points.split()]

    assert len(points) == max(2, len(numbers))
    assert all(0 <= x <= charts.WIDTH and 0 <= y <= drawn.depth for x, y in points)
    assert drawn.top + drawn.depth < drawn.height
    assert drawn.lines[0].total == sum(numbers)


@given(NUMBERS)
def test_an_axis_ends_at_a_round_number_that_is_no_smaller(number: int) -> None:
    top = charts.ceiling(number)

    assert number <= top <= max(2, 2 * number)
    assert str(top).rstrip("0") in ("1", "2", "4", "6")


@given(st.integers(1, 200))
def test_no_moment_at_the_axis_leaves_the_canvas(count: int) -> None:
    marks = charts.curve([f"{hour}" for hour in range(count)], [("opened", [1] * count)]).moments

    assert {(0.0, "start")} <= {(mark.at, mark.anchor) for mark in marks}
    assert {mark.anchor for mark in marks if mark.at == 0} == {"start"}
    assert {mark.at for mark in marks if mark.anchor == "end"} <= {charts.WIDTH}
    assert len(marks) == min(count, 3)


def test_without_numbers_there_is_an_empty_curve() -> None:
    drawn = charts.curve([], [("opened", [])])

    assert drawn.lines[0].points == ""
    assert drawn.moments == []
    assert [level.text for level in drawn.levels] == ["0", "1", "2"]


def test_numbers_at_an_axis_are_short() -> None:
    assert [charts.short(one) for one in (0, 500, 2_000, 20_000, 3_000_000, 10**10)] == [
        "0", "500", "2k", "20k", "3M", "10bn",
    ]  # fmt: skip

"""Positions in all partitions as text."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reports.feed.cursor import Cursor, Position, pack, position, stream_id, unpack
from shared.http import paging
from shared.http.paging import InvalidCursor

PLACES = st.tuples(st.integers(0, 2**53), st.integers(0, 2**53))


@given(st.lists(PLACES, min_size=1, max_size=20), st.booleans())
def test_a_cursor_is_read_as_it_was_written(positions: list[Position], is_newest: bool) -> None:
    assert unpack(pack(positions, is_newest)) == Cursor(positions, is_newest)


def test_a_cursor_of_eight_partitions_fits_into_a_url() -> None:
    positions = [(1_700_000_000_000 - 86_400_000 * p, p) for p in range(8)]

    assert len(pack(positions)) < 100
    assert len(pack([(0, 0)] * 8)) < 40


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: urlsafe_b64encode(raw).decode()))
def test_anything_else_is_no_cursor(text: str) -> None:
    try:
        found = unpack(text)
    except InvalidCursor:
        return
    assert found.positions


@pytest.mark.parametrize(
    "numbers", [[], [5, 6], [5, 6, 0, 0, 0], [2**60, 0, 0, 0, 0], [5, 0, 0, 0, -1], [-1], [-2, 5, 0, 0], [-1, 5, 6, 0]]
)
def test_numbers_that_are_no_positions_are_refused(numbers: list[int]) -> None:
    with pytest.raises(InvalidCursor):
        unpack(paging.pack(numbers))


def test_positions_are_what_streams_call_them() -> None:
    assert position("17-3") == (17, 3)
    assert stream_id((17, 3)) == "17-3"
    assert (17, 3) < position("17-10") < (18, 0)

"""Frames come out as they went in, however the pipe cuts them, and what is none is said to be none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.process.frames import Broken, Frames, framed

MOST_BYTES = 300


@given(
    st.lists(st.binary(min_size=1, max_size=MOST_BYTES), max_size=8),
    st.lists(st.integers(1, 200), min_size=1, max_size=20),
)
def test_frames_come_out_as_they_went_in_however_they_are_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(framed(body) for body in bodies)
    frames = Frames(MOST_BYTES)
    found: list[bytes] = []

    at = turn = 0
    while at < len(stream):
        end = at + cuts[turn % len(cuts)]
        found += frames.feed(stream[at:end])
        at, turn = end, turn + 1

    assert found == bodies


def test_a_frame_is_four_bytes_of_length_and_the_body() -> None:
    assert framed(b"abc") == b"\0\0\0\3abc"


@pytest.mark.parametrize("length", [0, MOST_BYTES + 1, 2**32 - 1])
def test_what_is_longer_than_agreed_or_empty_is_no_frame_and_is_not_waited_for(length: int) -> None:
    frames = Frames(MOST_BYTES)

    found = frames.feed(framed(b"a") + length.to_bytes(4, "big"))

    assert next(found) == b"a"
    with pytest.raises(Broken, match=str(length)):
        next(found)

"""Lists are read page by page in one dialect."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http import paging


class Place(msgspec.Struct, frozen=True, array_like=True):
    partition: int
    address: str


@given(st.integers(0, 2**40), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_place_is_read_as_it_was_packed(partition: int, address: str) -> None:
    packed = paging.pack(Place(partition, address))

    assert re.fullmatch(r"[\w-]+", packed, re.ASCII)
    assert paging.unpack(packed, Place) == Place(partition, address)


@pytest.mark.parametrize("text", ["x", "é", "k_8", "!!!!", paging.pack(["a", 1]), paging.pack(7)])
def test_any_other_text_is_no_cursor(text: str) -> None:
    with pytest.raises(paging.InvalidCursor):
        paging.unpack(text, Place)


@pytest.mark.parametrize(
    ("found", "page", "following"),
    [([], [], None), ([1], [1], None), ([1, 2], [1, 2], None), ([1, 2, 3], [1, 2], "2")],
)
def test_a_page_says_how_to_go_on_only_if_there_is_more(found: list[int], page: list[int], following: str) -> None:
    assert paging.cut(found, 2, str) == (page, following)


def test_a_cursor_of_another_list_is_refused_as_any_other_parameter() -> None:
    problem = paging.refused(paging.InvalidCursor())

    assert (problem.status, problem.word, [fault.at for fault in problem.faults]) == (422, "invalid_query", ["?after"])

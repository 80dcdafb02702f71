"""Chunks of a feed, and how what partitions have is merged into a page."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reports.feed import chunks
from services.reports.feed.chunks import Located, Position
from services.reports.feed.lane import END, Filter, Found, Lane, following, lacking, merged, share
from services.reports.feed.numbers import NUMBERS, OTHER, number_of, numbers_of
from shared.words import events, public

PLACES = st.tuples(st.integers(1, 40), st.integers(0, 3))


def packed(entries: Sequence[Located]) -> bytes:
    """A chunk as `indexing_append.lua` writes it."""
    (ms, number), (last_ms, last_number) = entries[0].at, entries[-1].at
    head = ms.to_bytes(6, "big") + number.to_bytes(4, "big") + last_ms.to_bytes(6, "big")
    head += last_number.to_bytes(4, "big")
    for mask in (
        chunks.mask(frozenset(one.type for one in entries)),
        chunks.mask(frozenset(one.kind for one in entries)),
    ):
        head += mask.to_bytes(4, "big")
    body, before = b"", (ms, number - 1)
    for one in entries:
        later = one.at[0] - before[0]
        if one.at[1] == (0 if later else before[1] + 1):
            body += varint(2 * later)
        else:
            body += varint(2 * later + 1) + varint(one.at[1])
        body += varint(one.type + chunks.TYPES * one.kind)
        before = one.at
    return head + body


def varint(number: int) -> bytes:
    found = b""
    while number >= 128:
        found += bytes((number % 128 + 128,))
        number //= 128
    return found + bytes((number,))


def of_places(places: Sequence[Position], kind: int = 1, what: int = 3) -> list[bytes]:
    """Three to a chunk."""
    entries = [Located(at, what, kind) for at in sorted(set(places))]
    return [packed(entries[start : start + 3]) for start in range(0, len(entries), 3)]


@given(
    st.lists(
        st.tuples(
            st.tuples(st.integers(0, 2**45), st.integers(0, 2**32 - 1)), st.integers(0, 63), st.integers(0, 3000)
        ),
        min_size=1,
        unique_by=lambda one: one[0],
    )
)
def test_a_chunk_tells_the_places_types_and_kinds_that_were_put_into_it(
    rows: list[tuple[Position, int, int]],
) -> None:
    entries = [Located(at, what, kind) for at, what, kind in sorted(rows)]

    chunk = packed(entries)

    assert list(chunks.located(chunk)) == entries
    assert (chunks.head(chunk).first, chunks.head(chunk).last) == (entries[0].at, entries[-1].at)
    assert all(chunks.head(chunk).types & chunks.mask(frozenset((one.type,))) for one in entries)


def test_events_of_a_busy_feed_are_two_bytes_each() -> None:
    entries = [Located((1_700_000_000_000 + number // 5, number % 5), 4, 1) for number in range(100)]

    assert len(packed(entries)) <= chunks.HEAD_BYTES + 3 * 100


def test_what_is_shorter_than_a_head_is_no_chunk() -> None:
    with pytest.raises(ValueError, match="head"):
        chunks.head(b"short")


def test_every_type_has_a_number_of_its_own_and_what_is_unknown_has_the_other() -> None:
    assert set(NUMBERS) <= set(public.TYPES)
    assert len(set(NUMBERS.values())) == len(NUMBERS)
    assert all(0 < number < chunks.TYPES for number in NUMBERS.values())
    assert number_of("Suppressed", "") == NUMBERS["address.suppressed"]
    assert number_of("Suppressed", "068vjfm5s9m2rc1jqqrg") == NUMBERS["message.suppressed"]
    assert number_of("Teleported", "") == OTHER
    assert numbers_of(frozenset({"message.teleported"})) == {OTHER}


def fact(at: Position, partition: int) -> Found:
    return Found(at, partition, events.Opened(event_id=f"{at}{partition}", occurred_at=at[0], tenant="acme"))


@given(
    st.lists(st.lists(PLACES, max_size=20), min_size=1, max_size=4), st.integers(1, 7), st.integers(1, 5), st.booleans()
)
def test_pages_of_any_size_show_each_event_once_in_the_order_of_the_streams(
    streams: list[list[Position]], limit: int, together: int, is_newest: bool
) -> None:
    """As `feed.py` reads: two chunks at a time, each a few events further."""
    stored = [of_places(places) for places in streams]
    positions = dict.fromkeys(range(len(streams)), END if is_newest else (0, 0))
    seen: list[tuple[Position, int]] = []
    is_over = False

    while not is_over:
        lanes = [Lane(p, positions[p], is_newest) for p in positions]
        filling = [(lane, share(limit + 1, len(lanes))) for lane in lanes]
        while True:
            for lane, most in filling:
                read(lane, stored[lane.partition], min(most, together))
            found, is_whole = merged(lanes, is_newest)
            if is_whole or len(found) > limit:
                break
            filling = lacking(lanes, limit + 1 - len(found), is_newest)
        shown = found[:limit]
        is_over = len(found) <= limit
        positions |= following(lanes, None if is_over else shown[-1], is_newest)
        seen += [(one.at, one.partition) for one in shown]

    every = sorted((at, p) for p, places in enumerate(streams) for at in set(places))
    assert seen == (every[::-1] if is_newest else every)


def test_who_is_behind_is_read_on_and_who_has_enough_is_not() -> None:
    behind, ahead, idle = Lane(0, (5, 0)), Lane(1, (9, 0)), Lane(2, (9, 0))
    ahead.ready = [Found((9, number), 1) for number in range(30)]

    assert lacking([behind, ahead, idle, Lane(3, (9, 0), is_end=True)], 30, False) == [(behind, 20), (idle, 20)]
    assert lacking([Lane(0, (9, 0), is_end=True)], 30, False) == []


def read(lane: Lane, stored: list[bytes], together: int) -> None:
    """What `feed_read.lua` gives of that place."""
    heads = [chunks.head(chunk).first for chunk in stored]
    if lane.is_newest:
        low = max((at for at, first in enumerate(heads) if first < lane.scan), default=-1)
        begin, end = max(low - 1, 0), low + 1
        is_end = begin == 0
    else:
        low = max((at for at, first in enumerate(heads) if first <= lane.scan), default=0)
        begin, end = low, low + 2
        is_end = end >= len(stored)
    picked, is_through = lane.pick(stored[begin:end], Filter(), together)
    if is_through and is_end:
        lane.ended((0, 0) if not stored else chunks.head(stored[-1]).last)
    lane.ready += [fact(one.at, lane.partition) for one in picked]


@pytest.mark.parametrize("is_newest", [False, True])
def test_a_search_is_bounded_by_when_events_were_recorded(is_newest: bool) -> None:
    lane = Lane(0, END if is_newest else (0, 0), is_newest)
    stored = of_places([(ms, 0) for ms in range(1, 20)])

    picked, _ = lane.pick(stored, Filter(since_ms=5, until_ms=9), 100)

    assert sorted(one.at[0] for one in picked) == [5, 6, 7, 8]
    assert lane.is_end


def test_a_chunk_without_anything_wanted_is_passed_over_whole() -> None:
    lane = Lane(0, (0, 0))
    stored = of_places([(1, 0), (2, 0)], what=4) + of_places([(3, 0)], what=5)

    picked, is_through = lane.pick(stored, Filter(types=frozenset({5})), 10)

    assert [one.at for one in picked] == [(3, 0)]
    assert (is_through, lane.scan) == (True, (3, 0))

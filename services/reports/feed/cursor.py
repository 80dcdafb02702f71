"""Cursors into the events of all partitions: a position in each stream, as text that callers keep and hand back."""

from typing import NamedTuple

from shared.http import paging
from shared.http.paging import InvalidCursor as InvalidCursor

#: The id of a stream entry: ms and number. (0, 0) is before the first.
Position = tuple[int, int]

#: Of a time in ms or a number; Redis takes more, but not that and the exclusive bracket in one.
_MAX = 2**53
#: What a cursor begins with that goes from the newest to the oldest.
_NEWEST = -1


class Cursor(NamedTuple):
    """Where a page goes on, and which way."""

    positions: list[Position]
    is_newest: bool = False


def position(stream_id: str) -> Position:
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)


def stream_id(at: Position) -> str:
    return f"{at[0]}-{at[1]}"


def pack(positions: list[Position], is_newest: bool = False) -> str:
    """Times are kept as the distance to the latest: partitions are about equally far."""
    latest = max(at[0] for at in positions)
    flat = [latest] + [part for at in positions for part in (latest - at[0], at[1])]
    return paging.pack([_NEWEST, *flat] if is_newest else flat)


def unpack(text: str) -> Cursor:
    """InvalidCursor if it is invalid, of any number of partitions."""
    flat = paging.unpack(text, list[int])
    if is_newest := flat[:1] == [_NEWEST]:
        flat = flat[1:]
    if len(flat) % 2 == 0:
        raise InvalidCursor
    positions = [(flat[0] - flat[at], flat[at + 1]) for at in range(1, len(flat), 2)]
    if any(not (0 <= ms <= _MAX and 0 <= number <= _MAX) for ms, number in positions):
        raise InvalidCursor
    return Cursor(positions, is_newest)

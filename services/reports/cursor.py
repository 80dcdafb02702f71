"""Cursors into the events of all partitions: a position in each stream, as text that callers keep and hand back."""

from shared.http import paging
from shared.http.paging import InvalidCursor as InvalidCursor

#: The id of a stream entry: ms and number. (0, 0) is before the first.
Position = tuple[int, int]

#: Of a time in ms or a number; Redis takes more, but not that and the exclusive bracket in one.
_MAX = 2**53


def beginning(partitions: int) -> list[Position]:
    return [(0, 0)] * partitions


def position(stream_id: str) -> Position:
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)


def stream_id(at: Position) -> str:
    return f"{at[0]}-{at[1]}"


def pack(positions: list[Position]) -> str:
    """Times are kept as the distance to the latest: partitions are about equally far."""
    latest = max(at[0] for at in positions)
    flat = [latest] + [part for at in positions for part in (latest - at[0], at[1])]
    return paging.pack(flat)


def unpack(text: str) -> list[Position]:
    """InvalidCursor if it is invalid, of any number of partitions."""
    flat = paging.unpack(text, list[int])
    if len(flat) % 2 == 0:
        raise InvalidCursor
    positions = [(flat[0] - flat[at], flat[at + 1]) for at in range(1, len(flat), 2)]
    if any(not (0 <= ms <= _MAX and 0 <= number <= _MAX) for ms, number in positions):
        raise InvalidCursor
    return positions


def beginning_or(after: list[Position] | None, partitions: int) -> list[Position]:
    """Where to go on: after that, or at the beginning. InvalidCursor if it is of another number of partitions."""
    if after is None:
        return beginning(partitions)
    if len(after) != partitions:
        raise InvalidCursor
    return after

"""Cursors into the events of all partitions: a position in each stream, as text that callers keep and hand back."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

#: The id of a stream entry: ms and number. (0, 0) is before the first.
Position = tuple[int, int]

#: Of a time in ms or a number; Redis takes more, but not that and the exclusive bracket in one.
_MAX = 2**53


class InvalidCursor(ValueError):
    """Not a cursor, or one of an installation with another number of partitions."""


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
    return urlsafe_b64encode(msgspec.msgpack.encode(flat)).decode().rstrip("=")


def unpack(text: str, partitions: int) -> list[Position]:
    """InvalidCursor if it is none for so many partitions."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        flat = msgspec.msgpack.decode(raw, type=list[int])
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError) as fault:
        raise InvalidCursor("not a cursor") from fault
    if len(flat) != 1 + 2 * partitions:
        raise InvalidCursor("not a cursor of this installation")
    positions = [(flat[0] - flat[at], flat[at + 1]) for at in range(1, len(flat), 2)]
    if any(not (0 <= ms <= _MAX and 0 <= number <= _MAX) for ms, number in positions):
        raise InvalidCursor("not a cursor")
    return positions

"""A feed as it is stored: a list of chunks, each a head and the places of some hundred events in their stream.

The head, 28 bytes, big-endian: the first entry (6 ms, 4 number), the last entry (6, 4), which types and which kinds of
jobs are among them (4 and 4: a bit for each, modulo 32), so that a chunk without anything wanted is passed over whole.

Then, for each event, varints (7 bits a byte, the lowest first): twice the ms since the one before, plus 1 if its number
in that ms follows, which is else the next one; and its type plus 64 times its kind. A kind stands for a stream, a list
and tags; 1 for no job, `UNKNOWN` where the tenant has had too many to be counted.

The head is a quarter of a byte for each of a hundred events.
"""

from collections.abc import Iterator
from typing import NamedTuple

#: The id of a stream entry: ms and number.
Position = tuple[int, int]

UNKNOWN = 0
TYPES = 64
#: A chunk that has so many bytes behind its head is full: it is written anew with every event that is added.
FULL_BYTES = 400
HEAD_BYTES = 28


class Head(NamedTuple):
    """Bits of `types` and `kinds` are modulo 32."""

    first: Position
    last: Position
    types: int
    kinds: int


class Located(NamedTuple):
    """An event's place in its stream, its type's number, and its job's kind."""

    at: Position
    type: int
    kind: int


def head(chunk: bytes) -> Head:
    """ValueError if it is shorter than a head."""
    if len(chunk) < HEAD_BYTES:
        raise ValueError("a chunk has a head")
    number = int.from_bytes
    return Head(
        (number(chunk[0:6], "big"), number(chunk[6:10], "big")),
        (number(chunk[10:16], "big"), number(chunk[16:20], "big")),
        number(chunk[20:24], "big"),
        number(chunk[24:28], "big"),
    )


def mask(numbers: frozenset[int]) -> int:
    """The bits of these, as heads have them."""
    return sum({1 << (number % 32) for number in numbers})


def located(chunk: bytes) -> Iterator[Located]:
    """What is in a chunk, in the order of the stream."""
    ms, number = int.from_bytes(chunk[0:6], "big"), int.from_bytes(chunk[6:10], "big") - 1
    at, end = HEAD_BYTES, len(chunk)
    while at < end:
        word, at = _varint(chunk, at)
        later = word >> 1
        ms += later
        if word & 1:
            number, at = _varint(chunk, at)
        else:
            number = 0 if later else number + 1
        what, at = _varint(chunk, at)
        yield Located((ms, number), what % TYPES, what // TYPES)


def _varint(chunk: bytes, at: int) -> tuple[int, int]:
    byte = chunk[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    while True:
        at += 1
        byte = chunk[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
        shift += 7

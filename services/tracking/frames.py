"""The bytes of the spool: batches of facts in frames that tell whether they are whole.

    frame = length of the body (4 bytes, big-endian) · CRC-32 of the body (4) · body
    body  = msgpack [name of the batch, [[t, v, b, m], …]]

`t`, `v` and `b` are the fields of a stream entry: the fact's name, its major version, its bytes; `m` is the mark of
whom it is about, or empty, as in older files: who withdraws their consent while a file waits is not told of. A frame is
one batch, as it was or would have been published: under its name a repeat is stored once.

Rules of reading:

- A file that ends within a frame was torn by a crash. Nobody was answered for that frame (an answer waits for the
  fsync after it), so it is ignored. Zeros at the end are the same thing after a power cut.
- A whole frame that does not fit its CRC, or whose facts cannot be read, is damage. It is stepped over if its length
  leads to another frame, and reported: whoever removes the file keeps a copy.
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from zlib import crc32

import msgspec

from shared.words import events
from shared.words.events import Fact

_HEAD = Struct(">II")
#: Beyond this a length is damage: a batch of 500 facts with the longest of links has 4 MB.
MAX_BODY_BYTES = 16 * 1024 * 1024


class Batch(msgspec.Struct, frozen=True):
    """Facts that are published together, and the name under which they are stored once."""

    name: str
    facts: tuple[Fact, ...]
    #: Of each fact by whom it is known who it is about, b"" where nobody need know; none at all for none of them.
    marks: tuple[bytes, ...] = ()


class Reading(msgspec.Struct, frozen=True):
    """What a file holds. `torn_bytes` at its end belong to nobody; `damaged` frames were answered for and are lost."""

    batches: tuple[Batch, ...]
    torn_bytes: int = 0
    damaged: int = 0


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    t: str
    v: int
    b: bytes
    m: bytes = b""


class _Body(msgspec.Struct, frozen=True, array_like=True):
    name: str
    facts: list[_Stored]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Body)


def frame(batch: Batch) -> bytes:
    """The batch as one frame."""
    marks = batch.marks or (b"",) * len(batch.facts)
    stored = [
        _Stored(type(fact).__name__, events.MAJOR_VERSION, events.encode(fact), mark)
        for fact, mark in zip(batch.facts, marks, strict=True)
    ]
    body = _encoder.encode(_Body(batch.name, stored))
    return _HEAD.pack(len(body), crc32(body)) + body


def read(content: bytes) -> Reading:
    """All batches of a file that can be read, in order."""
    batches = []
    damaged = 0
    whole = 0
    for end, body in _bodies(content):
        whole = end
        batch = _batch(body)
        if batch is None:
            damaged += 1
        else:
            batches.append(batch)
    rest = content[whole:]
    if len(rest) >= _HEAD.size and rest.strip(b"\0") and _HEAD.unpack_from(rest)[0] > MAX_BODY_BYTES:
        damaged += 1  # a length that no writer wrote: what follows it cannot be found
    return Reading(tuple(batches), len(rest), damaged)


def _bodies(content: bytes) -> Iterator[tuple[int, bytes | None]]:
    """The end of each whole frame, and its body; None for one that does not fit its CRC."""
    at = 0
    while at + _HEAD.size <= len(content):
        length, crc = _HEAD.unpack_from(content, at)
        end = at + _HEAD.size + length
        if not 0 < length <= MAX_BODY_BYTES or end > len(content):
            return
        body = content[at + _HEAD.size : end]
        intact = crc32(body) == crc
        if not intact and end == len(content):
            return  # the last one: its end was never written, though the file is long enough
        yield end, body if intact else None
        at = end


def _batch(body: bytes | None) -> Batch | None:
    if body is None:
        return None
    try:
        read_body = _decoder.decode(body)
        marks = tuple(stored.m for stored in read_body.facts)
        return Batch(read_body.name, tuple(_facts(read_body.facts)), marks if any(marks) else ())
    except ValueError:
        return None


def _facts(stored: Sequence[_Stored]) -> Iterator[Fact]:
    for one in stored:
        if one.v != events.MAJOR_VERSION:
            raise ValueError(f"version {one.v} of {one.t} is not understood")
        fact = events.decode(one.t, one.b)
        if not isinstance(fact, Fact):
            raise ValueError(f"{one.t} is no fact")
        yield fact

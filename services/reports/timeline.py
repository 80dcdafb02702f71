"""Timelines: what happened to 32 messages, and when, in 20 bytes a fact, for as long as the job.

A record is: 5 bytes that stand for the event · 1 the place in the bucket · 1 the code of the fact · 5 + 3 the id of
its stream entry (ms, number) · 5 when it happened. Times are ms since 49 days before the job's creation, so that clocks
may differ and 34 years have room. The stream entry holds the details for as long as it is retained.

The first seven bytes are also how a fact that was published twice is recognised: within one message and one kind of
fact, five bytes of a hash do not meet by chance.

A bucket is written whole, so that its memory is exactly its length: a string that is appended to keeps as much again
in reserve, and the 1.5 kB of a bucket travel to the append-only file with each batch.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b

import msgspec

from shared.words import events, ids

#: Messages to a bucket. The bucket's key and its bookkeeping cost 110 bytes, 3.5 a message.
BUCKET = 32
RECORD_BYTES = 20
NEEDLE_BYTES = 7
_SKEW_MS = 2**32
_MAX_OFFSET = 2**40 - 1
_MAX_NUMBER = 2**24 - 1


class Record(msgspec.Struct, frozen=True):
    """One fact of one message."""

    code: int
    stream_id: str
    occurred_at: int


def bucket_of(ordinal: int) -> int:
    return ordinal // BUCKET


def pack(fact: events.Fact, ordinal: int, code: int, stream_id: str) -> bytes:
    """The record of a fact about that message. ValueError if its job is invalid."""
    created = _created_ms(fact.job)
    milliseconds, _, number = stream_id.partition("-")
    return b"".join(
        (
            event_bytes(fact.event_id)[:5],
            bytes((ordinal % BUCKET, code)),
            _offset(int(milliseconds), created),
            min(int(number), _MAX_NUMBER).to_bytes(3, "big"),
            _offset(fact.occurred_at, created),
        )
    )


def event_bytes(event_id: str) -> bytes:
    """Eight bytes that stand for the event."""
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def unpack(bucket: bytes, job: str, ordinal: int) -> Iterator[Record]:
    """The records of that message, in the order in which they were counted."""
    created = ids.job_created_ms(job)
    place = ordinal % BUCKET
    for at in range(0, len(bucket) - RECORD_BYTES + 1, RECORD_BYTES):
        if bucket[at + 5] == place:
            milliseconds = _time(bucket[at + 7 : at + 12], created)
            number = int.from_bytes(bucket[at + 12 : at + 15], "big")
            yield Record(bucket[at + 6], f"{milliseconds}-{number}", _time(bucket[at + 15 : at + 20], created))


@lru_cache(maxsize=1024)
def _created_ms(job: str) -> int:
    return ids.job_created_ms(job)


def _offset(ms: int, created: int) -> bytes:
    return min(max(ms - created + _SKEW_MS, 0), _MAX_OFFSET).to_bytes(5, "big")


def _time(offset: bytes, created: int) -> int:
    return int.from_bytes(offset, "big") + created - _SKEW_MS

"""The suppression list as everybody reads it: where an address stands, and what the record of a listed one says.

A tenant's list is a hash per partition of addresses, and beside it an index in the order of bytes for listing. Only the
service `suppression` writes; it keeps hash and index in step. All of an address is compared in lower case: a local part
may be case-sensitive (RFC 5321, 2.4), but nobody who left under one spelling is mailed under another.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from shared.redis import keys
from shared.redis.keys import Channel
from shared.redis.redis import Client, answer
from shared.words.ids import address_partition

Reason = Literal["hard_bounce", "manual", "unsubscribed", "complaint"]
#: From the weakest to the strongest: what an address is listed for is replaced only by what is stronger. What the
#: recipient said outranks what the tenant decided, and that outranks what a host answered, which may change.
REASONS: tuple[Reason, ...] = ("hard_bounce", "manual", "unsubscribed", "complaint")


class Record(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Why an address is listed. The first field is the reason: a look-up decodes nothing else.

    `since_ms` is when it entered the list; `source` the event that listed it for this reason, "" for the API; `job` and
    `ordinal` the message that it was about, "" and -1 for none; `diagnostic` the last thing that was said about the
    address (an SMTP reply, a reporter, a note). No field is nil: scripts keep these arrays too.
    """

    reason: Reason
    since_ms: int
    source: str = ""
    job: str = ""
    ordinal: int = -1
    diagnostic: str = ""


class _Reason(msgspec.Struct, frozen=True, array_like=True):
    reason: str


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)
_reason_decoder = msgspec.msgpack.Decoder(_Reason)


def encode(record: Record) -> bytes:
    return _encoder.encode(record)


def decode(stored: bytes) -> Record:
    """ValueError if it is not a record."""
    return _decoder.decode(stored)


def normalised(address: str) -> str:
    """How an address is spelt on the list."""
    return address.lower()


class Asked(NamedTuple):
    """Who is about to be mailed, by whom, and as what: by which channel, in which stream, as a member of which list
    ("": of none)."""

    tenant: str
    address: str
    channel: Channel
    stream: str
    list: str


class SuppressionList:
    """The look-up: one round trip for any number of addresses; in a cluster one to each server, at the same time."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def check(self, asked: Sequence[Asked]) -> list[str | None]:
        """For each the reason it is not to be mailed, or None. A tenant has one list: an address on it gets nothing by
        any channel, in no stream. Raises RedisAway."""
        reasons: list[str | None] = [None] * len(asked)
        places: dict[tuple[int, str], list[tuple[int, str]]] = defaultdict(list)
        for index, (tenant, address, *_) in enumerate(asked):
            key = normalised(address)
            places[address_partition(tenant, key, self._partitions), tenant].append((index, key))
        found = await self._stored([(p, tenant, [key for _, key in group]) for (p, tenant), group in places.items()])
        for group, stored in zip(places.values(), found, strict=True):
            for (index, _), value in zip(group, stored, strict=True):
                if value is not None:
                    reasons[index] = _reason_decoder.decode(value).reason
        return reasons

    async def record(self, tenant: str, address: str) -> Record | None:
        """All that is known of a listed address, None if it is not listed. Raises RedisAway."""
        key = normalised(address)
        ((value,),) = await self._stored([(address_partition(tenant, key, self._partitions), tenant, [key])])
        return None if value is None else decode(value)

    async def _stored(self, wanted: Sequence[tuple[int, str, list[str]]]) -> list[list[bytes | None]]:
        """For each partition and tenant what is stored of the addresses."""
        if not wanted:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for p, tenant, addresses in wanted:
            pipeline.hmget(keys.suppressed(p, tenant), addresses)
        found: list[list[bytes | None]] = await answer(pipeline.execute())
        return found

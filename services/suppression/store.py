"""The lists in Redis: adding, removing and listing. What changes a list also stores the event that records it.

An address, its record, its place in the index and the events about it are in one partition, so that each change is one
script: nobody sees a list without its event, or an event without its list.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from shared.redis import bus, keys, lua
from shared.redis.redis import Client, Script
from shared.redis.suppression import (
    REASONS,
    Record,
    decode,
    encode,
)
from shared.words import events
from shared.words.ids import address_partition

#: How long it is known that an event was applied: longer than any consumer repeats one.
REMEMBER_MS = 7 * 86_400_000
#: Addresses of one script call.
_BATCH = 500

_ADD = Script.of(__file__, "store_add", names=lua.places(RECORD=Record), kept=True)
_REMOVE = Script.of(__file__, "store_remove", kept=True)

_told = {name: bus.PUBLISHED.labels(name) for name in ("Suppressed", "Reactivated")}


class Addition(NamedTuple):
    """A normalised address is to be listed. `record.source` is the event that says so, and `since_ms` when that
    happened: together they are applied once (who leaves again by the same link makes the same event, later)."""

    tenant: str
    address: str
    record: Record


class Listed(NamedTuple):
    address: str
    record: Record


class Place(msgspec.Struct, frozen=True, array_like=True):
    """How far a listing has come: behind that address in that partition."""

    partition: int = 0
    address: str = ""


class Lists:
    """Every method raises RedisAway: what was asked may or may not have happened, and may be asked again."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def add(self, additions: Sequence[Addition]) -> list[bool]:
        """For each whether the address entered the list; in the order of each partition's additions."""
        entered = [False] * len(additions)
        places: dict[int, list[int]] = defaultdict(list)
        for index, addition in enumerate(additions):
            places[address_partition(addition.tenant, addition.address, self._partitions)].append(index)
        for p, indexes in places.items():
            for start in range(0, len(indexes), _BATCH):
                part = indexes[start : start + _BATCH]
                found = await self._add(p, [additions[index] for index in part])
                for index, number in zip(part, found, strict=True):
                    entered[index] = number == 1
        _told["Suppressed"].inc(sum(entered))
        return entered

    async def _add(self, p: int, additions: Sequence[Addition]) -> list[int]:
        names = [keys.events(p)]
        args: list[str | bytes | int] = [REMEMBER_MS, events.MAJOR_VERSION, ",".join(REASONS)]
        for addition in additions:
            tenant, address, record = addition
            names += [
                keys.suppressed(p, tenant),
                keys.suppressed_index(p, tenant),
                keys.suppression_applied(p, record.source, record.since_ms),
            ]
            args += [address, encode(record), events.encode(_suppressed(addition))]
        found: list[int] = await _ADD(self._client, names, args)
        return found

    async def remove(self, tenant: str, address: str, reason: str, now_ms: int, event_id: str) -> bool:
        """Whether the normalised address was on the list."""
        p = address_partition(tenant, address, self._partitions)
        told = events.Reactivated(event_id=event_id, occurred_at=now_ms, tenant=tenant, email=address, reason=reason)
        names = [keys.events(p), keys.suppressed(p, tenant), keys.suppressed_index(p, tenant)]
        removed = await _REMOVE(self._client, names, [address, events.MAJOR_VERSION, events.encode(told)])
        _told["Reactivated"].inc(removed)
        return bool(removed)

    async def page(self, tenant: str, after: Place, limit: int) -> tuple[list[Listed], Place | None]:
        """At most `limit` addresses behind that place, partition by partition, in each in the order of bytes; and the
        place to go on from, None at the end. What is on the list all the time is shown once, whatever else comes and
        goes."""
        listed: list[Listed] = []
        place = after
        while place.partition < self._partitions:
            names = await self._index(tenant, place, limit - len(listed) + 1)
            room = limit - len(listed)
            listed += await self._records(tenant, place.partition, names[:room])
            if len(names) > room:
                return listed, Place(place.partition, names[room - 1]) if room else place
            place = Place(place.partition + 1)
        return listed, None

    async def _index(self, tenant: str, place: Place, count: int) -> list[str]:
        start = f"({place.address}" if place.address else "-"
        found = await self._client.zrangebylex(
            keys.suppressed_index(place.partition, tenant), start, "+", start=0, num=count
        )
        return [address.decode() for address in found]

    async def _records(self, tenant: str, p: int, addresses: Sequence[str]) -> list[Listed]:
        if not addresses:
            return []
        found = await self._client.hmget(keys.suppressed(p, tenant), list(addresses))
        return [Listed(address, decode(stored)) for address, stored in zip(addresses, found, strict=True) if stored]


def _suppressed(addition: Addition) -> events.Suppressed:
    record = addition.record
    what = ("listed", addition.tenant, addition.address, record.source, record.since_ms)
    return events.Suppressed(
        **events.about(addition.tenant, record.since_ms, *what, email=addition.address),
        reason=record.reason,
        where="suppression",
    )

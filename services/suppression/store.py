"""The lists in Redis: adding, removing and listing. What changes a list also stores the event that tells it.

An address, its record, its place in the index and the events about it are in one partition, so that each change is one
script: nobody sees a list without its event, or an event without its list.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from shared.redis import bus, keys, lua
from shared.redis.redis import Client, Script, answer
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

# KEYS: events, then of each address its list, index and mark. ARGV: lifetime of a mark, version of the event, reasons
# from the weakest to the strongest with commas between, then of each address: itself, its record, the event that tells
# that it is listed.
# For a stronger reason the new record holds, with the time at which the address entered the list; else the old one
# holds. The diagnostic is the last in either case.
# Answers for each address: 1 it is new on the list, 0 it was there, -1 this event was applied before.
_ADD = Script(
    """
local strength, number = {}, 0
for reason in string.gmatch(ARGV[3], '[^,]+') do
  number = number + 1
  strength[reason] = number
end
local answers = {}
for i = 1, (#ARGV - 3) / 3 do
  local list, index, mark = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local address, packed, told = ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3]
  if not redis.call('SET', mark, '1', 'NX', 'PX', ARGV[1]) then
    answers[i] = -1
  else
    local known = redis.call('HGET', list, address)
    if known then
      local old, new = cmsgpack.unpack(known), cmsgpack.unpack(packed)
      if strength[new[RECORD.reason]] > (strength[old[RECORD.reason]] or 0) then
        new[RECORD.since_ms] = old[RECORD.since_ms]
        old = new
      elseif new[RECORD.diagnostic] ~= '' then
        old[RECORD.diagnostic] = new[RECORD.diagnostic]
      end
      redis.call('HSET', list, address, cmsgpack.pack(old))
      answers[i] = 0
    else
      redis.call('HSET', list, address, packed)
      redis.call('ZADD', index, 0, address)
      redis.call('XADD', KEYS[1], '*', 't', 'Suppressed', 'v', ARGV[2], 'b', told)
      answers[i] = 1
    end
  end
end
return answers
""",
    lua.places(RECORD=Record),
)

# KEYS: events, list, index. ARGV: address, version of the event, the event. Answers whether it was on the list.
_REMOVE = Script(
    """
if redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[1], '*', 't', 'Reactivated', 'v', ARGV[2], 'b', ARGV[3])
return 1
"""
)

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
        self._client: Any = client
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
        found = await answer(
            self._client.zrangebylex(keys.suppressed_index(place.partition, tenant), start, "+", start=0, num=count)
        )
        return [address.decode() for address in found]

    async def _records(self, tenant: str, p: int, addresses: Sequence[str]) -> list[Listed]:
        if not addresses:
            return []
        found = await answer(self._client.hmget(keys.suppressed(p, tenant), list(addresses)))
        return [Listed(address, decode(stored)) for address, stored in zip(addresses, found, strict=True) if stored]


def _suppressed(addition: Addition) -> events.Suppressed:
    record = addition.record
    what = ("listed", addition.tenant, addition.address, record.source, record.since_ms)
    return events.Suppressed(
        **events.about(addition.tenant, record.since_ms, *what, email=addition.address),
        reason=record.reason,
        where="suppression",
    )

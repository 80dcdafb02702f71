"""Counts of soft bounces in Redis: a map of addresses, read for many at once and changed where nobody else has."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from services.suppression import escalation
from services.suppression.escalation import Count
from shared.redis import addressed, keys
from shared.redis.addressed import Addressed, Place
from shared.redis.redis import Client, Script
from shared.words.ids import address_partition

_CHANGE = Script.of(__file__, "counts_change", begins=addressed.LUA)

#: Addresses that a sweep reads at a time.
_SWEPT = 500


class Change(NamedTuple):
    """The count of a normalised address, as it was read and as it is to be; None: none."""

    tenant: str
    address: str
    old: Count | None
    new: Count | None


class Counts:
    """Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._map = Addressed(client, partitions, keys.bounce_counts)

    async def get_many(self, asked: Sequence[tuple[str, str]]) -> list[Count | None]:
        """For each tenant and normalised address."""
        found = await self._map.get_many(asked)
        return [None if stored is None else escalation.unpack(stored) for stored in found]

    async def are_there(self, tenant: str) -> bool:
        """Whether the tenant has any."""
        return await self._map.count(tenant) > 0

    async def change(self, changes: Sequence[Change]) -> list[bool]:
        """For each whether it was made: not if somebody has changed that count since it was read."""
        made = [False] * len(changes)
        places: dict[int, list[int]] = defaultdict(list)
        for index, change in enumerate(changes):
            places[address_partition(change.tenant, change.address, self._partitions)].append(index)
        for p, indexes in places.items():
            args: list[str | bytes | int] = []
            for index in indexes:
                change = changes[index]
                args += [change.address, _packed(change.old), _packed(change.new)]
            names = [keys.bounce_counts(p, changes[index].tenant) for index in indexes]
            for index, number in zip(indexes, await _CHANGE(self._client, names, args), strict=True):
                made[index] = number == 1
        return made

    async def forget(self, tenant: str, address: str) -> bool:
        """The count begins anew; whether there was one."""
        while True:
            (count,) = await self.get_many([(tenant, address)])
            if count is None:
                return False
            if all(await self.change([Change(tenant, address, count, None)])):
                return True

    async def sweep(self, tenant: str, now_ms: int) -> int:
        """Removes the counts that say nothing any more, and says how many those were."""
        gone = 0
        place: Place | None = Place()
        while place is not None:
            held, place = await self._map.page(tenant, place, _SWEPT)
            counts = [(one.address, escalation.unpack(one.value)) for one in held]
            over = [
                Change(tenant, address, count, None) for address, count in counts if escalation.is_over(count, now_ms)
            ]
            gone += sum(await self.change(over))
        return gone


def _packed(count: Count | None) -> bytes:
    return b"" if count is None else escalation.pack(count)

"""Counts of soft bounces in Redis: a map of addresses, read for many at once and changed where nobody else has."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from services.suppression import escalation
from services.suppression.changing import Value, change
from services.suppression.escalation import Count
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import keys
from shared.redis.addressed import Addressed, Place
from shared.redis.redis import Client, RedisAway
from shared.redis.tenants import Tenant

#: Addresses that a sweep reads at a time.
_SWEPT = 500
#: Counts are over after days and months.
SWEEP_SECONDS = 21_600.0

_log = logs.get_logger()


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
        values = [
            Value(keys.bounce_counts, one.tenant, one.address, _packed(one.old), _packed(one.new)) for one in changes
        ]
        return await change(self._client, self._partitions, values)

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


async def sweep_forever(
    counts: Counts,
    tenants: Callable[[], Awaitable[Sequence[Tenant]]],
    now_ms: Callable[[], int],
    stopping: asyncio.Event,
) -> None:
    """Of every tenant, until `stopping`."""
    while not stopping.is_set():
        try:
            gone = sum([await counts.sweep(tenant.name, now_ms()) for tenant in await tenants()])
        except RedisAway as away:
            _log.warning("sweep_failed", reason=str(away))
        else:
            if gone:
                _log.info("bounce_counts_removed", counts=gone)
        await pause(stopping, SWEEP_SECONDS)


def _packed(count: Count | None) -> bytes:
    return b"" if count is None else escalation.pack(count)

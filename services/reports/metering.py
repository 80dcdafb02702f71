"""Reads once a minute how much each tenant keeps, for its usage: one process of all, whichever comes first.

What is remembered is the most of each day, so it does not matter who reads, how often, or what was repeated.
"""

import asyncio
from collections.abc import Callable

from prometheus_client import Gauge

from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import keys, usage
from shared.redis.redis import Client, RedisAway
from shared.redis.tenants import Tenants

EVERY_S = 60.0
#: A little less, so that whoever is there next time reads again.
HELD_MS = 50_000

METERED = Gauge(
    "estafette_reports_metered_timestamp_seconds", "When it was read last how much tenants keep; 0: not by this process"
)

_log = logs.get_logger()


class Metering:
    """`now_ms` is the clock."""

    def __init__(self, client: Client, partitions: int, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._partitions = partitions
        self._now_ms = now_ms

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        while not stopping.is_set():
            try:
                if await self._client.set(keys.meter(), b"", nx=True, px=HELD_MS):
                    await self.read()
                else:
                    METERED.set(0)
            except RedisAway as away:
                _log.warning("not_metered", reason=str(away))
            await pause(stopping, EVERY_S)

    async def read(self) -> None:
        """Of each tenant, one after the other: nobody waits for it. Raises RedisAway."""
        for tenant in await Tenants(self._client).all():
            await usage.see_bytes(self._client, self._partitions, tenant.name, self._now_ms())
        METERED.set(self._now_ms() / 1000)

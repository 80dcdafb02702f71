"""Counts the calls of tenants in the memory of the process, and adds them to their usage once a second.

A batch that is under way to Redis stays as it is under its number until Redis has said that it is counted: it is
counted once, however often it is sent. A process that is killed loses what it counted since the last one, a second of
calls (docs/decisions/0046-requests-are-counted-per-process.md says why each of them is not asked of Redis).
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from prometheus_client import Gauge

from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import usage
from shared.redis.redis import Client, RedisAway
from shared.words import ids

EVERY_S = 1.0

UNCOUNTED = Gauge(
    "estafette_http_uncounted_calls_seconds", "Age of the oldest calls of tenants that are not in their usage yet"
)

_log = logs.get_logger()


class Calls:
    """`process` is another for each start. What is kept here is a number for each tenant and day."""

    def __init__(self, client: Client, partitions: int, process: str, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._partitions = partitions
        self._process = process
        self._now_ms = now_ms
        self._counted: dict[int, Counter[tuple[str, int]]] = {}
        #: By partition, the number of the batch and what is in it.
        self._under_way: dict[int, tuple[int, Counter[tuple[str, int]]]] = {}
        self._batches = 0
        self._since_ms = 0

    def count(self, tenant: str) -> None:
        """One call, now."""
        now_ms = self._now_ms()
        self._since_ms = self._since_ms or now_ms
        of_partition = self._counted.setdefault(ids.name_partition(tenant, self._partitions), Counter())
        of_partition[tenant, now_ms // usage.DAY_MS] += 1

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        while not stopping.is_set():
            await pause(stopping, EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """All that was counted until now; what Redis does not take is sent again the next time."""
        try:
            for _ in range(2):  # what could not be sent before, and what came meanwhile
                began_ms = self._now_ms()
                for p in [p for p in self._counted if p not in self._under_way]:
                    self._batches += 1
                    self._under_way[p] = self._batches, self._counted.pop(p)
                for p, (batch, calls) in list(self._under_way.items()):
                    await usage.count_calls(self._client, p, self._process, batch, calls)
                    del self._under_way[p]
                self._since_ms = began_ms if self._counted else 0
        except RedisAway as away:
            _log.warning("calls_not_counted", reason=str(away))
        UNCOUNTED.set((self._now_ms() - self._since_ms) / 1000 if self._since_ms else 0)

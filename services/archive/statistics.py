"""Tenants' statistics become files before Redis forgets them: each day once it is over, and again whenever what was
told later has changed it.

A day is read, written and then settled (`shared.redis.unarchived`); until then it stays in Redis. The file of a month
has each partition's days apart, so what is written again of one replaces that and nothing else.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from prometheus_client import Counter, Gauge

from services.archive import counts
from services.archive.merging import DAY_OVER_MS
from shared.archive import names
from shared.archive.target import Folder, Store
from shared.process import logs
from shared.redis import keys, unarchived
from shared.redis.leases import Lease
from shared.redis.redis import Client
from shared.redis.statistics import names_of, of_day

WRITTEN = Counter("estafette_archive_statistics_days_total", "Days of tenants' statistics put into files, by partition")
WAITING = Gauge(
    "estafette_archive_statistics_waiting_days", "Days of tenants' statistics that were over and in no file, at a look"
)

#: Days that are in memory at a time, of all partitions: of a busy tenant a day has some 10,000 numbers.
TOGETHER = 64

_log = logs.get_logger()


class Statistics:
    """`now_ms` is the clock."""

    def __init__(
        self, client: Client, partitions: int, target: Folder | Store, lease: Lease, now_ms: Callable[[], int]
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._target = target
        self._lease = lease
        self._now_ms = now_ms

    async def sweep(self) -> None:
        """Writes each day that is due. Raises RedisAway, OSError and LeaseLost, and goes on there the next time."""
        months: dict[tuple[str, str], list[tuple[int, unarchived.Marked]]] = defaultdict(list)
        for p in range(self._partitions):
            for one in await unarchived.marked(self._client, p):
                if self._now_ms() >= (one.day + 1) * names.DAY_MS + DAY_OVER_MS:
                    months[one.tenant, names.month_of(one.day)].append((p, one))
        waiting = sum(map(len, months.values()))
        WAITING.set(waiting)
        for (tenant, month), days in months.items():
            for begin in range(0, len(days), TOGETHER):
                some = days[begin : begin + TOGETHER]
                await self._write(tenant, month, some)
                waiting -= len(some)
                WAITING.set(waiting)

    async def _write(self, tenant: str, month: str, marked: Sequence[tuple[int, unarchived.Marked]]) -> None:
        days = [await self._read(tenant, p, one.day) for p, one in marked]
        self._lease.require()
        rows = await asyncio.to_thread(self._put, names.statistics(tenant, month), days)
        for p, one in marked:
            await unarchived.settle(self._client, p, one)
        WRITTEN.inc(len(days))
        _log.info("statistics_archived", tenant=tenant, month=month, days=len(days), numbers=rows)

    async def _read(self, tenant: str, p: int, day: int) -> counts.Day:
        stored = await self._client.hgetall(keys.statistics(p, tenant, day))
        # After the numbers: a name that they have is there by now.
        known = names_of(await self._client.hgetall(keys.statistics_names(p)))
        return counts.Day(day, p, of_day(stored, known, day))

    def _put(self, path: str, days: Sequence[counts.Day]) -> int:
        """In a thread: how many numbers the file has."""
        scratch = self._target.scratch()
        try:
            try:
                before = self._target.open(path)
            except FileNotFoundError:
                rows = counts.rewrite(None, scratch, days)
            else:
                with before:
                    rows = counts.rewrite(before, scratch, days)
            self._lease.require()
            self._target.move(scratch, path)
            return rows
        finally:
            scratch.unlink(missing_ok=True)

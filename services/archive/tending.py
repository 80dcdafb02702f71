"""What is done to files beside writing events: merged, made anew without who was erased, removed with their tenant; and
statistics put beside them.

It is the process with the lease that does it, one thing after the other, in a thread.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from prometheus_client import Counter, Gauge

from services.archive import forgetting, merging
from services.archive.statistics import Statistics
from services.archive.store import ArchiveStore
from shared.archive import names
from shared.archive.target import Folder, Store
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis.leases import Lease, LeaseLost
from shared.redis.redis import RedisAway
from shared.words.erased import ErasureKeys

MERGED = Counter("estafette_archive_merged_files_total", "Files that were merged into larger ones")
REWRITTEN = Counter("estafette_archive_rewritten_files_total", "Files made anew without somebody who was erased")
ERASING_SINCE = Gauge(
    "estafette_archive_erasing_oldest_timestamp_seconds",
    "When the oldest erasure that has not reached the files was done; 0: there is none",
)

_log = logs.get_logger()


class Tending:
    """`now_ms` is the clock. Every method raises RedisAway, OSError and LeaseLost, and goes on there the next time."""

    def __init__(
        self,
        store: ArchiveStore,
        target: Folder | Store,
        secrets: ErasureKeys,
        lease: Lease,
        now_ms: Callable[[], int],
        settle_ms: int,
        statistics: Statistics,
    ) -> None:
        self._store = store
        self._target = target
        self._secrets = secrets
        self._lease = lease
        self._now_ms = now_ms
        self._settle_ms = settle_ms
        self._statistics = statistics

    async def run(self, every_s: float, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        is_clear = False
        while not stopping.is_set():
            if self._lease.is_mine:
                try:
                    if not is_clear:
                        await asyncio.to_thread(self._target.clear)
                        is_clear = True
                    await self.sweep()
                except (RedisAway, OSError, LeaseLost) as fault:
                    _log.warning("tending_failed", reason=str(fault) or type(fault).__name__)
                except Exception:  # ours: writing goes on
                    _log.exception("tending_failed")
            await pause(stopping, every_s)

    async def sweep(self) -> None:
        """Once everything that is due."""
        await self._remove()
        await self._erase()
        await self._statistics.sweep()
        tenants = await asyncio.to_thread(self._target.folders)
        for folder in tenants:
            for day in await asyncio.to_thread(self._target.folders, folder):
                await asyncio.to_thread(self.merge, day)

    def merge(self, folder: str) -> None:
        """What is to be merged of a tenant's day."""
        files = self._target.stored(folder)
        if len(files) < 2 and not any(names.parse_part(file.name) for file in files):
            return
        for file in merging.left_over(self._target, files):
            self._lease.require()
            self._target.delete(file.path)
            files.remove(file)
        for name, some in merging.groups(folder, files, self._now_ms(), self._settle_ms):
            self._lease.require()
            rows = merging.merge(self._target, folder, name, some, self._lease.require)
            MERGED.inc(len(some))
            _log.info("merged", folder=folder, file=name, files=len(some), events=rows)

    async def _erase(self) -> None:
        found = await self._store.erasures()
        ERASING_SINCE.set((min(found.values()) - self._settle_ms) / 1000 if found else 0)
        due: dict[str, list[str]] = defaultdict(list)
        for (tenant, digest), at_ms in found.items():
            if at_ms <= self._now_ms():
                due[tenant].append(digest)
        for tenant, digests in due.items():
            made = await asyncio.to_thread(self._forget, tenant, digests)
            await self._store.erased(tenant, digests)
            REWRITTEN.inc(made)
            _log.info("erased_from_archive", tenant=tenant, people=len(digests), files=made)

    def _forget(self, tenant: str, digests: list[str]) -> int:
        files = self._target.stored(names.tenant_folder(tenant))
        return forgetting.forget(self._target, files, tenant, set(digests), self._secrets, self._lease.require)

    async def _remove(self) -> None:
        for tenant in await self._store.removals():
            self._lease.require()
            for folder in (names.tenant_folder(tenant), names.statistics_folder(tenant)):
                await asyncio.to_thread(self._target.delete_folder, folder)
            await self._store.removed(tenant)
            _log.info("tenant_removed_from_archive", tenant=tenant)

"""The main path of the archive: entries of a stream are gathered, planned as a batch, written, and committed.

For each partition, again and again:

1. What lies in the stream behind the last batch is gathered in memory, without being taken: nobody is told.
2. When a file is due (its time is over, or it is large enough) the batch is planned (`store`): from now on whoever
   writes it, writes these entries. So files have the same names and events however often that is begun.
3. It becomes tables, one a tenant and day, and each of them a durable file (`target`).
4. It is committed: the group stands behind it, and the stream may be trimmed.

Whoever dies, and wherever, the next one finds the plan and writes the same files over what is there. One process has
the lease and does this; another stands by. What was written by a newer program is not passed over: the archive waits
for a newer archive, and says so.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from prometheus_client import Counter, Gauge, Histogram

from services.archive import tables
from services.archive.store import ArchiveStore, Batch, Raw, Unreadable
from services.archive.tables import Facts, JobKind, Known
from shared.archive import names
from shared.process import logs
from shared.process.lifecycle import cancelled, pause
from shared.redis import bus
from shared.redis.erased import Erased
from shared.redis.leases import Lease, LeaseLost
from shared.redis.recipients import Recipients, of_jobs
from shared.redis.redis import RedisAway, Refused
from shared.redis.suppression import normalised
from shared.words import events

ARCHIVED = Counter("estafette_archive_events_total", "Events that are in durable files")
FILES = Counter("estafette_archive_files_total", "Files written with new events")
WRITTEN_BYTES = Counter("estafette_archive_bytes_total", "Bytes of those files")
FAILED = Counter(
    "estafette_archive_failed_batches_total", "Times that a batch could not be written, by cause", ["cause"]
)
BURIED = Counter("estafette_archive_buried_total", "Entries that nobody could read, moved to the dead-letter stream")
LAG = Gauge("estafette_archive_lag_seconds", "Age of the oldest event that is in no file, over all partitions")
WRITES = Gauge("estafette_archive_writes", "1 if this process is the one that writes, 0 if it stands by")
BATCH_SECONDS = Histogram(
    "estafette_archive_batch_seconds",
    "Time from the plan of a batch to its commit",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

#: Entries of one read.
READ = 2_000
#: Between two looks at a stream that had nothing new.
LOOK_S = 0.5
#: Between two renewals of the lease, and two registrations of the group.
HOLD_S = 5.0
#: After a batch could not be written; twice as long each time.
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
#: Files of a batch that are written at a time: each waits for its disk or its store most of the time.
WRITERS = 8

_log = logs.get_logger()


class Files(Protocol):
    def put(self, path: str, whole: Any) -> None:
        """Durable when it returns. OSError."""


class Jobs(Protocol):
    async def kinds(self, jobs: Sequence[str]) -> Mapping[str, JobKind]:
        """What those were made as; without those that are not kept any more."""


class Due:
    """When a file is written: at each full `file_seconds`, or with so many events."""

    def __init__(self, file_seconds: int, file_events: int, now_ms: Callable[[], int]) -> None:
        self._file_ms = file_seconds * 1000
        self.events = file_events
        self._now_ms = now_ms

    def is_due(self, first_ms: int, gathered: int, is_all: bool) -> bool:
        """`is_all`: there is no more in the stream for now. What is behind is written in large files."""
        if gathered >= self.events:
            return True
        return is_all and gathered > 0 and self._now_ms() // self._file_ms != first_ms // self._file_ms


class Archive:
    """`now_ms` is the clock. `settle_ms`: for so long an erasure waits for what is being written."""

    def __init__(
        self,
        store: ArchiveStore,
        files: Files,
        recipients: Recipients,
        erased: Erased,
        jobs: Jobs,
        lease: Lease,
        due: Due,
        now_ms: Callable[[], int],
        settle_ms: int,
    ) -> None:
        self._store = store
        self._files = files
        self._recipients = recipients
        self._erased = erased
        self._jobs = jobs
        self._lease = lease
        self._due = due
        self._now_ms = now_ms
        self._settle_ms = settle_ms
        #: One batch at a time is made and written: that is what takes the processor.
        self._turn = asyncio.Lock()
        self._told: set[str] = set()

    async def run(self, partitions: int, stopping: asyncio.Event) -> None:
        """All partitions, as long as this process has the lease, until `stopping`."""
        loop = asyncio.get_running_loop()
        ways = [loop.create_task(self._partition(p, stopping)) for p in range(partitions)]
        try:
            await asyncio.gather(*ways)
        finally:
            await cancelled(ways)

    async def _partition(self, partition: int, stopping: asyncio.Event) -> None:
        retry_s = FIRST_RETRY_S
        while not stopping.is_set():
            if not self._lease.is_mine:
                await pause(stopping, LOOK_S)
                continue
            try:
                await self._one_batch(partition, stopping)
                retry_s = FIRST_RETRY_S
                continue
            except RedisAway as away:
                _log.warning("archive_waits", reason=str(away), partition=partition)
            except LeaseLost:
                _log.warning("lease_lost", partition=partition)
            except OSError as fault:
                FAILED.labels("target").inc()
                _log.error("archive_write_failed", reason=str(fault), partition=partition)
            except Exception as fault:  # ours, or a server that refuses
                if isinstance(fault, Refused) and "NOGROUP" in str(fault):
                    await self._store.register()
                FAILED.labels("error").inc()
                _log.exception("archive_failed", partition=partition)
            await pause(stopping, retry_s)
            retry_s = min(retry_s * 2, LAST_RETRY_S)

    async def _one_batch(self, partition: int, stopping: asyncio.Event) -> None:
        """Writes what is planned, or gathers until a file is due, plans and writes it."""
        batch = await self._store.where(partition)
        gathered: list[Raw] = []
        if not batch.last:
            gathered = await self._gathered(partition, batch.after, stopping)
            if not gathered:
                return
            wanted = Batch(batch.after, gathered[-1].stream_id)
            batch = await self._store.plan(partition, wanted)
            if batch != wanted:
                return  # another process has gone on: look again
        async with self._turn:
            with BATCH_SECONDS.time():
                await self.write(partition, batch, gathered or await self._planned(partition, batch))

    async def _gathered(self, partition: int, after: str, stopping: asyncio.Event) -> list[Raw]:
        """A batch that is due. Empty if this process is to stop, or has lost the lease."""
        gathered: list[Raw] = []
        while not stopping.is_set() and self._lease.is_mine:
            last = gathered[-1].stream_id if gathered else after
            most = min(READ, self._due.events - len(gathered))
            found = await self._store.read(partition, last, "+", most)
            known = self._known_here(partition, found)
            gathered += known
            first_ms = gathered[0].ms if gathered else 0
            if self._due.is_due(first_ms, len(gathered), len(found) < most) or (gathered and len(known) < len(found)):
                return gathered
            if len(found) < most or len(known) < len(found):
                await pause(stopping, LOOK_S)
        return []

    def _known_here(self, partition: int, found: list[Raw]) -> list[Raw]:
        """Those before the first that a newer program wrote, for which a newer archive is waited."""
        since_ms = self._now_ms() - bus.NEWER_AFTER_MS
        for at, raw in enumerate(found):
            if raw.name not in events.MESSAGES and raw.ms > since_ms and raw.name:
                if raw.name not in self._told:
                    self._told = {raw.name} if len(self._told) > bus.MAX_TOLD else {*self._told, raw.name}
                    _log.error("waits_for_newer", message_name=raw.name[:100], entry=raw.stream_id, partition=partition)
                return found[:at]
        return found

    async def _planned(self, partition: int, batch: Batch) -> list[Raw]:
        """The entries of a batch that was planned before."""
        found: list[Raw] = []
        after = batch.after
        while len(some := await self._store.read(partition, after, batch.last, READ)) > 0:
            found += some
            after = some[-1].stream_id
        return found

    async def write(self, partition: int, batch: Batch, entries: Sequence[Raw]) -> None:
        """The files of a planned batch, and then its commit. OSError, RedisAway, LeaseLost: it is to be repeated."""
        facts = await asyncio.to_thread(tables.decoded, entries)
        known = await self._known(facts)
        name = names.part(partition, entries[0].stream_id, entries[-1].stream_id) if entries else ""
        put, size = await asyncio.to_thread(self._put, partition, facts, known, name)
        for erased in facts.erased():
            await self._store.erase(erased.tenant, erased.digest, self._now_ms() + self._settle_ms)
        if await self._store.commit(partition, batch, facts.unreadable):
            ARCHIVED.inc(len(entries) - len(facts.unreadable))
            BURIED.inc(len(facts.unreadable))
            FILES.inc(put)
            WRITTEN_BYTES.inc(size)
            _tell_unreadable(partition, facts.unreadable)

    def _put(self, partition: int, facts: Facts, known: Known, name: str) -> tuple[int, int]:
        """In a thread: how many files were written, and their bytes."""
        made = tables.tables(partition, facts, known)

        def put(place: tuple[str, str]) -> int:
            whole = tables.parquet(made[place])
            self._lease.require()
            self._files.put(f"{names.folder(*place)}/{name}", whole)
            return int(whole.size)

        with ThreadPoolExecutor(min(WRITERS, len(made) or 1), thread_name_prefix="archive-writer") as writers:
            return len(made), sum(writers.map(put, made))

    async def _known(self, facts: Facts) -> Known:
        """Whose the messages are that facts name alone, and who was erased."""
        nameless = await of_jobs(self._recipients, facts.nameless())
        emails = {message: one.email for message, one in nameless.items()}
        addresses = sorted(facts.addresses())
        gone = await self._erased.are_erased([(tenant, normalised(email)) for tenant, email in addresses])
        erased = {one for one, is_gone in zip(addresses, gone, strict=True) if is_gone}
        return Known(emails, erased, await self._jobs.kinds(sorted(facts.jobs())))


def _tell_unreadable(partition: int, unreadable: Sequence[Unreadable]) -> None:
    for raw, reason in unreadable:
        _log.error("buried", entry=raw.stream_id, partition=partition, message_name=raw.name[:100], reason=reason[:200])

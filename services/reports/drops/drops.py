"""The main path of drops: what is due is written beside its place, noted, renamed, and noted again.

For each drop, period by period:

1. The period is over, and all that was recorded in it can be read (`sources`).
2. Its file is written as `….part` in the target folder, and is durable there.
3. Redis notes that it is whole (`placing`): from here on nobody writes it again.
4. It is renamed, and Redis notes where the next period begins.

Who dies before 3 leaves half a file beside the place, which is written anew. Who dies after 3 leaves a whole one beside
the place, which is renamed, or one in its place, which is left alone: its receiver may have taken it already. One
process has the lease and does this; another stands by. Where the lease was lost, no step is noted, and who noted none
renames nothing.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import NamedTuple, Protocol

import msgspec
from prometheus_client import Counter, Gauge, Histogram

from services.reports.drops import drop as deciding
from services.reports.drops.drop import Drop, Failed, State, Wait, Work
from services.reports.drops.sources import Content, Sources, TooOld
from services.reports.drops.store import Store
from shared.process import logs
from shared.process.lifecycle import cancelled, pause
from shared.redis.leases import Lease, LeaseLost
from shared.redis.redis import RedisAway

FILES = Counter("estafette_drops_files_total", "Files placed, by what is in them", ["kind"])
ROWS = Counter("estafette_drops_rows_total", "Rows in those files", ["kind"])
WRITTEN_BYTES = Counter("estafette_drops_bytes_total", "Bytes of those files")
FAILED = Counter("estafette_drops_failed_total", "Files that could not be written at an attempt, by cause", ["why"])
MISSED = Counter("estafette_drops_missed_total", "Periods without a file, because their events are not kept any more")
LATE = Gauge("estafette_drops_late_seconds", "For how long the oldest file that is not there should be")
FAILING = Gauge("estafette_drops_failing", "Drops whose last attempt failed")
WRITES = Gauge("estafette_drops_writes", "1 if this process is the one that writes, 0 if it stands by")
FILE_SECONDS = Histogram(
    "estafette_drops_file_seconds",
    "Time to write and place a file",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)

#: Between two looks at what has changed and what is due.
LOOK_S = 1.0
#: After Redis was away, or while the feed has not come to the end of a period.
AGAIN_MS = 5_000
#: Files of one drop until others have their turn.
MOST_IN_TURN = 24
PART = ".part"

_log = logs.get_logger()


class Place(Protocol):
    """A folder somewhere. Every method raises Failed."""

    async def has(self, name: str) -> bool: ...

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> int: ...

    async def rename(self, name: str, to: str) -> None: ...


#: Opens the place of a drop. Failed.
Open = Callable[[Drop], AbstractAsyncContextManager[Place]]


class Limits(NamedTuple):
    """Files that are written at a time, and of one tenant."""

    at_a_time: int
    tenant_at_a_time: int


class _Known(msgspec.Struct):
    """A drop, how far it was when it was looked at last, and when it is to be looked at again. `is_changed`: it became
    another one since the task began that writes it."""

    drop: Drop
    state: State | None = None
    at_ms: int = 0
    is_changed: bool = False
    task: asyncio.Task[None] | None = None


class Drops:
    """`now_ms` is the clock."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        opened: Open,
        lease: Lease,
        limits: Limits,
        now_ms: Callable[[], int],
        chance: Random,
    ) -> None:
        self._store = store
        self._sources = sources
        self._open = opened
        self._lease = lease
        self._now_ms = now_ms
        self._chance = chance
        self._versions: dict[str, bytes] = {}
        self._known: dict[str, _Known] = {}
        self._slots = asyncio.Semaphore(limits.at_a_time)
        self._of_tenant: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(limits.tenant_at_a_time))

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; what is being written then is written anew by whoever comes next."""
        try:
            while not stopping.is_set():
                try:
                    await self.look()
                except RedisAway as away:
                    _log.warning("drops_wait", reason=str(away))
                await pause(stopping, LOOK_S)
        finally:
            await cancelled([one.task for one in self._known.values() if one.task is not None])

    async def look(self) -> None:
        """Begins what is due. RedisAway."""
        WRITES.set(self._lease.is_mine)
        if not self._lease.is_mine:
            self._versions.clear()
            LATE.set(0)
            return
        await self._read()
        now_ms = self._now_ms()
        for one in self._known.values():
            if one.drop.enabled and one.task is None and one.at_ms <= now_ms:
                one.is_changed = False
                one.task = asyncio.create_task(self._attend(one))
        states = [(one.drop, one.state) for one in self._known.values() if one.state is not None]
        LATE.set(deciding.late_ms(states, now_ms) / 1000)
        FAILING.set(sum(drop.enabled and bool(state.failures) for drop, state in states))

    async def settled(self) -> None:
        """Until nothing is being written."""
        while tasks := [one.task for one in self._known.values() if one.task is not None]:
            await asyncio.wait(tasks)

    async def _read(self) -> None:
        versions = await self._store.versions()
        for tenant in [name for name, version in versions.items() if self._versions.get(name) != version]:
            found = {drop.id: drop for drop in await self._store.of_tenant(tenant)}
            for name in [name for name, one in self._known.items() if one.drop.tenant == tenant and name not in found]:
                self._forget(name)
            for name, drop in found.items():
                one = self._known.setdefault(name, _Known(drop))
                one.drop, one.at_ms, one.is_changed = drop, 0, True
                one.state = await self._store.state(drop)
            self._versions[tenant] = versions[tenant]

    def _forget(self, name: str) -> None:
        if (task := self._known.pop(name).task) is not None:
            task.cancel()

    async def _attend(self, one: _Known) -> None:
        """Writes what is due of a drop, in its order, until something goes wrong or others wait."""
        try:
            async with self._of_tenant[one.drop.tenant], self._slots:
                for _ in range(MOST_IN_TURN):
                    one.at_ms = await self._next(one)
                    if one.at_ms > self._now_ms() or not one.drop.enabled:
                        return
        except LeaseLost:
            _log.warning("lease_lost", drop=one.drop.id)
        except RedisAway as away:
            one.at_ms = self._now_ms() + AGAIN_MS
            _log.warning("drops_wait", reason=str(away), drop=one.drop.id)
        except Exception:  # ours, or a server that refuses: the others go on
            one.at_ms = self._now_ms() + AGAIN_MS
            FAILED.labels("error").inc()
            _log.exception("drop_failed", drop=one.drop.id)
        finally:
            one.task = None
            if one.is_changed:
                one.at_ms = 0

    async def _next(self, one: _Known) -> int:
        """Writes the next file, if one is due; when to look again (ms). RedisAway, LeaseLost."""
        drop = one.drop
        self._lease.require()
        state = one.state = await self._store.state(drop)
        found = deciding.work(drop, state, self._now_ms())
        if isinstance(found, Wait):
            return found.until_ms
        if not found.is_placing and not await self._sources.is_known(drop, found.period):
            return self._now_ms() + AGAIN_MS
        try:
            with FILE_SECONDS.time():
                await self.write(drop, state, found)
        except TooOld:
            await self._missed(drop, state, found)
        except Failed as failed:
            return await self._failed(one, state, found, failed)
        one.state = await self._store.state(drop)
        return 0

    async def write(self, drop: Drop, state: State, work: Work) -> None:
        """A file, from its first row to its place. Failed, TooOld, RedisAway, LeaseLost."""
        part = work.file + PART
        async with self._open(drop) as place:
            if work.is_placing:
                rows, size = state.placing_rows, state.placing_bytes
                if await place.has(part):
                    self._lease.require()
                    await place.rename(part, work.file)
            else:
                content = self._sources.content(drop, work.period)
                size = await self._whole(place, part, content)
                rows = content.rows
                if work.is_again:
                    self._lease.require()
                else:
                    noted: dict[str, int | str] = {
                        "placing": work.file,
                        "placing_end": work.period.end_ms,
                        "placing_rows": rows,
                        "placing_bytes": size,
                    }
                    await self._step(drop, state, work, noted)
                await self._rename(place, drop, state, work)
        done: dict[str, int | str] = {
            "placing": "", "failures": 0, "failing_since": 0, "retry_at": 0, "why": "", "detail": "", "last_rows": rows,
            "last_at": self._now_ms(), "last_file": work.file, "last_bytes": size, "written": state.written + 1,
        }  # fmt: skip
        await self._step(drop, state, work, done | _goes_on(work))
        FILES.labels(drop.kind).inc()
        ROWS.labels(drop.kind).inc(rows)
        WRITTEN_BYTES.inc(size)
        _log.info("dropped", drop=drop.id, file=work.file, rows=rows, bytes=size)

    async def _whole(self, place: Place, part: str, content: Content) -> int:
        async with contextlib.aclosing(content.pieces()) as pieces:
            return await place.write(part, pieces)

    async def _rename(self, place: Place, drop: Drop, state: State, work: Work) -> None:
        try:
            await place.rename(work.file + PART, work.file)
        except Failed as failed:
            is_gone = failed.why == "no_folder" and not await place.has(work.file + PART)
            if is_gone and not work.is_again:
                # Somebody else took away what was beside the place: nobody had its name. It is written anew.
                await self._step(drop, state, work, {"placing": ""})
            raise

    async def _step(self, drop: Drop, state: State, work: Work, changes: Mapping[str, int | str]) -> None:
        """Notes that, if the drop is still where it was. LeaseLost."""
        field, value = ("again", state.again) if work.is_again else ("next", state.next)
        if not await self._store.step(drop, field, value, changes):
            raise LeaseLost

    async def _missed(self, drop: Drop, state: State, work: Work) -> None:
        detail = f"{work.file} was not written: events of that time are not kept any more"
        missed: dict[str, int | str] = {
            "missed": state.missed + (not work.is_again),
            "why": "too_old",
            "detail": detail,
        }
        await self._step(drop, state, work, missed | _goes_on(work))
        if not work.is_again:
            MISSED.inc()
        _log.error("drop_missed", drop=drop.id, file=work.file)

    async def _failed(self, one: _Known, state: State, work: Work, failed: Failed) -> int:
        now_ms, failures = self._now_ms(), state.failures + 1
        retry_ms = deciding.retry_ms(failures, now_ms, self._chance.random())
        told: dict[str, int | str] = {
            "failures": failures, "failing_since": state.failing_since or now_ms, "retry_at": retry_ms,
            "why": failed.why, "detail": str(failed),
        }  # fmt: skip
        await self._step(one.drop, state, work, told)
        one.state = await self._store.state(one.drop)
        FAILED.labels(failed.why).inc()
        _log.warning("drop_not_written", drop=one.drop.id, file=work.file, why=failed.why, detail=str(failed))
        return retry_ms


def _goes_on(work: Work) -> dict[str, int | str]:
    """What changes in a state when that is done with."""
    return {"again": -1} if work.is_again else {"next": work.period.end_ms}

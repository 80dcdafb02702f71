"""Sees to it that what is cancelled comes to its end, and that its mark goes then.

A job that is open or scheduled is started, so that each of its recipients ends the way that all do, and the quotas that
it had are given back by the same steps; queueing ends them without queueing them. An open job without recipients is
removed. What is queued already is the relays' to end (`services.relay.cancelling`).

A mark goes once nothing is left that it is about: of a job, when that has ended; of a tenant, when each of the jobs
that were made before has; of a site, when nothing waits there that could be meant, nor is parked.
"""

import asyncio
from collections.abc import Callable

import structlog
from prometheus_client import Counter

from services.queueing.store import JobStore
from shared.process.lifecycle import pause
from shared.redis import cancels, jobs, keys
from shared.redis.cancels import Cancel, CancelList
from shared.redis.ready import ReadyQueues
from shared.redis.redis import Client, RedisAway
from shared.redis.waiting import Waiting
from shared.words import ids

#: Between two looks.
LOOK_S = 1.0
#: A mark of a site stays for so long at least: what relays have in hand comes back, or is taken over, within it.
LEAST_MS = 120_000
#: Jobs of a tenant that are looked at together.
TOGETHER = 100

MARKS = Counter("estafette_queueing_cancels_ended_total", "Marks of what was cancelled that went")


class Cancelling:
    """`now_ms` is the clock."""

    def __init__(
        self, client: Client, partitions: int, store: JobStore, marks: CancelList, now_ms: Callable[[], int]
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._store = store
        self._marks = marks
        self._now_ms = now_ms
        self._waiting = Waiting(client, "email")
        self._queues = ReadyQueues(client, "email")
        #: Jobs of tenants with a mark that have ended: they are not looked at again while it is there.
        self._ended: dict[str, set[str]] = {}
        self._log = structlog.get_logger("queueing")

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        while not stopping.is_set():
            try:
                await self.look()
            except RedisAway as away:
                self._log.warning("redis_away", reason=str(away))
            except Exception:  # ours: chunks go on being queued
                self._log.exception("cancelling_failed")
            await pause(stopping, LOOK_S)

    async def look(self) -> None:
        """Once at each mark. RedisAway."""
        found = await self._marks.all()
        self._ended = {name: ended for name, ended in self._ended.items() if name in found}
        for name, cancel in found.items():
            if await self._is_over(name, cancel) and await self._marks.remove(name, cancel):
                MARKS.inc()
                self._log.info("cancel_ended", name=name, how=cancel.how)

    async def _is_over(self, name: str, cancel: Cancel) -> bool:
        kind, which = cancels.about(name)
        match kind:
            case "job":
                return await self._has_ended(which)
            case "tenant":
                return await self._has_tenant_ended(name, which, cancel)
            case _:
                return self._now_ms() - cancel.since_ms > LEAST_MS and not await self._waits_at(name, which, cancel)

    async def _has_ended(self, job: str) -> bool:
        if await jobs.has_ended(self._client, self._partitions, job):
            return True
        state = (await jobs.read(self._client, self._partitions, job, (jobs.STATE,)))[jobs.STATE]
        if state in ("open", "scheduled"):
            word, _ = await self._store.start("", job, self._now_ms())
            if word == "empty":
                await self._store.expire_open(job)
        return False

    async def _has_tenant_ended(self, name: str, tenant: str, cancel: Cancel) -> bool:
        """Of each of its jobs in the bulk that the mark is about."""
        ended = self._ended.setdefault(name, set())
        last, over = ids.last_job(cancel.since_ms), True
        for p in range(self._partitions):
            names = await self._client.zrangebylex(keys.tenant_jobs(p, tenant), "-", f"[{last}")
            left = [job for job in map(bytes.decode, names) if job not in ended]
            for begin in range(0, len(left), TOGETHER):
                some = left[begin : begin + TOGETHER]
                for job, has in zip(some, await asyncio.gather(*map(self._is_done_with, some)), strict=True):
                    if has:
                        ended.add(job)
                    else:
                        over = False
        return over

    async def _is_done_with(self, job: str) -> bool:
        stream = (await jobs.read(self._client, self._partitions, job, (jobs.STREAM,)))[jobs.STREAM]
        return stream != "bulk" or await self._has_ended(job)

    async def _waits_at(self, name: str, site: str, cancel: Cancel) -> bool:
        p = ids.name_partition(site, self._partitions)
        places = [one.place for one in await self._waiting.queues(p)]
        places += [one.place for one in await self._waiting.retries(p)]
        is_there = any(one.site == site and cancel.tenant in ("", one.tenant) for one in places)
        return is_there or await self._queues.may_be_parked(p, name, cancel)

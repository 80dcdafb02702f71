"""Jobs are removed, with all that is kept for them, `jobs.retention_days` after they have ended.

A job has ended when each of its messages has its end: it is queued whole, and the bitmap of ends is full. Nobody counts
that while mail is sent; it is found out afterwards, by looks that cost the same however many jobs are kept:

    jobs ──an hour after it was made──→ ended_jobs ──retention──→ removals ──→ gone
     ╰──→ unended_jobs ──every hour──────↑

1. `jobs` is walked once, in the order in which jobs were made. What has ended goes to `ended_jobs`, with the time at
   which that was seen; what has not goes to `unended_jobs`, and is looked at again each hour. What never ends (an open
   job has its own time) is never removed.
2. What is due is taken out of all lists, and its hash removed, in one script: from then on nobody finds the job, and
   facts that come late change nothing (`store_apply.lua`). A job whose messages might still be sent, because its own
   time is not over, waits for that: the bitmap of its ends keeps a message from being sent twice. Where there is to be
   an archive, a job waits until that has what happened until it was due.
3. What is left of it, which may be millions of timelines, goes in steps, and `removals` says how far they are: who dies
   here is gone on after by the next. Its counts go last, for they name its bitmaps.

Several processes may do this side by side: each step is a script that looks at what is there.
"""

import asyncio
from collections.abc import Callable

from prometheus_client import Counter, Gauge

from services.reports import timeline
from services.reports.reports import DAY_MS
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import archived, jobs, keys, stops
from shared.redis.redis import Client, RedisAway, Script
from shared.words import ids

REMOVED = Counter("estafette_reports_removed_jobs_total", "Jobs removed after their retention, with all that was kept")
OVERDUE = Gauge("estafette_reports_overdue_job_seconds", "For how long the job that waits longest should be gone; or 0")

#: Between two looks at a job that has not ended, and from when it was made to the first: most have ended by then.
LOOK_MS = 3_600_000
#: Jobs that one script looks at: each is a short read and a count of bits, a microsecond and a half for most.
LOOKED_AT = 200
#: Timelines that one step removes: 0.3 ms of Redis.
TOGETHER = 500
#: Jobs of a partition that one sweep looks at, and as many that it removes, so that each has its turn.
SWEPT = 10_000
SWEEP_SECONDS = 60.0
#: The counter of how many messages did something is in `job_counts` under the name of its bitmap and this.
_UNIQUE = b":unique"
#: What is kept of a job besides its hash, its counts, and what they name.
_WHOLE = (
    keys.job_recipients, keys.job_chunks, keys.job_seen, keys.job_ended, keys.job_begun, keys.job_judged,
    keys.job_figures, keys.job_renderings, keys.job_states, keys.job_clicks, keys.job_statistics, keys.job_places,
    keys.job_files, keys.job_file_uses,
)  # fmt: skip

_FIND = Script.of(__file__, "retention_find", names=jobs.NAMED)
_BEGIN = Script.of(__file__, "retention_begin", names=jobs.NAMED)
_STEP = Script.of(__file__, "retention_step")

_log = logs.get_logger()


class Retention:
    """`now_ms` is the clock; `is_archived`: there is to be an archive. Every method raises RedisAway, and goes on there
    the next time."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        retention_days: int,
        now_ms: Callable[[], int],
        is_archived: bool = False,
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._retention_ms = retention_days * DAY_MS
        self._now_ms = now_ms
        self._is_archived = is_archived

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        while not stopping.is_set():
            try:
                await self.sweep(stopping)
            except RedisAway as away:
                _log.warning("retention_failed", reason=str(away))
            except Exception:  # ours, or a server that refuses: counting goes on
                _log.exception("retention_failed")
            await pause(stopping, SWEEP_SECONDS)

    async def sweep(self, stopping: asyncio.Event | None = None) -> int:
        """Once through all partitions; how many jobs are gone."""
        gone, overdue_ms = 0, 0
        for p in range(self._partitions):
            if stopping is not None and stopping.is_set():
                return gone
            await self._find(p)
            gone += await self._remove(p)
            overdue_ms = max(overdue_ms, await self._overdue_ms(p))
        OVERDUE.set(overdue_ms / 1000)
        if gone:
            _log.info("jobs_removed", jobs=gone)
        return gone

    async def _find(self, p: int) -> None:
        """What has ended, of the jobs that nobody has looked at and of those that had not."""
        last = f"[{ids.last_job(self._now_ms() - LOOK_MS)}"
        for _ in range(SWEPT // LOOKED_AT):
            known = await self._client.get(keys.retention_walk(p))
            first = "-" if known is None else f"({known.decode()}"
            found = await self._client.zrangebylex(keys.jobs(p), first, last, start=0, num=LOOKED_AT)
            await self._look_at(p, [job.decode() for job in found])
            if found:
                await self._client.set(keys.retention_walk(p), found[-1])
            due = await self._client.zrangebyscore(keys.unended_jobs(p), "-inf", self._now_ms(), start=0, num=LOOKED_AT)
            await self._look_at(p, [job.decode() for job in due])
            if len(found) < LOOKED_AT and len(due) < LOOKED_AT:
                break

    async def _look_at(self, p: int, found: list[str]) -> None:
        if not found:
            return
        names = [keys.unended_jobs(p), keys.ended_jobs(p)]
        for job in found:
            names += [keys.job(p, job), keys.job_ended(p, job)]
        now_ms = self._now_ms()
        await _FIND(self._client, names, [now_ms, now_ms + LOOK_MS, *found])

    async def _remove(self, p: int) -> int:
        """Goes on with what was begun, and then with what is due; how many are gone."""
        gone = 0
        for name, left in (await self._client.hgetall(keys.removals(p))).items():
            gone += await self._clear(p, name.decode(), int(left))
        before_ms = await self._due_ms(p)
        for _ in range(SWEPT // LOOKED_AT):
            due = await self._client.zrangebyscore(keys.ended_jobs(p), "-inf", before_ms, start=0, num=LOOKED_AT)
            for job in map(bytes.decode, due):
                timelines = await self._begin(p, job, before_ms)
                if timelines is not None:
                    gone += await self._clear(p, job, timelines)
            if len(due) < LOOKED_AT:
                break
        return gone

    async def _due_ms(self, p: int) -> int:
        """Jobs that ended by then are due. The archive looks up in a job whose its messages were, so its clock is that
        of the last event that is in a file: what happened until a job was due is there when it goes."""
        now_ms = self._now_ms()
        if self._is_archived:
            outside_ms = await archived.oldest_outside_ms(self._client, p)
            now_ms = now_ms if outside_ms is None else min(now_ms, outside_ms)
        return now_ms - self._retention_ms

    async def _begin(self, p: int, job: str, before_ms: int) -> int | None:
        """Nobody finds the job from now on; how many timelines it has. None if it is not to be removed."""
        tenant = (await jobs.read(self._client, self._partitions, job, (jobs.TENANT,)))[jobs.TENANT]
        names = [
            keys.ended_jobs(p), keys.removals(p), keys.job(p, job), keys.jobs(p), keys.tenant_jobs(p, tenant),
        ]  # fmt: skip
        args: list[str | bytes | int] = [job, before_ms, self._now_ms(), self._retention_ms, timeline.BUCKET]
        left = int(await _BEGIN(self._client, names, args))
        return None if left < 0 else left

    async def _clear(self, p: int, job: str, left: int) -> bool:
        """What is left of a job whose hash is gone, so that nothing is added; whether it was this call that ended
        it."""
        counters = await self._client.hkeys(keys.job_counts(p, job))
        bitmaps = [
            keys.job_bitmap(p, job, name.removesuffix(_UNIQUE).decode()) for name in counters if name.endswith(_UNIQUE)
        ]
        whole = [key(p, job) for key in _WHOLE]
        for begin in range(0, len(bitmaps), TOGETHER):
            await self._step(p, job, left, bitmaps[begin : begin + TOGETHER])
        await self._step(p, job, left, whole)
        while left > 0:
            after = max(0, left - TOGETHER)
            await self._step(p, job, after, [keys.job_timeline(p, job, bucket) for bucket in range(after, left)])
            left = after
        await self._client.hdel(keys.resumes(), stops.of_job(job))
        is_last = await self._step(p, job, -1, [keys.job_counts(p, job)])
        if is_last:
            REMOVED.inc()
        return is_last

    async def _step(self, p: int, job: str, left: int, names: list[str]) -> bool:
        return bool(await _STEP(self._client, [keys.removals(p), *names], [job, left]))

    async def _overdue_ms(self, p: int) -> int:
        found = await self._client.zrange(keys.ended_jobs(p), 0, 0, withscores=True)
        return max(0, self._now_ms() - self._retention_ms - int(found[0][1])) if found else 0

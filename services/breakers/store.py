"""The figures of the breakers in Redis: each thing counts once for its message, however often its fact is handled.

A job's events, what was counted of each of its messages (four bits an ordinal) and its figures are in one partition, so
that one script looks and counts. A tenant has figures in each partition with its jobs; together they are the tenant's.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from services.breakers.figures import (
    Counted,
    Figures,
    Seen,
    TenantDays,
)
from services.breakers.renderings import FIRST, Rendered, Renderings
from shared.redis import keys
from shared.redis.jobs import NAMED, TENANT, has_ended
from shared.redis.jobs import read as read_job
from shared.redis.redis import Client, Script
from shared.redis.stops import STOPPED_STREAM
from shared.words import ids

#: Longer than facts wait to be read, and than anybody repeats one.
JUDGED_MS = 90 * 86_400_000
#: Longer than five sending days of who sends once a quarter.
TENANT_MS = 400 * 86_400_000
WARNED_MS = 2 * 86_400_000

_COUNT = Script.of(__file__, "store_count", names=NAMED)
_FORGET = Script.of(__file__, "store_forget")
_RENDERED = Script.of(__file__, "store_rendered")
_encoder = msgspec.msgpack.Encoder()


class FigureStore:
    """Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def count(self, partition: int, batch: Sequence[Seen]) -> Counted:
        """One script call."""
        names: list[str] = []
        jobs: dict[str, int] = {}
        tenants: dict[str, int] = {}
        for job in dict.fromkeys(one.job for one in batch):
            jobs[job] = len(names) + 1
            names += [keys.job(partition, job), keys.job_judged(partition, job), keys.job_figures(partition, job)]
        for tenant in dict.fromkeys(one.tenant for one in batch):
            tenants[tenant] = len(names) + 1
            names.append(keys.tenant_figures(partition, tenant))
        rows = [(jobs[one.job], tenants[one.tenant], one.ordinal, int(one.what), one.day) for one in batch]
        args: list[str | bytes | int] = [JUDGED_MS, TENANT_MS, STOPPED_STREAM, _encoder.encode(rows)]
        found, judged = await _COUNT(self._client, names, args)
        job_at = {place: job for job, place in jobs.items()}
        tenant_at = {place: tenant for tenant, place in tenants.items()}
        return Counted(
            {job_at[found[at]]: Figures(found[at + 1], found[at + 2]) for at in range(0, len(found), 3)},
            [tenant_at[place] for place in judged],
        )

    async def job(self, job: str) -> Figures:
        """Invalid of judged addresses since the last resume."""
        key = keys.job_figures(ids.job_partition(job, self._partitions), job)
        invalid, judged = await self._client.hmget(key, "invalid", "judged")
        return Figures(int(invalid or 0), int(judged or 0))

    async def begin_job_anew(self, job: str) -> None:
        """Counts from 0 again. What was counted of a message already does not count again."""
        await self._client.delete(keys.job_figures(ids.job_partition(job, self._partitions), job))

    async def count_renderings(self, partition: int, batch: Sequence[Rendered]) -> dict[str, Renderings]:
        """Of the jobs that have a failure in the batch. One script call."""
        jobs = list(dict.fromkeys(one.job for one in batch))
        names = [keys.job_renderings(partition, job) for job in jobs]
        places = {job: place for place, job in enumerate(jobs, 1)}
        rows = [(places[one.job], one.ordinal, int(one.failed)) for one in batch]
        found = await _RENDERED(self._client, names, [JUDGED_MS, FIRST, _encoder.encode(rows)])
        return {jobs[found[at] - 1]: Renderings(found[at + 1], found[at + 2]) for at in range(0, len(found), 3)}

    async def renderings(self, job: str) -> Renderings:
        """Failed of the first messages since the last resume."""
        key = keys.job_renderings(ids.job_partition(job, self._partitions), job)
        found = [int(one) for one in await self._client.hvals(key)]
        return Renderings(sum(found), len(found))

    async def begin_renderings_anew(self, job: str) -> None:
        """Counts from 0 again."""
        await self._client.delete(keys.job_renderings(ids.job_partition(job, self._partitions), job))

    async def tenant(self, tenant: str) -> TenantDays:
        """Over all partitions."""
        found = await asyncio.gather(
            *(self._client.hgetall(keys.tenant_figures(p, tenant)) for p in range(self._partitions))
        )
        days: dict[str, dict[int, int]] = {"delivered": {}, "complaints": {}}
        for fields in found:
            for field, number in fields.items():
                what, _, day = field.decode().partition(":")
                days[what][int(day)] = days[what].get(int(day), 0) + int(number)
        return TenantDays(days["delivered"], days["complaints"])

    async def begin_tenant_anew(self, tenant: str) -> None:
        """The complaints so far are settled. What was delivered stays counted: complaints about it are still to come,
        and are to be a share of it."""
        await self._forget(tenant, "complaints", "")

    async def forget_days(self, tenant: str, before: int) -> None:
        """Days that are no longer judged."""
        await self._forget(tenant, "", before)

    async def _forget(self, tenant: str, what: str, before: int | str) -> None:
        await asyncio.gather(
            *(_FORGET(self._client, [keys.tenant_figures(p, tenant)], [what, before]) for p in range(self._partitions))
        )

    async def has_ended(self, job: str) -> bool:
        """Whether nothing of the job is left to be sent."""
        return await has_ended(self._client, self._partitions, job)

    async def tenant_of(self, job: str) -> str | None:
        """Whose job it is; None if there is no such job."""
        found = await read_job(self._client, self._partitions, job, (TENANT,))
        return found[TENANT] or None

    async def was_warned(self, tenant: str, day: int) -> bool:
        return bool(await self._client.exists(keys.warned(tenant, day)))

    async def note_warned(self, tenant: str, day: int) -> None:
        await self._client.set(keys.warned(tenant, day), 1, px=WARNED_MS)

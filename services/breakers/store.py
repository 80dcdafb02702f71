"""The figures of the breakers in Redis: each thing counts once for its message, however often its fact is handled.

A job's events, what was counted of each of its messages (four bits an ordinal) and its figures are in one partition, so
that one script looks and counts. A tenant has figures in each partition that has jobs of his; together they are his.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from services.breakers.figures import (
    Counted,
    Figures,
    Seen,
    TenantDays,
)
from services.breakers.renderings import FIRST, Rendered, Renderings
from shared.redis import keys
from shared.redis.jobs import NAMED, TENANT
from shared.redis.jobs import read as read_job
from shared.redis.redis import Client, Script, answer
from shared.redis.stops import STOPPED_STREAM
from shared.words import ids

#: Longer than facts wait to be read, and than anybody repeats one.
JUDGED_MS = 90 * 86_400_000
#: Longer than five sending days of who sends once a quarter.
TENANT_MS = 400 * 86_400_000
WARNED_MS = 2 * 86_400_000

# KEYS: of each job its hash, what was counted of its messages, its figures; then the figures of each tenant. ARGV:
# lifetimes of a job's and of a tenant's figures, the stream that is judged, the batch as a msgpack list of [first key
# of the job, key of the tenant, ordinal, what was seen (`Saw`), day]. Answers two lists: job's first key, invalid and
# judged of each job that has an invalid address in the batch; keys of the tenants that are to be judged.
_COUNT = Script(
    """
local bulk, jobs, tenants, touched, sums = {}, {}, {}, {}, {}

local function is_judged(job, ordinal)
  if bulk[job] == nil then
    local head = redis.call('HMGET', KEYS[job], JOB.stream, JOB.test, JOB.total)
    bulk[job] = head[1] == ARGV[3] and head[2] ~= '1' and tonumber(head[3])
  end
  return bulk[job] and ordinal < bulk[job]
end

local function is_new(job, ordinal, what)
  touched[job + 1] = ARGV[1]
  return redis.call('SETBIT', KEYS[job + 1], ordinal * 4 + what, 1) == 0
end

local function add(key, field, lifetime)
  touched[key] = lifetime
  sums[key] = sums[key] or {}
  sums[key][field] = (sums[key][field] or 0) + 1
end

for _, one in ipairs(cmsgpack.unpack(ARGV[4])) do
  local job, tenant, ordinal, what, day = unpack(one)
  if is_judged(job, ordinal) then
    if what == 0 and is_new(job, ordinal, 0) then add(tenant, 'delivered:' .. day, ARGV[2]) end
    if what == 3 then
      if is_new(job, ordinal, 3) then add(tenant, 'complaints:' .. day, ARGV[2]) end
      tenants[tenant] = true
    elseif is_new(job, ordinal, 1) then
      add(job + 2, 'judged', ARGV[1])
    end
    if what == 2 then
      if is_new(job, ordinal, 2) then add(job + 2, 'invalid', ARGV[1]) end
      jobs[job] = true
    end
  end
end
for key, fields in pairs(sums) do
  for field, number in pairs(fields) do
    local sum = redis.call('HINCRBY', KEYS[key], field, number)
    if sum == number and string.sub(field, 1, 9) == 'delivered' then tenants[key] = true end
  end
end
for key, lifetime in pairs(touched) do redis.call('PEXPIRE', KEYS[key], lifetime) end
local found, judged = {}, {}
for job in pairs(jobs) do
  local figures = redis.call('HMGET', KEYS[job + 2], 'invalid', 'judged')
  found[#found + 1] = job
  found[#found + 1] = tonumber(figures[1] or 0)
  found[#found + 1] = tonumber(figures[2] or 0)
end
for tenant in pairs(tenants) do judged[#judged + 1] = tenant end
return {found, judged}
""",
    NAMED,
)

# KEYS: figures of a tenant. ARGV: what the fields that go begin with, and the day before which they go ('': all).
_FORGET = Script(
    """
local gone = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local what, day = string.match(field, '^(%a+):(%d+)$')
  if (ARGV[1] == '' or what == ARGV[1]) and (ARGV[2] == '' or tonumber(day) < tonumber(ARGV[2])) then
    gone = gone + redis.call('HDEL', KEYS[1], field)
  end
end
return gone
"""
)

# KEYS: job, its ended messages. Answers 1 if every message of the job has its end, or the job is not kept any more.
_HAS_ENDED = Script(
    """
local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.total)
if not job[1] then return 1 end
if job[1] ~= 'queued' then return 0 end
return redis.call('BITCOUNT', KEYS[2]) >= tonumber(job[2]) and 1 or 0
""",
    NAMED,
)

# KEYS: renderings of each job. ARGV: their lifetime, how many messages are counted, the batch as a msgpack list of [key
# of the job, ordinal, 1 if it failed]. Answers key, failed, counted of each job that has a failure in the batch.
_RENDERED = Script(
    """
local full, failing, found = {}, {}, {}
for _, one in ipairs(cmsgpack.unpack(ARGV[3])) do
  local job, ordinal, failed = unpack(one)
  if full[job] == nil then full[job] = redis.call('HLEN', KEYS[job]) >= tonumber(ARGV[2]) end
  if not full[job] and redis.call('HSETNX', KEYS[job], ordinal, failed) == 1 then
    redis.call('PEXPIRE', KEYS[job], ARGV[1])
    full[job] = redis.call('HLEN', KEYS[job]) >= tonumber(ARGV[2])
  end
  if failed == 1 then failing[job] = true end
end
for job in pairs(failing) do
  local bad, all = 0, redis.call('HVALS', KEYS[job])
  for _, one in ipairs(all) do bad = bad + tonumber(one) end
  found[#found + 1] = job
  found[#found + 1] = bad
  found[#found + 1] = #all
end
return found
"""
)
_encoder = msgspec.msgpack.Encoder()


class FigureStore:
    """Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client: Any = client
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
        invalid, judged = await answer(self._client.hmget(key, "invalid", "judged"))
        return Figures(int(invalid or 0), int(judged or 0))

    async def begin_job_anew(self, job: str) -> None:
        """Counts from 0 again. What was counted of a message already does not count again."""
        await answer(self._client.delete(keys.job_figures(ids.job_partition(job, self._partitions), job)))

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
        found = [int(one) for one in await answer(self._client.hvals(key))]
        return Renderings(sum(found), len(found))

    async def begin_renderings_anew(self, job: str) -> None:
        """Counts from 0 again."""
        await answer(self._client.delete(keys.job_renderings(ids.job_partition(job, self._partitions), job)))

    async def tenant(self, tenant: str) -> TenantDays:
        """Over all partitions."""
        found = await asyncio.gather(
            *(answer(self._client.hgetall(keys.tenant_figures(p, tenant))) for p in range(self._partitions))
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
        p = ids.job_partition(job, self._partitions)
        return bool(await _HAS_ENDED(self._client, [keys.job(p, job), keys.job_ended(p, job)], []))

    async def tenant_of(self, job: str) -> str | None:
        """Whose job it is; None if there is no such job."""
        found = await read_job(self._client, self._partitions, job, (TENANT,))
        return found[TENANT] or None

    async def was_warned(self, tenant: str, day: int) -> bool:
        return bool(await answer(self._client.exists(keys.warned(tenant, day))))

    async def note_warned(self, tenant: str, day: int) -> None:
        await answer(self._client.set(keys.warned(tenant, day), 1, px=WARNED_MS))

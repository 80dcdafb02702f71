"""Jobs in Redis: stored whole or not at all, appended to, started, finished chunk by chunk.

All keys of a job are in its partition, together with the `intake` stream of that partition, so each step is one script.
The states of a job:

    open ──start──→ queueing ──last chunk queued──→ queued
      ╰──start with send_at──→ scheduled ──due──→ queueing

`chunks` lists what an open or scheduled job will hand to `intake`; starting turns each of them into an entry there. An
open job that nobody starts is removed when its time in `open_jobs` has come.

What a tenant keeps is counted by the same scripts, in the same step (`keys.use`, `keys.intake_use`), so no crash can
come between a thing and its count.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from shared.redis import jobs, keys, lua, recipients
from shared.redis.jobs import Start
from shared.redis.ready import LANES
from shared.redis.redis import Client, Script, answer
from shared.words import events, ids

#: A repeated request with the same Idempotency-Key is answered from memory for so long.
IDEMPOTENCY_MS = 24 * 3600 * 1000
DAY_MS = 24 * 3600 * 1000
HOUR_MS = 3600 * 1000
#: Plans of chunks live as long.
FORGOTTEN_MS = 7 * DAY_MS
#: A tenant with less than this part of a full lane waiting there is let in all the same: others have filled it.
SHARE = 10
#: What a job costs besides its content and recipients, so that empty ones count.
JOB_BYTES = 1_000
#: Open jobs of a partition that one look removes.
REMOVED_AT_ONCE = 20
#: Entries of a lane that are counted anew in one step, about 3 ms of Redis; a longer one is when it is shorter.
MOST_COUNTED = 2_000

# KEYS: job, recipients, chunks, intake, schedule, idempotency, use, intake_use, open_jobs. ARGV: digest of the request
# ('' : no key), its answer, lifetime, most entries of intake, start (open, scheduled or queueing), start time, head of
# an Intake, version, number of fields of the job, tenant, hour, bytes of the content, when it is removed if it stays
# open, the share of intake that is anybody's, the fields, then first ordinal and bytes of each chunk.
_STORE = Script(
    """
if ARGV[1] ~= '' then
  local known = redis.call('HMGET', KEYS[6], 'request', 'answer')
  if known[1] then return {known[1] == ARGV[1] and 'repeated' or 'reused', known[2]} end
end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'taken'} end
if ARGV[5] ~= 'open' and redis.call('XLEN', KEYS[4]) >= tonumber(ARGV[4])
  and tonumber(redis.call('HGET', KEYS[8], ARGV[10]) or 0) >= tonumber(ARGV[14]) then return {'full'} end
local chunks = 15 + ARGV[9] * 2
for i = 15, chunks - 1, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
local held = 0
for i = chunks, #ARGV, 2 do
  redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1])
  held = held + #ARGV[i + 1]
  if ARGV[5] == 'queueing' then
    redis.call('XADD', KEYS[4], '*', 't', 'Intake', 'v', ARGV[8],
      'b', ARGV[7] .. '\\206' .. struct.pack('>I4', tonumber(ARGV[i])))
  else
    redis.call('RPUSH', KEYS[3], ARGV[i])
  end
end
redis.call('HSET', KEYS[1], JOB.state, ARGV[5], JOB.queued, 0, JOB.held, held)
if ARGV[5] == 'open' then
  redis.call('ZADD', KEYS[9], ARGV[13], string.match(KEYS[1], '[^:]+$'))
  redis.call('HINCRBY', KEYS[7], 'open_jobs', 1)
  redis.call('HINCRBY', KEYS[7], 'bytes', held + ARGV[12])
else
  redis.call('HINCRBY', KEYS[7], 'bytes', held)
  redis.call('HINCRBY', KEYS[7], 'content:' .. ARGV[11], ARGV[12])
end
if ARGV[5] == 'queueing' and #ARGV > chunks then
  redis.call('HINCRBY', KEYS[8], ARGV[10], (#ARGV - chunks + 1) / 2)
end
if ARGV[5] == 'scheduled' then
  redis.call('ZADD', KEYS[5], ARGV[6], string.match(KEYS[1], '[^:]+$'))
end
if ARGV[1] ~= '' then
  redis.call('HINCRBY', KEYS[7], 'keys:' .. ARGV[11], 1)
  redis.call('HSET', KEYS[6], 'request', ARGV[1], 'answer', ARGV[2])
  redis.call('PEXPIRE', KEYS[6], ARGV[3])
end
return {'stored'}
""",
    jobs.NAMED,
)

# KEYS: job, recipients, chunks, seen, use, open_jobs. ARGV: tenant, lifetime of seen, when the job is removed if it
# stays open, then digest and packed Waiting of each recipient.
# A chunk is written as `recipients.Chunk` is: [uint32 first ordinal, false, bin32 of an array16 of recipients].
_APPEND = Script(
    """
local job = redis.call('HMGET', KEYS[1], JOB.tenant, JOB.state, JOB.total)
if job[1] ~= ARGV[1] then return {'unknown'} end
if job[2] ~= 'open' then return {'not_open', job[2]} end
local fresh = {}
for i = 4, #ARGV, 2 do
  if redis.call('SADD', KEYS[4], ARGV[i]) == 1 then fresh[#fresh + 1] = ARGV[i + 1] end
end
if #fresh > 0 then
  local first = tonumber(job[3])
  local body = '\\220' .. struct.pack('>I2', #fresh) .. table.concat(fresh)
  local chunk = '\\147\\206' .. struct.pack('>I4', first) .. '\\194\\198' .. struct.pack('>I4', #body) .. body
  redis.call('ZADD', KEYS[2], first, chunk)
  redis.call('RPUSH', KEYS[3], first)
  redis.call('HINCRBY', KEYS[1], JOB.held, #chunk)
  redis.call('HINCRBY', KEYS[5], 'bytes', #chunk)
  redis.call('HINCRBY', KEYS[1], JOB.total, #fresh)
end
redis.call('PEXPIRE', KEYS[4], ARGV[2])
redis.call('ZADD', KEYS[6], 'XX', ARGV[3], string.match(KEYS[1], '[^:]+$'))
return {'appended', #fresh}
""",
    jobs.NAMED,
)

# KEYS: job, chunks, intake, schedule, seen, use, intake_use, open_jobs. ARGV: most entries of intake, head of an
# Intake, version, time to start at ('': now), now, tenant, hour, the share of intake that is anybody's, bytes that a
# job costs. A job without an expiry of its own gets it here.
_START = Script(
    """
local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.total)
if job[1] ~= 'open' and job[1] ~= 'scheduled' then return {'not_open', job[1]} end
if job[1] == 'open' and tonumber(job[2]) == 0 then return {'empty'} end
if ARGV[4] == '' and redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[1])
  and tonumber(redis.call('HGET', KEYS[7], ARGV[6]) or 0) >= tonumber(ARGV[8]) then return {'full'} end
redis.call('UNLINK', KEYS[5])
local begins = tonumber(ARGV[4] == '' and ARGV[5] or ARGV[4])
local expiry = redis.call('HMGET', KEYS[1], JOB.expires_at, JOB.max_age_ms)
if expiry[1] == '0' then redis.call('HSET', KEYS[1], JOB.expires_at, begins + tonumber(expiry[2])) end
local name = string.match(KEYS[1], '[^:]+$')
if redis.call('ZREM', KEYS[8], name) == 1 then
  local content = redis.call('HSTRLEN', KEYS[1], JOB.content) + ARGV[9]
  redis.call('HINCRBY', KEYS[6], 'open_jobs', -1)
  redis.call('HINCRBY', KEYS[6], 'bytes', -content)
  redis.call('HINCRBY', KEYS[6], 'content:' .. ARGV[7], content)
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], JOB.state, 'scheduled')
  redis.call('ZADD', KEYS[4], ARGV[4], name)
  return {'scheduled'}
end
local chunks = redis.call('LRANGE', KEYS[2], 0, -1)
if #chunks > 0 then redis.call('HINCRBY', KEYS[7], ARGV[6], #chunks) end
for _, first in ipairs(chunks) do
  redis.call('XADD', KEYS[3], '*', 't', 'Intake', 'v', ARGV[3],
    'b', ARGV[2] .. '\\206' .. struct.pack('>I4', tonumber(first)))
end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[4], name)
local state = tonumber(job[2]) > 0 and 'queueing' or 'queued'
redis.call('HSET', KEYS[1], JOB.state, state)
return {state}
""",
    jobs.NAMED,
)

# KEYS: job, recipients, plan, intake, use, intake_use. ARGV: first ordinal, slim chunk, number of recipients, group,
# entry, tenant.
_FINISH = Script(
    """
if redis.call('XACK', KEYS[4], ARGV[4], ARGV[5]) == 0 then return 0 end
redis.call('XDEL', KEYS[4], ARGV[5])
local chunk = redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[1], ARGV[1])[1]
if chunk then
  local freed = math.min(#chunk, tonumber(redis.call('HGET', KEYS[1], JOB.held) or 0))
  redis.call('HINCRBY', KEYS[1], JOB.held, -freed)
  redis.call('HINCRBY', KEYS[5], 'bytes', -freed)
end
if redis.call('HEXISTS', KEYS[6], ARGV[6]) == 1 and redis.call('HINCRBY', KEYS[6], ARGV[6], -1) <= 0 then
  redis.call('HDEL', KEYS[6], ARGV[6])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], ARGV[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[1], ARGV[2])
redis.call('DEL', KEYS[3])
local queued = redis.call('HINCRBY', KEYS[1], JOB.queued, ARGV[3])
if queued >= tonumber(redis.call('HGET', KEYS[1], JOB.total)) then
  redis.call('HSET', KEYS[1], JOB.state, 'queued')
end
return 1
""",
    jobs.NAMED,
)

# KEYS: job, recipients, chunks, seen, use, open_jobs. ARGV: now, bytes that a job costs.
_REMOVE = Script(
    """
local name = string.match(KEYS[1], '[^:]+$')
local at = redis.call('ZSCORE', KEYS[6], name)
if not at or tonumber(at) > tonumber(ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[6], name)
local job = redis.call('HMGET', KEYS[1], JOB.state, JOB.held)
if job[1] ~= 'open' then return 0 end
redis.call('HINCRBY', KEYS[5], 'open_jobs', -1)
redis.call('HINCRBY', KEYS[5], 'bytes', -(redis.call('HSTRLEN', KEYS[1], JOB.content) + ARGV[2] + (job[2] or 0)))
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
return 1
""",
    jobs.NAMED,
)

# KEYS: intake, intake_use. ARGV: most entries. Counts whose the entries are, as `intake_use` should have it: an entry
# that was buried, or was handled twice, leaves without being counted.
_COUNT_INTAKE = Script(
    """
if redis.call('XLEN', KEYS[1]) > tonumber(ARGV[1]) then return 0 end
local counts = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'b' then
      local tenant = cmsgpack.unpack(entry[2][i + 1])[INTAKE.tenant]
      counts[tenant] = (counts[tenant] or 0) + 1
    end
  end
end
redis.call('DEL', KEYS[2])
for tenant, count in pairs(counts) do redis.call('HSET', KEYS[2], tenant, count) end
return 1
""",
    lua.places(INTAKE=events.Intake),
)

#: The fields of `keys.use`, and the quota that each counts for.
_QUOTA_OF = {
    "open_jobs": "open_jobs",
    "bytes": "stored_bytes",
    "content": "stored_bytes",
    "keys": "idempotency_keys",
}


@dataclass(frozen=True)
class Stored:
    """How storing ended: `stored`, `repeated` or `reused` (an Idempotency-Key known with the same or another request;
    `answer` is what was answered then), `taken` (the id exists), `full` (too much waits to be queued)."""

    word: str
    answer: bytes = b""


@dataclass(frozen=True)
class Head:
    """What a job says about each of its recipients. `rate`: its own, as in its content ("": none)."""

    tenant: str
    stream: str
    expires_at_ms: int
    at_most_once: bool = False
    rate: str = ""

    @property
    def lane(self) -> int:
        return LANES[self.stream]


_HEAD = (jobs.TENANT, jobs.STREAM, jobs.EXPIRES_AT, jobs.AT_MOST_ONCE, jobs.RATE)


class JobStore:
    """The scripts above. Every method is one round trip and raises RedisAway when it may or may not have happened."""

    def __init__(
        self, client: Client, partitions: int, max_intake_chunks: int, open_job_ms: int = FORGOTTEN_MS
    ) -> None:
        self._client: Any = client
        self._partitions = partitions
        self._max_intake_chunks = max_intake_chunks
        self._open_job_ms = open_job_ms
        self._share = max(1, max_intake_chunks // SHARE)

    def _partition(self, job: str) -> int:
        return ids.job_partition(job, self._partitions)

    async def store(
        self,
        job: str,
        new: jobs.New,
        chunks: Sequence[tuple[int, bytes]],
        start: Start,
        start_at_ms: int = 0,
        idempotency: tuple[str, bytes, bytes] | None = None,
    ) -> Stored:
        """Stores a job and its chunks (first ordinal, `recipients.pack_waiting`). `idempotency` is the digest of tenant
        and key, the digest of the request, and the answer to repeat."""
        p = self._partition(job)
        lane, created_ms = LANES[new.stream], ids.job_created_ms(job)
        key_digest, request_digest, reply = idempotency or ("", b"", b"")
        names = [
            keys.job(p, job),
            keys.job_recipients(p, job),
            keys.job_chunks(p, job),
            keys.intake(p, lane),
            keys.schedule(p),
            keys.idempotency(p, key_digest),
            keys.use(p, new.tenant),
            keys.intake_use(p, lane),
            keys.open_jobs(p),
        ]
        fields = jobs.written(new)
        args: list[str | bytes | int] = [
            request_digest, reply, IDEMPOTENCY_MS, self._max_intake_chunks, start, start_at_ms,
            _intake_head(new.tenant, job), events.MAJOR_VERSION, len(fields), new.tenant,
            created_ms // HOUR_MS, len(new.content) + JOB_BYTES, created_ms + self._open_job_ms, self._share,
        ]  # fmt: skip
        for name, value in fields.items():
            args += [name, value]
        for first, chunk in chunks:
            args += [first, chunk]
        found = await _STORE(self._client, names, args)
        return Stored(found[0].decode(), found[1] if len(found) > 1 else b"")

    async def append(self, tenant: str, job: str, batch: Sequence[tuple[bytes, bytes]], now_ms: int) -> tuple[str, int]:
        """Appends (digest of the address, packed Waiting) to an open job, those it has not yet seen. Answers
        `appended` and how many were new, or `unknown`, `not_open`."""
        p = self._partition(job)
        names = [
            keys.job(p, job), keys.job_recipients(p, job), keys.job_chunks(p, job), keys.job_seen(p, job),
            keys.use(p, tenant), keys.open_jobs(p),
        ]  # fmt: skip
        args: list[str | bytes | int] = [tenant, self._open_job_ms + DAY_MS, now_ms + self._open_job_ms]
        for digest, waiting in batch:
            args += [digest, waiting]
        found = await _APPEND(self._client, names, args)
        word = found[0].decode()
        return word, int(found[1]) if word == "appended" else 0

    async def start(self, tenant: str, job: str, now_ms: int, start_at_ms: int | None = None) -> tuple[str, str]:
        """Starts an open or scheduled job, now or later. Answers its new state, or `unknown`, or `not_open` and the
        state it has, or `empty` of an open one without recipients, or `full`. With tenant "" it is the schedule that
        starts it."""
        head = await self.head(job)
        if head is None or tenant not in ("", head.tenant):
            return "unknown", ""
        p = self._partition(job)
        names = [
            keys.job(p, job), keys.job_chunks(p, job), keys.intake(p, head.lane), keys.schedule(p),
            keys.job_seen(p, job), keys.use(p, head.tenant), keys.intake_use(p, head.lane), keys.open_jobs(p),
        ]  # fmt: skip
        found = await _START(
            self._client,
            names,
            [
                self._max_intake_chunks,
                _intake_head(head.tenant, job),
                events.MAJOR_VERSION,
                "" if start_at_ms is None else start_at_ms,
                now_ms,
                head.tenant,
                now_ms // HOUR_MS,
                self._share,
                JOB_BYTES,
            ],
        )
        return found[0].decode(), found[1].decode() if len(found) > 1 else ""

    async def chunks_to_start(self, job: str) -> int:
        """How many entries of `intake` the job will be when it is started."""
        return int(await answer(self._client.llen(keys.job_chunks(self._partition(job), job))))

    async def due(self, partition: int, now_ms: int) -> list[str]:
        """Scheduled jobs whose time has come."""
        found = await answer(self._client.zrangebyscore(keys.schedule(partition), "-inf", now_ms, start=0, num=100))
        return [job.decode() for job in found]

    async def remove_open(self, partition: int, now_ms: int) -> list[str]:
        """Removes open jobs that nobody has started in time, a few at once, with all that they have; which."""
        p = partition
        names = await answer(
            self._client.zrangebyscore(keys.open_jobs(p), "-inf", now_ms, start=0, num=REMOVED_AT_ONCE)
        )
        removed = []
        for job in [name.decode() for name in names]:
            head = await self.head(job)
            tenant = head.tenant if head is not None else ""
            places = [
                keys.job(p, job), keys.job_recipients(p, job), keys.job_chunks(p, job), keys.job_seen(p, job),
                keys.use(p, tenant), keys.open_jobs(p),
            ]  # fmt: skip
            if await _REMOVE(self._client, places, [now_ms, JOB_BYTES]):
                removed.append(job)
        return removed

    async def count_intake(self, partition: int) -> None:
        """Counts anew whose entries wait in the lanes of a partition, where that costs little."""
        for lane in sorted(set(LANES.values())):
            names = [keys.intake(partition, lane), keys.intake_use(partition, lane)]
            await _COUNT_INTAKE(self._client, names, [MOST_COUNTED])

    async def use(self, tenant: str, now_ms: int) -> dict[str, int]:
        """What a tenant keeps, over all partitions: `open_jobs`, `stored_bytes`, `idempotency_keys`, and by lane
        `intake_chunks:<lane>`. Forgets hours that are over."""
        found: dict[str, int] = dict.fromkeys(("open_jobs", "stored_bytes", "idempotency_keys"), 0)
        since = (now_ms - IDEMPOTENCY_MS) // HOUR_MS
        lanes = sorted(set(LANES.values()))
        parts = range(self._partitions)
        uses = await asyncio.gather(*(answer(self._client.hgetall(keys.use(p, tenant))) for p in parts))
        for p, fields in zip(parts, uses, strict=True):
            over = []
            for name, count in fields.items():
                word, _, hour = name.decode().partition(":")
                if hour and int(hour) < since:
                    over.append(name)
                else:
                    found[_QUOTA_OF[word]] += int(count)
            if over:
                await answer(self._client.hdel(keys.use(p, tenant), *over))
        for lane in lanes:
            waiting = await asyncio.gather(
                *(answer(self._client.hget(keys.intake_use(p, lane), tenant)) for p in parts)
            )
            found[f"intake_chunks:{lane}"] = sum(int(count or 0) for count in waiting)
        return found

    async def knows(self, key_digest: str) -> bool:
        """Whether a request with this Idempotency-Key was stored in the last 24 hours."""
        p = ids.name_partition(key_digest, self._partitions)
        return bool(await answer(self._client.exists(keys.idempotency(p, key_digest))))

    async def head(self, job: str) -> Head | None:
        """None if there is no such job."""
        found = await jobs.read(self._client, self._partitions, job, _HEAD)
        if not found[jobs.TENANT]:
            return None
        return Head(
            found[jobs.TENANT],
            found[jobs.STREAM],
            found[jobs.EXPIRES_AT],
            found[jobs.AT_MOST_ONCE],
            found[jobs.RATE],
        )

    async def chunk(self, job: str, first_ordinal: int) -> recipients.Chunk | None:
        found = await answer(
            self._client.zrangebyscore(
                keys.job_recipients(self._partition(job), job), first_ordinal, first_ordinal, start=0, num=1
            )
        )
        return recipients.read(found[0]) if found else None

    async def known_plan(self, job: str, first_ordinal: int) -> bytes | None:
        found: bytes | None = await answer(self._client.get(keys.job_plan(self._partition(job), job, first_ordinal)))
        return found

    async def decide_plan(self, job: str, first_ordinal: int, plan: bytes) -> bytes:
        """Writes the plan down unless there is one already; answers the one that holds."""
        key = keys.job_plan(self._partition(job), job, first_ordinal)
        if await answer(self._client.set(key, plan, nx=True, px=FORGOTTEN_MS)):
            return plan
        return await self.known_plan(job, first_ordinal) or plan

    async def finish(
        self, tenant: str, job: str, lane: int, first_ordinal: int, slim: bytes, count: int, entry: str
    ) -> None:
        """The chunk is queued: only what late facts need stays, and its entry leaves `intake`."""
        p = self._partition(job)
        names = [
            keys.job(p, job), keys.job_recipients(p, job), keys.job_plan(p, job, first_ordinal), keys.intake(p, lane),
            keys.use(p, tenant), keys.intake_use(p, lane),
        ]  # fmt: skip
        await _FINISH(self._client, names, [first_ordinal, slim, count, keys.GROUP_QUEUEING, entry, tenant])


def _intake_head(tenant: str, job: str) -> bytes:
    """An Intake up to its last field, which a script adds as uint32."""
    return b"\x93" + msgspec.msgpack.encode(tenant) + msgspec.msgpack.encode(job)

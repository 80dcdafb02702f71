"""Jobs in Redis: stored whole or not at all, appended to, started, finished chunk by chunk.

All keys of a job are in its partition, together with the `intake` stream of that partition, so each step is one script.
The states of a job:

    open ──start──→ queueing ──last chunk queued──→ queued
      ╰──start with send_at──→ scheduled ──due──→ queueing

`chunks` lists what an open or scheduled job will hand to `intake`; starting turns each of them into an entry there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from shared import events, ids, keys, recipients
from shared.ready import LANES
from shared.redis import Client, Script, answer

#: A repeated request with the same Idempotency-Key is answered from memory for so long.
IDEMPOTENCY_MS = 24 * 3600 * 1000
#: An open job that nobody starts forgets after this which addresses it has; plans of chunks live as long.
FORGOTTEN_MS = 7 * 24 * 3600 * 1000

# KEYS: job, recipients, chunks, intake, schedule, idempotency. ARGV: digest of the request ('' : no key), its answer,
# lifetime, most entries of intake, start (open, scheduled or queueing), start time, head of an Intake, version, number
# of fields of the job, the fields, then first ordinal and bytes of each chunk.
_STORE = Script(
    """
if ARGV[1] ~= '' then
  local known = redis.call('HMGET', KEYS[6], 'request', 'answer')
  if known[1] then return {known[1] == ARGV[1] and 'repeated' or 'reused', known[2]} end
end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'taken'} end
if ARGV[5] ~= 'open' and redis.call('XLEN', KEYS[4]) >= tonumber(ARGV[4]) then return {'full'} end
local chunks = 10 + ARGV[9] * 2
for i = 10, chunks - 1, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'state', ARGV[5], 'queued', 0)
for i = chunks, #ARGV, 2 do
  redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1])
  if ARGV[5] == 'queueing' then
    redis.call('XADD', KEYS[4], '*', 't', 'Intake', 'v', ARGV[8],
      'b', ARGV[7] .. '\\206' .. struct.pack('>I4', tonumber(ARGV[i])))
  else
    redis.call('RPUSH', KEYS[3], ARGV[i])
  end
end
if ARGV[5] == 'scheduled' then
  redis.call('ZADD', KEYS[5], ARGV[6], string.match(KEYS[1], '[^:]+$'))
end
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[6], 'request', ARGV[1], 'answer', ARGV[2])
  redis.call('PEXPIRE', KEYS[6], ARGV[3])
end
return {'stored'}
"""
)

# KEYS: job, recipients, chunks, seen. ARGV: tenant, lifetime of seen, then digest and packed Waiting of each recipient.
# A chunk is written as `recipients.Chunk` is: [uint32 first ordinal, false, bin32 of an array16 of recipients].
_APPEND = Script(
    """
local job = redis.call('HMGET', KEYS[1], 'tenant', 'state', 'total')
if job[1] ~= ARGV[1] then return {'unknown'} end
if job[2] ~= 'open' then return {'not_open', job[2]} end
local fresh = {}
for i = 3, #ARGV, 2 do
  if redis.call('SADD', KEYS[4], ARGV[i]) == 1 then fresh[#fresh + 1] = ARGV[i + 1] end
end
if #fresh > 0 then
  local first = tonumber(job[3])
  local body = '\\220' .. struct.pack('>I2', #fresh) .. table.concat(fresh)
  redis.call('ZADD', KEYS[2], first, '\\147\\206' .. struct.pack('>I4', first) .. '\\194\\198'
    .. struct.pack('>I4', #body) .. body)
  redis.call('RPUSH', KEYS[3], first)
  redis.call('HINCRBY', KEYS[1], 'total', #fresh)
end
redis.call('PEXPIRE', KEYS[4], ARGV[2])
return {'appended', #fresh}
"""
)

# KEYS: job, chunks, intake, schedule, seen. ARGV: most entries of intake, head of an Intake, version, time to start at
# ('': now), now. A job without an expiry of its own gets it here.
_START = Script(
    """
local job = redis.call('HMGET', KEYS[1], 'state', 'total')
if job[1] ~= 'open' and job[1] ~= 'scheduled' then return {'not_open', job[1]} end
if ARGV[4] == '' and redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[1]) then return {'full'} end
redis.call('DEL', KEYS[5])
local begins = tonumber(ARGV[4] == '' and ARGV[5] or ARGV[4])
local expiry = redis.call('HMGET', KEYS[1], 'expires_at', 'max_age_ms')
if expiry[1] == '0' then redis.call('HSET', KEYS[1], 'expires_at', begins + tonumber(expiry[2])) end
local name = string.match(KEYS[1], '[^:]+$')
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'state', 'scheduled')
  redis.call('ZADD', KEYS[4], ARGV[4], name)
  return {'scheduled'}
end
for _, first in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  redis.call('XADD', KEYS[3], '*', 't', 'Intake', 'v', ARGV[3],
    'b', ARGV[2] .. '\\206' .. struct.pack('>I4', tonumber(first)))
end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[4], name)
local state = tonumber(job[2]) > 0 and 'queueing' or 'queued'
redis.call('HSET', KEYS[1], 'state', state)
return {state}
"""
)

# KEYS: job, recipients, plan, intake. ARGV: first ordinal, slim chunk, number of recipients, group, entry.
_FINISH = Script(
    """
if redis.call('XACK', KEYS[4], ARGV[4], ARGV[5]) == 0 then return 0 end
redis.call('XDEL', KEYS[4], ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[2], ARGV[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[1], ARGV[2])
redis.call('DEL', KEYS[3])
local queued = redis.call('HINCRBY', KEYS[1], 'queued', ARGV[3])
if queued >= tonumber(redis.call('HGET', KEYS[1], 'total')) then redis.call('HSET', KEYS[1], 'state', 'queued') end
return 1
"""
)

Start = Literal["open", "scheduled", "queueing"]


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


@dataclass(frozen=True)
class NewJob:
    """What is stored of a job besides its chunks. `fields` are those of the hash that only reports read."""

    job: str
    tenant: str
    stream: str
    total: int
    created_at_ms: int
    expires_at_ms: int
    content: bytes
    fields: Mapping[str, str | int]
    at_most_once: bool = False
    rate: str = ""


class JobStore:
    """The scripts above. Every method is one round trip and raises RedisAway when it may or may not have happened."""

    def __init__(self, client: Client, partitions: int, max_intake_chunks: int) -> None:
        self._client: Any = client
        self._partitions = partitions
        self._max_intake_chunks = max_intake_chunks

    def _partition(self, job: str) -> int:
        return ids.job_partition(job, self._partitions)

    async def store(
        self,
        new: NewJob,
        chunks: Sequence[tuple[int, bytes]],
        start: Start,
        start_at_ms: int = 0,
        idempotency: tuple[str, bytes, bytes] | None = None,
    ) -> Stored:
        """Stores a job and its chunks (first ordinal, `recipients.pack_waiting`). `idempotency` is the digest of tenant
        and key, the digest of the request, and the answer to repeat."""
        p = self._partition(new.job)
        key_digest, request_digest, reply = idempotency or ("", b"", b"")
        names = [
            keys.job(p, new.job),
            keys.job_recipients(p, new.job),
            keys.job_chunks(p, new.job),
            keys.intake(p, LANES[new.stream]),
            keys.schedule(p),
            keys.idempotency(p, key_digest),
        ]
        fields: dict[str, str | int | bytes] = {
            **new.fields,
            "tenant": new.tenant,
            "stream": new.stream,
            "total": new.total,
            "created_at": new.created_at_ms,
            "expires_at": new.expires_at_ms,
            "content": new.content,
            **({"at_most_once": 1} if new.at_most_once else {}),
            **({"rate": new.rate} if new.rate else {}),
        }
        args: list[str | bytes | int] = [
            request_digest, reply, IDEMPOTENCY_MS, self._max_intake_chunks, start, start_at_ms,
            _intake_head(new.tenant, new.job), events.MAJOR_VERSION, len(fields),
        ]  # fmt: skip
        for name, value in fields.items():
            args += [name, value]
        for first, chunk in chunks:
            args += [first, chunk]
        found = await _STORE(self._client, names, args)
        return Stored(found[0].decode(), found[1] if len(found) > 1 else b"")

    async def append(self, tenant: str, job: str, batch: Sequence[tuple[bytes, bytes]]) -> tuple[str, int]:
        """Appends (digest of the address, packed Waiting) to an open job, those it has not yet seen. Answers
        `appended` and how many were new, or `unknown`, `not_open`."""
        p = self._partition(job)
        names = [
            keys.job(p, job), keys.job_recipients(p, job), keys.job_chunks(p, job), keys.job_seen(p, job),
        ]  # fmt: skip
        args: list[str | bytes | int] = [tenant, FORGOTTEN_MS]
        for digest, waiting in batch:
            args += [digest, waiting]
        found = await _APPEND(self._client, names, args)
        word = found[0].decode()
        return word, int(found[1]) if word == "appended" else 0

    async def start(self, tenant: str, job: str, now_ms: int, start_at_ms: int | None = None) -> tuple[str, str]:
        """Starts an open or scheduled job, now or later. Answers its new state, or `unknown`, or `not_open` and the
        state it has, or `full`. With tenant "" it is the schedule that starts it."""
        head = await self.head(job)
        if head is None or tenant not in ("", head.tenant):
            return "unknown", ""
        p = self._partition(job)
        names = [
            keys.job(p, job), keys.job_chunks(p, job), keys.intake(p, LANES[head.stream]), keys.schedule(p),
            keys.job_seen(p, job),
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
            ],
        )
        return found[0].decode(), found[1].decode() if len(found) > 1 else ""

    async def due(self, partition: int, now_ms: int) -> list[str]:
        """Scheduled jobs whose time has come."""
        found = await answer(self._client.zrangebyscore(keys.schedule(partition), "-inf", now_ms, start=0, num=100))
        return [job.decode() for job in found]

    async def head(self, job: str) -> Head | None:
        """None if there is no such job."""
        key = keys.job(self._partition(job), job)
        tenant, stream, expires_at, at_most_once, rate = await answer(
            self._client.hmget(key, "tenant", "stream", "expires_at", "at_most_once", "rate")
        )
        if not tenant:
            return None
        return Head(tenant.decode(), stream.decode(), int(expires_at), at_most_once == b"1", (rate or b"").decode())

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

    async def finish(self, job: str, lane: int, first_ordinal: int, slim: bytes, count: int, entry: str) -> None:
        """The chunk is queued: only what late facts need stays, and its entry leaves `intake`."""
        p = self._partition(job)
        names = [
            keys.job(p, job), keys.job_recipients(p, job), keys.job_plan(p, job, first_ordinal), keys.intake(p, lane),
        ]  # fmt: skip
        await _FINISH(self._client, names, [first_ordinal, slim, count, keys.GROUP_QUEUEING, entry])


def _intake_head(tenant: str, job: str) -> bytes:
    """An Intake up to its last field, which a script adds as uint32."""
    return b"\x93" + msgspec.msgpack.encode(tenant) + msgspec.msgpack.encode(job)

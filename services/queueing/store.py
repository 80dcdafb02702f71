"""Jobs in Redis: stored whole or not at all, appended to, started, finished chunk by chunk.

All keys of a job are in its partition, together with the `intake` stream of that partition, so each step is one script.
The states of a job:

    open ──start──→ queueing ──last chunk queued──→ queued
      ╰──start with send_at──→ scheduled ──due──→ queueing

One whose recipients are those of a set is `selecting`, at once or when it is due, until it has them all
(`services.queueing.selecting`); those that it has are queued meanwhile.

`chunks` lists what an open or scheduled job will hand to `intake`; starting turns each of them into an entry there. An
open job that nobody starts is removed when its time in `open_jobs` has come.

What a tenant keeps is counted by the same scripts, in the same step (`keys.use`, `keys.intake_use`), so no crash can
come between a thing and its count.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from services.queueing import dsn_wanted, own_files
from shared.redis import jobs, keys, lua, recipients
from shared.redis.jobs import Start
from shared.redis.ready import LANES
from shared.redis.redis import Client, Script
from shared.words import events, ids, timing
from shared.words.timing import Timing

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

_STORE = Script.of(__file__, "store_store", names=jobs.NAMED, kept=True)
_APPEND = Script.of(__file__, "store_append", names=jobs.NAMED, kept=True)
_CHANGE = Script.of(__file__, "store_change", names=jobs.NAMED)
_START = Script.of(__file__, "store_start", names=jobs.NAMED, kept=True)
_FINISH = Script.of(__file__, "store_finish", names=jobs.NAMED)
_REMOVE = Script.of(__file__, "store_remove", names=jobs.NAMED)
_COUNT_INTAKE = Script.of(__file__, "store_count_intake", names=lua.places(INTAKE=events.Intake))
#: The fields of `keys.use`, and the quota that each counts for.
_QUOTA_OF = {
    "open_jobs": "open_jobs",
    "bytes": "stored_bytes",
    "content": "stored_bytes",
    "templates": "stored_bytes",
    "keys": "idempotency_keys",
}


@dataclass(frozen=True)
class Stored:
    """How storing ended: `stored`, `repeated` or `reused` (an Idempotency-Key known with the same or another request;
    `answer` is what was answered then), `taken` (the id exists), `full` (too much waits to be queued)."""

    word: str
    answer: bytes = b""


@dataclass(frozen=True)
class Changeable:
    """What a job is that may be changed. `source` is what its content was made from."""

    tenant: str
    stream: str
    state: str
    changes: int
    source: bytes
    content: bytes
    send_at_ms: int
    sandbox: bool = False


_CHANGEABLE = (
    jobs.TENANT, jobs.STREAM, jobs.STATE, jobs.CHANGES, jobs.SOURCE, jobs.CONTENT, jobs.SEND_AT, jobs.SANDBOX,
)  # fmt: skip


@dataclass(frozen=True)
class Head:
    """What a job says about each of its recipients. `rate`: its own, as in its content ("": none)."""

    tenant: str
    stream: str
    expires_at_ms: int
    at_most_once: bool = False
    rate: str = ""
    #: The id of the request that made it.
    request: str = ""
    #: The span of that request.
    trace: str = ""
    list: str = ""
    viewable: bool = False
    test: bool = False
    sandbox: bool = False
    #: Its From.
    sender: str = ""
    #: When it was started, in ms; 0 of one that was when it was made.
    started_at_ms: int = 0
    timing: Timing | None = None
    #: The operation that it names, "" for none.
    once: str = ""

    @property
    def lane(self) -> int:
        return LANES[self.stream]

    @property
    def operation(self) -> str:
        """That of which its recipients get one message. A test belongs to none."""
        return "" if self.test else self.once


_HEAD = (
    jobs.TENANT, jobs.STREAM, jobs.EXPIRES_AT, jobs.AT_MOST_ONCE, jobs.RATE, jobs.REQUEST, jobs.TRACE, jobs.LIST,
    jobs.VIEWABLE, jobs.TEST, jobs.SANDBOX, jobs.SENDER, jobs.STARTED_AT, jobs.TIMING, jobs.ONCE,
)  # fmt: skip


class JobStore:
    """The scripts above. Every method is one round trip and raises RedisAway when it may or may not have happened."""

    def __init__(
        self, client: Client, partitions: int, max_intake_chunks: int, open_job_ms: int = FORGOTTEN_MS
    ) -> None:
        self._client = client
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
        files: Sequence[own_files.Stored] = (),
    ) -> Stored:
        """Stores a job and its chunks (first ordinal, `recipients.pack_waiting`), with the files of single recipients.
        `idempotency` is the digest of tenant and key, the digest of the request, and the answer to repeat."""
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
            keys.jobs(p),
            keys.tenant_jobs(p, new.tenant),
            keys.selecting(p),
            keys.job_files(p, job),
            keys.job_file_uses(p, job),
        ]
        fields = jobs.written(new)
        args: list[str | bytes | int] = [
            request_digest, reply, IDEMPOTENCY_MS, self._max_intake_chunks, start, start_at_ms,
            intake_head(new.tenant, job), events.MAJOR_VERSION, len(fields), new.tenant,
            created_ms // HOUR_MS, counted_bytes(new),
            created_ms + self._open_job_ms, self._share, len(files),
        ]  # fmt: skip
        for name, value in fields.items():
            args += [name, value]
        for file in files:
            args += [file.digest, file.content, file.uses]
        for first, chunk in chunks:
            args += [first, chunk]
        found = await _STORE(self._client, names, args)
        return Stored(found[0].decode(), found[1] if len(found) > 1 else b"")

    async def append(
        self,
        tenant: str,
        job: str,
        batch: Sequence[tuple[bytes, bytes]],
        now_ms: int,
        files: own_files.Batch | None = None,
    ) -> tuple[str, int]:
        """Appends (digest of the address, packed Waiting) to an open job, those it has not yet seen, with their files.
        Answers `appended` and how many were new, or `unknown`, `not_open`."""
        p = self._partition(job)
        names = [
            keys.job(p, job), keys.job_recipients(p, job), keys.job_chunks(p, job), keys.job_seen(p, job),
            keys.use(p, tenant), keys.open_jobs(p), keys.job_files(p, job), keys.job_file_uses(p, job),
        ]  # fmt: skip
        given = files or own_files.Batch()
        args: list[str | bytes | int] = [
            tenant, self._open_job_ms + DAY_MS, now_ms + self._open_job_ms, given.packed_uses, len(given.contents)
        ]  # fmt: skip
        for name, content in given.contents.items():
            args += [name, content]
        for digest, waiting in batch:
            args += [digest, waiting]
        found = await _APPEND(self._client, names, args)
        word = found[0].decode()
        return word, int(found[1]) if word == "appended" else 0

    async def changeable(self, job: str) -> Changeable:
        """What a change begins from. A job that is not there belongs to nobody."""
        found = await jobs.read(self._client, self._partitions, job, _CHANGEABLE)
        return Changeable(
            found[jobs.TENANT],
            found[jobs.STREAM],
            found[jobs.STATE],
            found[jobs.CHANGES],
            found[jobs.SOURCE],
            found[jobs.CONTENT],
            found[jobs.SEND_AT],
            found[jobs.SANDBOX],
        )

    async def first_chunk(self, job: str) -> recipients.Chunk | None:
        """The first recipients that the job has, if it has any."""
        found = await self._client.zrange(keys.job_recipients(self._partition(job), job), 0, 0)
        return recipients.read(found[0]) if found else None

    async def change(self, job: str, new: jobs.New, seen: Changeable, now_ms: int, start_at_ms: int | None) -> str:
        """Writes what the job is from now on, whole, if it is what it was when `seen`; one that is scheduled starts at
        another time with `start_at_ms`. Answers `changed`; `again`: somebody else changed it; or the state of one that
        is not to be changed any more."""
        p = self._partition(job)
        fields, gone = jobs.changed(new)
        names = [keys.job(p, job), keys.schedule(p), keys.use(p, new.tenant)]
        args: list[str | bytes | int] = [
            seen.state, seen.changes, now_ms, "" if start_at_ms is None else start_at_ms, now_ms // HOUR_MS, len(fields)
        ]  # fmt: skip
        for name, value in fields.items():
            args += [name, value]
        found = await _CHANGE(self._client, names, [*args, *gone])
        return str(found.decode())

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
            keys.selecting(p), keys.finishing(p),
        ]  # fmt: skip
        found = await _START(
            self._client,
            names,
            [
                self._max_intake_chunks,
                intake_head(head.tenant, job),
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
        return await self._client.llen(keys.job_chunks(self._partition(job), job))

    async def due(self, partition: int, now_ms: int) -> list[str]:
        """Scheduled jobs whose time has come."""
        found = await self._client.zrangebyscore(keys.schedule(partition), "-inf", now_ms, start=0, num=100)
        return [job.decode() for job in found]

    async def remove_open(self, partition: int, now_ms: int) -> list[tuple[str, str]]:
        """Removes open jobs that nobody has started in time, a few at once, with all that they have; which, and the
        ids of the requests that made them."""
        p = partition
        names = await self._client.zrangebyscore(keys.open_jobs(p), "-inf", now_ms, start=0, num=REMOVED_AT_ONCE)
        removed = []
        for job in [name.decode() for name in names]:
            head = await self.head(job)
            tenant = head.tenant if head is not None else ""
            places = [
                keys.job(p, job), keys.job_recipients(p, job), keys.job_chunks(p, job), keys.job_seen(p, job),
                keys.use(p, tenant), keys.open_jobs(p), keys.jobs(p), keys.tenant_jobs(p, tenant),
                keys.job_files(p, job), keys.job_file_uses(p, job),
            ]  # fmt: skip
            if await _REMOVE(self._client, places, [now_ms, JOB_BYTES]):
                removed.append((job, head.request if head is not None else ""))
        return removed

    async def expire_open(self, job: str) -> None:
        """An open job is removed the next time that somebody looks."""
        await self._client.zadd(keys.open_jobs(self._partition(job)), {job: 0.0})

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
        uses = await asyncio.gather(*(self._client.hgetall(keys.use(p, tenant)) for p in parts))
        for p, fields in zip(parts, uses, strict=True):
            over = []
            for name, count in fields.items():
                word, _, hour = name.decode().partition(":")
                if hour and int(hour) < since:
                    over.append(name)
                else:
                    found[_QUOTA_OF[word]] += int(count)
            if over:
                await self._client.hdel(keys.use(p, tenant), *over)
        for lane in lanes:
            waiting = await asyncio.gather(*(self._client.hget(keys.intake_use(p, lane), tenant) for p in parts))
            found[f"intake_chunks:{lane}"] = sum(int(count or 0) for count in waiting)
        return found

    async def knows(self, key_digest: str) -> bool:
        """Whether a request with this Idempotency-Key was stored in the last 24 hours."""
        p = ids.name_partition(key_digest, self._partitions)
        return bool(await self._client.exists(keys.idempotency(p, key_digest)))

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
            found[jobs.REQUEST],
            found[jobs.TRACE],
            found[jobs.LIST],
            found[jobs.VIEWABLE],
            found[jobs.TEST],
            found[jobs.SANDBOX],
            found[jobs.SENDER],
            found[jobs.STARTED_AT],
            timing.unpacked(found[jobs.TIMING]),
            found[jobs.ONCE],
        )

    async def request_of(self, job: str) -> str:
        """The id of the request that made it; "" where it is not known."""
        head = await self.head(job)
        return head.request if head is not None else ""

    async def chunk(self, job: str, first_ordinal: int) -> recipients.Chunk | None:
        found = await self._client.zrangebyscore(
            keys.job_recipients(self._partition(job), job), first_ordinal, first_ordinal, start=0, num=1
        )
        return recipients.read(found[0]) if found else None

    async def undefined(self, job: str) -> bytes:
        """What is said of the variables that an open job refuses to do without; b"" of one that does not."""
        return (await jobs.read(self._client, self._partitions, job, (jobs.UNDEFINED,)))[jobs.UNDEFINED]

    async def nth_chunk(self, job: str, number: int) -> recipients.Chunk | None:
        """From 0; None if it has not so many."""
        found = await self._client.zrange(keys.job_recipients(self._partition(job), job), number, number)
        return recipients.read(found[0]) if found else None

    async def known_plan(self, job: str, first_ordinal: int) -> bytes | None:
        return await self._client.get(keys.job_plan(self._partition(job), job, first_ordinal))

    async def decide_plan(self, job: str, first_ordinal: int, plan: bytes) -> bytes:
        """Writes the plan down unless there is one already; answers the one that holds."""
        key = keys.job_plan(self._partition(job), job, first_ordinal)
        if await self._client.set(key, plan, nx=True, px=FORGOTTEN_MS):
            return plan
        return await self.known_plan(job, first_ordinal) or plan

    async def finish(
        self, tenant: str, job: str, lane: int, first_ordinal: int, slim: bytes, count: int, entry: str
    ) -> None:
        """The chunk is queued: only what late facts need stays, and its entry leaves `intake`."""
        p = self._partition(job)
        names = [
            keys.job(p, job), keys.job_recipients(p, job), keys.job_plan(p, job, first_ordinal), keys.intake(p, lane),
            keys.use(p, tenant), keys.intake_use(p, lane), keys.finishing(p),
        ]  # fmt: skip
        hour = ids.job_created_ms(job) // HOUR_MS
        await _FINISH(self._client, names, [first_ordinal, slim, count, keys.GROUP_QUEUEING, entry, tenant, hour])


def intake_head(tenant: str, job: str) -> bytes:
    """An Intake up to its last field, which a script adds as uint32."""
    return b"\x93" + msgspec.msgpack.encode(tenant) + msgspec.msgpack.encode(job)


def counted_bytes(new: jobs.New) -> int:
    """What of a job counts as stored, besides its recipients and their files. The reports that its sender is owed count
    with it, for they are let in however much is stored by then; so a report counts no more."""
    if new.dsn_of:
        return 0
    own = len(new.content) + len(new.source) + len(new.dsn) + JOB_BYTES
    return own + dsn_wanted.owed_bytes(new.dsn, len(new.content))

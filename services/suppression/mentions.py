"""Where an address stands among the recipients of a tenant's jobs: found by reading them, and taken out of them.

No index is asked (`shared.redis.histories` has what was queued, by a hash): what is kept of somebody is to be shown and
erased whole, also where it waits or is older than the index, and the chunks are to be rewritten. Recipients are packed
in chunks of some hundreds, and whether one of them has an address in it is seen without unpacking its rows, at some
millions of recipients a second. So whoever looks walks, in bounded steps: partition by partition, in each job by job in
the order in which they were made, in each chunk by chunk.

A recipient who was erased keeps the place (ordinals are names of messages) and has no address and no metadata. Only
chunks that are queued can be changed: what waits is mail that is to be sent, and is come back to.
"""

from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any, NamedTuple
from zlib import decompress

import msgspec

from shared.redis import keys, recipients
from shared.redis.once import Mark, Once
from shared.redis.recipients import Chunk
from shared.redis.redis import Client, Script, answer
from shared.redis.suppression import normalised
from shared.words import ids

#: Jobs of one step at most, and chunks that it reads of them together: a job that has more is read alone.
JOBS_A_STEP = 200
CHUNKS_A_STEP = 40

_REPLACE = Script.of(__file__, "mentions_replace", kept=True)


class At(msgspec.Struct, frozen=True, array_like=True):
    """How far a walk has come: behind this job ("": before all), or in it, from this ordinal on, where it is one."""

    partition: int = 0
    job: str = ""
    ordinal: int = -1

    def is_before(self, mention: "Mention") -> bool:
        """Whether it is still to come, of those that a step from here reads."""
        return mention.job != self.job or mention.ordinal >= self.ordinal


class Mention(NamedTuple):
    """An address is that recipient of a job, with that metadata, and files of its own that are called so."""

    job: str
    ordinal: int
    address: str
    metadata: dict[str, str] | None = None
    files: Sequence[str] = ()


class Read(NamedTuple):
    """What a step has read: chunks as they are stored, each with its job; and where the next one begins, None at the
    end."""

    chunks: list[tuple[str, bytes]]
    following: At | None


class Mentions:
    """Of all jobs of a tenant. Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._once = Once(client, partitions)

    async def read(self, tenant: str, at: At) -> Read:
        """The chunks behind that place: three round trips at most."""
        if at.ordinal >= 0:
            return await self._read_on(at)
        low = f"({at.job}" if at.job else "-"
        known = await self._client.zrangebylex(
            keys.tenant_jobs(at.partition, tenant), low, "+", start=0, num=JOBS_A_STEP
        )
        if not known:
            return Read([], At(at.partition + 1) if at.partition + 1 < self._partitions else None)
        jobs = [job.decode() for job in known]
        sizes = await self._of_each(at.partition, jobs, "ZCARD")
        if sizes[0] > CHUNKS_A_STEP:
            return await self._read_on(At(at.partition, jobs[0], 0))
        some = [job for job, size in zip(jobs, accumulate(sizes), strict=True) if size <= CHUNKS_A_STEP]
        members = await self._of_each(at.partition, some, "ZRANGE", 0, -1)
        chunks = [(job, member) for job, few in zip(some, members, strict=True) for member in few]
        return Read(chunks, At(at.partition, some[-1]))

    async def _of_each(self, p: int, jobs: Sequence[str], command: str, *args: int) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for job in jobs:
            pipeline.execute_command(command, keys.job_recipients(p, job), *args)
        return await answer(pipeline.execute())

    async def _read_on(self, at: At) -> Read:
        name = keys.job_recipients(at.partition, at.job)
        first = await self._client.zrevrangebyscore(name, at.ordinal, "-inf", start=0, num=1)
        low = recipients.read(first[0]).first_ordinal if first else at.ordinal
        members = await self._client.zrangebyscore(name, low, "+inf", start=0, num=CHUNKS_A_STEP)
        is_more = len(members) == CHUNKS_A_STEP
        behind = _behind(members[-1]) if is_more else -1
        return Read([(at.job, member) for member in members], At(at.partition, at.job, behind))

    async def erase(self, tenant: str, job: str, member: bytes, addresses: Collection[str]) -> int:
        """Takes these normalised addresses out of a chunk that is queued, and away what files only they had; how many
        of its recipients had one. Nothing, if the chunk is not what it was. What they have in an operation under a key
        goes before: nothing else says where that is."""
        chunk = recipients.read(member)
        places = {at for at, row in enumerate(chunk.recipients()) if normalised(row.email) in addresses}
        gone = len(places)
        if not gone:
            return 0
        await self._once.give_back(tenant, job, [Mark(*one) for one in recipients.keyed(chunk, places)])
        p = ids.job_partition(job, self._partitions)
        names = [keys.job_recipients(p, job), keys.job_files(p, job), keys.job_file_uses(p, job)]
        args: list[str | bytes | int] = [
            chunk.first_ordinal,
            member,
            recipients.without(chunk, places),
            *recipients.digests(chunk, places),
        ]
        return gone if await _REPLACE(self._client, names, args) else 0


def _behind(member: bytes) -> int:
    """The ordinal behind the last of a chunk."""
    chunk = recipients.read(member)
    return chunk.first_ordinal + len(chunk.rows())


def found(job: str, member: bytes, addresses: Collection[str]) -> list[Mention]:
    """Which of these normalised addresses a chunk has, at which ordinals."""
    chunk = recipients.read(member)
    if not may_have(chunk, addresses):
        return []
    return [
        Mention(job, chunk.first_ordinal + at, address, row.metadata, recipients.filenames(chunk, at))
        for at, row in enumerate(chunk.recipients())
        if (address := normalised(row.email)) in addresses
    ]


def may_have(chunk: Chunk, addresses: Collection[str]) -> bool:
    """Whether the bytes of the chunk have one of them, in any case of letters. Letters beyond ASCII have cases that
    bytes do not: of an address that has any, it may be."""
    body = (decompress(chunk.body) if chunk.slim else chunk.body).lower()
    return any(not address.isascii() or address.encode() in body for address in addresses)


def is_queued(member: bytes) -> bool:
    """Whether the recipients of a chunk wait no more."""
    return recipients.read(member).slim

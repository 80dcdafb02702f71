"""What reports keep in Redis: one script that counts and acknowledges a batch, and the reads for the answers.

The script per entry, in this order:

1. XACK. What is not pending any more was applied before: nothing happens.
2. A job that is not kept any more is not brought back to life by a late click.
3. A record that is in the timeline already is the same fact, published twice: nothing happens. A message has at most
   `MOST_ALIKE` records of one kind (somebody's scanner may open a mail a thousand times a day); beyond, the event id is
   remembered for `REMEMBER_MS` instead, which is longer than anybody repeats.
4. The message's byte moves on as the table says, and the numbers of messages per byte move with it.
   Who gets its end makes its job be looked at whether that has ended (`finishing`).
5. The counters: all of them, and those that are the first of their message, by bitmap.
6. A click without an opening implies one, and clicks are judged again by what is known of their message (`late`).
7. Statistics, by hour and by what tells facts apart: added up over the batch, and written once (`cells`).
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from services.reports import state, timeline
from services.reports.cells import MOST_NAMES, Cells
from services.reports.feed.entries import entries_at
from services.reports.feed.names import Names
from services.reports.job_record import FIELDS, Job
from services.reports.late import KEEP_MS, NEVER, Late
from services.reports.tally import Applied, Change, click_counter, document_counter
from shared.net.remembered import Remembered
from shared.redis import bus, jobs, keys
from shared.redis.redis import Client, Script
from shared.redis.stops import Stop, StopList
from shared.words import content, ids
from shared.words.consent import MARKETING_STREAM
from shared.words.content import CompiledContent, TrackedLink
from shared.words.tokens import TRAP_POSITION

MOST_ALIKE = 50
REMEMBER_MS = 2 * 86_400_000
_DAY_MS = 86_400_000
#: Jobs whose links are kept for the next time somebody asks.
LINKS_KEPT = 1_000

_APPLY = Script.of(__file__, "store_statistics_common", "store_apply")
_TRANSITIONS = state.transitions()
_encoder = msgspec.msgpack.Encoder()


class ReportStore:
    """The service's side: counts. `has_statistics`: beside the job's own counters also by hour (`cells`)."""

    def __init__(
        self, client: Client, group: str = keys.GROUP_REPORTS, late: Late = NEVER, has_statistics: bool = True
    ) -> None:
        self._client = client
        self._group = group
        self._late = late
        self._has_statistics = has_statistics

    async def apply(self, partition: int, changes: Sequence[tuple[str, Change | None]]) -> Applied:
        """One script call. Raises RedisAway: it may have happened, and may be repeated."""
        p = partition
        names = Names(keys.events(p), keys.statistics_names(p), keys.statistics_waiting(p), keys.finishing(p))
        cells = Cells()
        entries = [_entry(names, cells, partition, stream_id, change) for stream_id, change in changes]
        statistics = [self._has_statistics, MOST_NAMES, cells.names, cells.all]
        late = self._late
        args: list[str | bytes | int] = [
            self._group, _TRANSITIONS, state.CODES, timeline.RECORD_BYTES, timeline.NEEDLE_BYTES, MOST_ALIKE,
            REMEMBER_MS, _encoder.encode(entries), late.soon_ms, late.burst_links, late.burst_ms, KEEP_MS,
            TRAP_POSITION, _encoder.encode(statistics),
        ]  # fmt: skip
        for _, change in changes:
            args += [change.event, change.record] if change else [b"", b""]
        return Applied(*await _APPLY(self._client, names.all, args))


def _entry(names: Names, cells: Cells, p: int, stream_id: str, change: Change | None) -> list[Any]:
    if change is None:
        return [stream_id, 0]
    job = change.job
    counters: list[Any] = []
    for counter in change.counters:
        counters += [names.at(keys.job_bitmap(p, job, counter)), counter]
    return [
        stream_id,
        names.known(keys.job(p, job)) or _place_of_job(names, p, job),
        str(change.ordinal),
        change.code,
        names.at(keys.job_timeline(p, job, timeline.bucket_of(change.ordinal))),
        names.at(keys.reported(p, change.occurred_at // _DAY_MS)),
        counters,
        change.position,
        [part for amount in change.amounts for part in amount],
        cells.at(change.cell),
    ]


def _place_of_job(names: Names, p: int, job: str) -> int:
    """Of the first of its keys, as the script has them."""
    return names.at(
        keys.job(p, job),
        keys.job_states(p, job),
        keys.job_counts(p, job),
        keys.job_bitmap(p, job, ""),
        keys.job_clicks(p, job),
        keys.job_places(p, job),
    )


class ReportReader:
    """The side of HTTP: reads. Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._links = Remembered[str, list[TrackedLink]](LINKS_KEPT)

    def _partition(self, job: str) -> int:
        return ids.job_partition(job, self._partitions)

    async def job(self, job: str) -> Job | None:
        """None if there is no such job."""
        found = await jobs.read(self._client, self._partitions, job, FIELDS)
        return Job.read(job, found) if found[jobs.TENANT] else None

    async def seeds(self, job: Job) -> str:
        """The job by which the seed list got a copy of that one; "" if it got none."""
        if job.stream != MARKETING_STREAM or job.test:
            return ""
        copy = ids.seeds_job(job.id, self._partitions)
        return copy if await self._client.exists(keys.job(self._partition(copy), copy)) else ""

    async def jobs(self, tenant: str | None, after: str, most: int) -> list[str]:
        """The latest jobs, of a tenant or of all (None), made before the one `after` ("": all of them)."""
        high = f"({after}" if after else "+"
        names = await asyncio.gather(
            *(
                self._client.zrevrangebylex(
                    keys.jobs(p) if tenant is None else keys.tenant_jobs(p, tenant), high, "-", start=0, num=most
                )
                for p in range(self._partitions)
            )
        )
        return sorted((name.decode() for found in names for name in found), reverse=True)[:most]

    async def stop(self, names: Sequence[str]) -> tuple[str, Stop] | None:
        """The first of these stops that there is, with its name."""
        found = await StopList(self._client).some(names)
        return next(((name, stop) for name, stop in zip(names, found, strict=True) if stop is not None), None)

    async def links(self, job: str) -> list[TrackedLink]:
        """The tracked links of the job's content, which may be large: they are kept, once it never changes any more."""
        known = self._links.known(job)
        if known is None:
            found = await jobs.read(self._client, self._partitions, job, (jobs.CONTENT, jobs.STATE))
            known = content.decode(found[jobs.CONTENT]).links if found[jobs.CONTENT] else []
            if found[jobs.STATE] not in ("open", "scheduled"):
                self._links.keep(job, known)
        return known

    async def content(self, job: str) -> CompiledContent | None:
        """None of a job that has none."""
        packed = (await jobs.read(self._client, self._partitions, job, (jobs.CONTENT,)))[jobs.CONTENT]
        return content.decode(packed) if packed else None

    async def counts(self, job: str) -> dict[str, bytes]:
        """The counters of a job by the names that `tally` lists."""
        found = await self._client.hgetall(keys.job_counts(self._partition(job), job))
        return {name.decode(): value for name, value in found.items()}

    async def clicked_any(self, job: str, positions: Iterable[int]) -> int:
        """In how many messages people clicked the link at one of these positions."""
        return await self._any(job, map(click_counter, positions))

    async def opened_any(self, job: str, positions: Iterable[int]) -> int:
        """Of how many messages people opened the document at one of these positions."""
        return await self._any(job, map(document_counter, positions))

    async def _any(self, job: str, counters: Iterable[str]) -> int:
        """Of how many messages one of these counts."""
        p = self._partition(job)
        names = [keys.job_bitmap(p, job, counter) for counter in counters]
        bitmaps = await asyncio.gather(*(self._client.get(name) for name in names))
        # Bit 0 is the first bit of the first byte: what counts is that bytes of one place meet.
        union = 0
        for bitmap in bitmaps:
            union |= int.from_bytes(bitmap or b"", "little")
        return union.bit_count()

    async def message(self, job: str, ordinal: int) -> tuple[int, list[timeline.Record]]:
        """The byte of a message, and what happened to it."""
        p = self._partition(job)
        byte, bucket = await asyncio.gather(
            self._client.getrange(keys.job_states(p, job), ordinal, ordinal),
            self._client.get(keys.job_timeline(p, job, timeline.bucket_of(ordinal))),
        )
        return byte[0] if byte else 0, list(timeline.unpack(bucket or b"", job, ordinal))

    async def details(self, job: str, stream_ids: Sequence[str]) -> list[bus.Entry | None]:
        """The events at these ids, None for each that is not retained any more."""
        if not stream_ids:
            return []
        return await entries_at(self._client, self._partition(job), stream_ids)

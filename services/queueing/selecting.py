"""Takes the recipients of a job from a set (`recipients_from`), chunk by chunk, while those taken are queued already.

    selecting ──claimed, for a while──→ append, append, … ──→ queueing or queued

A chunk is appended, and put on `intake`, in one script that knows which addresses the job has (`job_seen`). So whoever
dies is followed by another who reads the set from its beginning: what was taken is passed over, nobody is taken twice,
and nobody is left out. What becomes true of a recipient meanwhile counts if they were not taken yet. How far it runs
ahead of queueing is bounded, and so is its memory.

Where the recipients are contacts (`shared.words.targets`), the service that has them hands them over as pages
(`shared.redis.targets`), and each page is taken, as a chunk, in one script: that is all that is to be known of it. Who
waits for pages keeps nobody else waiting: the job is put back, and looked at again.

Everybody passes the same gate as any recipient: suppression, rules and consent are asked when the chunk is queued.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from services.queueing import recipients
from services.queueing.store import DAY_MS, intake_head
from shared.mail import addresses
from shared.process.lifecycle import cancelled, pause
from shared.redis import due, jobs, keys, targets
from shared.redis.cancels import Cancel
from shared.redis.ready import LANES
from shared.redis.recipients import Viewed, Waiting, pack_waiting_row
from shared.redis.redis import Client, RedisAway, Script
from shared.redis.result_sets import Member, ResultSets
from shared.words import events, ids, result_sets
from shared.words import targets as wished
from shared.words.consent import MARKETING_STREAM, NOT_OPTED_IN, declared
from shared.words.joined import TooMany

#: Jobs that a process fills at once; an expression over several jobs may take 90 MB.
AT_ONCE = 2
#: A job of which nothing was heard for so long is taken up by another; its reader says so often that it is there. Where
#: one was only slow two read its set, and nobody is taken twice.
CLAIM_MS, RENEW_S = 10_000, 3.0
#: How far a tenant's jobs run ahead of queueing, in chunks of a lane of a partition: 100,000 recipients.
MOST_AHEAD = 200
#: Between two looks for a job, and before more is tried where too much waits.
LOOK_S = 1.0
FULL_S = 0.2
#: Which addresses a job has is known for longer than anybody leaves it alone.
SEEN_MS = DAY_MS * 30
_KEY_BYTES = 16
#: Looks for another page before another job has its turn, and how long after that this one is looked at again.
PAGE_LOOKS, PAGE_S, AGAIN_MS = 10, 0.05, 500
#: Contacts of which nothing was heard for so long are what the job waits for.
SILENT_MS = 15_000

SELECTED = Counter("estafette_queueing_selected_total", "Recipients taken from result sets for jobs", ["result"])
SELECTIONS = Counter("estafette_queueing_selections_total", "Jobs that took recipients from a set, by how", ["result"])
WAITING = Gauge("estafette_queueing_selecting_jobs", "Jobs that take recipients from a set, or wait to")

_APPEND = Script.of(__file__, "selecting_common", "selecting_append", names=jobs.NAMED, kept=True)
_TAKE = Script.of(__file__, "selecting_common", "selecting_take", names=jobs.NAMED, kept=True)
_END = Script.of(__file__, "selecting_end", names=jobs.NAMED)


class Cancels(Protocol):
    def of(self, job: str, tenant: str, stream: str) -> Cancel | None:
        """By what the job is cancelled; None if it is not."""


class Wanted(msgspec.Struct, frozen=True):
    """A job that takes recipients from a set."""

    id: str
    tenant: str
    stream: str
    request: str
    #: As JSON.
    selection: bytes


class Selections:
    """The scripts above. Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int, max_intake_chunks: int, most_ahead: int = MOST_AHEAD) -> None:
        self._client = client
        self._partitions = partitions
        self._max_intake_chunks = max_intake_chunks
        self._most_ahead = most_ahead

    async def claim(self, partition: int, now_ms: int) -> str | None:
        """A job that waits for somebody; None if none does."""
        return await due.claim(self._client, keys.selecting(partition), now_ms, now_ms + CLAIM_MS)

    async def renew(self, job: str, now_ms: int) -> None:
        """Others leave it alone, if it takes somebody still."""
        await self.put_off(job, now_ms + CLAIM_MS)

    async def put_off(self, job: str, until_ms: int) -> None:
        """Anybody may take it up from then on."""
        name = keys.selecting(ids.job_partition(job, self._partitions))
        await self._client.zadd(name, {job: until_ms}, xx=True)

    async def waiting(self, partition: int) -> int:
        return await self._client.zcard(keys.selecting(partition))

    async def wanted(self, job: str) -> Wanted | None:
        """None if it takes nobody any more."""
        fields = (jobs.STATE, jobs.TENANT, jobs.STREAM, jobs.REQUEST, jobs.SELECTION)
        found = await jobs.read(self._client, self._partitions, job, fields)
        if found[jobs.STATE] != "selecting":
            return None
        return Wanted(job, found[jobs.TENANT], found[jobs.STREAM], found[jobs.REQUEST], found[jobs.SELECTION])

    async def append(self, job: Wanted, batch: Sequence[Waiting], now_ms: int) -> tuple[str, int]:
        """`appended` and how many the job had not yet, `full`, or `ended`."""
        p, lane = ids.job_partition(job.id, self._partitions), LANES[job.stream]
        names = [*self._places(p, lane, job), keys.job_seen(p, job.id)]
        args: list[str | bytes | int] = [
            job.tenant, SEEN_MS, now_ms + CLAIM_MS, self._max_intake_chunks, self._most_ahead,
            intake_head(job.tenant, job.id), events.MAJOR_VERSION,
        ]  # fmt: skip
        for one in batch:
            args += [recipients.seen_digest(one), pack_waiting_row(one)]
        found = await _APPEND(self._client, names, args)
        return found[0].decode(), int(found[1]) if len(found) > 1 else 0

    async def take(self, job: Wanted, now_ms: int) -> tuple[str, int, str, str]:
        """Gives it the next page of contacts. `appended` and how many they are, `full`, `empty` (none was handed over
        yet), `done` with why nobody else comes ("": it has all) and that in words, or `ended`."""
        p, lane = ids.job_partition(job.id, self._partitions), LANES[job.stream]
        names = [
            *self._places(p, lane, job), keys.target_pages(p, job.id), keys.target(p, job.id), keys.targets(p),
        ]  # fmt: skip
        args: list[str | bytes | int] = [
            job.tenant, now_ms + CLAIM_MS, self._max_intake_chunks, self._most_ahead, intake_head(job.tenant, job.id),
            events.MAJOR_VERSION, now_ms, SILENT_MS, targets.LIFETIME_MS,
        ]  # fmt: skip
        word, *more = await _TAKE(self._client, names, args)
        if word == b"done":
            return "done", 0, more[0].decode(), more[1].decode()
        return word.decode(), int(more[0]) if more else 0, "", ""

    def _places(self, p: int, lane: int, job: Wanted) -> list[str]:
        """Where recipients of a job are added, as both scripts have them."""
        return [
            keys.job(p, job.id), keys.job_recipients(p, job.id), keys.use(p, job.tenant), keys.intake(p, lane),
            keys.intake_use(p, lane), keys.selecting(p),
        ]  # fmt: skip

    async def end(self, job: str, why: str = "", detail: str = "") -> bool:
        """It has all that it takes, or takes nobody else, for that reason, which `detail` has in words."""
        p = ids.job_partition(job, self._partitions)
        names = [
            keys.job(p, job), keys.job_seen(p, job), keys.selecting(p), keys.finishing(p), keys.target_pages(p, job),
            keys.target(p, job), keys.targets(p),
        ]  # fmt: skip
        return bool(await _END(self._client, names, [why, detail]))


class Selecting:
    """`now_ms` is the clock, `chance` gives so many bytes."""

    def __init__(
        self,
        store: Selections,
        sets: ResultSets,
        cancels: Cancels,
        partitions: int,
        now_ms: Callable[[], int],
        chance: Callable[[int], bytes],
    ) -> None:
        self._store = store
        self._sets = sets
        self._cancels = cancels
        self._partitions = partitions
        self._now_ms = now_ms
        self._chance = chance
        self._log = structlog.get_logger("queueing")

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; what was begun then is gone on with by whoever comes next."""
        await asyncio.gather(*(self._work(stopping) for _ in range(AT_ONCE)))

    async def _work(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                worked = await self.look(stopping)
            except RedisAway as away:
                worked = False
                self._log.warning("redis_away", reason=str(away))
            except Exception:  # ours: the job is taken up again, and others go on
                worked = False
                self._log.exception("selecting_failed")
            if not worked:
                await pause(stopping, LOOK_S)

    async def look(self, stopping: asyncio.Event) -> bool:
        """Once through all partitions; whether there was anything to do."""
        worked = False
        for p in range(self._partitions):
            if not stopping.is_set() and (job := await self._store.claim(p, self._now_ms())) is not None:
                await self.fill(job, stopping)
                worked = True
        WAITING.set(sum([await self._store.waiting(p) for p in range(self._partitions)]))
        return worked

    async def fill(self, job: str, stopping: asyncio.Event) -> None:
        """Gives the job all that is in its set."""
        wanted = await self._store.wanted(job)
        if wanted is None:
            await self._store.end(job)
            return
        given = msgspec.json.decode(wanted.selection)
        detail = ""
        if wished.is_target(given):
            why, detail = await self._take(wanted, stopping)
        else:
            renewing = asyncio.create_task(self._renew(job))
            try:
                why = await self._fill(wanted, given, stopping)
            finally:
                await cancelled((renewing,))
        if why is not None and await self._store.end(job, why, detail):
            SELECTIONS.labels(why or "whole").inc()
            self._log.info("selected", job=job, tenant=wanted.tenant, reason=why, request=wanted.request)

    async def _take(self, job: Wanted, stopping: asyncio.Event) -> tuple[str | None, str]:
        """As `_fill`, of contacts that are handed over; and why in words."""
        looks = 1
        while looks and not stopping.is_set():
            if self._is_cancelled(job):
                return "cancelled", ""
            word, count, why, detail = await self._store.take(job, self._now_ms())
            match word:
                case "appended":
                    SELECTED.labels("taken").inc(count)
                    looks = PAGE_LOOKS
                case "done":
                    return why, detail
                case "ended":
                    return None, ""
                case _:
                    looks -= 1
                    if looks:
                        await pause(stopping, FULL_S if word == "full" else PAGE_S)
        await self._store.put_off(job.id, self._now_ms() + AGAIN_MS)
        return None, ""

    async def _fill(self, job: Wanted, given: object, stopping: asyncio.Event) -> str | None:
        """Why it takes nobody else, "" if it has all, None if somebody else is to go on."""
        if self._is_cancelled(job):
            return "cancelled"
        expression, _ = result_sets.read(given)
        if expression is None:
            return "unreadable"  # of a newer program
        named, missing = await self._sets.named(job.tenant, expression)
        if missing:
            return "job_gone"  # who it would leave out nobody knows any more
        batch: list[Waiting] = []
        try:
            async for some in self._sets.recipients(named, expression.node, self._chance(_KEY_BYTES)):
                batch += waiting_of(some, job.stream)
                if self._is_cancelled(job):
                    return "cancelled"
                while len(batch) >= recipients.CHUNK:
                    if not await self._append(job, batch[: recipients.CHUNK], stopping):
                        return None
                    del batch[: recipients.CHUNK]
        except TooMany:
            return "too_many"
        return "" if not batch or await self._append(job, batch, stopping) else None

    async def _renew(self, job: str) -> None:
        """Until it is cancelled: the set may be read, and joined, for longer than others leave it alone."""
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(RedisAway):
                await self._store.renew(job, self._now_ms())

    def _is_cancelled(self, job: Wanted) -> bool:
        return self._cancels.of(job.id, job.tenant, job.stream) is not None

    async def _append(self, job: Wanted, batch: Sequence[Waiting], stopping: asyncio.Event) -> bool:
        """Waits for room; whether to go on."""
        while not stopping.is_set():
            word, fresh = await self._store.append(job, batch, self._now_ms())
            if word == "appended":
                SELECTED.labels("taken").inc(fresh)
                SELECTED.labels("known").inc(len(batch) - fresh)
                return True
            if word == "ended":
                return False
            await pause(stopping, FULL_S)
        return False


def waiting_of(members: Sequence[Member], stream: str) -> list[Waiting]:
    """As they wait to be queued; with what is kept of them, and what was said of their consent."""
    return [carried(one.recipient, stream) for one in members]


def carried(recipient: Viewed, stream: str) -> Waiting:
    """A recipient of one job as they wait in another, perhaps rejected, as if they had come with it."""
    said = declared(recipient.declared)
    rejected = None
    try:
        addresses.parse(recipient.email)
    except addresses.InvalidAddress:
        rejected = "invalid_address"
    if rejected is None and stream == MARKETING_STREAM and said.kind != "professional" and said.optin is False:
        rejected = NOT_OPTED_IN
    return Waiting(
        email=recipient.email,
        name=recipient.name,
        variables=recipient.variables,
        metadata=recipient.metadata,
        rejected=rejected,
        untracked=recipient.untracked,
        declared=recipient.declared,
    )

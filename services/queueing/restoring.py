"""After an older copy of Redis was put back: what waited then may have been sent since, and ends here, unsent.

The copy knows what waited when it was taken, and not what was sent afterwards. So before anything is started, whatever
waits in it of jobs made until a moment ends as Failed, `may_have_been_sent`: a fact as any other, by which the accounts
of its job close and its tenant learns whom to write to again. It is looked for in the order in which messages travel
back to where they came from, so that nothing is passed by:

    hands of relays ─→ ready queues ←─ parked          (what they had is nobody's any more)
    schedule, if due by then ─→ intake                 (it may have been started)
    sets of which recipients are taken ─→ nobody else  (they may have been taken)
    ready queues, retries, intake ─→ Failed            (queues first: what a chunk had brought there ends once)

What stays: open jobs, which somebody has to start; jobs that are scheduled for later; what was made later. Each step is
a script or may be repeated: who dies here begins again, and ends nothing twice.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.queueing.selecting import Selections
from services.queueing.store import Head, JobStore
from shared.redis import bus, cancels, jobs, keys, recipients
from shared.redis.cancels import Cancel
from shared.redis.keys import Channel
from shared.redis.ready import BULK, LANES, Lease, ReadyQueues, Recorded
from shared.redis.recipients import Waiting
from shared.redis.redis import Client
from shared.words import events

CHANNEL: Channel = "email"
REASON = "may_have_been_sent"
#: Messages in hand here at a time, and entries of a page that is read.
TOGETHER = 500
LEASE_MS = 60_000
#: Whose they are meanwhile. No relay has such a name.
NAME = "restore-"
#: Within it a reader of chunks is heard of.
PATIENCE_S = (bus.CLAIM_AFTER_MS / 2 + bus.BLOCK_MS) / 1_000 + 2
#: There is no bound to what comes to `intake` here: it goes at once.
NO_BOUND = 1 << 40


class Row(NamedTuple):
    """Messages of a tenant's stream, and of how many jobs they are."""

    tenant: str
    stream: str
    jobs: int
    messages: int


class Stays(NamedTuple):
    """What is not ended: open jobs, jobs scheduled for later, messages that wait and were made later (or are not
    bulk)."""

    open_jobs: int
    scheduled_jobs: int
    messages: int


@dataclass
class Tally:
    """Messages, by tenant and stream."""

    _found: dict[tuple[str, str], tuple[set[str], int]] = field(default_factory=dict)

    def add(self, tenant: str, stream: str, job: str, messages: int = 1) -> None:
        known, number = self._found.get((tenant, stream), (set(), 0))
        known.add(job)
        self._found[tenant, stream] = known, number + messages

    def rows(self) -> list[Row]:
        return [Row(*whose, len(known), number) for whose, (known, number) in sorted(self._found.items())]

    @property
    def messages(self) -> int:
        return sum(number for _, number in self._found.values())


class Restoring:
    """`before_ms`: what was made until then is meant; `bulk`: and is bulk. `run` is a name that no other run has. Every
    method raises RedisAway."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        publisher: bus.Publisher,
        now_ms: Callable[[], int],
        *,
        before_ms: int,
        bulk: bool,
        run: str,
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._publisher = publisher
        self._now_ms = now_ms
        self._before_ms = before_ms
        self._lanes = [lane for lane in sorted(set(LANES.values())) if lane == BULK or not bulk]
        self._mark = cancels.of_all(run, bulk=bulk)
        self._cancel = Cancel("", before_ms, "operator")
        self._relay = f"{NAME}{run}"
        self._store = JobStore(client, partitions, NO_BOUND)
        self._selections = Selections(client, partitions, NO_BOUND)
        self._queues = ReadyQueues(client, CHANNEL)

    # Who runs

    async def alive(self) -> str:
        """Which process would send, or queue, what is looked at here: `relay`, `queueing`, or none (""). Takes
        `PATIENCE_S` where there is none. Each reader of chunks reads in all partitions."""
        if await self._relays_are_alive():
            return "relay"
        reads = await bus.is_read(self._client, keys.intake(0, BULK), keys.GROUP_QUEUEING, PATIENCE_S)
        return "queueing" if reads else ""

    async def _relays_are_alive(self) -> bool:
        for p in range(self._partitions):
            for key in (keys.relays(p, CHANNEL), keys.alone(keys.relays(p, CHANNEL))):
                names = await self._client.zrangebyscore(key, self._now_ms(), "+inf")
                if any(name != b"(asked)" and not name.startswith(NAME.encode()) for name in names):
                    return True
        return False

    # What would end

    async def look(self) -> tuple[Tally, Stays]:
        """What `end` would end, and what stays. Changes nothing."""
        ends, stays = Tally(), Tally()
        scheduled = 0
        for p in range(self._partitions):
            async for ready in self._waiting(p):
                is_meant = self._is_meant(ready.job, LANES.get(ready.stream, BULK))
                (ends if is_meant else stays).add(ready.tenant, ready.stream, ready.job)
            for lane in sorted(set(LANES.values())):
                async for _, intake, head, chunk in self._chunks(p, lane):
                    is_meant = self._is_meant(intake.job, lane)
                    (ends if is_meant else stays).add(intake.tenant, head.stream, intake.job, len(chunk.rows()))
            due = await self._due(p)
            for job, head in due:
                found = await jobs.read(self._client, self._partitions, job, (jobs.TOTAL,))
                ends.add(head.tenant, head.stream, job, found[jobs.TOTAL])
            scheduled += await self._client.zcard(keys.schedule(p)) - len(due)
        return ends, Stays(await self._open_jobs(), scheduled, stays.messages)

    async def _open_jobs(self) -> int:
        return sum([await self._client.zcard(keys.open_jobs(p)) for p in range(self._partitions)])

    async def _waiting(self, p: int) -> AsyncIterator[events.Ready]:
        """Every message in a queue of the partition, or in a relay's hand."""
        async for body in self._bodies(p):
            try:
                ready = events.decode("Ready", body)
            except ValueError:
                continue
            if isinstance(ready, events.Ready):
                yield ready

    async def _bodies(self, p: int) -> AsyncIterator[bytes]:
        for is_alone in (False, True):
            async for body in self._ready_bodies(p, is_alone):
                yield body
            queues = self._queues.alone() if is_alone else self._queues
            for relay in await self._holders(p, is_alone):
                for lease in await queues.held(p, relay):
                    yield lease.body
        apart = [keys.retry(p, CHANNEL)]
        apart += [f"{keys.parked_prefix(p, CHANNEL)}{job}" for job in await self._queues.parked_jobs(p)]
        for key in apart:
            first = 0
            while values := await self._client.zrange(key, first, first + TOGETHER - 1):
                for value in values:
                    yield value.split(b"\n", 3)[3]
                first += TOGETHER

    async def _ready_bodies(self, p: int, is_alone: bool) -> AsyncIterator[bytes]:
        expiries = keys.expiries(p, CHANNEL)
        for name in await self._client.zrange(keys.alone(expiries) if is_alone else expiries, 0, -1):
            site, _, queue = name[1:].decode().partition("\n")
            stream = keys.ready(p, CHANNEL, int(name[:1]), site, queue)
            async for _, fields in self._entries(keys.alone(stream) if is_alone else stream):
                yield fields[b"b"]

    async def _entries(self, stream: str) -> AsyncIterator[tuple[bytes, dict[bytes, bytes]]]:
        after = "-"
        while page := await self._client.xrange(stream, after, "+", count=TOGETHER):
            for entry in page:
                yield entry
            after = f"({page[-1][0].decode()}"

    async def _holders(self, p: int, is_alone: bool) -> list[str]:
        """Whoever had something in hand when the copy was taken, or when this was broken off."""
        key = keys.relays(p, CHANNEL)
        names = await self._client.zrange(keys.alone(key) if is_alone else key, 0, -1)
        return [name.decode() for name in names if name != b"(asked)"]

    async def _chunks(self, p: int, lane: int) -> AsyncIterator[tuple[str, events.Intake, Head, recipients.Chunk]]:
        """Chunks that wait to be queued, each with the entry that names it."""
        async for number, fields in self._entries(keys.intake(p, lane)):
            try:
                intake = bus.entry(number, fields).message()
            except bus.DeadLetter:
                continue  # queueing buries it
            if not isinstance(intake, events.Intake):
                continue
            head = await self._store.head(intake.job)
            chunk = await self._store.chunk(intake.job, intake.first_ordinal)
            if head is not None and chunk is not None and not chunk.slim:
                yield number.decode(), intake, head, chunk

    async def _due(self, p: int) -> list[tuple[str, Head]]:
        """Scheduled jobs that may have been started."""
        found = []
        for name in await self._client.zrangebyscore(keys.schedule(p), "-inf", self._before_ms):
            head = await self._store.head(name.decode())
            if head is not None and self._is_meant(name.decode(), head.lane):
                found.append((name.decode(), head))
        return found

    async def _selecting(self, p: int) -> list[str]:
        """Jobs that take recipients from a set."""
        found = []
        for name in await self._client.zrange(keys.selecting(p), 0, -1):
            head = await self._store.head(name.decode())
            if head is not None and self._is_meant(name.decode(), head.lane):
                found.append(name.decode())
        return found

    def _is_meant(self, job: str, lane: int) -> bool:
        return lane in self._lanes and self._cancel.is_about(job)

    # What ends

    async def end(self) -> Tally:
        """Ends it; what was ended."""
        ended = Tally()
        for p in range(self._partitions):
            await self._bring_back(p)
            for queues in (self._queues, self._queues.alone()):
                await self._end_queues(p, queues, ended)
        for p in range(self._partitions):
            for job, _ in await self._due(p):
                await self._store.start("", job, self._now_ms())
            for job in await self._selecting(p):
                await self._selections.end(job, REASON)
            for lane in self._lanes:
                await self._end_chunks(p, lane, ended)
        return ended

    async def _bring_back(self, p: int) -> None:
        """What was in hand, untried, and what was parked, into the ready queues."""
        for is_alone in (False, True):
            queues = self._queues.alone() if is_alone else self._queues
            for relay in await self._holders(p, is_alone):
                await queues.release(p, relay)
        for job in await self._queues.parked_jobs(p):
            while self._cancel.is_about(job) and await self._queues.unpark(p, job, TOGETHER):
                pass

    async def _end_queues(self, p: int, queues: ReadyQueues, ended: Tally) -> None:
        for queue in await queues.cancelled_queues(p, self._mark, self._cancel):
            more = True
            while more:
                leases, more = await queues.take_cancelled(
                    p, self._relay, LEASE_MS, TOGETHER, self._mark, self._cancel, queue
                )
                if leases:
                    await self._end_leases(p, queues, leases, ended)
        await queues.release(p, self._relay)

    async def _end_leases(self, p: int, queues: ReadyQueues, leases: Sequence[Lease], ended: Tally) -> None:
        """The facts first, as a relay does: who dies between finds the ends on record."""
        now_ms = self._now_ms()
        facts: list[events.Fact] = []
        over: list[Recorded] = []
        for lease in leases:
            try:
                ready = events.decode("Ready", lease.body)
            except ValueError:
                continue  # it goes back, and is buried by a relay
            if isinstance(ready, events.Ready):
                facts.append(failed(ready, lease.site, now_ms))
                over.append(Recorded(lease.number))
                ended.add(ready.tenant, ready.stream, ready.job)
        await self._publisher.publish(facts)
        await queues.record(p, self._relay, over)

    async def _end_chunks(self, p: int, lane: int, ended: Tally) -> None:
        stream = keys.intake(p, lane)
        if not await self._client.xlen(stream):
            return
        await bus.register(self._client, stream, keys.GROUP_QUEUEING)
        async for entry, intake, head, chunk in self._chunks(p, lane):
            if not self._is_meant(intake.job, lane):
                continue
            waiting = chunk.waiting()
            await self._publisher.publish(list(unqueued(intake, waiting, self._now_ms())))
            # What nobody has read yet is in nobody's hand, and can only be ended by who has it.
            await self._client.xclaim(stream, keys.GROUP_QUEUEING, self._relay, 0, [entry], justid=True, force=True)
            slim = recipients.pack_slim(intake.first_ordinal, waiting)
            await self._store.finish(intake.tenant, intake.job, lane, intake.first_ordinal, slim, len(waiting), entry)
            ended.add(intake.tenant, head.stream, intake.job, len(waiting))


def failed(ready: events.Ready, site: str, now_ms: int) -> events.Failed:
    """The end of a message that waited to be sent."""
    about = events.about_message(ready.tenant, ready.job, ready.ordinal, now_ms, REASON, email=ready.email)
    return events.Failed(**about, attempt=max(0, ready.attempt - 1), site=site, reason=REASON, detail=_DETAIL)


def unqueued(intake: events.Intake, waiting: Sequence[Waiting], now_ms: int) -> list[events.Fact]:
    """The ends of a chunk that waited to be queued."""
    facts: list[events.Fact] = []
    for ordinal, one in enumerate(waiting, intake.first_ordinal):
        word = REASON if one.rejected is None else "rejected"
        about = events.about_message(intake.tenant, intake.job, ordinal, now_ms, word, email=one.email)
        if one.rejected is None:
            facts.append(events.Failed(**about, reason=REASON, detail=_DETAIL))
        else:
            facts.append(events.Rejected(**about, reason=one.rejected))
    return facts


_DETAIL = "an older copy of Redis was put back, which does not know whether it was sent"

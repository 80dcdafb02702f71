"""The streams: facts are published in batches, read in consumer groups, acknowledged, taken over, or dead-lettered.

Rules that the scripts and loops here keep:

- An entry has three fields: `t` the message's name, `v` its major version, `b` its bytes. Routing needs no decoding.
- A fact with a job goes to the stream of the job's partition, one without to that of its address. So the stream is in
  the same partition as what readers keep about the job, and a reader can apply and acknowledge in one script.
- `Publisher.publish` returns when the facts are stored. Under a repeat (the answer was lost) a batch is stored once.
- A message has one final fact: the bitmap `job_ended` is set in the script that stores the fact, and a second final
  fact of the same message is dropped there, whoever writes it.
- A handler ends in exactly one of: returned (acknowledged), raised `StorageAway`, as `RedisAway` is (read again once
  Redis, or where else it writes, is back), raised anything else (read again after a while, dead-lettered when it has
  failed `MAX_FAILURES` times), raised `DeadLetter` (dead-lettered at once). It may run twice for the same entry. Dead
  letters are kept in a stream, each with its reason.
- Where a group may wait (`gather_ms`), an entry that comes alone is read at once, and those behind it wait for each
  other: a read, a script and an acknowledgement cost the same for a hundred. Who is behind waits for nothing.
- A batch in which an entry fails is handled again one by one, and while what failed waits, what is new is read.
- What nobody here knows by name, or by its major version, was written by a newer program: it stays unread for a newer
  reader, in the name of `LEFT`, and is buried only when none has come in `NEWER_AFTER_MS`.
- What a dead consumer left is taken over after `CLAIM_AFTER_MS`.
- A group is registered with its stream by the consumer that makes it, and again whenever that looks for what others
  left: `trimming` heeds who is registered, and nobody else.
"""

import asyncio
import contextlib
import math
from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

from shared.process.clock import now_ms
from shared.process.lifecycle import cancelled, pause
from shared.redis import keys, passing
from shared.redis.direct import Direct
from shared.redis.redis import Client, RedisAway, Refused, Script
from shared.words import events, ids
from shared.words.errors import StorageAway

#: One script call carries at most so many facts: beyond, the time that Redis is busy for others is felt (2 ms).
BATCH = 500
#: Blocking reads return after this, so that a consumer notices that it shall stop.
BLOCK_MS = 1000
#: A consumer that has not acknowledged for so long is taken for dead; handlers finish well within it.
CLAIM_AFTER_MS = 30_000
#: A consumer that has read nothing for so long, and has nothing in hand, is forgotten: names of processes do not come
#: back.
FORGET_AFTER_MS = 3_600_000
MAX_FAILURES = 5
#: Whose it is, in its group, what is left for a newer reader. No process has such a name. From it, as from a dead
#: consumer, all readers take it over again and again: the newer one among them keeps it.
LEFT = "left-for-a-newer-reader"
#: Longer than an upgrade of an installation takes, a weekend included.
NEWER_AFTER_MS = 3 * 86_400_000
#: Names that a line in the log was written for; beyond, one is told twice.
MAX_TOLD = 100
#: What failed is handed over again after this, and then twice as long each time.
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0
#: How long a published batch is remembered: longer than any publisher repeats.
REMEMBER_MS = 600_000

PUBLISHED = Counter("estafette_bus_published_total", "Facts stored on the event streams", ["fact"])
PUBLISH_SECONDS = Histogram(
    "estafette_bus_publish_seconds",
    "Time until a batch of facts was stored",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
HANDLED = Counter("estafette_bus_handled_total", "Entries acknowledged", ["stream", "group"])
BURIED = Counter("estafette_bus_buried_total", "Entries moved to a dead-letter stream", ["stream", "group"])
TAKEN_OVER = Counter("estafette_bus_taken_over_total", "Entries taken over from a dead consumer", ["stream", "group"])
LEFT_ENTRIES = Counter(
    "estafette_bus_left_total", "Times that an entry was left for a newer reader", ["stream", "group"]
)
BACKLOG = Gauge("estafette_bus_pending_entries", "Entries read and not yet acknowledged", ["stream", "group"])

_published = {name: PUBLISHED.labels(name) for name in events.FACTS}

_PUBLISH = Script.of(__file__, "bus_publish", kept=True)
_ACKNOWLEDGE_AND_DELETE = Script.of(__file__, "bus_acknowledge_and_delete")
_REGISTER = Script.of(__file__, "bus_register")
_FORGET = Script.of(__file__, "bus_forget")
_BURY = Script.of(__file__, "bus_bury")


class BusUnavailable(RedisAway):
    """The facts may or may not be stored; publishing the same batch again is safe."""


class DeadLetter(Exception):
    """Raised by a handler for an entry that can never be handled; the text is the reason kept with it."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a stream as it was read: its id, the message's name, major version and bytes."""

    stream_id: str
    name: str
    version: int
    body: bytes

    @property
    def is_newer(self) -> bool:
        """Whether a newer program wrote it: nothing here has its name, or its version."""
        return self.version > events.MAJOR_VERSION or (self.name not in events.MESSAGES and self.name != "")

    @property
    def written_ms(self) -> int:
        """When, by the clock of Redis."""
        return int(self.stream_id.partition("-")[0])

    def message(self) -> events.Message:
        """The message itself. `DeadLetter` if this reader cannot understand it."""
        if self.version != events.MAJOR_VERSION:
            raise DeadLetter(f"version {self.version} of {self.name} is not understood")
        try:
            return events.decode(self.name, self.body)
        except ValueError as fault:
            raise DeadLetter(f"{self.name}: {fault}") from fault


def fact_partition(fact: events.Fact, partitions: int) -> int:
    """Where a fact is published: with its job; else with its address, or, if it has none, with its tenant."""
    if fact.job:
        return ids.job_partition(fact.job, partitions)
    if fact.email is None:
        return ids.name_partition(fact.tenant, partitions)
    return ids.address_partition(fact.tenant, fact.email, partitions)


def ends_message(fact: events.Fact) -> bool:
    """Whether this is the final fact of its message. A late bounce comes after the end, and ends nothing."""
    if not fact.job or fact.ordinal is None:
        return False
    return type(fact).__name__ in events.FINAL_FACTS and not (isinstance(fact, events.Bounced) and fact.late)


class Publisher:
    """Stores facts on the event streams. `batch_name` gives a new unpredictable name per call."""

    def __init__(self, client: Client, partitions: int, batch_name: Callable[[], str]) -> None:
        self._client = client
        self._direct = Direct.of(client)
        self._partitions = partitions
        self._batch_name = batch_name

    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None:
        """Returns when every fact is stored. BusUnavailable when Redis stayed away for `patience_s`. Who may have to
        publish the same facts again later names the `batch`: under one name they are stored once (`REMEMBER_MS`)."""
        by_partition: dict[int, list[events.Fact]] = defaultdict(list)
        for fact in facts:
            by_partition[fact_partition(fact, self._partitions)].append(fact)
        calls = [
            _publish_arguments(
                partition, group[start : start + BATCH], f"{batch}.{start}" if batch else self._batch_name()
            )
            for partition, group in by_partition.items()
            for start in range(0, len(group), BATCH)
        ]
        direct = self._direct
        if direct is not None:
            await self._until_stored(lambda: direct.calls(_PUBLISH, calls), patience_s)
        elif len(calls) == 1:
            await self._until_stored(lambda: _PUBLISH(self._client, *calls[0]), patience_s)
        elif self._is_confirmed:
            await asyncio.gather(
                *(self._until_stored(partial(_PUBLISH, self._client, *call), patience_s) for call in calls)
            )
        else:  # in one round trip: a call of its own costs this process more than storing ten facts
            await self._until_stored(lambda: _PUBLISH.many(self._client, calls), patience_s)
        for name, count in Counts(type(fact).__name__ for fact in facts).items():
            _published[name].inc(count)

    @property
    def _is_confirmed(self) -> bool:
        """Whether replicas or disks have to say of each write that they have it."""
        return getattr(self._client, "wants", None) is not None

    async def _until_stored(self, store: Callable[[], Awaitable[object]], patience_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        pause_s = 0.02
        with PUBLISH_SECONDS.time():
            while True:
                try:
                    await store()
                    break
                except RedisAway as away:
                    if loop.time() + pause_s > deadline:
                        raise BusUnavailable(str(away)) from away
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.5)


def _publish_arguments(
    partition: int, facts: Sequence[events.Fact], batch: str
) -> tuple[list[str], list[str | bytes | int]]:
    names = [keys.events(partition), keys.published(partition, batch)]
    bitmaps: dict[str, int] = {}
    args: list[str | bytes | int] = [REMEMBER_MS, events.MAJOR_VERSION]
    for fact in facts:
        bitmap = 0
        if ends_message(fact):
            bitmap = bitmaps.get(fact.job, 0)
            if not bitmap:
                names.append(keys.job_ended(partition, fact.job))
                bitmap = bitmaps[fact.job] = len(names)
        args += [type(fact).__name__, events.encode(fact), bitmap, fact.ordinal or 0]
    return names, args


async def register(client: Client, stream: str, group: str) -> None:
    """Makes and registers a group that reads the stream from its beginning. Safe to repeat. RedisAway."""
    await _REGISTER(client, [stream, keys.readers(stream)], [group])


async def is_read(client: Client, stream: str, group: str, patience_s: float) -> bool:
    """Whether a member of the group is alive: while one is, it registers the group anew every `CLAIM_AFTER_MS` / 2.
    (When a consumer has asked for something, Redis before 7.2 does not tell.) RedisAway."""
    name = f"silent:{group}"
    if await client.hget(keys.readers(stream), name) is None:
        return False
    await client.hset(keys.readers(stream), name, 1)
    for _ in range(math.ceil(patience_s / 0.1)):
        await asyncio.sleep(0.1)
        if await client.hget(keys.readers(stream), name) == b"0":
            return True
    return False


BatchCall = Callable[[int, Sequence[Entry]], Awaitable[None]]


class Consumer:
    """Reads one kind of stream, in all partitions, as one member of a consumer group.

    `stream` names the stream of a partition (`keys.events`); `call(partition, entries)` handles a batch. With `remove`
    an acknowledged entry is deleted as well (work), otherwise it stays for the other groups and for readers (events).
    `passes` names the messages that the group has no use for: they are not even read. `gather_ms`: for so long at most
    an entry waits for others to be read with. With `turn` one process at a time reads a partition, and all have one
    name: who has the turn next begins with what the last one had in hand.
    """

    def __init__(
        self,
        client: Client,
        partitions: int,
        stream: Callable[[int], str],
        group: str,
        name: str,
        call: BatchCall,
        *,
        batch: int = 200,
        remove: bool = False,
        passes: Collection[str] = (),
        gather_ms: int = 0,
        claim_after_ms: int = CLAIM_AFTER_MS,
        forget_after_ms: int = FORGET_AFTER_MS,
        now_ms: Callable[[], int] = now_ms,
        turn: Callable[[int], Awaitable[bool]] | None = None,
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._turn = turn
        self._stream = stream
        self._group = group
        self._name = name
        self._call = call
        self._batch = batch
        self._remove = remove
        self._passes = passes
        self._gather_s = gather_ms / 1000
        self._claim_after_ms = claim_after_ms
        self._forget_after_ms = forget_after_ms
        self._now_ms = now_ms
        self._told: set[tuple[str, int]] = set()
        self._log = structlog.get_logger("bus").bind(group=group)
        kind = stream(0).partition("}:")[2]
        self._handled = HANDLED.labels(kind, group)
        self._buried = BURIED.labels(kind, group)
        self._taken_over = TAKEN_OVER.labels(kind, group)
        self._left = LEFT_ENTRIES.labels(kind, group)
        self._backlog = BACKLOG.labels(kind, group)
        self._pending: dict[int, int] = {}
        self._failures: dict[int, dict[str, int]] = defaultdict(dict)

    async def create_groups(self) -> None:
        """Makes and registers the group on every partition, from the beginning of the stream. Safe to repeat."""
        for partition in range(self._partitions):
            await register(self._client, self._stream(partition), self._group)

    async def run(self, stopping: asyncio.Event) -> None:
        """Reads until `stopping` is set; what is in hand then is finished first."""
        loop = asyncio.get_running_loop()
        readers = [loop.create_task(self._read_partition(p, stopping)) for p in range(self._partitions)]
        try:
            await asyncio.gather(*readers)
        finally:
            await cancelled(readers)  # gather ends with the first that fails, and leaves the others reading

    async def _read_partition(self, partition: int, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        next_claim = loop.time() + self._claim_after_ms / 2000
        own_backlog_at = 0.0  # what this name left unacknowledged before a crash comes first
        pause_s = FIRST_RETRY_S
        while not stopping.is_set():
            try:
                if self._turn is not None and not await self._turn(partition):
                    own_backlog_at = 0.0
                    await pause(stopping, BLOCK_MS / 1000)
                    continue
                if loop.time() >= next_claim:
                    next_claim = loop.time() + self._claim_after_ms / 2000
                    await self._take_over(partition)
                if loop.time() < own_backlog_at:
                    if 0 < await self._read_on(partition) < self._batch and self._gather_s:
                        await pause(stopping, self._gather_s - loop.time() % self._gather_s)
                elif not await self._read(partition, "0"):
                    own_backlog_at = math.inf
                    self._failures[partition].clear()
                    pause_s = FIRST_RETRY_S
            except _ReadAgain:
                own_backlog_at = loop.time() + pause_s
                pause_s = min(pause_s * 2, LAST_RETRY_S)
            except StorageAway:
                await pause(stopping, pause_s)
                own_backlog_at = 0.0
                pause_s = min(pause_s * 2, 1.0)
            except Exception as fault:
                if isinstance(fault, Refused) and "NOGROUP" in str(fault):
                    self._log.warning("group_lost", stream=self._stream(partition))
                    with contextlib.suppress(RedisAway):
                        await self.create_groups()
                else:
                    self._log.exception("read_failed", stream=self._stream(partition))
                await pause(stopping, pause_s)
                own_backlog_at = 0.0
                pause_s = min(pause_s * 2, LAST_RETRY_S)

    async def _read_on(self, partition: int) -> int:
        """What is new; of a group that passes over messages only the first after a pause may be one of these. How many
        entries that was."""
        if not self._passes:
            return await self._read(partition, ">")
        passed, found = await passing.read(
            self._client, self._stream(partition), self._group, self._name, self._batch, self._passes
        )
        self._handled.inc(passed)
        await self._hand_over(partition, found)
        if not passed and not found:
            return await self._read(partition, ">", 1)
        return passed + len(found)

    async def _read(self, partition: int, position: str, count: int | None = None) -> int:
        """Reads on, or (from "0") what this name has in hand already, and hands it over. How many entries that was."""
        stream = self._stream(partition)
        block = BLOCK_MS if position == ">" else None
        found = await self._client.xreadgroup(
            self._group, self._name, {stream: position}, count=count or self._batch, block=block
        )
        read = [pair for _, pairs in found or () for pair in pairs]
        await self._hand_over(partition, read)
        return len(read)

    async def _hand_over(self, partition: int, read: Sequence[tuple[bytes, Mapping[bytes, bytes] | None]]) -> None:
        """A batch at once; if that fails, one by one, so that one bad entry does not hold up the others."""
        if removed := [number for number, fields in read if not fields]:
            # Deleted from the stream while it was in hand: it can never be handled, and would stay in hand for ever.
            await self._client.xack(self._stream(partition), self._group, *removed)
        entries = [entry(number, fields) for number, fields in read if fields]
        if newer := [one for one in entries if one.is_newer]:
            await self._leave(partition, newer)
            entries = [one for one in entries if not one.is_newer]
        if not entries:
            return
        try:
            await self._call(partition, entries)
            await self.acknowledge(partition, entries)
        except StorageAway:
            raise
        except Exception as fault:
            if len(entries) == 1:
                await self._failed(partition, entries[0], fault)
            else:
                await self._one_by_one(partition, entries)
        if any(one.stream_id in self._failures[partition] for one in entries):
            raise _ReadAgain

    async def _leave(self, partition: int, newer: Sequence[Entry]) -> None:
        """For a newer reader; what has waited for one too long is buried."""
        since_ms = self._now_ms() - NEWER_AFTER_MS
        if left := [one.stream_id for one in newer if one.written_ms > since_ms]:
            await self._client.xclaim(self._stream(partition), self._group, LEFT, 0, left, justid=True)
            self._left.inc(len(left))
        for one in newer:
            if one.written_ms <= since_ms:
                await self._bury(partition, one, f"version {one.version} of {one.name} is newer than every reader")
            elif (one.name, one.version) not in self._told:
                self._told = {*self._told, (one.name, one.version)} if len(self._told) < MAX_TOLD else set()
                self._log.warning(
                    "left_for_newer", message_name=one.name[:100], version=one.version, entry=one.stream_id
                )

    async def _one_by_one(self, partition: int, entries: Sequence[Entry]) -> None:
        for one in entries:
            try:
                await self._call(partition, [one])
                await self.acknowledge(partition, [one])
            except StorageAway:
                raise
            except Exception as fault:
                await self._failed(partition, one, fault)

    async def _failed(self, partition: int, failed: Entry, fault: Exception) -> None:
        """Dead-letters what is hopeless or has failed too often; the rest stays in hand."""
        if isinstance(fault, DeadLetter):
            await self._bury(partition, failed, str(fault))
            return
        failures = self._failures[partition].get(failed.stream_id, 0) + 1
        self._log.warning("handler_failed", **named(failed), entry=failed.stream_id, failures=failures, exc_info=fault)
        if failures >= MAX_FAILURES:
            await self._bury(partition, failed, f"{type(fault).__name__}: {fault}")
        else:
            self._failures[partition][failed.stream_id] = failures

    async def acknowledge(self, partition: int, entries: Sequence[Entry]) -> None:
        stream = self._stream(partition)
        numbers = [one.stream_id for one in entries]
        if self._remove:
            await _ACKNOWLEDGE_AND_DELETE(self._client, [stream], [self._group, *numbers])
        else:
            await self._client.xack(stream, self._group, *numbers)
        for number in numbers:
            self._failures[partition].pop(number, None)
        self._handled.inc(len(numbers))

    async def _bury(self, partition: int, dead: Entry, reason: str) -> None:
        stream = self._stream(partition)
        fields: list[str | bytes | int] = [
            "t", dead.name, "v", dead.version, "b", dead.body, "reason", reason[:1000].encode("utf-8", "replace"),
            "origin", f"{stream} {dead.stream_id} {self._group}",
        ]  # fmt: skip
        await _BURY(
            self._client, [stream, keys.dead(stream)], [self._group, dead.stream_id, int(self._remove), *fields]
        )
        self._failures[partition].pop(dead.stream_id, None)
        self._handled.inc()
        self._buried.inc()
        self._log.error("buried", **named(dead), entry=dead.stream_id, message_name=dead.name, reason=reason[:200])

    async def _take_over(self, partition: int) -> None:
        """Hands over what consumers that died had read. XAUTOCLAIM counts the delivery."""
        stream = self._stream(partition)
        position = "0-0"
        while True:
            found = await self._client.xautoclaim(
                stream, self._group, self._name, self._claim_after_ms, start_id=position, count=self._batch
            )
            position = found[0].decode() if isinstance(found[0], bytes) else str(found[0])
            self._taken_over.inc(len(found[1]))
            await self._hand_over(partition, found[1])
            if position == "0-0":
                break
        await _FORGET(self._client, [stream, keys.readers(stream)], [self._group, self._name, self._forget_after_ms])
        pending = await self._client.xpending(stream, self._group)
        self._pending[partition] = int(pending["pending"])
        self._backlog.set(sum(self._pending.values()))


class _ReadAgain(Exception):
    """An entry failed and stays in hand: its reader comes back to it after a while."""


def entry(number: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """An entry as the client reads it."""
    version = fields.get(b"v", b"0")
    return Entry(
        number.decode(),
        fields.get(b"t", b"").decode("utf-8", "replace"),
        int(version) if version.isdigit() else 0,
        fields.get(b"b", b""),
    )


def named(about: Entry) -> dict[str, str]:
    """The message that an entry is about, or its job, for a line in the log; nothing where neither can be read."""
    try:
        found = about.message()
    except DeadLetter:
        return {}
    job = getattr(found, "job", "")
    ordinal = getattr(found, "ordinal", getattr(found, "first_ordinal", None))
    if not job:
        return {}
    return {"job": job} if ordinal is None else {"message": ids.message_id(job, ordinal), "job": job}

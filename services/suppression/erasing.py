"""Erasure: what is kept of an address is removed, and a keyed hash stays, which keeps it suppressed.

1. The intent is written down, with the address: whoever dies from here on, the next one goes on (`sweep`).
2. The hash is stored. From now on nothing is sent to the address.
3. What is kept of the address in maps goes at once (`forgetting.py`), and which messages it got by its hash.
4. Its jobs' recipients are walked through (`mentions.py`), in steps, for all addresses of a tenant that are to be
   erased at that time. How far the walk is, is written down. Where the address is among recipients that wait to be
   queued the walk is made again later: such a message ends as suppressed.
5. When nothing of it is left the intent goes, and with it the address.

What is on its way in queues ends within the lifetime of its mail, the events on the stream within `events.
retention_days`; both are bounded, and not rewritten.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from prometheus_client import Counter, Gauge

from services.suppression.changing import Value, change
from services.suppression.forgetting import Forgetting, Removed
from services.suppression.mentions import At, Mentions, found, is_queued
from services.suppression.rules import Rules
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import keys
from shared.redis.addressed import Addressed
from shared.redis.bus import Publisher
from shared.redis.erased import Erasure, encode
from shared.redis.histories import Histories
from shared.redis.redis import Client, RedisAway
from shared.redis.untracked import Told, UntrackedList
from shared.words import events, ids

ERASED = Counter("estafette_suppression_erased_total", "Addresses that were erased, from every job that named them")
ERASING = Gauge("estafette_suppression_erasing_addresses", "Addresses that are being erased")
OLDEST = Gauge(
    "estafette_suppression_erasing_oldest_timestamp_seconds",
    "When the oldest erasure that is not done was asked for; 0: there is none",
)

SWEEP_SECONDS = 5.0
#: A walk that found the address among recipients that wait to be queued is made again after this.
AGAIN_MS = 600_000
#: Steps of a walk from one time that its place is written down to the next: a second of work or less.
STEPS_A_MARK = 20
#: Steps that a tenant's walk makes in one sweep: then others have their turn.
STEPS_A_SWEEP = 2_000
#: Of one walk: of each address it is asked whether a chunk has it.
ADDRESSES_A_WALK = 100

#: Why somebody is erased: they, or the tenant, asked for it, or nothing came from them for years.
REQUEST, RETENTION = "request", "retention"

_log = logs.get_logger()


class Intent(msgspec.Struct, frozen=True, array_like=True):
    """`messages`: how many had the address as their recipient and have lost it. `by`: why it is erased."""

    address: str
    asked_ms: int
    messages: int = 0
    by: str = REQUEST


class Walk(msgspec.Struct, frozen=True, array_like=True):
    """Of a tenant: for which of its intents (their hashes), how far, whether it met recipients that wait, and not
    before when it goes on."""

    digests: tuple[str, ...]
    at: At = At()
    met_waiting: bool = False
    not_before_ms: int = 0


_encoder = msgspec.msgpack.Encoder()
_intents = msgspec.msgpack.Decoder(Intent)
_walks = msgspec.msgpack.Decoder(Walk)


class Erasing:
    """`now_ms` is the clock, `new_version` as of `Rules`. Every method raises RedisAway, and may be repeated."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        publisher: Publisher,
        now_ms: Callable[[], int],
        new_version: Callable[[], str],
        sent: Histories,
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._publisher = publisher
        self._mentions = Mentions(client, partitions)
        self._forgetting = Forgetting(client, partitions, Rules(client, publisher, now_ms, new_version))
        self._untracked = UntrackedList(client)
        self._histories = sent
        self._now_ms = now_ms

    async def begin(
        self, tenant: str, address: str, digests: Sequence[str], by: str = REQUEST, marks: Sequence[bytes] = ()
    ) -> Removed:
        """Erases a normalised address, but for what is said in jobs, which follows. `digests` are its hashes, the
        current one first. Of who has one of the `marks` nothing is recorded any more: they are told first, so that
        nobody is erased who is still measured."""
        intent = Intent(address, self._now_ms(), by=by)
        await self._untracked.tell([Told(tenant, mark, True, intent.asked_ms) for mark in marks])
        await self._client.sadd(keys.erasing_tenants(), tenant)
        await self._client.hsetnx(keys.erasures(tenant), digests[0], _encoder.encode(intent))
        await self._histories.forget(tenant, digests[1:], intent.asked_ms)
        return await self._forget(tenant, digests[0], intent)

    async def pending(self, tenant: str) -> int:
        """How many erasures of the tenant are under way."""
        return int(await self._client.hlen(keys.erasures(tenant)))

    async def intent(self, tenant: str, digest: str) -> Intent | None:
        """The intent, as long as it is not done."""
        packed = await self._client.hget(keys.erasures(tenant), digest)
        return None if packed is None else _intents.decode(packed)

    async def _forget(self, tenant: str, digest: str, intent: Intent) -> Removed:
        """The hash first: there is no moment at which the address may be mailed."""
        await self._put(tenant, digest, Erasure(intent.asked_ms))
        await self._histories.forget(tenant, [digest], intent.asked_ms)
        return await self._forgetting.forget(tenant, intent.address)

    async def _put(self, tenant: str, digest: str, erasure: Erasure) -> None:
        """What is known of it may only grow."""
        while True:
            known = await Addressed(self._client, self._partitions, keys.erased).get(tenant, digest) or b""
            new = encode(erasure)
            if known and not erasure.done_ms:
                return
            if all(await change(self._client, self._partitions, [Value(keys.erased, tenant, digest, known, new)])):
                return

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        while not stopping.is_set():
            try:
                await self.sweep(stopping)
            except RedisAway as away:
                _log.warning("erasing_failed", reason=str(away))
            except Exception:  # ours, or a server that refuses: the lists go on
                _log.exception("erasing_failed")
            await pause(stopping, SWEEP_SECONDS)

    async def sweep(self, stopping: asyncio.Event | None = None) -> int:
        """Goes on with every tenant's erasures, each for so long; how many are done."""
        done, pending = 0, 0
        oldest_ms: int | None = None
        for tenant in sorted(name.decode() for name in await self._client.smembers(keys.erasing_tenants())):
            if stopping is not None and stopping.is_set():
                return done
            intents = await self._intents(tenant)
            pending += len(intents)
            if intents and (ended := await self._go_on(tenant, intents, stopping)):
                done += ended
                intents = await self._intents(tenant)
            asked_ms = [intent.asked_ms for intent in intents.values()]
            oldest_ms = min(asked_ms if oldest_ms is None else [oldest_ms, *asked_ms], default=None)
        ERASING.set(pending - done)
        OLDEST.set((oldest_ms or 0) / 1000)
        return done

    async def _intents(self, tenant: str) -> dict[str, Intent]:
        found = await self._client.hgetall(keys.erasures(tenant))
        return {digest.decode(): _intents.decode(packed) for digest, packed in found.items()}

    async def _go_on(self, tenant: str, intents: dict[str, Intent], stopping: asyncio.Event | None) -> int:
        walk = await self._walk(tenant, intents)
        if walk.not_before_ms > self._now_ms():
            return 0
        at: At | None = walk.at
        for step in range(STEPS_A_SWEEP):
            if at is None or (stopping is not None and stopping.is_set()):
                break
            some = {digest: intents[digest] for digest in walk.digests if digest in intents}
            at, met_waiting = await self._step(tenant, at, some)
            walk = msgspec.structs.replace(walk, at=at or walk.at, met_waiting=walk.met_waiting or met_waiting)
            intents = {**intents, **some}
            if step % STEPS_A_MARK == 0:
                await self._mark(tenant, walk)
            await asyncio.sleep(0)  # others have their turn: chunks are unpacked here
        if at is not None:
            await self._mark(tenant, walk)
            return 0
        if walk.met_waiting:
            await self._mark(tenant, Walk(walk.digests, not_before_ms=self._now_ms() + AGAIN_MS))
            return 0
        return await self._end(tenant, walk.digests, intents)

    async def _walk(self, tenant: str, intents: dict[str, Intent]) -> Walk:
        """The one that is under way, or a new one for the oldest intents, of which the maps are looked at again: who
        asked may have died before it was done."""
        packed = await self._client.get(keys.erasure_walk(tenant))
        if packed is not None:
            return _walks.decode(packed)
        oldest = sorted(intents, key=lambda digest: intents[digest].asked_ms)[:ADDRESSES_A_WALK]
        for digest in oldest:
            await self._forget(tenant, digest, intents[digest])
        walk = Walk(tuple(oldest))
        await self._mark(tenant, walk)
        return walk

    async def _mark(self, tenant: str, walk: Walk) -> None:
        await self._client.set(keys.erasure_walk(tenant), _encoder.encode(walk))

    async def _step(self, tenant: str, at: At, intents: dict[str, Intent]) -> tuple[At | None, bool]:
        """Reads on, and takes the addresses out of what is queued; `intents` count. Where it goes on, and whether one
        of the addresses waits to be queued. Jobs made after all of this was asked for are the tenant's new business."""
        chunks, following = await self._mentions.read(tenant, at)
        by_address = {intent.address: digest for digest, intent in intents.items()}
        last_ms = max((intent.asked_ms for intent in intents.values()), default=0)
        met_waiting = False
        for job, member in chunks:
            if ids.job_created_ms(job) > last_ms or not (there := found(job, member, by_address)):
                continue
            if not is_queued(member):
                met_waiting = True
            elif await self._mentions.erase(tenant, job, member, by_address):
                for mention in there:
                    await self._count(tenant, by_address[mention.address], intents)
            else:
                met_waiting = True  # it became another while we looked
        return following, met_waiting

    async def _count(self, tenant: str, digest: str, intents: dict[str, Intent]) -> None:
        intent = intents[digest]
        intents[digest] = msgspec.structs.replace(intent, messages=intent.messages + 1)
        await self._client.hset(keys.erasures(tenant), digest, _encoder.encode(intents[digest]))

    async def _end(self, tenant: str, digests: Sequence[str], intents: dict[str, Intent]) -> int:
        """The hash says that it is done, then it is told, and then the address goes."""
        done = 0
        for digest in digests:
            if (intent := intents.get(digest)) is None:
                continue
            now_ms = self._now_ms()
            await self._histories.forget(tenant, [digest], intent.asked_ms)  # what was still to be written then
            await self._put(tenant, digest, Erasure(intent.asked_ms, now_ms, intent.messages))
            about = events.about(tenant, now_ms, "erased", tenant, digest, intent.asked_ms)
            await self._publisher.publish(
                [events.Erased(**about, digest=digest, messages=intent.messages, by=intent.by)],
                batch=f"erased.{digest}.{intent.asked_ms}",
            )
            done += await self._client.hdel(keys.erasures(tenant), digest)
            _log.info("erased", tenant=tenant, messages=intent.messages)
        await self._client.delete(keys.erasure_walk(tenant))
        ERASED.inc(done)
        return done

"""Endpoints, and what waits for each, in Redis.

Everything of one endpoint is in the partition of its id, so that each step is one script: events into its queue; what
became of deliveries written down, and the queue read on. The endpoints themselves are one hash a tenant, with a version
by which processes see changes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from services.webhooks.endpoints import Endpoint
from services.webhooks.window import Aside, Attempt, Change, Event, State
from shared.redis import keys, leases
from shared.redis.redis import Client, Script, answer
from shared.words import ids

LEASE_MS = 15_000
#: Longer than any process goes on with what it knew before.
GONE_MS = 3_600_000
#: Events given up that one call moves back.
REFILLED = 500
#: Lines of the log in one answer.
MOST_SHOWN = 500

_ENQUEUE = Script.of(__file__, "store_enqueue", kept=True)
_ACQUIRE = Script.of(__file__, "store_acquire")
_SETTLE = Script.of(__file__, "store_settle", kept=True)
_RELEASE = Script.of(__file__, "store_release")
_REFILL = Script.of(__file__, "store_refill", kept=True)
_ENABLE = Script.of(__file__, "store_enable", kept=True)
_BURY = Script.of(__file__, "store_bury")
_encoder = msgspec.msgpack.Encoder()
_endpoint = msgspec.msgpack.Decoder(Endpoint)
_aside = msgspec.msgpack.Decoder(Aside)
_attempt = msgspec.msgpack.Decoder(Attempt)
_event = msgspec.msgpack.Decoder(tuple[str, str, bytes])
_NUMBERS = tuple(name for name in State.__struct_fields__ if name != "why")


class Batch(NamedTuple):
    """Events for one endpoint, of the entries from `first` to `last` of a source ("": of none, and no repeat is
    known)."""

    endpoint: str
    source: str
    first: str
    last: str
    events: Sequence[bytes]


class Taken(NamedTuple):
    """Of a batch: how many wait now, how many were dropped for too many, how many not kept for who is disabled."""

    queued: int
    dropped: int
    missed: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint fares, with what waits for it, and what was dropped and missed."""

    state: State
    waiting: int
    given_up_kept: int
    dropped: int
    missed: int


class Replay(msgspec.Struct, frozen=True, array_like=True):
    """What an endpoint is to be told again: of a period (ms), from these places on, each a partition's; or, with
    `failures`, what was given up."""

    endpoint: str
    tenant: str
    since_ms: int
    until_ms: int
    failures: bool
    places: tuple[str, ...] = ()


def packed(event: Event) -> bytes:
    """An event as it waits in a queue."""
    return _encoder.encode((event.order, event.key, event.body))


class Store:
    """Every method raises RedisAway, and may be repeated."""

    def __init__(self, client: Client, partitions: int, *, queue_events: int, log_ms: int) -> None:
        self._client = client
        self._partitions = partitions
        self._queue_events = queue_events
        self._log_ms = log_ms

    def _at(self, endpoint: str) -> int:
        return ids.name_partition(endpoint, self._partitions)

    # Endpoints

    async def versions(self) -> dict[str, bytes]:
        """Of the endpoints of each tenant that ever had one."""
        found = await self._client.hgetall(keys.webhook_versions())
        return {tenant.decode(): version for tenant, version in found.items() if tenant}

    async def latest(self) -> bytes | None:
        """The version of whatever changed last, of any tenant."""
        return await self._client.hget(keys.webhook_versions(), keys.LATEST)

    async def _changed(self, tenant: str, version: str) -> None:
        # Whoever sees that something has changed sees what has.
        await self._client.hset(keys.webhook_versions(), tenant, version)
        await self._client.hset(keys.webhook_versions(), keys.LATEST, version)

    async def of_tenant(self, tenant: str) -> list[Endpoint]:
        """The oldest first."""
        found = await self._client.hvals(keys.webhooks(tenant))
        return sorted((_endpoint.decode(one) for one in found), key=lambda one: (one.created_ms, one.id))

    async def get(self, tenant: str, endpoint: str) -> Endpoint | None:
        found = await self._client.hget(keys.webhooks(tenant), endpoint)
        return None if found is None else _endpoint.decode(found)

    async def put(self, endpoint: Endpoint, version: str) -> None:
        """`version` is another one each time."""
        await self._client.hset(keys.webhooks(endpoint.tenant), endpoint.id, _encoder.encode(endpoint))
        await self._changed(endpoint.tenant, version)

    async def remove(self, endpoint: Endpoint, version: str, now_ms: int) -> None:
        """With all that waits for it, and its log."""
        p, name = self._at(endpoint.id), endpoint.id
        await self._client.hdel(keys.webhooks(endpoint.tenant), name)
        await self._changed(endpoint.tenant, version)
        await self._client.hdel(keys.webhook_replays(), name)
        await self._client.zrem(keys.webhook_due(p), name)
        await self._client.delete(
            keys.webhook_queue(p, name), keys.webhook_aside(p, name), keys.webhook_failed(p, name),
            keys.webhook_log(p, name, "taken"), keys.webhook_log(p, name, "failed"), keys.webhook_lease(p, name),
        )  # fmt: skip
        # For who does not know yet that it is gone: nothing is queued for it any more.
        await _BURY(self._client, [keys.webhook_state(p, name)], [now_ms, GONE_MS])

    async def enable(self, endpoint: str, now_ms: int) -> None:
        """What was disabled, or rests, is asked again."""
        p = self._at(endpoint)
        names = [keys.webhook_state(p, endpoint), keys.webhook_queue(p, endpoint), keys.webhook_due(p)]
        await _ENABLE(self._client, names, [endpoint, now_ms])

    async def standing(self, endpoint: str) -> Standing:
        p = self._at(endpoint)
        fields = await self._client.hgetall(keys.webhook_state(p, endpoint))
        waiting, kept = await asyncio.gather(
            self._client.xlen(keys.webhook_queue(p, endpoint)), self._client.xlen(keys.webhook_failed(p, endpoint))
        )
        return Standing(
            state=_state(fields),
            waiting=waiting,
            given_up_kept=kept,
            dropped=int(fields.get(b"dropped", 0)),
            missed=int(fields.get(b"missed", 0)),
        )

    async def attempts(self, endpoint: str, most: int) -> list[Attempt]:
        """The latest first."""
        p = self._at(endpoint)
        logs = await asyncio.gather(
            *(
                self._client.xrevrange(keys.webhook_log(p, endpoint, kind), "+", "-", count=most)
                for kind in ("taken", "failed")
            )
        )
        found = [_attempt.decode(fields[b"a"]) for log in logs for _, fields in log]
        return sorted(found, key=lambda one: one.at_ms, reverse=True)[:most]

    # What waits

    async def enqueue(self, batches: Sequence[Batch], now_ms: int) -> list[Taken]:
        """What each came to."""
        calls = [self._enqueued(batch, now_ms) for batch in batches]
        if len(calls) == 1 or getattr(self._client, "wants", None) is not None:
            answers = await asyncio.gather(*(_ENQUEUE(self._client, *call) for call in calls))
        else:
            answers = await _ENQUEUE.many(self._client, calls)
        return [Taken(*map(int, answer)) for answer in answers]

    def _enqueued(self, batch: Batch, now_ms: int) -> tuple[list[str], list[str | bytes | int]]:
        p, name = self._at(batch.endpoint), batch.endpoint
        names = [
            keys.webhook_queue(p, name), keys.webhook_state(p, name), keys.webhook_lease(p, name), keys.webhook_due(p),
        ]  # fmt: skip
        source = f"from:{batch.source}" if batch.source else ""
        return names, [
            name, now_ms, self._queue_events, source, batch.first, batch.last, *batch.events,
        ]  # fmt: skip

    async def due(self, now_ms: int, most: int) -> list[str]:
        """Endpoints that somebody is to look after, of all partitions; in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for p in range(self._partitions):
            pipeline.execute_command("ZRANGEBYSCORE", keys.webhook_due(p), "-inf", now_ms, "LIMIT", 0, most)
        return [name.decode() for found in await answer(pipeline.execute()) for name in found]

    async def refill(self, endpoint: str, now_ms: int) -> tuple[int, int]:
        """How many of the events given up wait again, and how many are left."""
        p = self._at(endpoint)
        names = [
            keys.webhook_failed(p, endpoint), keys.webhook_queue(p, endpoint), keys.webhook_lease(p, endpoint),
            keys.webhook_due(p),
        ]  # fmt: skip
        moved, left = await _REFILL(self._client, names, [endpoint, now_ms, REFILLED, self._queue_events])
        return int(moved), int(left)

    async def room(self, endpoint: str) -> int:
        """How many more may wait for it."""
        return self._queue_events - await self._client.xlen(keys.webhook_queue(self._at(endpoint), endpoint))

    # Who sends

    async def lead(self, partition: int, process: str) -> bool:
        """Whether this process alone reads the partition, for the next 15 seconds."""
        return await leases.hold(self._client, keys.webhook_reader(partition), process, LEASE_MS)

    async def acquire(self, endpoint: str, process: str, now_ms: int) -> tuple[State, dict[str, Aside]] | None:
        """How it fares, and what is aside; None if another process has it."""
        p = self._at(endpoint)
        names = [
            keys.webhook_lease(p, endpoint), keys.webhook_state(p, endpoint), keys.webhook_aside(p, endpoint),
            keys.webhook_due(p),
        ]  # fmt: skip
        found = await _ACQUIRE(self._client, names, [endpoint, process, LEASE_MS, now_ms])
        if not found:
            return None
        fields, aside = (dict(zip(flat[::2], flat[1::2], strict=True)) for flat in found)
        return _state(fields), {key.decode(): _aside.decode(one) for key, one in aside.items()}

    async def settle(
        self, endpoint: str, process: str, change: Change, state: State, after: str, most: int, now_ms: int
    ) -> list[Event] | None:
        """What is read on behind the entry `after`; None if another process has the endpoint by now."""
        p = self._at(endpoint)
        names = [
            keys.webhook_lease(p, endpoint), keys.webhook_state(p, endpoint), keys.webhook_aside(p, endpoint),
            keys.webhook_queue(p, endpoint), keys.webhook_failed(p, endpoint),
            keys.webhook_log(p, endpoint, "taken"), keys.webhook_log(p, endpoint, "failed"), keys.webhook_due(p),
        ]  # fmt: skip
        written: list[Sequence[str | bytes | int]] = [
            change.done,
            [part for key, one in change.aside.items() if one is not None for part in (key, _encoder.encode(one))],
            [key for key, one in change.aside.items() if one is None],
            change.given_up,
            _fields(state) if change.state else [],
            [_encoder.encode(one) for one in change.taken_log],
            [_encoder.encode(one) for one in change.failed_log],
        ]
        args: list[str | bytes | int] = [endpoint, process, LEASE_MS, now_ms, self._log_ms, after, most]
        for one in written:
            args += [len(one), *one]
        found = await _SETTLE(self._client, names, args)
        if found is None:
            return None
        return [Event(entry, *_event.decode(fields[1])) for entry, fields in found]

    async def release(self, endpoint: str, process: str, due_ms: int | None, after: str, now_ms: int) -> None:
        """`after`: the last entry that was read, "" if nothing is to be read on."""
        p = self._at(endpoint)
        names = [
            keys.webhook_lease(p, endpoint), keys.webhook_queue(p, endpoint), keys.webhook_state(p, endpoint),
            keys.webhook_due(p),
        ]  # fmt: skip
        await _RELEASE(self._client, names, [endpoint, process, now_ms, -1 if due_ms is None else due_ms, after])

    # What is told again

    async def replays(self) -> list[Replay]:
        found = await self._client.hvals(keys.webhook_replays())
        return [msgspec.msgpack.decode(one, type=Replay) for one in found]

    async def put_replay(self, replay: Replay) -> None:
        await self._client.hset(keys.webhook_replays(), replay.endpoint, _encoder.encode(replay))

    async def end_replay(self, endpoint: str) -> None:
        await self._client.hdel(keys.webhook_replays(), endpoint)


def _fields(state: State) -> list[str | int]:
    """`disabled_at` is there only where it is: scripts look whether it exists."""
    found: list[str | int] = []
    for name in (*_NUMBERS, "why"):
        value = getattr(state, name)
        if name != "disabled_at" or value:
            found += [name, value]
    return found


def _state(fields: Mapping[bytes, bytes]) -> State:
    numbers = {name: int(fields.get(name.encode(), 0)) for name in _NUMBERS}
    return State(**numbers, why=fields.get(b"why", b"").decode())

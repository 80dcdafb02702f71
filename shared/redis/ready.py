"""The ready queues: messages wait by site and tenant, are leased to relays, and are recorded, put back or parked.

What is where, of each channel in the site's partition (`shared.redis.keys` has the names, `ready_*.lua` the steps):

    sites                         zset    sites with ready messages, scored by when they may be served next
    urgent                        zset    those of them that have messages in lane 0, which go before all others
    turns:<lane>:<site>           zset    the queues of a lane that have messages, by when they were served last
    ready:<lane>:<site>:<queue>   stream  the messages, lane 0 before lane 1; gone when empty
    leased:<relay>                hash    what a relay has in hand, by lease number
    relays                        zset    until when each relay's leases hold
    retry                         zset    messages that wait for their next attempt, or their first, by due time
    parked:<job>                  zset    messages of a job that was stopped, by when they are over
    holds                         zset    sites, and queues at a site, of which nothing is handed out before a time
    expiries                      zset    ready queues, by when they are looked through for what is over
    site:<site>                   hash    `leased`: how many messages of the site are in hand, over all relays, and
                                          `urgent`: how many of these are of lane 0
    alone:…                       the same once more (but for retry, parked and holds) of what is tried alone

A message is in exactly one of: a ready stream, one relay's hash, `retry`, where its job is parked. Each script moves it
from one to another, so no crash loses or doubles it. A site is in `sites` if and only if it has ready messages and
fewer than the limit in hand; recording puts a site back that had reached its limit, so one slow site never fills the
hands of a relay. Nor do many: a site may have as many in hand as an eighth of what the asking relay has room for. So
the first slow site takes much, each further one less, and there is room for the next for as long as there can be.

What people wait for (lane 0) goes first over all sites, not only at its own: it does not wait until that has its turn
among thousands. It has room of its own in a relay's hands, and its share at a site is of that.

Turns. A queue is what takes turns within a lane of a site: a tenant, or `tenant/job` for a job with a rate of its own.
The one that waited longest goes first, `TURN` messages of each, so ten messages do not wait behind somebody's million.
One queue alone goes as fast as it can.

Holds. Nothing of a site or of a queue that is held is handed out before its time; a hold may grow and not shrink. Both
are scores of what would be served, and whatever puts messages into a ready queue asks for holds, so that they last
beyond an empty queue. What is in hand already is not concerned.

Expiry. What is over is found where it waits: where parked, by its score; in a ready stream by its field `x`
(expires_at), when `expiries` says that the first of its queue is over. The time a queue is looked through is rounded up
to a full half minute of the clock, and so no queue is, however large, more often than that. What waits in `retry` comes
due before it is over: the relay sees to that.

Take-overs. What a relay had in hand when it died, or hung, may be what brought it down; so each message carries how
often that happened to it since its last attempt came to an end. All of what was in hand counts, tried or not: two
thousand that all bring a relay down are found out by two deaths, not by thousands. After `SUSPECT` take-overs a message
waits apart (`ReadyQueues.alone`) where ordinary relays never look: it is tried with nothing else in hand, by a process
of its own (`services.relay.alone`). What is harmless is delivered there; what was taken over `HOPELESS` times is not
tried again. What is put back in an orderly way counts nothing, nor does an outage of the server.

A relay that stops asking for `lease_ms` is taken for dead, and the next relay that asks puts its messages back. The
time is the server's, so the clocks of hosts do not matter. When nobody asked for half a lease (the server was away),
all relays get a new lease first: those that live have outcomes to record. A relay that was stopped for longer
(`held_until`) must not send what it still has in hand: others may have it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from shared.redis import cancels, keys
from shared.redis.cancels import Cancel
from shared.redis.commands import Value
from shared.redis.keys import Channel
from shared.redis.redis import Client, Script
from shared.redis.stops import STOPPED_STREAM
from shared.words import events, ids

#: Lanes by stream: what people wait for goes before what was sent to many.
BULK = 1
LANES = {"one_to_one": 0, "transactional": 0, "bulk": BULK}
#: A site has at most this part of the room of the relay that asks. 8: one site alone has 1/9 of the relay in hand, and
#: 30 that are stuck leave 1/50 of it to the others.
SHARE = 8
#: After so many take-overs a message is tried alone, and after so many not at all.
SUSPECT = 2
HOPELESS = 3
#: Messages of one queue before it is the next one's turn. 10: a few are out at once; a call of a hundred serves ten
#: queues, in which what a turn costs hardly shows.
TURN = 10
#: How long the mark of an enqueued chunk stays: longer than a chunk can wait to be repeated.
ENQUEUED_MS = 7 * 24 * 3600 * 1000
#: A ready queue is looked through at full half minutes. An expiry is exact to about that.
SWEEP_MS = 30_000
#: Entries that one script looks at: 1.5 ms of the server's time (7 microseconds each, with bodies of 300 bytes).
SWEEP_PAGE = 200
#: The names under which `take_cancelled` looks at what waits for another attempt, and at what is parked; and so often,
#: from their beginning.
RETRIES = ""
PARKED = "(parked)"
AGAIN_MS = 30_000
#: How far was looked for what is cancelled is remembered for so long.
WALK_MS = 24 * 3600 * 1000
#: Scripts of one call of `take_expired`: called once a second, it looks through a million messages in a minute.
SWEEP_PAGES = 100

_ENQUEUE = Script.of(__file__, "ready_common", "ready_enqueue", kept=True)
_LEASE = Script.of(__file__, "ready_common", "ready_lease", kept=True)
_RECORD = Script.of(__file__, "ready_common", "ready_record")
_RELEASE = Script.of(__file__, "ready_common", "ready_release")
_DIED = Script.of(__file__, "ready_common", "ready_died")
_HOLD = Script.of(__file__, "ready_common", "ready_hold")
_LIFT = Script.of(__file__, "ready_common", "ready_lift")
_REQUEUE = Script.of(__file__, "ready_common", "ready_requeue")
_TAKE_CANCELLED = Script.of(__file__, "ready_common", "ready_index_parked", "ready_take_cancelled")
_PARK = Script.of(__file__, "ready_common", "ready_index_parked", "ready_park")
_UNPARK = Script.of(__file__, "ready_common", "ready_index_parked", "ready_unpark")
_TAKE_EXPIRED = Script.of(__file__, "ready_common", "ready_index_parked", "ready_take_expired")


def queue_of(tenant: str, job: str, rate: str) -> str:
    """The queue of a job's messages: its own if the job has a rate, else its tenant's."""
    return f"{tenant}/{job}" if rate else tenant


@dataclass(frozen=True, slots=True)
class Queued:
    """One message to enqueue: `body` is a Ready, `expires_at` in ms (0: never); with `due_at` (ms) it waits until then
    where others wait for another attempt. Neither `site` nor `queue` has a
    newline, nor `queue` a colon: they are parts of keys."""

    lane: int
    site: str
    queue: str
    body: bytes
    expires_at: int = 0
    due_at: int = 0


class Lease(msgspec.Struct, frozen=True):
    """One message in hand. `number` is unique in its partition; `take_overs` is how many died with it in hand."""

    partition: int
    number: int
    site: str
    body: bytes
    lane: int = 1
    queue: str = ""
    take_overs: int = 0


@dataclass(frozen=True, slots=True)
class Avoided:
    """What a relay does not want now: a site, or a queue in a lane of it."""

    site: str
    lane: int | None = None
    queue: str = ""

    @property
    def name(self) -> str:
        return self.site if self.lane is None else f"{self.lane}{self.site}\n{self.queue}"


@dataclass(frozen=True)
class TakenOver:
    """A message that a relay had in hand when it died; for the how manyth time (`take_overs`)."""

    take_overs: int
    site: str
    body: bytes


@dataclass(frozen=True)
class Taken:
    """What a call of `lease` brought: the messages, how many the relay now holds in the partition, in how many ms at
    the latest something more may be due, and what was taken over from relays that died, for whoever takes it."""

    leases: list[Lease]
    held: int
    due_in_ms: int
    taken_over: list[TakenOver] = field(default_factory=list)


class Recorded(msgspec.Struct, frozen=True):
    """The end of a lease: with `retry_at` (ms) the message comes back as `body`, without it is done."""

    number: int
    retry_at: int | None = None
    body: bytes = b""


class ReadyQueues:
    """The scripts of one channel, by partition. Each call is one round trip where nothing else is said; RedisAway when
    it may or may not have happened."""

    def __init__(self, client: Client, channel: Channel, *, alone: bool = False) -> None:
        self._client = client
        self._channel = channel
        self._alone = alone

    def alone(self) -> "ReadyQueues":
        """The same of the messages that are tried alone."""
        return ReadyQueues(self._client, self._channel, alone=True)

    async def waits(self, partition: int, now_ms: int) -> bool:
        """Something is ready, or in the hand of somebody who seems to be dead by this clock. Two round trips."""
        if await self._client.zcard(self._key(keys.sites(partition, self._channel))):
            return True
        dead: list[bytes] = await self._client.zrangebyscore(
            self._key(keys.relays(partition, self._channel)), 0, now_ms
        )
        return bool({*dead} - {b"(asked)"})

    def _key(self, key: str) -> str:
        return keys.alone(key) if self._alone else key

    async def enqueue(self, partition: int, job: str, first_ordinal: int, messages: Sequence[Queued]) -> None:
        """Adds this partition's share of the chunk. A repeat adds nothing."""
        queues: dict[tuple[int, str, str], list[bytes | int]] = defaultdict(list)
        later: list[str | bytes | int] = []
        for message in messages:
            if message.due_at:
                head = f"{message.lane}{message.site}\n{message.queue}\n{message.expires_at}\n"
                later += (message.due_at, head.encode() + message.body)
            else:
                queues[message.lane, message.site, message.queue] += (message.expires_at, message.body)
        args: list[str | bytes | int] = [ENQUEUED_MS, len(later) // 2, *later]
        for queue, rows in queues.items():
            args += [*queue, len(rows) // 2, *rows]
        mark = keys.enqueued(partition, self._channel, job, first_ordinal)
        await self._run(_ENQUEUE, partition, args, mark)

    async def bury(self, lease: Lease, relay: str, reason: str) -> None:
        """Moves a message that cannot be read to the dead-letter stream. Two round trips."""
        fields: dict[str, Value] = {"t": "Ready", "v": events.MAJOR_VERSION, "b": lease.body}
        fields |= {"reason": reason, "origin": lease.site}
        await self._client.xadd(keys.dead(keys.ready_prefix(lease.partition, self._channel).rstrip(":")), fields)
        await self.record(lease.partition, relay, [Recorded(lease.number)])

    async def lease(
        self,
        partition: int,
        relay: str,
        lease_ms: int,
        limit: int,
        site_limit: int,
        room: int = 1_000_000,
        avoided: Sequence[Avoided] = (),
        urgent: int = 0,
        urgent_room: int = 0,
    ) -> Taken:
        """Up to `limit` messages of the sites that are due, and `urgent` more of lane 0; renews the relay's lease on
        all that it holds. `site_limit` is over all relays; `room` is how many more this one could hold, over all
        partitions, and `urgent_room` how many beside them of lane 0; `avoided` is left to others, though `due_in_ms`
        counts it."""
        args: list[str | bytes | int] = [relay, lease_ms, limit, site_limit, room, SHARE, TURN]
        args += (limit + urgent, room + urgent_room)
        args += (one.name for one in avoided)
        found = await self._run(_LEASE, partition, args)
        return Taken(_leases(partition, found[3:]), found[0], found[1], _taken_over(found[2]))

    async def held(self, partition: int, relay: str) -> list[Lease]:
        """All that the relay holds: what a lost answer of `lease` left in its name is found here."""
        found: dict[bytes, bytes] = await self._client.hgetall(self._key(keys.leased(partition, self._channel, relay)))
        leases = []
        for number, value in found.items():
            head, queue, rest, body = value.split(b"\n", 3)
            place = partition, int(number), head[1:].decode(), body, int(head[:1]), queue.decode()
            leases.append(Lease(*place, int(rest.partition(b"+")[2] or 0)))
        return leases

    async def record(self, partition: int, relay: str, ends: Sequence[Recorded]) -> int:
        """Ends leases. Returns how many of them the relay had lost to another."""
        args: list[str | bytes | int] = [relay]
        for end in ends:
            args += [end.number, "" if end.retry_at is None else end.retry_at, end.body]
        return int(await self._run(_RECORD, partition, args))

    async def release(self, partition: int, relay: str, numbers: Sequence[int] | None = None) -> None:
        """Puts messages back untried; with no numbers all of them, and the relay is known no more."""
        if numbers is None or numbers:
            await self._run(_RELEASE, partition, [relay, *(numbers or ())])

    async def died(self, partition: int, relay: str) -> list[TakenOver]:
        """Puts back what that relay held, which is known to have died or to have hung: each counts as taken over."""
        return _taken_over(await self._run(_DIED, partition, [relay]))

    async def wait(self, partition: int, last_wake: str, at_most_ms: int) -> str:
        """Returns when the partition was woken since `last_wake`, or after `at_most_ms`; the wake's id."""
        found = await self._client.xread(
            {self._key(keys.wake(partition, self._channel)): last_wake}, count=1, block=max(1, at_most_ms)
        )
        return found[0][1][-1][0].decode() if found else last_wake

    # Held back

    async def hold(self, partition: int, site: str, until_ms: int, queue: str | None = None) -> None:
        """Nothing of the site, or of this queue at the site, is handed out before; a longer hold stays."""
        await self._run(_HOLD, partition, [site, queue or "", until_ms])

    async def lift(self, partition: int, site: str) -> int:
        """Ends every hold of the site and of its queues; how many there were."""
        return int(await self._run(_LIFT, partition, [site]))

    async def requeue(self, partition: int, site: str, rank: int) -> tuple[int, int]:
        """Makes what waits for another attempt at the site due now, among `SWEEP_PAGE` messages from that rank on. How
        many were looked at, and how many of them are due now."""
        looked_at, came = await self._run(_REQUEUE, partition, [site, rank, SWEEP_PAGE])
        return looked_at, came

    # Parked

    async def park(self, partition: int, relay: str, numbers: Sequence[int]) -> None:
        """Takes leased messages out of their ready queues until `unpark`. What the relay no longer holds is passed
        over, and what cannot be read. Two round trips: the job of a message is in its body."""
        if not numbers:
            return
        values: list[bytes | None] = await self._client.hmget(
            self._key(keys.leased(partition, self._channel, relay)), *numbers
        )
        args: list[str | bytes | int] = [relay]
        for number, value in zip(numbers, values, strict=True):
            if value is not None and (job := _job_of(value.split(b"\n", 3)[3])):
                args += [number, job]
        await self._run(_PARK, partition, args)

    async def unpark(self, partition: int, job: str, limit: int) -> int:
        """Puts up to `limit` parked messages of a job back into their ready queues; how many there were. They are
        everybody's again, but for those that are tried alone."""
        if self._alone:
            return await ReadyQueues(self._client, self._channel).unpark(partition, job, limit)
        return int(await self._run(_UNPARK, partition, [job, limit])) if limit > 0 else 0

    async def parked_jobs(self, partition: int) -> list[str]:
        """The jobs that have parked messages."""
        found: list[bytes] = await self._client.zrange(keys.parked_jobs(partition, self._channel), 0, -1)
        return [job.decode() for job in found]

    # Over

    async def take_expired(self, partition: int, relay: str, lease_ms: int, limit: int) -> list[Lease]:
        """Leases up to `limit` messages whose `expires_at` has passed, ready or parked, held or not. A few round trips:
        each looks at a bounded part of what waits, and the next call goes on there."""
        leases: list[Lease] = []
        for _ in range(SWEEP_PAGES):
            args: list[str | bytes | int] = [relay, lease_ms, min(limit - len(leases), SWEEP_PAGE), SWEEP_PAGE]
            found = await self._run(_TAKE_EXPIRED, partition, args)
            leases += _leases(partition, found[1:])
            if not found[0] or len(leases) >= limit:
                break
        return leases

    # Cancelled

    async def cancelled_queues(self, partition: int, mark: str, cancel: Cancel) -> list[str]:
        """Where in the partition something may wait that the mark is about, as `take_cancelled` takes it. One round
        trip. (`expiries` names every ready queue: a job that is started has an expiry.) What is parked of a job or of a
        tenant's bulk that is cancelled comes back by itself; what is parked of a site does not."""
        names: list[bytes] = await self._client.zrange(self._key(keys.expiries(partition, self._channel)), 0, -1)
        others = (RETRIES, PARKED) if cancels.about(mark)[0] == "site" else (RETRIES,)
        return [*(name.decode() for name in names if _is_meant(name.decode(), mark, cancel)), *others]

    async def take_cancelled(
        self, partition: int, relay: str, lease_ms: int, limit: int, mark: str, cancel: Cancel, queue: str
    ) -> tuple[list[Lease], bool]:
        """Leases up to `limit` messages that the mark is about, of one of `cancelled_queues`, held or not; and whether
        there is more to look at. One round trip, of a bounded part."""
        kind, which = cancels.about(mark)
        args: list[str | bytes | int] = [relay, lease_ms, min(limit, SWEEP_PAGE), SWEEP_PAGE, queue, cancel.tenant]
        args += [which, ""] if kind == "job" else ["", ids.last_job(cancel.since_ms)]
        args += [which if kind == "site" else "", LANES[STOPPED_STREAM] if kind in ("tenant", "bulk") else ""]
        walk = keys.cancel_walk(partition, self._channel, mark, cancel.since_ms)
        found = await self._run(_TAKE_CANCELLED, partition, [*args, WALK_MS, AGAIN_MS], walk)
        return _leases(partition, found[1:]), bool(found[0])

    async def may_be_parked(self, partition: int, mark: str, cancel: Cancel) -> bool:
        """Whether something that the mark is about may be parked: of a job of before it that `take_cancelled` has not
        looked through. Two round trips."""
        jobs = [job for job in await self.parked_jobs(partition) if cancel.is_about(job)]
        if not jobs:
            return False
        walk = keys.cancel_walk(partition, self._channel, mark, cancel.since_ms)
        return None in await self._client.hmget(walk, [f"(again){job}" for job in jobs])

    async def _run(self, script: Script, partition: int, args: Sequence[str | bytes | int], *more_keys: str) -> Any:
        names = [*_names(partition, self._channel, self._alone), *more_keys]
        return await script(self._client, names, [events.MAJOR_VERSION, SWEEP_MS, SUSPECT, *args])


@lru_cache(4096)
def _names(partition: int, channel: Channel, alone: bool) -> tuple[str, ...]:
    """What every script of a partition gets, in the order in which they take it. What is tried alone has its own of
    all but what is held, parked and to be tried again."""

    def own(key: str) -> str:
        return keys.alone(key) if alone else key

    return (
        own(keys.sites(partition, channel)),
        keys.retry(partition, channel),
        own(keys.relays(partition, channel)),
        keys.holds(partition, channel),
        own(keys.expiries(partition, channel)),
        own(keys.sweeps(partition, channel)),
        keys.parked_jobs(partition, channel),
        own(keys.lease_number(partition, channel)),
        own(keys.wake(partition, channel)),
        own(keys.ready_prefix(partition, channel)),
        own(keys.turns_prefix(partition, channel)),
        own(keys.site_prefix(partition, channel)),
        own(keys.leased_prefix(partition, channel)),
        keys.parked_prefix(partition, channel),
        keys.alone(keys.sites(partition, channel)),
        keys.alone(keys.expiries(partition, channel)),
        keys.alone(keys.wake(partition, channel)),
        keys.alone(keys.ready_prefix(partition, channel)),
        keys.alone(keys.turns_prefix(partition, channel)),
        own(keys.urgent(partition, channel)),
    )


def _is_meant(name: str, mark: str, cancel: Cancel) -> bool:
    """Whether the mark is about something in the ready queue of that name."""
    kind, which = cancels.about(mark)
    site, _, queue = name[1:].partition("\n")
    if cancel.tenant and queue.partition("/")[0] != cancel.tenant:
        return False
    if kind == "site":
        return site == which
    if kind == "job":
        return queue.partition("/")[2] in ("", which)
    return kind == "all" or int(name[0]) == LANES[STOPPED_STREAM]


def _leases(partition: int, turns: Sequence[Any]) -> list[Lease]:
    """From turns as the scripts tell them: lane, site, queue, first number, bodies, take-overs."""
    leases = []
    for at in range(0, len(turns), 6):
        lane, site, queue, first, bodies, counts = turns[at : at + 6]
        site, queue = site.decode(), queue.decode()
        if counts:
            leases += [
                Lease(partition, first + n, site, body, lane, queue, int(counts[n] or 0))
                for n, body in enumerate(bodies)
            ]
        else:
            leases += [Lease(partition, first + n, site, body, lane, queue) for n, body in enumerate(bodies)]
    return leases


def _taken_over(told: Sequence[Any]) -> list[TakenOver]:
    return [TakenOver(take_overs, site.decode(), body) for take_overs, site, body, *_ in told]


def _job_of(body: bytes) -> str:
    """The job of a Ready; "" of what is none."""
    try:
        ready = events.decode("Ready", body)
    except ValueError:
        return ""
    return ready.job if isinstance(ready, events.Ready) else ""

"""What waits in Redis, by where it waits: read in steps of bounded size, one for so many queues, none for each message.

    ready    in a ready queue: due, and not yet in the hands of a relay
    later    deferred, until its next attempt is due, or not to be sent before its time
    parked   of a job that is stopped

Ready queues are counted exactly (`waiting`, where operators see each of them). What waits until later stands in one
sorted set for a whole partition: up to `SAMPLE` members are looked at, and where there are more, these are drawn at
random and stand for the others (of a million, half of them Gmail's, half a million is told, give or take 22,000; what
is less than a hundredth may not be seen).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from shared.redis import keys, lua
from shared.redis.keys import Channel
from shared.redis.redis import Client, Script
from shared.redis.waiting import Waiting
from shared.words import events, ids
from shared.words.sites import provider_label

#: Members of one sorted set that are looked at, 3 microseconds each.
SAMPLE = 500
#: Sorted sets of parked jobs that are looked at in a partition, and members of each.
PARKED_JOBS = 200
PARKED_SAMPLE = 50
#: Entries of a stream that are counted where the server does not tell how many a group has yet to read.
UNREAD_MOST = 10_000
#: Chunks that wait to be queued whose jobs are counted.
INTAKE_MOST = 1_000

Where = Literal["ready", "later", "parked"]

_LATER = Script.of(__file__, "backlog_later", names=lua.places(READY=events.Ready))
_GROUPS = Script.of(__file__, "backlog_groups")


@dataclass(frozen=True, slots=True)
class Place:
    """`lane` 0 is what people wait for, 1 what was sent to many; `provider` as metrics call it."""

    where: Where
    lane: int
    provider: str


@dataclass(slots=True)
class Waits:
    """How many messages, and since when (ms, 0: unknown) the oldest. In `ready` that is when it became due, elsewhere
    when its job was made."""

    messages: int = 0
    since_ms: int = 0

    def add(self, messages: int, since_ms: int) -> None:
        self.messages += messages
        self.since_ms = min(filter(None, (self.since_ms, since_ms)), default=0)


@dataclass(frozen=True, slots=True)
class GroupLag:
    """What a group has yet to read of a stream, and has read and not acknowledged; since when (ms) the first of both
    lies there, 0 if there is none."""

    group: str
    unread: int
    pending: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class StreamLag:
    """`length` entries, `dead` in its dead stream, and who reads it."""

    length: int
    dead: int
    groups: tuple[GroupLag, ...]


async def messages(client: Client, partition: int, channel: Channel) -> dict[Place, Waits]:
    """All that waits in a partition to leave by a channel. Raises RedisAway."""
    found: defaultdict[Place, Waits] = defaultdict(Waits)
    for queue in await Waiting(client, channel).queues(partition):
        place = Place("ready", queue.place.lane, provider_label(queue.place.site))
        found[place].add(queue.waiting, queue.since_ms)
    await _later(client, keys.retry(partition, channel), "later", SAMPLE, found)
    for job in await client.zrange(keys.parked_jobs(partition, channel), 0, PARKED_JOBS - 1):
        await _later(client, keys.parked_prefix(partition, channel) + job.decode(), "parked", PARKED_SAMPLE, found)
    return dict(found)


async def _later(client: Client, key: str, where: Where, most: int, found: Mapping[Place, Waits]) -> None:
    total, seen, *rows = await _LATER(client, [key], [most])
    for lane_and_site, count, first_job in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        job = first_job.decode("ascii", "replace")
        since_ms = ids.job_created_ms(job) if ids.is_job_id(job) else 0
        provider = provider_label(lane_and_site[1:].decode("utf-8", "replace"))
        found[Place(where, int(lane_and_site[:1]), provider)].add(round(count * total / seen), since_ms)


async def stream(client: Client, key: str) -> StreamLag:
    """How far the groups of a stream are. Raises RedisAway."""
    length, dead, *rows = await _GROUPS(client, [key, keys.dead(key)], [UNREAD_MOST])
    groups = (GroupLag(name.decode(), *numbers) for name, *numbers in rows)
    return StreamLag(length, dead, tuple(groups))


async def dead_messages(client: Client, partition: int, channel: Channel) -> int:
    """Messages that no relay could read. Raises RedisAway."""
    return await client.xlen(keys.dead(keys.ready_prefix(partition, channel).rstrip(":")))


async def jobs_in_queueing(client: Client, partition: int, lanes: Iterable[int]) -> set[str]:
    """Jobs of which chunks wait to be queued, as far as the first `INTAKE_MOST` chunks tell. Raises RedisAway."""
    jobs = set()
    for lane in lanes:
        for _, fields in await client.xrange(keys.intake(partition, lane), "-", "+", count=INTAKE_MOST):
            chunk = events.decode("Intake", fields[b"b"])
            if isinstance(chunk, events.Intake):
                jobs.add(chunk.job)
    return jobs

"""Looks at all that waits in Redis, and tells it as metrics: one process of all, whichever looked first.

Who has the key `surveyor` looks, every `EVERY_S`; when it is gone for `HOLD_MS` another takes over. The others tell
nothing of it, and nor does one whose last look is `OLD_S` old: a gauge that stands still would say that all is well.
What a look costs grows with the number of queues, streams and stops, never with that of messages.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from prometheus_client import Gauge

from services import catalogue
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import backlog, domain_tables, keys, redis
from shared.redis.backlog import GroupLag, Place, Waits
from shared.redis.ready import LANES
from shared.redis.redis import Client, RedisAway
from shared.redis.stops import StopList, kind_of
from shared.redis.waiting import Waiting
from shared.words.sites import provider_label

#: Between two looks: a scrape every 15 seconds finds what is new.
EVERY_S = 10.0
#: Longer than the longest look and what lies between two.
HOLD_MS = 45_000
#: What was seen so long ago is not told any more.
OLD_S = 60.0
#: Keys of domains are looked at once in so many looks: they change in days, and reading them moves them all.
KEYS_EVERY = 60
#: What metrics call the lanes. In the first is what people wait for: `transactional` and `one_to_one`.
LANE_LABELS = {0: "transactional", 1: "bulk"}

MESSAGES = Gauge(
    "estafette_queue_messages",
    "Messages that wait: ready (due), later (deferred, or with a time of their own), parked (of a stopped job)",
    ["where", "lane", "provider"],
)
OLDEST = Gauge(
    "estafette_queue_oldest_seconds",
    "For how long the oldest of them has waited: ready since it was due, later and parked since its job was made",
    ["where", "lane", "provider"],
)
HELD = Gauge(
    "estafette_queue_held", "Sites, and queues at sites, of which nothing is handed out for now", ["what", "provider"]
)
HELD_UNTIL = Gauge(
    "estafette_queue_held_until_timestamp_seconds",
    "When the last of them may be handed out again",
    ["what", "provider"],
)
UNREAD = Gauge("estafette_stream_unread_entries", "Entries that a group has not read yet", ["stream", "group"])
PENDING = Gauge("estafette_stream_pending_entries", "Entries that it read and did not acknowledge", ["stream", "group"])
LAG = Gauge("estafette_stream_lag_seconds", "Age of the oldest entry that it did not acknowledge", ["stream", "group"])
DEAD = Gauge("estafette_stream_dead_entries", "What lies in dead streams", ["stream"])
MEMORY = Gauge("estafette_redis_memory_bytes", "What Redis uses; of a cluster the fullest master")
MEMORY_MAX = Gauge("estafette_redis_memory_max_bytes", "What it may use (maxmemory); 0: any number")
JOBS = Gauge("estafette_jobs_unfinished", "Jobs that are open, scheduled, in queueing, or have parked mail", ["state"])
STOPS = Gauge(
    "estafette_jobs_stops",
    "Stops in force, of jobs, tenants' bulk, sites and source addresses at sites",
    ["what", "reason"],
)
STOPPED_SINCE = Gauge(
    "estafette_jobs_stopped_since_timestamp_seconds", "Since when the first of them is", ["what", "reason"]
)
DKIM_KEYS = Gauge("estafette_dkim_keys", "DKIM keys of all domains", ["state"])
DKIM_SINCE = Gauge(
    "estafette_dkim_oldest_key_timestamp_seconds", "Since when the oldest of them is in its state", ["state"]
)
REFUSED = Gauge(
    "estafette_secret_refused",
    "1 if a process of this name was refused lately, for another master secret than Redis knows",
    ["process"],
)
SURVEYED = Gauge(
    "estafette_survey_last_timestamp_seconds", "When all that waits was looked at last; 0: not by this process"
)
TOOK = Gauge("estafette_survey_duration_seconds", "How long that look took")

_ALL = (
    MESSAGES, OLDEST, HELD, HELD_UNTIL, UNREAD, PENDING, LAG, DEAD, JOBS, STOPS, STOPPED_SINCE, DKIM_KEYS, DKIM_SINCE,
    REFUSED,
)  # fmt: skip

_CHANNELS: tuple[keys.Channel, ...] = get_args(keys.Channel)

Seen = Mapping[tuple[str, ...], float]


class Survey:
    """Of one process, called `name`. `now_ms` is the clock."""

    def __init__(self, client: Client, partitions: int, name: str, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._partitions = range(partitions)
        self._places = [(partition, channel) for partition in self._partitions for channel in _CHANNELS]
        self._name = name
        self._now_ms = now_ms
        self._looks = 0
        self._last_ms = 0
        self._log = logs.get_logger()

    async def run(self, stopping: asyncio.Event) -> None:
        """Looks until `stopping`."""
        while not stopping.is_set():
            try:
                if await self._is_mine():
                    await self.look()
                else:
                    self._forget()
            except RedisAway as away:
                self._log.warning("not_surveyed", reason=str(away))
                if self._now_ms() - self._last_ms > OLD_S * 1000:
                    self._forget()
            await pause(stopping, EVERY_S)

    async def _is_mine(self) -> bool:
        """Two that begin at the same moment may both look once: they see the same."""
        if await self._client.set(keys.surveyor(), self._name, nx=True, px=HOLD_MS):
            return True
        if await self._client.get(keys.surveyor()) != self._name.encode():
            return False
        return bool(await self._client.set(keys.surveyor(), self._name, px=HOLD_MS))

    async def look(self) -> None:
        """Once, at everything; told all together, so that no scrape sees a half. RedisAway."""
        began_ms = self._now_ms()
        seen = [
            *await self._messages(),
            *await self._holds(),
            *await self._streams(),
            (JOBS, await self._jobs()),
            *await self._stops(),
            (REFUSED, await self._refused()),
        ]
        if self._looks % KEYS_EVERY == 0:
            seen += await self._keys()
        used, most = await redis.fullest(self._client)
        self._looks += 1
        for gauge, values in seen:
            _tell(gauge, values)
        MEMORY.set(used)
        MEMORY_MAX.set(most)
        self._last_ms = self._now_ms()
        SURVEYED.set(self._last_ms / 1000)
        TOOK.set((self._last_ms - began_ms) / 1000)

    def _forget(self) -> None:
        """Another one looks, or nobody can."""
        for gauge in _ALL:
            gauge.clear()
        self._looks = 0
        for single in (SURVEYED, MEMORY, MEMORY_MAX):
            single.set(0)

    async def _messages(self) -> list[tuple[Gauge, Seen]]:
        waits: dict[Place, Waits] = {}
        for partition, channel in self._places:
            for place, some in (await backlog.messages(self._client, partition, channel)).items():
                waits.setdefault(place, Waits()).add(some.messages, some.since_ms)
        now_ms = self._now_ms()
        labels: dict[Place, tuple[str, ...]] = {
            place: (place.where, LANE_LABELS[place.lane], place.provider) for place in waits
        }
        counts = {labels[place]: float(some.messages) for place, some in waits.items()}
        ages = {labels[place]: _age_s(now_ms, some.since_ms) for place, some in waits.items()}
        return [(MESSAGES, counts), (OLDEST, ages)]

    async def _holds(self) -> list[tuple[Gauge, Seen]]:
        counts: dict[tuple[str, ...], float] = {}
        until: dict[tuple[str, ...], float] = {}
        now_ms = self._now_ms()
        for partition, channel in self._places:
            held = await Waiting(self._client, channel).holds(partition, now_ms)
            for (site, queue), until_ms in held.items():
                labels = "queue" if queue else "site", provider_label(site)
                counts[labels] = counts.get(labels, 0) + 1
                until[labels] = max(until.get(labels, 0), until_ms / 1000)
        return [(HELD, counts), (HELD_UNTIL, until)]

    async def _streams(self) -> list[tuple[Gauge, Seen]]:
        groups: dict[tuple[str, ...], list[GroupLag]] = {}
        dead: dict[tuple[str, ...], float] = {("ready",): 0}
        for partition in self._partitions:
            streams = [("intake", keys.intake(partition, lane)) for lane in sorted(LANE_LABELS)]
            for name, key in (*streams, ("events", keys.events(partition))):
                found = await backlog.stream(self._client, key)
                dead[name,] = dead.get((name,), 0) + found.dead
                for group in found.groups:
                    groups.setdefault((name, group.group), []).append(group)
        for partition, channel in self._places:
            dead["ready",] += await backlog.dead_messages(self._client, partition, channel)
        now_ms = self._now_ms()
        return [
            (DEAD, dead),
            (UNREAD, {labels: float(sum(one.unread for one in some)) for labels, some in groups.items()}),
            (PENDING, {labels: float(sum(one.pending for one in some)) for labels, some in groups.items()}),
            (LAG, {labels: max(_age_s(now_ms, one.since_ms) for one in some) for labels, some in groups.items()}),
        ]

    async def _jobs(self) -> Seen:
        counts = dict.fromkeys(("open", "scheduled", "queueing", "parked"), 0.0)
        for partition in self._partitions:
            counts["open"] += await self._client.zcard(keys.open_jobs(partition))
            counts["scheduled"] += await self._client.zcard(keys.schedule(partition))
            counts["queueing"] += len(await backlog.jobs_in_queueing(self._client, partition, set(LANES.values())))
        counts["parked"] += len(await self._parked_jobs())
        return {(state,): count for state, count in counts.items()}

    async def _parked_jobs(self) -> set[bytes]:
        """A job may have parked mail in several partitions."""
        found = [await self._client.zrange(keys.parked_jobs(*place), 0, -1) for place in self._places]
        return {job for some in found for job in some}

    async def _stops(self) -> list[tuple[Gauge, Seen]]:
        counts: dict[tuple[str, ...], float] = {}
        since: dict[tuple[str, ...], float] = {}
        for name, stop in (await StopList(self._client).all()).items():
            labels = kind_of(name), stop.reason
            counts[labels] = counts.get(labels, 0) + 1
            since[labels] = min(since.get(labels, stop.since_ms / 1000), stop.since_ms / 1000)
        return [(STOPS, counts), (STOPPED_SINCE, since)]

    async def _refused(self) -> Seen:
        found = {name: await self._client.get(keys.refused_secret(name)) for name in catalogue.SERVED}
        return {(name,): float(mark is not None) for name, mark in found.items()}

    async def _keys(self) -> Iterable[tuple[Gauge, Seen]]:
        counts: dict[tuple[str, ...], float] = {}
        since: dict[tuple[str, ...], float] = {}
        for key in await domain_tables.keys_of_all(self._client):
            counts[key.state,] = counts.get((key.state,), 0) + 1
            since[key.state,] = min(since.get((key.state,), key.since / 1000), key.since / 1000)
        return [(DKIM_KEYS, counts), (DKIM_SINCE, since)]


def _tell(gauge: Gauge, values: Seen) -> None:
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)


def _age_s(now_ms: int, since_ms: int) -> float:
    return max(0, now_ms - since_ms) / 1000 if since_ms else 0.0

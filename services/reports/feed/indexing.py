"""Writes the feeds: reads the event stream of each partition in its order, and appends where each event is.

It has no consumer group. A group hands entries to several readers in any order, and a feed is read by a cursor: what
was added behind a cursor would never be seen. So the stream is read on from a mark, and one script appends and moves
the mark, if that still is where it was read: of several processes one is first, the others go on from there. Whoever
dies, and whenever, each entry is in the feed once.

What is no fact, or cannot be read here, is passed over: the feed would not show it. A fact of a newer program is read
as far as all facts are alike.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from prometheus_client import Counter, Gauge

from services.reports.feed import chunks
from services.reports.feed.names import Names
from services.reports.feed.numbers import number_of
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import bus, jobs, keys
from shared.redis.redis import Client, RedisAway, Script
from shared.words import events, ids

INDEXED = Counter("estafette_reports_indexed_events_total", "Events whose place is in the feeds")
LAG = Gauge("estafette_reports_feed_lag_seconds", "Age of the latest events when their place was in the feeds", ["p"])

#: Entries of one script call: Redis is busy with them for 2 to 3 ms.
BATCH = 500
BLOCK_MS = 1_000
#: What comes behind an entry waits for others for so long at most: a batch costs as much as some ten of its entries.
#: Who looks at a feed, looks twice a second.
GATHER_S = 0.1
#: After Redis was away, or something failed.
AGAIN_S = 0.5
#: Feeds are kept so much longer than events.
LONGER_MS = 86_400_000
BEGINNING = "0-0"

_APPEND = Script.of(__file__, "indexing_append", names=jobs.NAMED)
_encoder = msgspec.msgpack.Encoder()
_log = logs.get_logger()


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """The fields that all facts share, as far as a feed goes by them."""

    event_id: str
    occurred_at: int
    tenant: str
    job: str = ""


_heads = msgspec.msgpack.Decoder(_Head)


class Indexing:
    """`retention_ms` is that of events, `most_kinds` how many kinds of jobs of a tenant are told apart in a partition,
    `now_ms` the clock. Raises RedisAway."""

    def __init__(
        self, client: Client, partitions: int, retention_ms: int, most_kinds: int, now_ms: Callable[[], int]
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._retention_ms = retention_ms
        self._most_kinds = most_kinds
        self._now_ms = now_ms

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        async with asyncio.TaskGroup() as following:
            for partition in range(self._partitions):
                following.create_task(self._follow(partition, stopping))

    async def _follow(self, partition: int, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while not stopping.is_set():
            try:
                if 0 < await self.step(partition, BLOCK_MS) < BATCH:
                    await pause(stopping, GATHER_S - loop.time() % GATHER_S)
            except RedisAway:
                await pause(stopping, AGAIN_S)
            except Exception:  # ours, or a server that refuses: the others go on
                _log.exception("indexing_failed", partition=partition)
                await pause(stopping, AGAIN_S)

    async def step(self, partition: int, block_ms: int | None = None) -> int:
        """Reads on, and appends; how many entries were read."""
        mark = await self._client.get(keys.feed_mark(partition))
        after = BEGINNING if mark is None else mark.decode()
        stream = keys.events(partition)
        found = await self._client.xread({stream: after}, count=BATCH, block=block_ms)
        entries = [bus.entry(number, fields) for _, some in found or () for number, fields in some]
        if not entries:
            LAG.labels(str(partition)).set(0)
            return 0
        names = Names(keys.feed_mark(partition))
        rows = [row for one in entries if (row := _row(names, partition, one)) is not None]
        now_ms = self._now_ms()
        args: list[str | bytes | int] = [
            mark or b"", entries[-1].stream_id, now_ms - self._retention_ms, self._retention_ms + LONGER_MS,
            self._most_kinds, chunks.FULL_BYTES, _encoder.encode(rows),
        ]  # fmt: skip
        appended = int(await _APPEND(self._client, names.all, args))
        INDEXED.inc(max(0, appended))
        LAG.labels(str(partition)).set(max(0, now_ms - entries[-1].written_ms) / 1000)
        return len(entries)


def _row(names: Names, p: int, entry: bus.Entry) -> list[Any] | None:
    """An entry as the script takes it; None of one that no feed has."""
    if entry.version != events.MAJOR_VERSION:
        return None
    try:
        head = _heads.decode(entry.body)
    except msgspec.DecodeError:
        return None
    milliseconds, _, number = entry.stream_id.partition("-")
    feeds = [names.at(keys.tenant_feed(p, head.tenant))]
    job = 0
    if ids.is_job_id(head.job):
        job = names.at(keys.job(p, head.job))
        feeds.append(names.at(keys.job_feed(p, head.job)))
    kinds = names.at(keys.feed_kinds(p, head.tenant))
    return [int(milliseconds), int(number), number_of(entry.name, head.job), kinds, job, *feeds]

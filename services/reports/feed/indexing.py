"""Writes the feeds: reads the event stream of each partition in its order, and appends where each event is.

And histories with them (`shared.redis.histories`): which message somebody got is told by the first fact about it.

It has no consumer group. A group hands entries to several readers in any order, and a feed is read by a cursor: what
was added behind a cursor would never be seen. So the stream is read on from a mark, and one script appends and moves
the mark, if that still is where it was read: of several processes one is first, the others go on from there. Whoever
dies, and whenever, each entry is in the feed once.

What is no fact, or cannot be read here, is passed over: the feed would not show it. A fact of a newer program is read
as far as all facts are alike.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from prometheus_client import Counter, Gauge

from services.reports.feed import chunks
from services.reports.feed.names import Names
from services.reports.feed.numbers import number_of
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import bus, histories, jobs, keys
from shared.redis.redis import Client, RedisAway, Script
from shared.words import events, ids
from shared.words.erased import ErasureKeys

INDEXED = Counter("estafette_reports_indexed_events_total", "Events whose place is in the feeds")
LAG = Gauge("estafette_reports_feed_lag_seconds", "Age of the oldest event that was in no feed yet", ["p"])

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

#: Facts that are the first about a message; they have its address.
FIRST = frozenset({"Accepted", "Rejected"})
#: And those that may be: by what of such a fact, and what that is then.
MAY_BE_FIRST = {"Suppressed": ("where", "queueing"), "Cancelled": ("site", "")}

_APPEND = Script.of(__file__, "indexing_append", begins=histories.LUA, names=jobs.NAMED)
_encoder = msgspec.msgpack.Encoder()
_log = logs.get_logger()


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """The fields that all facts share, as far as a feed goes by them."""

    event_id: str
    occurred_at: int
    tenant: str
    job: str = ""
    ordinal: int | None = None
    sequence: int = 0
    email: str | None = None


_heads = msgspec.msgpack.Decoder(_Head)


class Kept(NamedTuple):
    """What of it: `events_ms` is the retention of events, `history_ms` for how long histories are kept after they were
    last written to, `most_kinds` how many kinds of jobs of a tenant are told apart in a partition."""

    events_ms: int
    history_ms: int
    most_kinds: int


class Indexing:
    """`secrets` make the hashes of histories, `now_ms` is the clock. Raises RedisAway."""

    def __init__(
        self, client: Client, partitions: int, kept: Kept, secrets: ErasureKeys, now_ms: Callable[[], int]
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._kept = kept
        self._secrets = secrets
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
        now_ms, kept = self._now_ms(), self._kept
        # Before anything can fail: of a partition that cannot be written they are read again, and are older each time.
        LAG.labels(str(partition)).set(max(0, now_ms - entries[0].written_ms) / 1000)
        names = Names(keys.feed_mark(partition))
        heads = [(one, head) for one in entries if (head := _head(one)) is not None]
        rows = [_row(names, partition, one, head) for one, head in heads]
        sent = [self._sent(names, partition, head) for one, head in heads if _is_first(one, head)]
        args: list[str | bytes | int] = [
            mark or b"", entries[-1].stream_id, now_ms - kept.events_ms, kept.events_ms + LONGER_MS, kept.most_kinds,
            chunks.FULL_BYTES, _encoder.encode(rows), _encoder.encode([base for base, _ in sent]),
            b"".join(record for _, record in sent), kept.history_ms,
        ]  # fmt: skip
        appended = int(await _APPEND(self._client, names.all, args))
        INDEXED.inc(max(0, appended))
        return len(entries)

    def _sent(self, names: Names, p: int, head: _Head) -> tuple[int, bytes]:
        """The place of the base of a history, and what is new in it."""
        base = keys.history(p, head.tenant, histories.window_of(ids.job_created_ms(head.job)))
        return names.at(base), histories.record(
            self._secrets, head.tenant, head.job, head.ordinal or 0, head.email or ""
        )


def _head(entry: bus.Entry) -> _Head | None:
    """None of one that no feed has."""
    if entry.version != events.MAJOR_VERSION:
        return None
    try:
        return _heads.decode(entry.body)
    except msgspec.DecodeError:
        return None


def _is_first(entry: bus.Entry, head: _Head) -> bool:
    """Whether it is the first about a message."""
    if head.ordinal is None or not head.email or not ids.is_job_id(head.job):
        return False
    if entry.name not in MAY_BE_FIRST:
        return entry.name in FIRST
    name, value = MAY_BE_FIRST[entry.name]
    try:
        return bool(getattr(entry.message(), name) == value)
    except bus.DeadLetter:
        return False


def _row(names: Names, p: int, entry: bus.Entry, head: _Head) -> list[Any]:
    """An entry as the script takes it."""
    milliseconds, _, number = entry.stream_id.partition("-")
    feeds = [names.at(keys.tenant_feed(p, head.tenant))]
    job = 0
    if ids.is_job_id(head.job):
        job = names.at(keys.job(p, head.job))
        feeds.append(names.at(keys.job_feed(p, head.job)))
    kinds = names.at(keys.feed_kinds(p, head.tenant))
    return [int(milliseconds), int(number), number_of(entry.name, head.job), kinds, job, *feeds]

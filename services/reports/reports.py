"""The main path of reports: a batch of facts becomes changes, and one script counts and acknowledges them.

The stream of a job's events and what reports keep of the job are in one partition, so the script can do both: a change
is applied if and only if its entry was still pending. Whatever dies, and whenever, no fact is counted twice for having
been delivered twice. A fact that was *published* twice is recognised by its event id (`store`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

from services.reports.tally import Applied, Change, Impossible, change
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import bus
from shared.redis.redis import RedisAway
from shared.words import events

READ = Counter("estafette_reports_facts_total", "Facts read", ["fact"])
COUNTED = Counter("estafette_reports_counted_facts_total", "Facts counted in the report of a job")
REPEATED = Counter("estafette_reports_repeated_facts_total", "Facts that were counted already")
ORPHANED = Counter("estafette_reports_orphaned_facts_total", "Facts about jobs that are not kept any more")
JUDGED = Counter("estafette_reports_judged_clicks_total", "Clicks that were found out to be a machine's once counted")
TRIMMED = Counter("estafette_reports_trimmed_entries_total", "Events removed after their retention")
AGE = Gauge("estafette_reports_age_seconds", "Age of the latest batch of facts when it was counted")
APPLY_SECONDS = Histogram(
    "estafette_reports_apply_seconds",
    "Time to count a batch of facts",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1),
)
_read = {name: READ.labels(name) for name in events.FACTS}

#: Facts of one script call: Redis is busy with them for 3 to 4 ms.
BATCH = 200
#: Nobody sees a figure sooner than that.
GATHER_MS = 400
#: Trimming removes whole nodes of the stream at a time; more often would find nothing to do.
TRIM_EVERY_S = 60.0
DAY_MS = 86_400_000

_log = logs.get_logger()


class Store(Protocol):
    async def apply(self, partition: int, changes: Sequence[tuple[str, Change | None]]) -> Applied:
        """Applies the change of each entry (by stream id) that is still pending, and acknowledges all. RedisAway."""


class Reports:
    """Counts facts. `now_ms` is the clock."""

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms

    async def count(self, partition: int, entries: Sequence[bus.Entry]) -> None:
        """The call of the consumer of `events`. DeadLetter if one of the entries cannot be understood."""
        changes = [(entry.stream_id, _change(entry)) for entry in entries]
        with APPLY_SECONDS.time():
            applied = await self._store.apply(partition, changes)
        for entry in entries:
            _read[entry.name].inc()
        COUNTED.inc(applied.counted)
        REPEATED.inc(applied.repeated)
        ORPHANED.inc(applied.orphaned)
        JUDGED.inc(applied.judged)
        AGE.set(max(0, self._now_ms() - int(entries[-1].stream_id.partition("-")[0])) / 1000)
        if applied.orphaned:
            _log.warning("orphaned", facts=applied.orphaned, partition=partition)


def _change(entry: bus.Entry) -> Change | None:
    fact = entry.message()
    if not isinstance(fact, events.Fact):
        raise bus.DeadLetter(f"{entry.name} is no fact")
    try:
        return change(fact, entry.stream_id)
    except Impossible as fault:
        raise bus.DeadLetter(f"{entry.name}: {fault}") from fault


#: Removes what is older than the time in ms from one partition and says how much it was.
Trim = Callable[[int, int], Awaitable[int]]


async def trim_forever(
    trim: Trim, partitions: int, retention_days: int, now_ms: Callable[[], int], stopping: asyncio.Event
) -> None:
    """Keeps the event streams at their retention until `stopping`."""
    while not stopping.is_set():
        before_ms = now_ms() - retention_days * DAY_MS
        try:
            removed = sum([await trim(partition, before_ms) for partition in range(partitions)])
        except RedisAway as away:
            _log.warning("trim_failed", reason=str(away))
        else:
            TRIMMED.inc(removed)
            if removed:
                _log.info("trimmed", entries=removed)
        await pause(stopping, TRIM_EVERY_S)

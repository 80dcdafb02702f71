"""Tells an endpoint again what it asked for: the events of a period, or those that were given up.

Events of a period are read from the streams, as long as they are there (`events.retention_days`), partition by
partition and in the order of each; they go through the queue like new ones, and never fill more than half of it, so
that what is new has its place. How far it has come is written down at each step.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from prometheus_client import Counter

from services.webhooks.book import Known
from services.webhooks.store import Replay
from shared.process import logs
from shared.process.lifecycle import pause
from shared.redis import bus, keys
from shared.redis.redis import Client, RedisAway

LOOK_S = 1.0
#: Entries of one step.
READ = 500
#: Of the queue that a replay leaves to what is new.
LEAST_ROOM = 0.5

REPLAYED = Counter("estafette_webhooks_replays_total", "Replays that an endpoint asked for and that are queued whole")

_log = logs.get_logger()


class Store(Protocol):
    async def replays(self) -> list[Replay]: ...
    async def put_replay(self, replay: Replay) -> None: ...
    async def end_replay(self, endpoint: str) -> None: ...
    async def refill(self, endpoint: str, now_ms: int) -> tuple[int, int]: ...
    async def room(self, endpoint: str) -> int: ...


class Book(Protocol):
    def get(self, endpoint: str) -> Known | None: ...


Again = Callable[[Known, Sequence[bus.Entry]], Awaitable[None]]


class Replaying:
    """`leads` says whether it is this process that does it; `again` queues entries for an endpoint once more."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        store: Store,
        book: Book,
        again: Again,
        leads: Callable[[], Awaitable[bool]],
        queue_events: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._store = store
        self._book = book
        self._again = again
        self._leads = leads
        self._least_room = int(queue_events * LEAST_ROOM)
        self._now_ms = now_ms

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`."""
        while not stopping.is_set():
            went_on = False
            try:
                if await self._leads():
                    for replay in await self._store.replays():
                        went_on |= await self.step(replay)
            except RedisAway as away:
                _log.warning("replay_waits", reason=str(away))
            except Exception:
                _log.exception("replay_failed")
            if not went_on:
                await pause(stopping, LOOK_S)

    async def step(self, replay: Replay) -> bool:
        """Whether it went on. RedisAway."""
        known = self._book.get(replay.endpoint)
        if known is None:  # not enabled for now; it goes on when it is
            return False
        if await self._store.room(replay.endpoint) < self._least_room:
            return False
        if replay.failures:
            _, left = await self._store.refill(replay.endpoint, self._now_ms())
            if not left:
                await self._end(replay)
            return True
        places = list(replay.places) or [f"{replay.since_ms}-0"] * self._partitions
        for partition, place in enumerate(places):
            if not place:
                continue
            first = place if place.endswith("-0") and place == f"{replay.since_ms}-0" else f"({place}"
            found = await self._client.xrange(
                keys.events(partition), first, f"{replay.until_ms}-18446744073709551615", count=READ
            )
            entries = [bus.entry(number, fields) for number, fields in found]
            known_ones = [one for one in entries if not one.is_newer]
            if known_ones:
                await self._again(known, known_ones)
            places[partition] = entries[-1].stream_id if len(entries) == READ else ""
            break
        if any(places):
            places_now = tuple(places)
            await self._store.put_replay(
                Replay(replay.endpoint, replay.tenant, replay.since_ms, replay.until_ms, False, places_now)
            )
        else:
            await self._end(replay)
        return True

    async def _end(self, replay: Replay) -> None:
        await self._store.end_replay(replay.endpoint)
        REPLAYED.inc()
        _log.info("replayed", endpoint=replay.endpoint, tenant=replay.tenant)

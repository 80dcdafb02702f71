"""Events as they are recorded, as server-sent events (WHATWG HTML, 9.2), on the cursor of the feed.

A stream is a page of the feed after the other, each written when it is there. Nothing is kept for who reads slowly: a
page is read when the one before was taken, and who does not take it within `SLOW_S` is dropped, and goes on later with
the id of the last event that it has seen. That id is the cursor behind a page, so it stands at the last event of each:
what came of a page before the connection broke comes again, with the same `event_id`. Where nothing comes the id alone
is written now and then, which no reader shows: it keeps the stream alive, and the cursor young.
"""

import asyncio
from collections import Counter as Counts
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import orjson
from prometheus_client import Counter, Gauge

from services.reports.feed import cursor
from services.reports.feed.chunks import Position
from services.reports.feed.feed import Feed, Wanted
from shared.words.errors import Problem

STREAMS = Gauge("estafette_reports_live_streams", "Live streams of events that are open")
DROPPED = Counter("estafette_reports_live_dropped_total", "Live streams that were ended because nobody read them")

#: Events of one write: 50 kB or so.
TOGETHER = 100
#: Between two looks, when there was nothing more.
LOOK_S = 0.5
#: Something is written so often, so that proxies and readers know that the stream is alive.
HEARTBEAT_S = 15.0
#: Who takes nothing for so long is dropped.
SLOW_S = 30.0
#: What readers are told to wait before they come back, in ms.
RETRY_MS = 2_000
#: Of a refusal.
AGAIN_S = "5"


class Live:
    """The streams of one process: at most `most`, and of a tenant `most_of_tenant`. `monotonic` is a clock in
    seconds."""

    def __init__(self, feed: Feed, most: int, most_of_tenant: int, monotonic: Callable[[], float]) -> None:
        self._feed = feed
        self._most = most
        self._most_of_tenant = most_of_tenant
        self._monotonic = monotonic
        self._open: Counts[str] = Counts()
        self._closing = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Ends all streams when the process stops."""
        await stopping.wait()
        self._closing.set()

    @contextmanager
    def opened(self, tenant: str) -> Iterator[None]:
        """Problem 429 where there are as many as there may be."""
        if self._open.total() >= self._most or self._open[tenant] >= self._most_of_tenant:
            raise Problem(
                "too_many_streams",
                f"at most {self._most_of_tenant} live streams of a tenant, and {self._most} of all, at a time",
                headers={"Retry-After": AGAIN_S},
            )
        self._open[tenant] += 1
        STREAMS.inc()
        try:
            yield
        finally:
            STREAMS.dec()
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]

    async def texts(self, wanted: Wanted, after: Sequence[Position] | None) -> AsyncGenerator[bytes, None]:
        """What is written, until the process stops. CursorTooOld, RedisAway."""
        beat_s = self._monotonic()
        is_first = True
        while not self._closing.is_set():
            page = await self._feed.page(wanted, after, TOGETHER)
            after = page.positions
            place = cursor.pack(page.positions)
            text = _told(page.events, place)
            if is_first:
                text = b"retry: %d\n\n" % RETRY_MS + text
            if not text and self._monotonic() - beat_s >= HEARTBEAT_S:
                text = b"id: %b\n\n" % place.encode()
            if text:
                yield text
                beat_s, is_first = self._monotonic(), False
            if not page.more:
                await _until(self._closing, LOOK_S)


async def taken(write: Callable[[bytes], Awaitable[None]], text: bytes) -> bool:
    """Whether the reader took it in time; else it is to be dropped."""
    try:
        await asyncio.wait_for(write(text), SLOW_S)
    except TimeoutError:
        DROPPED.inc()
        return False
    return True


def _told(events: Sequence[msgspec.Struct], place: str) -> bytes:
    """Each with its type, the last one with the cursor behind it."""
    parts: list[bytes] = []
    for number, event in enumerate(events, 1):
        if number == len(events):
            parts.append(b"id: %b\n" % place.encode())
        shown = msgspec.to_builtins(event)
        parts.append(b"event: %b\ndata: %b\n\n" % (shown["type"].encode(), orjson.dumps(shown)))
    return b"".join(parts)


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return

"""What is in a file: the events of a period, or the list as it stood at its end, piece by piece."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from services.reports.drops.drop import Drop, Failed
from services.reports.drops.periods import Period
from services.reports.drops.rows import Writer
from services.reports.feed.cursor import Position, position
from services.reports.feed.feed import CursorTooOld, Page, Wanted
from services.reports.feed.lane import LAST_MS
from shared.archive.asked import SearchFailed
from shared.redis import keys
from shared.redis.redis import Client
from shared.redis.suppression_file import heading

#: Events of one page: some 15 ms of the processor.
PAGE = 1_000


class TooOld(Exception):
    """What was in that period is not kept any more, or not all of it."""


class Feed(Protocol):
    async def page(self, wanted: Wanted, after: list[Position], limit: int) -> Page: ...


class Suppressions(Protocol):
    def lines(self, tenant: str, delimiter: str, now_ms: int, before_ms: int | None = None) -> AsyncIterator[str]: ...


class Content:
    """The pieces of one file, and how many rows they had so far. RedisAway, TooOld, Failed."""

    def __init__(self, pieces: AsyncIterator[tuple[bytes, int]]) -> None:
        self._pieces = pieces
        self.rows = 0

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        async for piece, rows in self._pieces:
            self.rows += rows
            yield piece


class Sources:
    """Every method raises RedisAway."""

    def __init__(self, client: Client, partitions: int, feed: Feed, suppressions: Suppressions) -> None:
        self._client = client
        self._partitions = partitions
        self._feed = feed
        self._suppressions = suppressions

    async def is_known(self, drop: Drop, period: Period) -> bool:
        """Whether all that was recorded in the period can be read: the feed has come to its end."""
        if drop.kind != "events":
            return True
        for p in range(self._partitions):
            mark = await self._client.get(keys.feed_mark(p))
            last = await self._client.xrevrange(keys.events(p), str(period.end_ms - 1), "-", count=1)
            if last and position(last[0][0].decode()) > position((mark or b"0-0").decode()):
                return False
        return True

    def content(self, drop: Drop, period: Period) -> Content:
        return Content(self._events(drop, period) if drop.kind == "events" else self._list(drop, period))

    async def _events(self, drop: Drop, period: Period) -> AsyncIterator[tuple[bytes, int]]:
        writer = Writer(drop.columns)
        yield writer.heading(), 0
        wanted = Wanted(
            drop.tenant,
            frozenset(drop.types) or None,
            drop.job or None,
            drop.recipient or None,
            drop.tag or None,
            drop.list or None,
            frozenset(drop.streams) or None,
            period.begin_ms,
            period.end_ms,
        )
        # From a place, not from a time alone: then it is an error that something behind it is gone.
        places, more = [(period.begin_ms - 1, LAST_MS)] * self._partitions, True
        while more:
            try:
                page = await self._feed.page(wanted, places, PAGE)
            except CursorTooOld:
                raise TooOld from None
            except SearchFailed as fault:
                raise Failed("archive", str(fault)) from None
            places, more = page.positions, page.more
            if page.events:
                yield writer.rows(page.events), len(page.events)

    async def _list(self, drop: Drop, period: Period) -> AsyncIterator[tuple[bytes, int]]:
        yield heading(",").encode(), 0
        async for rows in self._suppressions.lines(drop.tenant, ",", period.end_ms, period.end_ms):
            yield rows.encode(), rows.count("\r\n")

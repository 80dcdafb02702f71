"""Pages of a feed: the events of a tenant, of one of its jobs, of one type …, merged of all partitions.

Every partition is read from where the cursor stands; what is known of all of them up to a moment (`lane.py`) is shown
in the order of the streams' clocks. The cursor then stands in each partition where the next page goes on, so nothing is
skipped or shown twice, and it goes along with what is recorded even where nothing was wanted.

A page is full, or ends where the feed does. Only a search that finds little in very much ends with what it has, after
`BUDGET_S`.

What is filtered by where: a job has a feed of its own; type, stream, list and tag are told by chunks, which are passed
over whole if they have nothing of it; the recipient is looked at event by event.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple, Protocol

from prometheus_client import Counter, Histogram

from services.reports.feed import chunks
from services.reports.feed.chunks import Position
from services.reports.feed.cursor import position, stream_id
from services.reports.feed.entries import entries_at
from services.reports.feed.lane import (
    BEGINNING,
    END,
    LAST_MS,
    LAST_NUMBER,
    Filter,
    Found,
    Lane,
    following,
    lacking,
    merged,
    place_after,
    place_before,
    share,
)
from services.reports.feed.numbers import numbers_of
from shared.archive.asked import Answer, Asked, Behind, Place
from shared.redis import archived, bus, jobs, keys
from shared.redis.recipients import Recipient, of_jobs
from shared.redis.redis import Client, Script
from shared.redis.suppression import normalised
from shared.words import events, ids, public

SHOWN = Counter("estafette_reports_feed_events_total", "Events shown in pages of the feed, and live")
PAGE_SECONDS = Histogram(
    "estafette_reports_feed_page_seconds",
    "Time to put a page of the feed together",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
SHORT = Counter("estafette_reports_feed_short_pages_total", "Pages that ended early, because their time was over")

#: Nothing is read any more for a page that has taken so long. Callers wait ten seconds and more.
BUDGET_S = 2.0
#: Events of one partition that are read together.
MOST_TOGETHER = 1_000
#: Chunks of one read: 110 kB, which are gone through in 2 ms where their heads tell that nothing is wanted.
MOST_CHUNKS = 256
#: Events in a chunk, about.
IN_A_CHUNK = 100

_READ = Script.of(__file__, "feed_read")


class CursorTooOld(Exception):
    """What comes behind the cursor is in part not kept any more."""


class Wanted(NamedTuple):
    """Which events: of the tenant; of these types, of that job, about that address (normalised), of jobs with that tag,
    list, stream (one of), recorded from `since_ms` on and before `until_ms`, where not None."""

    tenant: str
    types: frozenset[str] | None = None
    job: str | None = None
    email: str | None = None
    tag: str | None = None
    list: str | None = None
    streams: frozenset[str] | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def is_by_kind(self) -> bool:
        return not (self.tag is None and self.list is None and self.streams is None)


class Page(NamedTuple):
    """`more`: there is more already. The positions are good in either case."""

    events: list[public.Event]
    positions: list[Position]
    more: bool


class Recipients(Protocol):
    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]: ...


class Feed:
    """`monotonic` is a clock in seconds, `behind` the archive, if there is one. Every method raises RedisAway."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        recipients: Recipients,
        monotonic: Callable[[], float],
        behind: Behind | None = None,
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._recipients = recipients
        self._monotonic = monotonic
        self._behind = behind

    async def now(self) -> list[Position]:
        """Behind everything that is in the feeds."""
        marks = await asyncio.gather(*(self._client.get(keys.feed_mark(p)) for p in range(self._partitions)))
        return [BEGINNING if mark is None else position(mark.decode()) for mark in marks]

    async def page(self, wanted: Wanted, after: Sequence[Position] | None, limit: int, is_newest: bool = False) -> Page:
        """At most `limit` events behind those positions, in the order in which they were recorded, or, newest
        first, before them; None: from the beginning. What the streams have no more comes from the archive, where a
        cursor or `since_ms` stands before it. CursorTooOld, SearchFailed."""
        with PAGE_SECONDS.time():
            page = await self._page(wanted, after, limit, is_newest)
        SHOWN.inc(len(page.events))
        return page

    async def _page(self, wanted: Wanted, after: Sequence[Position] | None, limit: int, is_newest: bool) -> Page:
        deadline_s = self._monotonic() + BUDGET_S
        positions = list(after or [END if is_newest else BEGINNING] * self._partitions)
        is_deep = self._is_deep(wanted, after is not None, is_newest)
        lanes = [self._lane(wanted, p, positions[p], is_newest, is_deep) for p in self._partitions_of(wanted)]
        filling = [(lane, share(limit + 1, len(lanes))) for lane in lanes]
        must_have, most_chunks = after is not None and not is_newest, 2
        while True:
            await asyncio.gather(*(self._fill(lane, wanted, most, most_chunks, must_have) for lane, most in filling))
            await self._search(wanted, [lane for lane, _ in filling if lane.floor is not None], limit + 1)
            found, is_whole = merged(lanes, is_newest)
            is_late, missing = self._monotonic() >= deadline_s, limit + 1 - len(found)
            if missing <= 0 or is_whole or is_late:
                told = await self._told(lanes, found, limit + 1, wanted)
                missing = limit + 1 - len(told)
                if missing <= 0 or is_whole or is_late:
                    break
            filling = lacking(lanes, missing, is_newest)
            # Where little is wanted of much, more and more is looked through at a time.
            must_have, most_chunks = False, 2 * most_chunks
        is_full = len(told) > limit
        if not is_full and not is_whole:
            SHORT.inc()
        shown = told[:limit]
        last = shown[-1][0] if is_full else None
        for partition, at in following(lanes, last, is_newest).items():
            positions[partition] = at
        facts = sorted((fact for _, fact in shown), key=attrgetter("occurred_at"), reverse=is_newest)
        emails = await self._emails(fact for fact in facts if fact.email is None)
        shown_events = [public.event(fact, emails.get((fact.job, fact.ordinal))) for fact in facts]
        return Page(shown_events, positions, is_full or not is_whole)

    def _partitions_of(self, wanted: Wanted) -> Iterable[int]:
        if wanted.job is None:
            return range(self._partitions)
        return [ids.job_partition(wanted.job, self._partitions)]

    def _is_deep(self, wanted: Wanted, has_cursor: bool, is_newest: bool) -> bool:
        """Whether the archive is searched for what the streams have no more. Who names neither time nor place gets what
        is at hand."""
        return self._behind is not None and (wanted.since_ms is not None or (has_cursor and not is_newest))

    @staticmethod
    def _lane(wanted: Wanted, partition: int, at: Position, is_newest: bool, is_deep: bool) -> Lane:
        """A search that is bounded by time begins there."""
        if is_newest and wanted.until_ms is not None:
            at = min(at, (wanted.until_ms, 0))
        if not is_newest and wanted.since_ms:
            at = max(at, (wanted.since_ms - 1, LAST_MS))
        return Lane(partition, at, is_newest, is_deep=is_deep)

    async def _fill(self, lane: Lane, wanted: Wanted, most: int, most_chunks: int, must_have: bool) -> None:
        """Looks for so many more at most, in so many chunks. With `must_have` whatever is behind the place must still
        be there."""
        most = min(most, MOST_TOGETHER)
        most_chunks = min(max(most // IN_A_CHUNK + 2, most_chunks), MOST_CHUNKS)
        p = lane.partition
        feed = keys.tenant_feed(p, wanted.tenant) if wanted.job is None else keys.job_feed(p, wanted.job)
        mark, gone, is_end, packed = await _READ(
            self._client,
            [feed, keys.feed_mark(p), keys.trimmed(p)],
            [
                *_bounded(lane.scan),
                -1 if lane.is_newest else 1,
                min(max(most // IN_A_CHUNK + 2, most_chunks), MOST_CHUNKS),
            ],
        )
        trimmed = position(gone.decode()) if gone else BEGINNING
        since_ms = wanted.since_ms or 0
        if lane.sinks(trimmed, since_ms):
            trimmed = position(await archived.begin(self._client, p))
        if must_have and lane.scan < trimmed:
            raise CursorTooOld
        if lane.floor is not None:
            return
        # What chunks call a kind is known once they are: it is written with them.
        kinds = await self._kinds(p, wanted) if wanted.is_by_kind else None
        chosen = Filter(
            None if wanted.types is None else numbers_of(wanted.types),
            kinds,
            since_ms,
            LAST_MS if wanted.until_ms is None else wanted.until_ms,
        )
        picked, is_through = lane.pick(packed, chosen, most)
        picked = lane.stop_at(trimmed, picked, bool(is_through and is_end), since_ms)
        if is_through and is_end and not lane.sinks(trimmed, since_ms):
            lane.ended(position(mark.decode()) if mark else BEGINNING)
        found = [Found(one.at, p) for one in picked]
        if found and (wanted.email is not None or wanted.is_by_kind):
            unknown = {one.at for one in picked if one.kind == chunks.UNKNOWN}
            read = zip(found, await self._facts(p, found), strict=True)
            told = [(one, fact) for one, fact in read if fact is not None and _fits(fact, wanted)]
            found = [Found(one.at, p, fact) for one, fact in await self._looked_at(told, wanted, unknown)]
        lane.ready += found

    async def _told(
        self, lanes: Sequence[Lane], found: Sequence[Found], most: int, wanted: Wanted
    ) -> list[tuple[Found, events.Fact]]:
        """The first `most` of what was found, with their facts. Lanes forget what is not kept any more, cannot be read,
        or is not wanted after all."""
        told: list[tuple[Found, events.Fact]] = []
        gone: set[tuple[int, Position]] = set()
        start = 0
        while start < len(found) and len(told) < most:
            some = found[start : start + most - len(told)]
            start += len(some)
            facts = await self._facts_of(some)
            for one, fact in zip(some, facts, strict=True):
                if fact is not None and _fits(fact, wanted):
                    told.append((one, fact))
                else:
                    gone.add((one.partition, one.at))
        for lane in lanes if gone else ():
            lane.ready = [one for one in lane.ready if (one.partition, one.at) not in gone]
        return told

    async def _facts_of(self, found: Sequence[Found]) -> list[events.Fact | None]:
        """In their order: those that were read already as they are."""
        unread: dict[int, list[Found]] = defaultdict(list)
        for one in found:
            if one.fact is None:
                unread[one.partition].append(one)
        read = await asyncio.gather(*(self._facts(p, some) for p, some in unread.items()))
        coming = {p: iter(facts) for p, facts in zip(unread, read, strict=True)}
        return [next(coming[one.partition]) if one.fact is None else one.fact for one in found]

    async def _facts(self, partition: int, found: Sequence[Found]) -> list[events.Fact | None]:
        """None of what is not kept any more, or this version cannot read."""
        entries = await entries_at(self._client, partition, [stream_id(one.at) for one in found])
        return [None if entry is None else _fact(entry) for entry in entries]

    async def _search(self, wanted: Wanted, lanes: Sequence[Lane], limit: int) -> None:
        """Looks in the archive for what the streams of these have no more. SearchFailed."""
        if self._behind is None or not lanes:
            return
        places = {lane.partition: place for lane in lanes if (place := _place(lane, wanted)) is not None}
        answer = Answer([], 0, is_whole=True)
        if places:
            asked = Asked(
                wanted.tenant, places, limit, wanted.types, wanted.job, None, wanted.email, wanted.tag, wanted.list,
                wanted.streams, lanes[0].is_newest,
            )  # fmt: skip
            answer = await self._behind.find(asked)
        found = [Found(row.at, row.partition, row.fact) for row in answer.rows]
        for lane in lanes:
            mine = (one for one in found if one.partition == lane.partition)
            lane.surfaced(mine, _known(lane, answer, found, limit), answer.is_whole)

    async def _kinds(self, partition: int, wanted: Wanted) -> frozenset[int]:
        """The kinds of jobs that are wanted, and the one that does not tell."""
        known = await self._client.hgetall(keys.feed_kinds(partition, wanted.tenant))
        fitting = (int(number) for name, number in known.items() if _is_of(name.decode("utf-8", "replace"), wanted))
        return frozenset((chunks.UNKNOWN, *fitting))

    async def _looked_at(
        self, told: list[tuple[Found, events.Fact]], wanted: Wanted, unknown: set[Position]
    ) -> list[tuple[Found, events.Fact]]:
        """Those that are wanted also by what neither feed nor fact tells."""
        if wanted.email is not None:
            emails = await self._emails(fact for _, fact in told if fact.email is None)
            told = [
                (one, fact)
                for one, fact in told
                if normalised(fact.email or emails.get((fact.job, fact.ordinal), "")) == wanted.email
            ]
        if wanted.is_by_kind and unknown:
            fitting = await self._jobs_of({fact.job for one, fact in told if one.at in unknown}, wanted)
            told = [(one, fact) for one, fact in told if one.at not in unknown or fact.job in fitting]
        return told

    async def _jobs_of(self, asked: Iterable[str], wanted: Wanted) -> set[str]:
        fields = (jobs.STREAM, jobs.LIST, jobs.TAGS)
        fitting: set[str] = set()
        for job in asked:
            if ids.is_job_id(job):
                read = await jobs.read(self._client, self._partitions, job, fields)
                name = "\n".join((read[jobs.STREAM], read[jobs.LIST], *read[jobs.TAGS]))
                fitting |= {job} if _is_of(name, wanted) else set()
        return fitting

    async def _emails(self, nameless: Iterable[events.Fact]) -> Mapping[tuple[str, int | None], str]:
        """The recipients' addresses by job and ordinal."""
        ordinals: dict[str, list[int]] = defaultdict(list)
        for one in nameless:
            if one.job and one.ordinal is not None:
                ordinals[one.job].append(one.ordinal)
        return {message: one.email for message, one in (await of_jobs(self._recipients, ordinals)).items()}


def _place(lane: Lane, wanted: Wanted) -> Place | None:
    """What of a lane is searched for in the archive; None: there can be nothing."""
    if lane.floor is None:
        return None
    since, until = ((wanted.since_ms or 0) - 1, LAST_NUMBER), ((wanted.until_ms or LAST_MS) - 1, LAST_NUMBER)
    if lane.is_newest:
        ms, number = lane.scan
        upto = (ms, number - 1) if number else (ms - 1, LAST_NUMBER)
        place = Place(since, min(upto, lane.floor))
    else:
        place = Place(max(lane.scan, since), min(lane.floor, until))
    return place if place.after < place.upto else None


def _known(lane: Lane, answer: Answer, found: Sequence[Found], limit: int) -> Position:
    """Up to where a lane is known, or newest first down to where, when the archive has answered."""
    if len(found) >= limit:
        return (place_before if lane.is_newest else place_after)(found[-1], lane.partition)
    return (answer.known_ms, 0) if lane.is_newest else (answer.known_ms - 1, LAST_NUMBER)


def _bounded(at: Position) -> tuple[int, int]:
    """Numbers that Lua compares exactly."""
    return min(at[0], LAST_MS), min(at[1], LAST_MS)


def _is_of(name: str, wanted: Wanted) -> bool:
    """Whether a kind, by its name, is wanted: the stream, the list, and the tags, a line each."""
    stream, list_, *tags = name.split("\n")
    return (
        (wanted.streams is None or stream in wanted.streams)
        and (wanted.list is None or list_ == wanted.list)
        and (wanted.tag is None or wanted.tag in tags)
    )


def _fits(fact: events.Fact, wanted: Wanted) -> bool:
    return (
        fact.tenant == wanted.tenant
        and (wanted.job is None or fact.job == wanted.job)
        and (wanted.types is None or public.type_of(type(fact).__name__, fact.job) in wanted.types)
    )


def _fact(entry: bus.Entry) -> events.Fact | None:
    """None if this version cannot read it: the pages go on."""
    try:
        message = entry.message()
    except bus.DeadLetter:
        return None
    return message if isinstance(message, events.Fact) else None

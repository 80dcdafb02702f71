"""The route of the feed: pages of events, of one tenant only."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from services.reports.feed import cursor
from services.reports.feed.cursor import Cursor
from services.reports.feed.feed import CursorTooOld, Feed, Wanted
from shared.http import api, paging
from shared.http.query import Read, Words
from shared.mail import addresses
from shared.redis.suppression import normalised
from shared.words import ids, public
from shared.words.described import says
from shared.words.errors import Problem

#: A cursor of two partitions.
_CURSOR = "lc8AAAGcE0xm2wAAAAE"
#: What `after` takes instead of a cursor.
NOW = "now"
_OLDEST, _NEWEST = "oldest", "newest"


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """`next` is what `after` takes to go on, also when nothing came; `more` tells that something is there already."""

    events: Annotated[list[public.Event], says("The events of this page; fewer than `limit` if there are no more.")]
    next: Annotated[str, says("What `after` takes to go on, at the end too.", _CURSOR)]
    more: Annotated[bool, says("Whether there is something after it already.", False)]


def _job_id(text: str) -> str:
    if not ids.is_job_id(text):
        raise ValueError("not the id of a job")
    return text


def _address(text: str) -> str:
    try:
        return normalised(addresses.parse(text).key)
    except addresses.InvalidAddress as fault:
        raise ValueError(f"not an address: {fault}") from None


def _after(text: str) -> Cursor | None:
    """None is `now`: an empty text is not read at all."""
    return None if text == NOW else cursor.unpack(text)


_BEGINNING = Cursor([])


class EventQuery(msgspec.Struct, frozen=True):
    """Which events are listed."""

    after: Annotated[
        Cursor | None,
        says(
            "The `next` of the page before, or `now`: only what comes from now on. Without it the list begins.", _CURSOR
        ),
        Read(_after),
    ] = _BEGINNING
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    order: Annotated[
        Literal["oldest", "newest"],
        says("Which come first, by when they were recorded. A feed is followed with `oldest`.", _NEWEST),
    ] = "oldest"
    type: Annotated[
        frozenset[str] | None, says("Of these types only.", ["message.bounced"]), Words(tuple(sorted(public.TYPES)))
    ] = None
    job: Annotated[str | None, says("Of this job only.", "068vjfm5s9m2rc1jqqrg"), Read(_job_id)] = None
    tag: Annotated[str | None, says("Of jobs with this tag only.", "soldes")] = None
    list: Annotated[str | None, says("Of jobs of this list only.", "newsletter")] = None
    stream: Annotated[
        frozenset[str] | None,
        says("Of jobs of these kinds only.", ["bulk"]),
        Words(("bulk", "one_to_one", "transactional")),
    ] = None
    recipient: Annotated[str | None, says("About this address only.", "ana@exemple.fr"), Read(_address)] = None
    since: Annotated[datetime | None, says("Recorded then or later.", "2026-01-31T09:00:00Z")] = None
    until: Annotated[datetime | None, says("Recorded before then.", "2026-02-01T00:00:00Z")] = None


def routes(feed: Feed, partitions: int) -> list[api.Route]:
    handlers = _Routes(feed, partitions)
    return [
        api.Route(
            "GET",
            "/v1/events",
            handlers.list_events,
            "The events of the tenant, page by page, in the order in which they were recorded",
            scope="read",
            name="list_events",
            tag="events",
            answers={200: EventPage},
            problems=["cursor_too_old"],
            query=EventQuery,
        ),
    ]


def wanted(query: EventQuery, tenant: str) -> Wanted:
    return Wanted(
        tenant,
        query.type,
        query.job,
        query.recipient,
        query.tag,
        query.list,
        query.stream,
        _ms(query.since),
        _ms(query.until),
    )


def too_old() -> Problem:
    return Problem(
        "cursor_too_old",
        "events behind this cursor were removed after their retention, so some may be missed: begin without `after`",
    )


class _Routes:
    def __init__(self, feed: Feed, partitions: int) -> None:
        self._feed = feed
        self._partitions = partitions

    async def list_events(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, EventQuery)
        is_newest = query.order == _NEWEST
        try:
            after = await self._place(query.after, is_newest)
            page = await self._feed.page(wanted(query, request[api.PRINCIPAL].tenant), after, query.limit, is_newest)
        except paging.InvalidCursor as fault:
            raise paging.refused(fault) from None
        except CursorTooOld:
            raise too_old() from None
        following = cursor.pack(page.positions, is_newest)
        return api.json_answer(EventPage(events=page.events, next=following, more=page.more))

    async def _place(self, after: Cursor | None, is_newest: bool) -> list[cursor.Position] | None:
        """InvalidCursor if it is of another number of partitions, or goes the other way."""
        if after is None:
            return None if is_newest else await self._feed.now()
        if after is _BEGINNING:
            return None
        if len(after.positions) != self._partitions or after.is_newest != is_newest:
            raise paging.InvalidCursor
        return after.positions


def _ms(time: datetime | None) -> int | None:
    return None if time is None else max(0, int(time.timestamp() * 1000))

"""The routes of the feed: pages of events, and events as they come; of one tenant only."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from services.reports.feed import cursor
from services.reports.feed.cursor import Cursor
from services.reports.feed.feed import CursorTooOld, Feed, Wanted
from services.reports.feed.live import AGAIN_S, Live, taken
from shared.archive.asked import SearchFailed
from shared.http import api, paging
from shared.http.query import Read, Words
from shared.mail import addresses
from shared.redis.redis import RedisAway
from shared.redis.suppression import normalised
from shared.words import ids, public
from shared.words.described import says
from shared.words.errors import Fault, Problem

#: A cursor of two partitions.
_CURSOR = "lc8AAAGcE0xm2wAAAAE"
#: What `after` takes instead of a cursor.
NOW = "now"
LIVE = "/v1/events/live"
#: As browsers send it, when they come back (WHATWG HTML, 9.2.4).
LAST_EVENT_ID = "Last-Event-ID"
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


class EventFilter(msgspec.Struct, frozen=True):
    """Which events are wanted."""

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


class EventQuery(EventFilter, frozen=True):
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
    since: Annotated[
        datetime | None,
        says(
            "Recorded then or later. Where that is before what the streams still have, the archive is searched.",
            "2026-01-31T09:00:00Z",
        ),
    ] = None
    until: Annotated[datetime | None, says("Recorded before then.", "2026-02-01T00:00:00Z")] = None


def routes(feed: Feed, live: Live, partitions: int) -> list[api.Route]:
    handlers = _Routes(feed, live, partitions)
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
            problems=["cursor_too_old", "archive_unavailable"],
            query=EventQuery,
        ),
        api.Route(
            "GET",
            LIVE,
            handlers.show_live,
            "Events as they are recorded, as server-sent events",
            scope="read",
            name="follow_events",
            tag="events",
            answers={200: "text/event-stream"},
            problems=["cursor_too_old", "archive_unavailable", "too_many_streams"],
            query=EventFilter,
            headers={LAST_EVENT_ID: says("The id of the last event that was seen, to go on behind it.", _CURSOR)},
        ),
    ]


def _wanted(query: EventFilter, tenant: str) -> Wanted:
    return Wanted(tenant, query.type, query.job, query.recipient, query.tag, query.list, query.stream)


def too_old() -> Problem:
    return Problem(
        "cursor_too_old",
        "events behind this cursor were removed after their retention, so some may be missed: begin without `after`",
    )


def archive_unavailable(fault: SearchFailed) -> Problem:
    return Problem("archive_unavailable", str(fault), headers={"Retry-After": AGAIN_S})


class _Routes:
    def __init__(self, feed: Feed, live: Live, partitions: int) -> None:
        self._feed = feed
        self._live = live
        self._partitions = partitions

    async def list_events(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, EventQuery)
        is_newest = query.order == _NEWEST
        try:
            after = await self._place(query.after, is_newest)
            asked = _wanted(query, request[api.PRINCIPAL].tenant)
            asked = asked._replace(since_ms=_ms(query.since), until_ms=_ms(query.until))
            page = await self._feed.page(asked, after, query.limit, is_newest)
        except paging.InvalidCursor as fault:
            raise paging.refused(fault) from None
        except CursorTooOld:
            raise too_old() from None
        except SearchFailed as fault:
            raise archive_unavailable(fault) from None
        following = cursor.pack(page.positions, is_newest)
        return api.json_answer(EventPage(events=page.events, next=following, more=page.more))

    async def show_live(self, request: web.Request) -> web.StreamResponse:
        tenant = request[api.PRINCIPAL].tenant
        query = api.query_of(request, EventFilter)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        answer = web.StreamResponse(headers=headers)
        answer.content_type = "text/event-stream"
        after = await self._seen(request)
        if request.method == "HEAD":
            await answer.prepare(request)
            return answer
        with self._live.opened(tenant):
            texts = self._live.texts(_wanted(query, tenant), after)
            try:
                text = await anext(texts, b"")
            except CursorTooOld:
                raise too_old() from None
            except SearchFailed as fault:
                raise archive_unavailable(fault) from None
            await answer.prepare(request)
            while text:
                try:
                    if not await taken(answer.write, text):
                        if request.transport is not None:
                            request.transport.abort()
                        break
                    text = await anext(texts, b"")
                except (ConnectionError, CursorTooOld, RedisAway, SearchFailed):
                    break  # they come back, with the id of what they saw last
            await texts.aclose()
        return answer

    async def _seen(self, request: web.Request) -> list[cursor.Position]:
        text = request.headers.get(LAST_EVENT_ID)
        try:
            return await self._place(cursor.unpack(text) if text else None, is_newest=False) or []
        except paging.InvalidCursor as fault:
            raise Problem("invalid_query", "the query does not fit", [Fault(LAST_EVENT_ID, str(fault))]) from None

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

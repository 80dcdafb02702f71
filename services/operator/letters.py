"""The operator's routes of dead entries: listed, shown, put back, or given up."""

from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from services.operator.operator import Operator
from shared.http import api, paging
from shared.http.query import Read
from shared.redis import bus
from shared.redis.dead import NAME, Dead
from shared.words.described import says
from shared.words.times import rfc3339

_ENTRY = "events.3.1767225612345-0"


class DeadShown(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that no reader could handle. `message` is what it says, field by field; null where that cannot be
    read."""

    entry: Annotated[str, says("The name of the entry.", _ENTRY)]
    stream: Annotated[str, says("The stream that it comes from: `events`, `intake` or `ready`.", "events")]
    name: Annotated[str, says("The name of the message.", "Delivered")]
    version: Annotated[int, says("Its major version.", 1)]
    reason: Annotated[str, says("Why it could not be handled.", "version 2 of Delivered is not understood")]
    origin: Annotated[str, says("Stream, entry and group that it was buried from; the site of a message.", "gmail")]
    buried_at: Annotated[str, says("When it was buried.", "2026-01-31T09:05:00.123Z")]
    size_bytes: Annotated[int, says("The length of the message.", 312)]
    message: Annotated[dict[str, Any] | None, says("The message, if it can be read.", {"tenant": "acme"})]


class DeadPage(msgspec.Struct, frozen=True):
    """`next` is what `after` takes to go on; null at the end."""

    entries: Annotated[list[DeadShown], says("The entries of this page.")]
    next: Annotated[str | None, paging.following(_ENTRY)]


class DeadQuery(msgspec.Struct, frozen=True):
    """Which dead entries are listed."""

    after: Annotated[str, paging.after(_ENTRY), Read(paging.matching(NAME))] = ""
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    stream: Annotated[Literal["events", "intake", "ready"] | None, says("Of this stream only.", "events")] = None


def shown(dead: Dead) -> DeadShown:
    """An entry as it is shown."""
    entry = dead.entry
    return DeadShown(
        entry=dead.name,
        stream=dead.place.stream,
        name=entry.name,
        version=entry.version,
        reason=dead.reason,
        origin=dead.origin,
        buried_at=rfc3339(dead.buried_ms),
        size_bytes=len(entry.body),
        message=_fields(entry),
    )


def _fields(entry: bus.Entry) -> dict[str, Any] | None:
    """What a recipient is told by name is left out: it may be of any size, and anybody's."""
    try:
        message = entry.message()
    except bus.DeadLetter:
        return None
    return {name: getattr(message, name) for name in message.__struct_fields__ if name != "variables"}


class Letters:
    """The calls of the routes."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, DeadQuery)
        found = await self._operator.dead(query.stream, query.after, query.limit + 1)
        page, following = paging.cut(found, query.limit, lambda one: one.name)
        return api.json_answer(DeadPage([shown(one) for one in page], following))

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(shown(await self._operator.dead_entry(request.match_info["entry"])))

"""The routes of the suppression list: one address, and the whole list page by page. Each tenant sees its own."""

import re
from collections.abc import Callable
from typing import Annotated

import msgspec
from aiohttp import web

from services.suppression.reasons import MAX_DIAGNOSTIC_CHARS
from services.suppression.store import Addition, Listed, Lists, Place
from shared.http import api, paging
from shared.http.query import Read
from shared.mail import addresses
from shared.process import logs
from shared.redis.suppression import Reason, Record, SuppressionList
from shared.words import ids
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.times import rfc3339

#: What other lists take for many addresses: a star anywhere, or nothing but wildcards before the @.
_RULE = re.compile(r"\*|^\s*\"?[%?]+\"?(?:@|\s*$)")
#: What every route of one address may answer.
_OF_AN_ADDRESS = ("invalid_path", "invalid_address", "unknown_suppression")
#: What is shown of a rule.
_MAX_SHOWN_CHARS = 100
#: A cursor as the list packs one.
_CURSOR = "kgOuYW5hQGV4ZW1wbGUuZnI"

_log = logs.get_logger()


class SuppressionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the address shall be listed; everything has a default, so the body may be left out."""

    reason: Annotated[Reason, says("Why it shall be listed; a weaker reason replaces no stronger one.", "manual")] = (
        "manual"
    )
    note: Annotated[str, says("What is kept with it.", "asked by telephone", max_length=MAX_DIAGNOSTIC_CHARS)] = ""


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """A listed address. `since` is when it entered the list; `event_id` and `message` say what listed it, null if that
    was a request; `diagnostic` is the last thing that was said about it: a reply, a note."""

    address: Annotated[str, says("The address as the list spells it.", "ana@exemple.fr")]
    reason: Annotated[Reason, says("Why it is listed.", "hard_bounce")]
    since: Annotated[str, says("When it entered the list.", "2026-01-31T09:05:00.123Z")]
    event_id: Annotated[str | None, says("The event that listed it; null if a request did.", "9f86d081884c7d65")]
    message: Annotated[str | None, says("The message that listed it, if one did.", "068vjfm5s9m2rc1jqqrg.0")]
    diagnostic: Annotated[str, says("What was said about it last: a reply, a note.", "550 5.1.1 No such user here")]


class SuppressionPage(msgspec.Struct, frozen=True, kw_only=True):
    """In an order that never changes. `next` is what `after` takes to go on, null at the end."""

    suppressions: Annotated[list[Suppression], says("The addresses of this page.")]
    next: Annotated[str | None, paging.following(_CURSOR)]


def _place(text: str) -> Place:
    return paging.unpack(text, Place)


class SuppressionQuery(msgspec.Struct, frozen=True):
    """Which part of the list is shown."""

    after: Annotated[Place, paging.after(_CURSOR), Read(_place)] = Place()
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT


def routes(
    lists: Lists, lookup: SuppressionList, partitions: int, now_ms: Callable[[], int], new_id: Callable[[], str]
) -> list[api.Route]:
    """`new_id` gives sixteen hex digits for the event of a request."""
    handlers = _Routes(lists, lookup, partitions, now_ms, new_id)
    return [
        api.Route(
            "GET",
            "/v1/suppressions/{address}",
            handlers.show,
            "Why an address is on the suppression list",
            slashes=True,
            scope="read",
            name="get_suppression",
            tag="suppressions",
            answers={200: Suppression},
            problems=_OF_AN_ADDRESS,
        ),
        api.Route(
            "PUT",
            "/v1/suppressions/{address}",
            handlers.put,
            "Puts an address on the suppression list (no rule such as `*@example.org`); a stronger reason that it is "
            "there for already stays",
            slashes=True,
            scope="suppress",
            body=SuppressionRequest,
            body_optional=True,
            examples={"application/json": {"reason": "manual", "note": "asked by telephone"}},
            name="put_suppression",
            tag="suppressions",
            answers={200: Suppression, 201: Suppression},
            problems=_OF_AN_ADDRESS,
        ),
        api.Route(
            "DELETE",
            "/v1/suppressions/{address}",
            handlers.delete,
            "Takes an address off the suppression list",
            slashes=True,
            scope="suppress",
            name="delete_suppression",
            tag="suppressions",
            answers={204: None},
            problems=_OF_AN_ADDRESS,
        ),
        api.Route(
            "GET",
            "/v1/suppressions",
            handlers.list_all,
            "The suppression list, page by page",
            scope="read",
            name="list_suppressions",
            tag="suppressions",
            answers={200: SuppressionPage},
            query=SuppressionQuery,
        ),
    ]


class _Routes:
    def __init__(
        self,
        lists: Lists,
        lookup: SuppressionList,
        partitions: int,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._lists = lists
        self._lookup = lookup
        self._partitions = partitions
        self._now_ms = now_ms
        self._new_id = new_id

    async def show(self, request: web.Request) -> web.StreamResponse:
        address = _address(request)
        return api.json_answer(await self._stored(request, address))

    async def put(self, request: web.Request) -> web.StreamResponse:
        address, tenant = _listable(request), request[api.PRINCIPAL].tenant
        wanted = await api.read_json_or(request, SuppressionRequest())
        record = Record(reason=wanted.reason, since_ms=self._now_ms(), source=self._new_id(), diagnostic=wanted.note)
        (entered,) = await self._lists.add([Addition(tenant, address, record)])
        _log.info("suppression_put", tenant=tenant, reason=wanted.reason, entered=entered)
        return api.json_answer(await self._stored(request, address), 201 if entered else 200)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        address, tenant = _address(request), request[api.PRINCIPAL].tenant
        removed = await self._lists.remove(tenant, address, "api", self._now_ms(), self._new_id())
        if not removed:
            raise _unknown()
        _log.info("suppression_deleted", tenant=tenant)
        return web.Response(status=204)

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, SuppressionQuery)
        if not 0 <= query.after.partition < self._partitions:
            raise paging.refused(paging.InvalidCursor())
        listed, following = await self._lists.page(request[api.PRINCIPAL].tenant, query.after, query.limit)
        return api.json_answer(
            SuppressionPage(
                suppressions=[_shown(one) for one in listed],
                next=None if following is None else paging.pack(following),
            )
        )

    async def _stored(self, request: web.Request, address: str) -> Suppression:
        record = await self._lookup.record(request[api.PRINCIPAL].tenant, address)
        if record is None:
            raise _unknown()
        return _shown(Listed(address, record))


def _address(request: web.Request) -> str:
    """The address in the path, as lists spell it."""
    try:
        return addresses.parse(api.path_text(request, "address")).key
    except addresses.InvalidAddress as fault:
        raise _refused(str(fault)) from fault


def _listable(request: web.Request) -> str:
    """An address that somebody can have. A `*` may stand in one (RFC 5322), and nobody has it: who writes it means a
    rule, which would be stored and never meet anybody."""
    text = api.path_text(request, "address")
    if _RULE.search(text):
        shown = text[:_MAX_SHOWN_CHARS]
        raise _refused(f"{shown!r} is a rule for many, and only addresses are listed: put each of them")
    return _address(request)


def _refused(what: str) -> Problem:
    return Problem("invalid_address", f"not an address: {what}", [Fault("address", what)])


def _shown(listed: Listed) -> Suppression:
    record = listed.record
    return Suppression(
        address=listed.address,
        reason=record.reason,
        since=rfc3339(record.since_ms),
        event_id=record.source if record.job else None,
        message=ids.message_id(record.job, record.ordinal) if record.job and record.ordinal >= 0 else None,
        diagnostic=record.diagnostic,
    )


def _unknown() -> Problem:
    return Problem("unknown_suppression", "the address is not on the list")

"""The routes of the suppression list: one address, and the whole list page by page. Each tenant sees its own."""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Annotated

import msgspec
from aiohttp import web

from services.suppression.reasons import MAX_DIAGNOSTIC_CHARS
from services.suppression.store import Addition, Listed, Lists, Place
from shared.http import api
from shared.mail import addresses
from shared.process import logs
from shared.redis.suppression import Reason, Record, SuppressionList
from shared.words import ids
from shared.words.errors import Fault, Problem, ProblemDocument
from shared.words.times import rfc3339

MAX_LIMIT = 1_000
DEFAULT_LIMIT = 100
#: What other lists take for many addresses: a star anywhere, or nothing but wildcards before the @.
_RULE = re.compile(r"\*|^\s*\"?[%?]+\"?(?:@|\s*$)")
#: What is shown of a rule.
_MAX_SHOWN_CHARS = 100

_log = logs.get_logger()


class SuppressionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the address shall be listed; everything has a default, so the body may be left out."""

    reason: Reason = "manual"
    note: Annotated[str, msgspec.Meta(max_length=MAX_DIAGNOSTIC_CHARS)] = ""


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """A listed address. `since` is when it entered the list; `event_id` and `message` say what listed it, null if that
    was a request; `diagnostic` is the last thing that was said about it: a reply, a note."""

    address: str
    reason: Reason
    since: str
    event_id: str | None
    message: str | None
    diagnostic: str


class SuppressionPage(msgspec.Struct, frozen=True, kw_only=True):
    """In an order that never changes. `next` is what `after` takes to go on, null at the end."""

    suppressions: list[Suppression]
    next: str | None


def routes(
    lists: Lists, lookup: SuppressionList, partitions: int, now_ms: Callable[[], int], new_id: Callable[[], str]
) -> list[api.Route]:
    """`new_id` gives sixteen hex digits for the event of a request."""
    site = _Site(lists, lookup, partitions, now_ms, new_id)
    return [
        api.Route(
            "GET",
            "/v1/suppressions/{address}",
            site.show,
            "Why an address is on the suppression list",
            slashes=True,
            scope="read",
            answers={200: Suppression, 404: ProblemDocument, 422: ProblemDocument},
        ),
        api.Route(
            "PUT",
            "/v1/suppressions/{address}",
            site.put,
            "Puts an address on the suppression list (no rule such as `*@example.org`); a stronger reason that it is "
            "there for already stays",
            slashes=True,
            scope="suppress",
            body=SuppressionRequest,
            body_optional=True,
            examples={"application/json": {"reason": "manual", "note": "asked by telephone"}},
            answers={200: Suppression, 201: Suppression},
        ),
        api.Route(
            "DELETE",
            "/v1/suppressions/{address}",
            site.delete,
            "Takes an address off the suppression list",
            slashes=True,
            scope="suppress",
            answers={204: None, 404: ProblemDocument, 422: ProblemDocument},
        ),
        api.Route(
            "GET",
            "/v1/suppressions",
            site.list_all,
            "The suppression list, page by page",
            scope="read",
            answers={200: SuppressionPage, 422: ProblemDocument},
            query={
                "after": "the `next` of the page before",
                "limit": f"1 to {MAX_LIMIT}, else {DEFAULT_LIMIT}",
            },
        ),
    ]


class _Site:
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
        wanted = SuppressionRequest()
        if await api.read_body(request):
            wanted = await api.read_json(request, SuppressionRequest)
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
        faults: list[Fault] = []
        place, limit = _after(request, self._partitions, faults), _limit(request, faults)
        if faults:
            raise Problem("invalid_query", "the query does not fit", faults)
        listed, following = await self._lists.page(request[api.PRINCIPAL].tenant, place, limit)
        return api.json_answer(
            SuppressionPage(
                suppressions=[_shown(one) for one in listed], next=None if following is None else _cursor(following)
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


def _cursor(place: Place) -> str:
    return urlsafe_b64encode(msgspec.msgpack.encode(place)).decode().rstrip("=")


def _after(request: web.Request, partitions: int, faults: list[Fault]) -> Place:
    text = request.query.get("after", "")
    if not text:
        return Place()
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        place = msgspec.msgpack.decode(raw, type=Place)
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError):
        place = Place(-1)
    if not 0 <= place.partition < partitions:
        faults.append(Fault("?after", "not a cursor of this list"))
    return place


def _limit(request: web.Request, faults: list[Fault]) -> int:
    text = request.query.get("limit", str(DEFAULT_LIMIT))
    if text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    faults.append(Fault("?limit", f"expected 1 to {MAX_LIMIT}"))
    return DEFAULT_LIMIT

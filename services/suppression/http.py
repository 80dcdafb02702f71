"""The routes of the suppression list: one address, and the whole list page by page. Each tenant sees its own."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec
from aiohttp import web

from services.suppression.reasons import MAX_DIAGNOSTIC_CHARS
from services.suppression.store import Addition, Chosen, Lists, Removal
from shared.http import api, paging
from shared.http.query import Read
from shared.mail import addresses
from shared.process import logs
from shared.redis.addressed import END, Place
from shared.redis.suppression import EVERYBODY, Listed, SuppressionList, normalised
from shared.words import ids, scopes
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.scopes import Channel, Entry, Reason, Source, TenantReason
from shared.words.times import rfc3339

#: What other lists take for many addresses: a star anywhere, or nothing but wildcards before the @.
_RULE = re.compile(r"\*|^\s*\"?[%?]+\"?(?:@|\s*$)")
#: What every route of one address may answer.
OF_AN_ADDRESS = ("invalid_path", "invalid_address", "unknown_suppression")
#: What is shown of a rule.
_MAX_SHOWN_CHARS = 100
#: A cursor as the list packs one.
CURSOR = "kwDOAAABBa5hbmFAZXhlbXBsZS5mcg"

_CHANNEL = says("By what the address is reached.", "email")
_SCOPE = says(
    "What is stopped: `all`; `marketing`, which is the stream `bulk`; `list:<name>`, which is bulk of jobs with that"
    " `list`.",
    "marketing",
)
_OF_CHANNEL = says("Only this channel; every one if left out.", "email")
_OF_SCOPE = says("Only this scope (`all`, `marketing`, `list:<name>`); every one if left out.", "list:newsletter")
Scope = Annotated[str, msgspec.Meta(pattern=scopes.PATTERN), _SCOPE]
ExpiresAt = Annotated[
    Annotated[datetime, msgspec.Meta(tz=True)] | None,
    says("When it stops nothing any more; never if left out.", "2036-01-31T10:00:00Z"),
]
Note = Annotated[str, says("What is kept with it.", "asked by telephone", max_length=MAX_DIAGNOSTIC_CHARS)]

_log = logs.get_logger()


class SuppressionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the address shall be listed, and for what; everything has a default, so the body may be left out. Who is
    listed for that channel and scope already stays for the stronger reason, and for the longer time."""

    reason: Annotated[
        TenantReason, says("Why it shall be listed; a weaker reason replaces no stronger one.", "manual")
    ] = "manual"
    note: Note = ""
    channel: Annotated[Channel, _CHANNEL] = "email"
    scope: Annotated[
        Scope | None,
        says(
            "What shall be stopped; if left out `marketing` for who unsubscribed, objected or complained, else `all`.",
            "list:newsletter",
        ),
    ] = None
    expires_at: ExpiresAt = None


class SuppressionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing for which an address is on the list. `event_id` and `message` say what listed it, null if that was no
    event."""

    channel: Annotated[Channel, _CHANNEL]
    scope: Annotated[str, _SCOPE]
    reason: Annotated[Reason, says("Why it is listed.", "hard_bounce")]
    source: Annotated[
        Source,
        says(
            "Who listed it: something that happened, a request, a file, a rule of escalation, an operator, or an "
            "objection that is noted as consent.",
            "event",
        ),
    ]
    since: Annotated[str, says("When it was listed for that channel and scope first.", "2026-01-31T09:05:00.123Z")]
    last: Annotated[str, says("When that was said last.", "2026-02-03T10:00:00.000Z")]
    expires_at: Annotated[str | None, says("From when on it stops nothing.", "2036-01-31T10:00:00.000Z")]
    event_id: Annotated[str | None, says("The event that listed it; null if none did.", "9f86d081884c7d65")]
    message: Annotated[str | None, says("The message that listed it, if one did.", "068vjfm5s9m2rc1jqqrg.0")]
    diagnostic: Annotated[str, says("What was said about it last: a reply, a note.", "550 5.1.1 No such user here")]


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """A listed address, and everything for which it is. What stands beside `entries` is of the first of them, which is
    the strongest; `since` is when the address entered the list for that."""

    address: Annotated[str, says("The address as the list spells it.", "ana@exemple.fr")]
    reason: Annotated[Reason, says("Why it is listed: the strongest reason.", "hard_bounce")]
    since: Annotated[str, says("When it entered the list for that.", "2026-01-31T09:05:00.123Z")]
    event_id: Annotated[str | None, says("The event that listed it; null if none did.", "9f86d081884c7d65")]
    message: Annotated[str | None, says("The message that listed it, if one did.", "068vjfm5s9m2rc1jqqrg.0")]
    diagnostic: Annotated[str, says("What was said about it last: a reply, a note.", "550 5.1.1 No such user here")]
    entries: Annotated[list[SuppressionEntry], says("Of each channel and scope why, the strongest first.")]


class SuppressionPage(msgspec.Struct, frozen=True, kw_only=True):
    """In an order that never changes. `next` is what `after` takes to go on, null at the end. Where only some are asked
    for a page may have few, or none, and go on."""

    suppressions: Annotated[list[Suppression], says("The addresses of this page.")]
    next: Annotated[str | None, paging.following(CURSOR)]


def place(text: str) -> Place:
    found = paging.unpack(text, Place)
    if not 0 <= found.reversed < END:
        raise paging.InvalidCursor
    return found


class SuppressionQuery(msgspec.Struct, frozen=True):
    """Which part of the list is shown."""

    after: Annotated[Place, paging.after(CURSOR), Read(place)] = Place()
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    reason: Annotated[Reason | None, says("Only addresses that are listed for this reason.", "complaint")] = None
    channel: Annotated[Channel | None, _OF_CHANNEL] = None
    scope: Annotated[str | None, _OF_SCOPE, Read(scopes.parse)] = None


class EntryQuery(msgspec.Struct, frozen=True):
    """Which entries of the address."""

    channel: Annotated[Channel | None, _OF_CHANNEL] = None
    scope: Annotated[str | None, _OF_SCOPE, Read(scopes.parse)] = None


@dataclass(frozen=True)
class Desk:
    """What routes about the lists share. `new_id` gives sixteen hex digits for the event of a request;
    `forget_bounces(tenant, address)` makes its count of soft bounces begin anew."""

    lists: Lists
    lookup: SuppressionList
    partitions: int
    now_ms: Callable[[], int]
    new_id: Callable[[], str]
    forget_bounces: Callable[[str, str], Awaitable[object]]

    async def shown(self, tenant: str, address: str) -> Suppression:
        """Every entry of the address, and what stops it for everybody. Problem 404 if there is none."""
        shown = await self.entries(tenant, address)
        if not shown:
            raise _unknown()
        return suppression(normalised(address), shown)

    async def entries(self, tenant: str, address: str) -> list[SuppressionEntry]:
        """The same, the strongest first; empty if there is none."""
        (own,) = await self.lookup.listed(tenant, [address])
        (of_all,) = await self.lookup.listed(EVERYBODY, [address])
        shown = [_entry(own, entry) for entry in own.entries]
        if tenant != EVERYBODY:
            shown += [_of_operator(entry) for entry in of_all.entries]
        return sorted(shown, key=lambda one: -scopes.STRENGTH[one.reason])

    async def page(self, tenant: str, query: SuppressionQuery) -> SuppressionPage:
        if not 0 <= query.after.partition < self.partitions:
            raise paging.refused(paging.InvalidCursor())
        chosen = Chosen(query.reason, query.channel, query.scope)
        listed, following = await self.lists.page(
            tenant, query.after, query.limit, None if chosen == Chosen() else chosen
        )
        return SuppressionPage(
            suppressions=[suppression(one.address, [_entry(one, entry) for entry in one.entries]) for one in listed],
            next=None if following is None else paging.pack(following),
        )

    def expiry(self, expires_at: datetime | None) -> int:
        """In ms, 0 for none. Problem 409 if it has passed."""
        if expires_at is None:
            return 0
        at_ms = int(expires_at.timestamp() * 1000)
        if at_ms <= self.now_ms():
            raise Problem("already_over", "`expires_at` has passed: nothing would be stopped")
        return at_ms


def routes(desk: Desk) -> list[api.Route]:
    handlers = _Routes(desk)
    return [
        api.Route(
            "GET",
            "/v1/suppressions/{address}",
            handlers.show,
            "Why an address is on the suppression list, and what is stopped",
            slashes=True,
            scope="read",
            name="get_suppression",
            tag="suppressions",
            answers={200: Suppression},
            problems=OF_AN_ADDRESS,
        ),
        api.Route(
            "PUT",
            "/v1/suppressions/{address}",
            handlers.put,
            "Puts an address on the suppression list (no rule such as `*@example.org`), for a channel and a scope; a "
            "stronger reason that it is there for already stays",
            slashes=True,
            scope="suppress",
            body=SuppressionRequest,
            body_optional=True,
            examples={
                "application/json": {"reason": "unsubscribed", "scope": "list:newsletter", "note": "asked by telephone"}
            },
            name="put_suppression",
            tag="suppressions",
            answers={200: Suppression, 201: Suppression},
            problems=(*OF_AN_ADDRESS, "already_over"),
        ),
        api.Route(
            "DELETE",
            "/v1/suppressions/{address}",
            handlers.delete,
            "Takes an address off the suppression list: all its entries, or those of a channel and a scope; what only "
            "an operator removes stays, and an objection that is noted as consent",
            slashes=True,
            scope="suppress",
            name="delete_suppression",
            tag="suppressions",
            answers={204: None},
            problems=(*OF_AN_ADDRESS, "suppression_protected"),
            query=EntryQuery,
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
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(await self._desk.shown(request[api.PRINCIPAL].tenant, address_of(request)))

    async def put(self, request: web.Request) -> web.StreamResponse:
        address, tenant, desk = listable(request), request[api.PRINCIPAL].tenant, self._desk
        wanted = await api.read_json_or(request, SuppressionRequest())
        addition = Addition(
            tenant,
            address,
            wanted.reason,
            desk.now_ms(),
            scope=wanted.scope or "",
            channel=wanted.channel,
            source="api",
            diagnostic=wanted.note,
            expires_ms=desk.expiry(wanted.expires_at),
        )
        (entered,) = await desk.lists.add([addition])
        _log.info("suppression_put", tenant=tenant, reason=wanted.reason, entered=entered)
        return api.json_answer(await desk.shown(tenant, address), 201 if entered else 200)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        address, tenant, desk = address_of(request), request[api.PRINCIPAL].tenant, self._desk
        query = api.query_of(request, EntryQuery)
        removal = Removal(tenant, address, desk.now_ms(), "api", desk.new_id(), query.channel, query.scope)
        (removed,) = await desk.lists.remove([removal])
        if not removed.gone:
            (of_all,) = await desk.lookup.listed(EVERYBODY, [address])
            if any(entry.reason == "objected" for entry in removed.kept):
                raise Problem("suppression_protected", "they object: `PUT /v1/consents/{address}` takes that back")
            if removed.kept or any(Chosen(None, query.channel, query.scope).takes(entry) for entry in of_all.entries):
                raise Problem("suppression_protected", "an operator listed the address: only an operator removes it")
            raise _unknown()
        await desk.forget_bounces(tenant, address)  # else the next bounce lists the address again at once
        _log.info("suppression_deleted", tenant=tenant)
        return web.Response(status=204)

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, SuppressionQuery)
        return api.json_answer(await self._desk.page(request[api.PRINCIPAL].tenant, query))


def address_of(request: web.Request) -> str:
    """The address in the path, as lists spell it."""
    try:
        return addresses.parse(api.path_text(request, "address")).key
    except addresses.InvalidAddress as fault:
        raise _refused(str(fault)) from fault


def listable(request: web.Request) -> str:
    """An address that somebody can have. A `*` may stand in one (RFC 5322), and nobody has it: who writes it means a
    rule, which would be stored and never meet anybody."""
    text = api.path_text(request, "address")
    if is_rule(text):
        shown = text[:_MAX_SHOWN_CHARS]
        raise _refused(f"{shown!r} is a rule for many, and only addresses are listed: put each of them")
    return address_of(request)


def is_rule(text: str) -> bool:
    """Whether somebody means many by it, as other lists let them."""
    return _RULE.search(text) is not None


def _refused(what: str) -> Problem:
    return Problem("invalid_address", f"not an address: {what}", [Fault("address", what)])


def suppression(address: str, shown: list[SuppressionEntry]) -> Suppression:
    """`shown` is not empty; its first is the strongest."""
    first = shown[0]
    return Suppression(
        address=address,
        reason=first.reason,
        since=first.since,
        event_id=first.event_id,
        message=first.message,
        diagnostic=first.diagnostic,
        entries=shown,
    )


def _entry(listed: Listed, entry: Entry) -> SuppressionEntry:
    said = listed.said_of(entry)
    return SuppressionEntry(
        channel=entry.channel,
        scope=entry.scope,
        reason=entry.reason,
        source=entry.source,
        since=rfc3339(entry.first_ms),
        last=rfc3339(entry.last_ms),
        expires_at=rfc3339(entry.expires_ms) if entry.expires_ms else None,
        event_id=said.event or None,
        message=ids.message_id(said.job, said.ordinal) if said.job and said.ordinal >= 0 else None,
        diagnostic=said.diagnostic,
    )


def _of_operator(entry: Entry) -> SuppressionEntry:
    """What a tenant sees of an entry that holds for everybody: that it is there, and no word of why."""
    return SuppressionEntry(
        channel=entry.channel,
        scope=entry.scope,
        reason="compliance",
        source="operator",
        since=rfc3339(entry.first_ms),
        last=rfc3339(entry.last_ms),
        expires_at=rfc3339(entry.expires_ms) if entry.expires_ms else None,
        event_id=None,
        message=None,
        diagnostic="",
    )


def _unknown() -> Problem:
    return Problem("unknown_suppression", "the address is not on the list")

"""The operator's routes of suppression: what no tenant may be mailed to, whatever the tenants say, and what only an
operator takes back."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web

from services.suppression.audit import Hand, acted
from services.suppression.http import (
    OF_AN_ADDRESS,
    Desk,
    EntryQuery,
    ExpiresAt,
    Note,
    Scope,
    Suppression,
    SuppressionPage,
    SuppressionQuery,
    address_of,
    listable,
)
from services.suppression.store import Addition, Removal
from shared.http import api
from shared.process import logs
from shared.redis.bus import Publisher
from shared.redis.suppression import EVERYBODY
from shared.redis.tenants import Tenants
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.scopes import Channel, Reason

_TENANT = says("Whose list; the one that holds for every tenant if left out.", "acme")
_PATH = "/v1/installation/suppressions"

_log = logs.get_logger()


class OperatorRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the address shall be listed, and for what; everything has a default, so the body may be left out. What is
    there for `compliance` no tenant takes off."""

    reason: Annotated[Reason, says("Why it shall be listed.", "compliance")] = "compliance"
    note: Note = ""
    channel: Annotated[Channel, says("By what the address is reached.", "email")] = "email"
    scope: Annotated[Scope | None, says("What shall be stopped; if left out the usual of the reason.", "all")] = None
    expires_at: ExpiresAt = None


class OfList(msgspec.Struct, frozen=True):
    """Whose list."""

    tenant: Annotated[str, _TENANT] = EVERYBODY


class OfEntry(EntryQuery, frozen=True):
    """Whose list, and which entries of the address."""

    tenant: Annotated[str, _TENANT] = EVERYBODY


class OfPage(SuppressionQuery, frozen=True):
    """Whose list, and which part of it."""

    tenant: Annotated[str, _TENANT] = EVERYBODY


def routes(desk: Desk, tenants: Tenants, publisher: Publisher) -> list[api.Route]:
    handlers = _Routes(desk, tenants, publisher)
    problems = (*OF_AN_ADDRESS, "unknown_tenant")
    return [
        api.Route(
            "GET",
            f"{_PATH}/{{address}}",
            handlers.show,
            "Why an address is on the list that holds for every tenant, or on a tenant's",
            slashes=True,
            scope="operator",
            name="get_operator_suppression",
            tag="operator",
            answers={200: Suppression},
            problems=problems,
            query=OfList,
        ),
        api.Route(
            "PUT",
            f"{_PATH}/{{address}}",
            handlers.put,
            "Puts an address on the list that holds for every tenant, or on a tenant's; a stronger reason stays",
            slashes=True,
            scope="operator",
            body=OperatorRequest,
            body_optional=True,
            examples={"application/json": {"reason": "compliance", "note": "letter of a lawyer, ticket 4711"}},
            name="put_operator_suppression",
            tag="operator",
            answers={200: Suppression, 201: Suppression},
            problems=(*problems, "already_over"),
            query=OfList,
        ),
        api.Route(
            "DELETE",
            f"{_PATH}/{{address}}",
            handlers.delete,
            "Takes an address off the list that holds for every tenant, or off a tenant's, whatever it is there for",
            slashes=True,
            scope="operator",
            name="delete_operator_suppression",
            tag="operator",
            answers={204: None},
            problems=problems,
            query=OfEntry,
        ),
        api.Route(
            "GET",
            _PATH,
            handlers.list_all,
            "The list that holds for every tenant, or a tenant's, page by page",
            scope="operator",
            name="list_operator_suppressions",
            tag="operator",
            answers={200: SuppressionPage},
            problems=("unknown_tenant",),
            query=OfPage,
        ),
    ]


class _Routes:
    def __init__(self, desk: Desk, tenants: Tenants, publisher: Publisher) -> None:
        self._desk = desk
        self._tenants = tenants
        self._publisher = publisher

    async def show(self, request: web.Request) -> web.StreamResponse:
        tenant = await self._known(api.query_of(request, OfList).tenant)
        return api.json_answer(await self._desk.shown(tenant, address_of(request)))

    async def put(self, request: web.Request) -> web.StreamResponse:
        tenant = await self._known(api.query_of(request, OfList).tenant)
        address, desk = listable(request), self._desk
        wanted = await api.read_json_or(request, OperatorRequest())
        addition = Addition(
            tenant,
            address,
            wanted.reason,
            desk.now_ms(),
            scope=wanted.scope or "",
            channel=wanted.channel,
            source="operator",
            diagnostic=wanted.note,
            expires_ms=desk.expiry(wanted.expires_at),
            # A tenant's feed has what happens to its own list; nobody's feed is that of all.
            is_told=tenant != EVERYBODY,
        )
        (entered,) = await desk.lists.add([addition])
        await self._tell(request, "suppress", tenant, address, wanted.note, addition.expires_ms)
        return api.json_answer(await desk.shown(tenant, address), 201 if entered else 200)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        query, desk = api.query_of(request, OfEntry), self._desk
        tenant, address = await self._known(query.tenant), address_of(request)
        removal = Removal(
            tenant, address, desk.now_ms(), "operator", desk.new_id(), query.channel, query.scope,
            by_operator=True, is_told=tenant != EVERYBODY,
        )  # fmt: skip
        (removed,) = await desk.lists.remove([removal])
        if not removed.gone:
            raise Problem("unknown_suppression", "the address is not on the list")
        await self._tell(request, "reactivate", tenant, address, "", 0)
        return web.Response(status=204)

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, OfPage)
        return api.json_answer(await self._desk.page(await self._known(query.tenant), query))

    async def _known(self, tenant: str) -> str:
        if tenant != EVERYBODY and await self._tenants.get(tenant) is None:
            raise Problem("unknown_tenant", f"there is no tenant {tenant[:40]!r}")
        return tenant

    async def _tell(
        self,
        request: web.Request,
        action: Literal["suppress", "reactivate"],
        tenant: str,
        address: str,
        why: str,
        until_ms: int,
    ) -> None:
        """Told as a fact, so that it can be audited, in the feed of the operator's own tenant."""
        principal = request[api.PRINCIPAL]
        hand = Hand(principal.tenant, f"key:{principal.key}")
        await self._publisher.publish([acted(hand, action, tenant, address, self._desk.now_ms(), why, until_ms)])
        target = f"suppressions of {tenant or 'everybody'}"
        _log.warning("operated", action=action, target=target, who=hand.who, why=why)

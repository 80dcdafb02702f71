"""The routes of the keys that sign a tenant's links: shown, rotated, former generations revoked or honoured again."""

from typing import Annotated

import msgspec
from aiohttp import web

from services.operator.http import Acted, Because, Why, act_of, acted
from services.operator.operator import Operator
from shared.http import api
from shared.redis.link_keys import Generation
from shared.words.described import says
from shared.words.generations import MAX_GENERATION
from shared.words.times import rfc3339

_TENANT = says("The name of the tenant.", "acme")


class GenerationShown(msgspec.Struct, frozen=True):
    """One generation of a tenant's link keys. No key is ever shown: they are derived from the master secret."""

    generation: Annotated[int, says("Its number; 0: links of before tenants had keys of their own.", 1)]
    state: Annotated[
        str, says("`signs` (new links), `honoured` (former links lead where they led) or `revoked`.", "honoured")
    ]
    since: Annotated[str | None, says("Since when it signs, or signed; null: from the beginning.", None)]
    revoked_at: Annotated[str | None, says("When it was revoked; null: it is not.", None)]


class LinkKeysShown(msgspec.Struct, frozen=True):
    """The generations of a tenant's link keys, the one that signs last."""

    tenant: Annotated[str, _TENANT]
    generations: Annotated[list[GenerationShown], says("The generations.")]


class OfGeneration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is done, and to which generation."""

    why: Why
    generation: Annotated[
        int,
        msgspec.Meta(ge=0, le=MAX_GENERATION),
        says("Its number; 0: links of before tenants had keys of their own.", 1),
    ]


def shown(one: Generation) -> GenerationShown:
    """A generation as it is shown."""
    state = "signs" if one.signs else "revoked" if one.revoked_at else "honoured"
    since = rfc3339(one.begun_at) if one.begun_at else None
    return GenerationShown(one.number, state, since, rfc3339(one.revoked_at) if one.revoked_at else None)


def routes(operator: Operator) -> list[api.Route]:
    handlers, of_tenant = _Routes(operator), {"tenant": _TENANT}
    return [
        api.Route(
            "GET",
            "/v1/tenants/{tenant}/link-keys",
            handlers.show,
            "Which generations of keys sign and signed the links of a tenant",
            scope="operator",
            name="get_link_keys",
            tag="operator",
            answers={200: LinkKeysShown},
            problems=["unknown_tenant"],
            in_path=of_tenant,
        ),
        api.Route(
            "POST",
            "/v1/tenants/{tenant}/link-keys/rotate",
            handlers.rotate,
            "Sign a tenant's new links with new keys; links that were sent lead where they led",
            scope="operator",
            name="rotate_link_keys",
            tag="operator",
            body=Because,
            answers={200: Acted},
            problems=["unknown_tenant", "no_generation_left"],
            in_path=of_tenant,
        ),
        api.Route(
            "POST",
            "/v1/tenants/{tenant}/link-keys/revoke",
            handlers.revoke,
            "Refuse all links of a former generation, those to unsubscribe too",
            scope="operator",
            name="revoke_link_keys",
            tag="operator",
            body=OfGeneration,
            answers={200: Acted},
            problems=["unknown_tenant", "unknown_generation", "generation_signs"],
            in_path=of_tenant,
        ),
        api.Route(
            "POST",
            "/v1/tenants/{tenant}/link-keys/honour",
            handlers.honour,
            "Take the revocation of a generation back: its links lead where they led",
            scope="operator",
            name="honour_link_keys",
            tag="operator",
            body=OfGeneration,
            answers={200: Acted},
            problems=["unknown_tenant", "unknown_generation"],
            in_path=of_tenant,
        ),
    ]


class _Routes:
    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def show(self, request: web.Request) -> web.StreamResponse:
        tenant = api.path_text(request, "tenant")
        return api.json_answer(LinkKeysShown(tenant, [shown(one) for one in await self._operator.link_keys(tenant)]))

    async def rotate(self, request: web.Request) -> web.StreamResponse:
        asked = await api.read_json(request, Because)
        return acted(
            await self._operator.rotate_link_keys(api.path_text(request, "tenant"), act_of(request, asked.why))
        )

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        asked = await api.read_json(request, OfGeneration)
        tenant, act = api.path_text(request, "tenant"), act_of(request, asked.why)
        return acted(await self._operator.revoke_link_keys(tenant, asked.generation, act))

    async def honour(self, request: web.Request) -> web.StreamResponse:
        asked = await api.read_json(request, OfGeneration)
        tenant, act = api.path_text(request, "tenant"), act_of(request, asked.why)
        return acted(await self._operator.honour_link_keys(tenant, asked.generation, act))

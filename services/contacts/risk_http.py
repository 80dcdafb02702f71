"""The routes of contacts at risk: for how long nothing, and when everybody was looked at."""

from typing import Annotated

import msgspec
from aiohttp import web

from services.contacts.base import store
from services.contacts.base.database import Database
from services.contacts.http import here
from services.contacts.risk.asked import Look, RiskRule
from services.contacts.risk.run import Risk
from shared.http import api
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.times import rfc3339

_WHEN = "2026-01-31T09:05:00.123Z"


class RiskLook(msgspec.Struct, frozen=True, kw_only=True):
    """A look at everybody."""

    at: Annotated[str, says("When it was.", _WHEN)]
    days: Annotated[int, says("The period that it went by.", 180)]
    contacts: Annotated[int, says("How many were at risk.", 312)]


class RiskShown(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant calls at risk, and when its contacts are looked at. How many are at risk now is the count of the
    segment `at risk`."""

    settings: Annotated[RiskRule, says("What is in force.")]
    last_look: Annotated[RiskLook | None, says("The last look at everybody; null: there was none.")]
    next_look: Annotated[str, says("When the next one is due.", _WHEN)]


def routes(database: Database | None) -> list[api.Route]:
    """None: this installation has no contacts."""
    handlers = _Routes(database)
    return [
        api.Route(
            "GET",
            "/v1/at-risk",
            handlers.show,
            "When contacts are at risk, and when that was looked for last",
            scope="read",
            name="get_at_risk",
            tag="contacts",
            answers={200: RiskShown},
            problems=("contacts_disabled",),
        ),
        api.Route(
            "PUT",
            "/v1/at-risk",
            handlers.set,
            "Say after how many days without an opening or a click contacts are at risk",
            scope="admin",
            body=RiskRule,
            name="set_at_risk",
            tag="contacts",
            answers={200: RiskShown},
            problems=("invalid_at_risk", "contacts_disabled"),
        ),
    ]


class _Routes:
    def __init__(self, database: Database | None) -> None:
        self._database = database
        self._risk = None if database is None else Risk(database)

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(await self._shown(await self._tenant(request)))

    async def set(self, request: web.Request) -> web.StreamResponse:
        risk = here(self._risk)
        rule = await api.read_json(request, RiskRule)
        tenant = await self._tenant(request)
        if faults := await risk.set(tenant, rule):
            raise Problem("invalid_at_risk", "nothing was set", faults)
        return api.json_answer(await self._shown(tenant))

    async def _tenant(self, request: web.Request) -> int:
        async with here(self._database).transaction() as sql:
            return (await store.tenant(sql, request[api.PRINCIPAL].tenant)).number

    async def _shown(self, tenant: int) -> RiskShown:
        standing = await here(self._risk).standing(tenant)
        return RiskShown(
            settings=standing.asked,
            last_look=None if standing.last is None else _look(standing.last),
            next_look=rfc3339(standing.due_ms),
        )


def _look(look: Look) -> RiskLook:
    return RiskLook(at=rfc3339(look.at_ms), days=look.days, contacts=look.contacts)

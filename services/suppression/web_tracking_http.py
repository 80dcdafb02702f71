"""The routes of a tenant's web tracking: on which sites who came by a link may be followed, if they agree."""

from typing import Annotated

import msgspec
from aiohttp import web

from shared.http import api
from shared.redis.web_tracking import WebTrackingRules
from shared.words import visits
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.visits import OFF, WebTracking

_EXAMPLE = {"sites": ["www.exemple.fr"], "events": ["basket", "purchase"], "currencies": ["EUR"]}


class WebTrackingBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where who came by a link may be followed, if they agree there, and what of it. Without a site nothing is."""

    sites: Annotated[
        list[str],
        says("Hosts, each by itself and not what is below it, up to 50.", ["www.exemple.fr", "boutique.exemple.fr"]),
    ] = []
    events: Annotated[
        list[str],
        says(
            "Names of what pages tell besides that they were looked at, up to 16; each is 1 to 32 of a-z, 0-9 and _.",
            ["basket", "purchase"],
        ),
    ] = []
    currencies: Annotated[list[str], says("In which amounts are told (ISO 4217), up to 8.", ["EUR"])] = []


def routes(rules: WebTrackingRules) -> list[api.Route]:
    handlers = _Routes(rules)
    return [
        api.Route(
            "GET",
            "/v1/web-tracking",
            handlers.show,
            "On which sites of the tenant visitors are followed if they agree",
            scope="read",
            name="get_web_tracking",
            tag="consents",
            answers={200: WebTrackingBody},
        ),
        api.Route(
            "PUT",
            "/v1/web-tracking",
            handlers.put,
            "Changes on which sites visitors are followed if they agree, within a second; all of it at once",
            scope="admin",
            body=WebTrackingBody,
            name="put_web_tracking",
            tag="consents",
            answers={200: WebTrackingBody},
            examples={"application/json": _EXAMPLE},
        ),
        api.Route(
            "DELETE",
            "/v1/web-tracking",
            handlers.delete,
            "Follows visitors on no site any more",
            scope="admin",
            name="delete_web_tracking",
            tag="consents",
            answers={204: None},
        ),
    ]


class _Routes:
    def __init__(self, rules: WebTrackingRules) -> None:
        self._rules = rules

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(_shown(await self._rules.of(request[api.PRINCIPAL].tenant)))

    async def put(self, request: web.Request) -> web.StreamResponse:
        body = await api.read_json(request, WebTrackingBody)
        wanted = WebTracking(tuple(map(visits.site, body.sites)), tuple(body.events), tuple(body.currencies))
        if faults := visits.faults(wanted):
            raise Problem("invalid_body", "the body does not fit", [Fault(f"$.{at}", what) for at, what in faults])
        await self._rules.put(request[api.PRINCIPAL].tenant, wanted)
        return api.json_answer(_shown(wanted))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        await self._rules.put(request[api.PRINCIPAL].tenant, OFF)
        return web.Response(status=204)


def _shown(chosen: WebTracking) -> WebTrackingBody:
    return WebTrackingBody(list(chosen.sites), list(chosen.events), list(chosen.currencies))

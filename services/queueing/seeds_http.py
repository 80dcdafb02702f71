"""The routes of the seed list: addresses of the tenant that get a copy of each job of `bulk`."""

from typing import Annotated

import msgspec
from aiohttp import web

from services.queueing.seeds import MOST, SeedLists
from shared.http import api
from shared.mail import addresses
from shared.process import logs
from shared.words.described import says
from shared.words.errors import Fault, Problem

_log = logs.get_logger()


class SeedListBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who gets a copy of each job of `bulk`."""

    addresses: Annotated[
        Annotated[list[Annotated[str, msgspec.Meta(max_length=320)]], msgspec.Meta(max_length=MOST)],
        says("Up to 100 addresses, each once; none: nobody gets a copy.", ["inbox-check@chouette.example"]),
    ]


def routes(lists: SeedLists) -> list[api.Route]:
    handlers = _Routes(lists)
    return [
        api.Route(
            "GET",
            "/v1/seed-list",
            handlers.show,
            "Who gets a copy of each job of `bulk`",
            scope="read",
            name="get_seed_list",
            tag="jobs",
            answers={200: SeedListBody},
        ),
        api.Route(
            "PUT",
            "/v1/seed-list",
            handlers.put,
            "Changes who gets a copy of each job of `bulk`, within a second; all addresses at once",
            scope="admin",
            body=SeedListBody,
            examples={"application/json": {"addresses": ["inbox-check@chouette.example"]}},
            name="put_seed_list",
            tag="jobs",
            answers={200: SeedListBody},
        ),
    ]


class _Routes:
    def __init__(self, lists: SeedLists) -> None:
        self._lists = lists

    async def show(self, request: web.Request) -> web.StreamResponse:
        return api.json_answer(SeedListBody(addresses=list(await self._lists.of(request[api.PRINCIPAL].tenant))))

    async def put(self, request: web.Request) -> web.StreamResponse:
        tenant = request[api.PRINCIPAL].tenant
        wanted = await api.read_json(request, SeedListBody)
        seeds, faults = read(wanted.addresses)
        if faults:
            raise Problem("invalid_body", "the body does not fit", faults)
        await self._lists.put(tenant, seeds)
        _log.info("seed_list_set", tenant=tenant, addresses=len(seeds))
        return api.json_answer(SeedListBody(addresses=seeds))


def read(given: list[str]) -> tuple[list[str], list[Fault]]:
    """The addresses, each in its one form, and what is wrong with them."""
    seeds: dict[str, str] = {}
    faults: list[Fault] = []
    for at, text in enumerate(given):
        try:
            address = addresses.parse(text)
        except addresses.InvalidAddress as fault:
            faults.append(Fault(f"$.addresses[{at}]", f"not an address: {fault}"))
            continue
        if address.key in seeds:
            faults.append(Fault(f"$.addresses[{at}]", "it is in the list already"))
        seeds[address.key] = str(address)
    return list(seeds.values()), faults

"""The routes of sending domains: a tenant adds one, publishes the records that the answer lists, and mails from it."""

from datetime import UTC, datetime

import msgspec
from aiohttp import web

from shared import api
from shared.errors import Fault, Problem, ProblemDocument
from shared.sending_domains import DnsRecord, DomainTaken, InvalidDomain, SendingDomain, SendingDomains, records

#: Domains in one answer.
PAGE = 100


class NewDomain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    domain: str


class Domain(msgspec.Struct, frozen=True):
    """A sending domain and the records to publish in DNS. The private key never leaves the engine."""

    domain: str
    selector: str
    created_at: str
    records: list[DnsRecord]


class Domains(msgspec.Struct, frozen=True):
    """By name. `next` is what `after` takes to go on, null at the end."""

    domains: list[Domain]
    next: str | None


def routes(store: SendingDomains) -> list[api.Route]:
    site = _Site(store)
    return [
        api.Route(
            "POST",
            "/v1/domains",
            site.add,
            "Add a sending domain; its DKIM key is made here",
            scope="admin",
            body=NewDomain,
            examples={"application/json": {"domain": "exemple.fr"}},
            answers={201: Domain, 200: Domain, 409: ProblemDocument},
        ),
        api.Route(
            "GET",
            "/v1/domains",
            site.list,
            "The tenant's sending domains",
            scope="read",
            answers={200: Domains},
            query={"after": "the domains after this one"},
        ),
        api.Route(
            "GET",
            "/v1/domains/{domain}",
            site.show,
            "A sending domain and the records to publish",
            scope="read",
            answers={200: Domain, 404: ProblemDocument},
        ),
        api.Route(
            "DELETE",
            "/v1/domains/{domain}",
            site.remove,
            "Remove a sending domain and its key",
            scope="admin",
            answers={204: None, 404: ProblemDocument},
        ),
    ]


class _Site:
    def __init__(self, store: SendingDomains) -> None:
        self._store = store

    async def add(self, request: web.Request) -> web.StreamResponse:
        wanted = await api.read_json(request, NewDomain)
        try:
            domain, new = await self._store.add(_tenant(request), wanted.domain)
        except InvalidDomain as error:
            raise Problem(422, "invalid_domain", str(error), [Fault("$.domain", str(error))]) from None
        except DomainTaken as error:
            raise Problem(409, "domain_taken", str(error)) from None
        location = {"Location": f"/v1/domains/{domain.domain}"}
        return api.json_answer(_shown(domain), 201 if new else 200, location)

    async def list(self, request: web.Request) -> web.StreamResponse:
        after = request.query.get("after", "")
        rest = [domain for domain in await self._store.of_tenant(_tenant(request)) if domain.domain > after]
        page = rest[:PAGE]
        following = page[-1].domain if len(rest) > PAGE else None
        return api.json_answer(Domains([_shown(domain) for domain in page], following))

    async def show(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["domain"]
        try:
            domain = await self._store.get(_tenant(request), name)
        except InvalidDomain:
            domain = None
        if domain is None:
            raise _unknown(name)
        return api.json_answer(_shown(domain))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["domain"]
        try:
            removed = await self._store.remove(_tenant(request), name)
        except InvalidDomain:
            removed = False
        if not removed:
            raise _unknown(name)
        return web.Response(status=204)


def _tenant(request: web.Request) -> str:
    return request[api.PRINCIPAL].tenant


def _unknown(name: str) -> Problem:
    return Problem(404, "unknown_domain", f"{name!r:.100} is not among your sending domains")


def _shown(domain: SendingDomain) -> Domain:
    created_at = datetime.fromtimestamp(domain.created_at / 1000, UTC).isoformat(timespec="milliseconds")
    return Domain(domain.domain, domain.selector, created_at.replace("+00:00", "Z"), records(domain))

"""The routes of sending domains: a tenant adds one, publishes the records that the answer lists, has DNS asked for
them, and mails from it. An operator gives and takes back.

Its keys are replaced in three steps: `rotate` makes new ones, their records are published, `activate` asks DNS for them
and lets them sign. `check` asks DNS alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Literal, Protocol

import msgspec
from aiohttp import web

from services.domains import outcome
from shared.http import api, paging
from shared.mail import dkim_rotation
from shared.mail.dkim_rotation import NothingWaiting, NotPublished
from shared.mail.domain_names import InvalidDomain
from shared.redis.sending_domains import DomainHeld, DomainTaken, Follow, Inspect, LookUp, SendingDomains
from shared.words import events, quotas
from shared.words.described import says
from shared.words.errors import Fault, Problem
from shared.words.sending_domain import DnsRecord, SendingDomain, Standing, records
from shared.words.times import rfc3339


class NewDomain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The domain that shall be added."""

    domain: Annotated[str, says("Its name: what stands after the @ of `from`.", "exemple.fr")]
    return_path: Annotated[
        str | None,
        says(
            "A name of the same organisation for the return paths of its mail, so that SPF aligns; used while DNS "
            'leads mail to it to us. `""`: that of the installation; null: as it is, and at first that.',
            "bounces.exemple.fr",
            None,
        ),
    ] = None


class Receiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tenant who shall have it."""

    tenant: Annotated[str, says("The name of the tenant.", "acme")]


class Activation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`force`: without asking DNS. Mail signed by keys that receivers do not find counts as unsigned."""

    force: Annotated[bool, says("Whether DNS is not asked first.", False)] = False


class Domain(msgspec.Struct, frozen=True):
    """A sending domain and the records to publish in DNS, with what DNS showed when asked last.

    Its `state` is `pending` until DNS shows that it is the tenant's, by the TXT record at `_estafette.` or by one of
    its DKIM records, or an operator gives it: nothing is sent from it. It is `verified` then; `by_use` where the tenant
    may use any domain and has used this one; `taken_back` where an operator took it, who alone gives it again.
    `waits_for` is what has to happen before it may be sent from: `dns` (publish, then check), `operator` (DNS shows it,
    and yet somebody has to decide), or null. `selector` is that of the RSA key that signs; `rotating` says that new
    keys wait for their records. No private key ever leaves the engine."""

    domain: Annotated[str, says("Its name.", "exemple.fr")]
    state: Annotated[Standing, says("Whether it is the tenant's, and who says so.", "verified")]
    waits_for: Annotated[
        Literal["dns", "operator"] | None, says("What has to happen before it may be sent from.", None, "dns")
    ]
    selector: Annotated[str, says("The selector of the RSA key that signs.", "e1")]
    rotating: Annotated[bool, says("Whether new keys wait for their records.", False)]
    created_at: Annotated[str, says("When it was added.", "2026-01-31T09:05:00.123Z")]
    records: Annotated[list[DnsRecord], says("The records to publish, and what DNS showed of each.")]
    return_path: Annotated[
        str | None,
        says("Where its mail comes back to while DNS leads it to us; null: the installation's.", "bounces.exemple.fr"),
    ]
    links: Annotated[
        str | None,
        says("What links in its mails begin with, as an operator set it; null: as all do.", "https://liens.exemple.fr"),
    ]


class GivenDomain(Domain, frozen=True):
    """As an operator sees it: whose it is, or was, beside the rest."""

    tenant: Annotated[str, says("Whose it is, or was.", "acme")]


class Domains(msgspec.Struct, frozen=True):
    """By name. `next` is what `after` takes to go on, null at the end."""

    domains: Annotated[list[Domain], says("The domains of this page.")]
    next: Annotated[str | None, paging.following("exemple.fr")]


class DomainQuery(msgspec.Struct, frozen=True):
    """Which domains are listed."""

    after: Annotated[str, paging.after("exemple.fr")] = ""
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT


class Tenants(Protocol):
    async def get(self, name: str) -> object | None: ...


class Publisher(Protocol):
    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None: ...


def routes(
    store: SendingDomains,
    tenants: Tenants,
    look_up: LookUp,
    now_ms: Callable[[], int],
    defaults: Mapping[str, int] | None = None,
    *,
    bounce_domain: str = "",
    inspect: Inspect | None = None,
    tracker: str = "",
    follow: Follow | None = None,
    publisher: Publisher | None = None,
) -> list[api.Route]:
    """`defaults`: the quotas of a tenant that has none of its own; None: there are none. `bounce_domain` is that of the
    installation's return paths, `inspect` has DNS asked for a tenant's; `tracker` is the host of its links, `follow`
    has DNS asked whether a tenant's leads there. `publisher` takes the
    facts; None: nothing is told."""
    handlers = _Routes(store, tenants, look_up, now_ms, defaults, bounce_domain, inspect, tracker, follow, publisher)
    return [
        api.Route(
            "POST",
            "/v1/domains",
            handlers.add,
            "Add a sending domain; its DKIM keys are made here, and it waits until DNS shows whose it is",
            scope="admin",
            body=NewDomain,
            examples={"application/json": {"domain": "exemple.fr", "return_path": "bounces.exemple.fr"}},
            name="add_domain",
            tag="domains",
            answers={201: Domain, 200: Domain},
            problems=["invalid_domain"],
        ),
        api.Route(
            "GET",
            "/v1/domains",
            handlers.list,
            "The tenant's sending domains",
            scope="read",
            name="list_domains",
            tag="domains",
            answers={200: Domains},
            query=DomainQuery,
        ),
        api.Route(
            "GET",
            "/v1/domains/{domain}",
            handlers.show,
            "A sending domain and the records to publish",
            scope="read",
            name="get_domain",
            tag="domains",
            answers={200: Domain},
            problems=["unknown_domain"],
        ),
        api.Route(
            "DELETE",
            "/v1/domains/{domain}",
            handlers.remove,
            "Remove a sending domain and its keys",
            scope="admin",
            name="remove_domain",
            tag="domains",
            answers={204: None},
            problems=["unknown_domain", "domain_taken_back"],
        ),
        api.Route(
            "POST",
            "/v1/domains/{domain}/check",
            handlers.check,
            "Ask DNS for the records of a sending domain; one that waits is verified by what it shows",
            scope="admin",
            name="check_domain",
            tag="domains",
            answers={200: Domain},
            problems=["unknown_domain"],
        ),
        api.Route(
            "POST",
            "/v1/domains/{domain}/rotate",
            handlers.rotate,
            "Make new DKIM keys; they sign nothing until they are activated",
            scope="admin",
            name="rotate_domain_keys",
            tag="domains",
            answers={200: Domain},
            problems=["unknown_domain"],
        ),
        api.Route(
            "POST",
            "/v1/domains/{domain}/activate",
            handlers.activate,
            "Let the new DKIM keys sign, once DNS shows their records",
            scope="admin",
            body=Activation,
            body_optional=True,
            examples={"application/json": {"force": False}},
            name="activate_domain_keys",
            tag="domains",
            answers={200: Domain},
            problems=["unknown_domain", "nothing_waiting", "not_published"],
        ),
        api.Route(
            "POST",
            "/v1/domains/{domain}/give",
            handlers.give,
            "Say that a domain is a tenant's, whatever DNS shows",
            scope="operator",
            body=Receiver,
            examples={"application/json": {"tenant": "acme"}},
            name="give_domain",
            tag="domains",
            answers={200: GivenDomain},
            problems=["invalid_domain", "unknown_tenant", "domain_taken"],
        ),
        api.Route(
            "POST",
            "/v1/domains/{domain}/take",
            handlers.take,
            "Take a domain from its tenant, who gets it back from an operator alone",
            scope="operator",
            name="take_domain",
            tag="domains",
            answers={200: GivenDomain},
            problems=["unknown_domain"],
        ),
    ]


class _Routes:
    def __init__(
        self,
        store: SendingDomains,
        tenants: Tenants,
        look_up: LookUp,
        now_ms: Callable[[], int],
        defaults: Mapping[str, int] | None,
        bounce_domain: str,
        inspect: Inspect | None,
        tracker: str,
        follow: Follow | None,
        publisher: Publisher | None,
    ) -> None:
        self._publisher = publisher
        self._tracker = tracker
        self._follow = follow
        self._bounce_domain = bounce_domain
        self._inspect = inspect
        self._defaults = defaults
        self._store = store
        self._tenants = tenants
        self._look_up = look_up
        self._now_ms = now_ms

    async def add(self, request: web.Request) -> web.StreamResponse:
        wanted = await api.read_json(request, NewDomain)
        if wanted.return_path:
            try:
                self._store.returns.normalised(wanted.return_path, wanted.domain)
            except InvalidDomain as error:
                raise Problem("invalid_domain", str(error), [Fault("$.return_path", str(error))]) from None
        try:
            domain, new = await self._store.add(_tenant(request), wanted.domain, self._most(request))
        except InvalidDomain as error:
            raise Problem("invalid_domain", str(error), [Fault("$.domain", str(error))]) from None
        if wanted.return_path is not None:
            domain = await self._store.returns.set(domain.tenant, domain.domain, wanted.return_path)
        location = {"Location": f"/v1/domains/{domain.domain}"}
        return api.json_answer(self._shown(domain), 201 if new else 200, location)

    async def list(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, DomainQuery)
        rest = [domain for domain in await self._store.of_tenant(_tenant(request)) if domain.domain > query.after]
        page, following = paging.cut(rest, query.limit, lambda domain: domain.domain)
        return api.json_answer(Domains([self._shown(domain) for domain in page], following))

    async def show(self, request: web.Request) -> web.StreamResponse:
        with _known(request) as name:
            domain = await self._store.get(_tenant(request), name)
            if domain is None:
                raise LookupError(name)
        return api.json_answer(self._shown(domain))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        with _known(request) as name:
            try:
                removed = await self._store.remove(_tenant(request), name)
            except DomainHeld as held:
                raise Problem("domain_taken_back", str(held)) from None
            if not removed:
                raise LookupError(name)
        return web.Response(status=204)

    async def check(self, request: web.Request) -> web.StreamResponse:
        with _known(request) as name:
            domain = await self._store.check(_tenant(request), name, self._look_up, self._inspect, self._follow)
            await self._tell(domain)
        return api.json_answer(self._shown(domain))

    async def rotate(self, request: web.Request) -> web.StreamResponse:
        with _known(request) as name:
            domain = await self._store.rotate(_tenant(request), name, self._most(request))
        return api.json_answer(self._shown(domain))

    async def activate(self, request: web.Request) -> web.StreamResponse:
        wanted = await api.read_json_or(request, Activation())
        with _known(request) as name:
            try:
                domain = await self._store.activate(_tenant(request), name, None if wanted.force else self._look_up)
            except NothingWaiting as error:
                raise Problem("nothing_waiting", str(error)) from None
            except NotPublished as error:
                faults = [Fault(record, what) for record, what in error.faults]
                detail = "DNS does not show every new record yet; the former keys go on signing"
                raise Problem("not_published", detail, faults) from None
            await self._tell(domain)
        return api.json_answer(self._shown(domain))

    async def give(self, request: web.Request) -> web.StreamResponse:
        wanted, name = await api.read_json(request, Receiver), request.match_info["domain"]
        if await self._tenants.get(wanted.tenant) is None:
            what = f"there is no tenant {wanted.tenant!r:.60}"
            raise Problem("unknown_tenant", what, [Fault("$.tenant", what)])
        try:
            given, _ = await self._store.give(wanted.tenant, name)
        except InvalidDomain as error:
            raise Problem("invalid_domain", str(error), [Fault("domain", str(error))]) from None
        except DomainTaken as taken:
            raise Problem("domain_taken", str(taken)) from None
        return api.json_answer(self._given(given))

    async def take(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["domain"]
        try:
            taken = await self._store.take(name)
        except InvalidDomain:
            taken = None
        if taken is None:
            raise Problem("unknown_domain", f"{name!r:.100} is nobody's sending domain")
        return api.json_answer(self._given(taken))

    def _given(self, domain: SendingDomain) -> GivenDomain:
        return GivenDomain(**msgspec.structs.asdict(self._shown(domain)), tenant=domain.tenant)

    async def _tell(self, domain: SendingDomain) -> None:
        """What the check came to, if that is something else than was told last; told before it is noted."""
        fact = outcome.fact(domain, self._records(domain), self._now_ms())
        if fact is not None and self._publisher is not None:
            await self._publisher.publish([fact], batch=fact.event_id)
            await self._store.tellings.note(
                domain.tenant, domain.domain, outcome.outcome(domain, self._records(domain))
            )

    def _records(self, domain: SendingDomain) -> Sequence[DnsRecord]:
        return records(domain, self._now_ms(), self._bounce_domain, self._tracker)

    def _most(self, request: web.Request) -> int | None:
        if self._defaults is None:
            return None
        return quotas.limits(self._defaults, request[api.PRINCIPAL].quotas)["domains"]

    def _shown(self, domain: SendingDomain) -> Domain:
        return Domain(
            domain.domain,
            domain.standing,
            domain.waits_for,
            domain.selector,
            bool(dkim_rotation.waiting(domain.keys)),
            rfc3339(domain.created_at),
            [*self._records(domain)],
            domain.return_path or None,
            domain.links or None,
        )


def _tenant(request: web.Request) -> str:
    return request[api.PRINCIPAL].tenant


@contextmanager
def _known(request: web.Request) -> Iterator[str]:
    """The name of the domain in the path; the problem 404 if it is not among the tenant's."""
    name = request.match_info["domain"]
    try:
        yield name
    except (InvalidDomain, LookupError):
        raise Problem("unknown_domain", f"{name!r:.100} is not among your sending domains") from None

"""The operator's routes: sites seen, and what is done to them, to tenants and to jobs, whoever is their tenant."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web

from services.operator.letters import DeadPage, DeadQuery, DeadShown, Letters
from services.operator.operator import Act, Done, Operator
from services.operator.sites import Sites, SiteShown
from shared.http import api, paging
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.times import rfc3339

_SITE = says("The name of the site; of a named provider its name.", "gmail")
_ENTRY = says("The name of the entry.", "events.3.1767225612345-0")
_TENANT = says("The name of the tenant.", "acme")
Why = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=500,
        description="Why, for whoever reads it later.",
        examples=["blocks our range, ticket 4711"],
    ),
]
Source = Annotated[
    str,
    msgspec.Meta(max_length=64, description="One source of ours only; all of them if left out.", examples=["a1"]),
]
Until = Annotated[
    Annotated[datetime, msgspec.Meta(tz=True)] | None,
    says("When it ends by itself; it does not if left out.", "2036-01-31T10:00:00Z"),
]


class SitePage(msgspec.Struct, frozen=True):
    """`next` is what `after` takes to go on; null at the end."""

    sites: Annotated[list[SiteShown], says("The sites of this page, by name.")]
    next: Annotated[str | None, paging.following("gmail")]


class SiteQuery(msgspec.Struct, frozen=True):
    """Which sites are listed."""

    after: Annotated[str, paging.after("gmail")] = ""
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT


class Because(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is done."""

    why: Why


class BecauseOfSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is done, and to which source of ours."""

    why: Why
    source: Source = ""


class OfTenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is done, and to whose mail."""

    why: Why
    tenant: Annotated[str, msgspec.Meta(max_length=32), says("Only this tenant's; all of it if left out.", "acme")] = ""


class Moved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is done, by which pool the mail shall leave, whose, and until when."""

    why: Why
    pool: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=64),
        says("A pool of source addresses, as the operator's file names it.", "reserve"),
    ]
    tenant: Annotated[str, msgspec.Meta(max_length=32), says("Only this tenant's; all of it if left out.", "acme")] = ""
    until: Until = None


class MaybeBecause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is done, if somebody says."""

    why: Annotated[str, msgspec.Meta(max_length=500), says("Why, for whoever reads it later.", "wrong list")] = ""


class Suspension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why nothing shall be sent, and until when."""

    why: Why
    until: Until = None


class SiteSuspension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why nothing shall be sent there, until when, and from which source of ours."""

    why: Why
    until: Until = None
    source: Source = ""


class Acted(msgspec.Struct, frozen=True):
    """What was done. It is an event, too (`operator.acted`), in the feed of the tenant of the key."""

    action: Annotated[str, says("What was done.", "suspend")]
    target: Annotated[str, says("To what.", "site:gmail")]
    who: Annotated[str, says("By whom: the id of the key.", "key:k3v9x2p0qa")]
    why: Annotated[str, says("Why.", "blocks our range, ticket 4711")]
    until: Annotated[str | None, says("When it ends by itself.", "2026-01-31T10:00:00.000Z")]
    messages: Annotated[int, says("How many messages it was about, where that is known.", 0)]
    more: Annotated[bool, says("Whether there was no time for all: ask again.", False)]


def routes(operator: Operator, sites: Sites) -> list[api.Route]:
    handlers = _Routes(operator, sites)
    letters = Letters(operator)
    of_site, of_tenant, of_entry = {"site": _SITE}, {"tenant": _TENANT}, {"entry": _ENTRY}
    return [
        api.Route(
            "GET",
            "/v1/sites",
            handlers.list_sites,
            "Where mail waits: how much, since when, and what holds it back",
            scope="operator",
            name="list_sites",
            tag="operator",
            answers={200: SitePage},
            query=SiteQuery,
        ),
        api.Route(
            "GET",
            "/v1/sites/{site}",
            handlers.show_site,
            "One site: what waits by lane and tenant, what holds it back, what it said last",
            scope="operator",
            name="get_site",
            tag="operator",
            answers={200: SiteShown},
            problems=["unknown_site"],
            in_path=of_site,
        ),
        api.Route(
            "POST",
            "/v1/sites/{site}/suspend",
            handlers.suspend_site,
            "Send nothing to a site, or nothing from one source of ours",
            scope="operator",
            name="suspend_site",
            tag="operator",
            body=SiteSuspension,
            answers={200: Acted},
            problems=["already_over"],
            in_path=of_site,
        ),
        api.Route(
            "POST",
            "/v1/sites/{site}/resume",
            handlers.resume_site,
            "End the suspension of a site, or of one source of ours there",
            scope="operator",
            name="resume_site",
            tag="operator",
            body=BecauseOfSource,
            answers={200: Acted},
            problems=["not_suspended"],
            in_path=of_site,
        ),
        api.Route(
            "POST",
            "/v1/sites/{site}/lift",
            handlers.lift,
            "Forget the paces and rests that relays found at a site; refusals bring them back",
            scope="operator",
            name="lift_site",
            tag="operator",
            body=BecauseOfSource,
            answers={200: Acted},
            problems=["nothing_held"],
            in_path=of_site,
        ),
        api.Route(
            "POST",
            "/v1/sites/{site}/requeue",
            handlers.requeue,
            "Try at once what waits for another attempt at a site",
            scope="operator",
            name="requeue_site",
            tag="operator",
            body=Because,
            answers={200: Acted},
            in_path=of_site,
        ),
        api.Route(
            "POST",
            "/v1/sites/{site}/cancel",
            handlers.cancel_site,
            "Cancel what waits at a site, of all tenants or of one",
            scope="operator",
            name="cancel_site",
            tag="operator",
            body=OfTenant,
            answers={202: Acted},
            problems=["unknown_tenant"],
            in_path=of_site,
        ),
        api.Route(
            "POST",
            "/v1/sites/{site}/bounce",
            handlers.bounce_site,
            "Bounce what waits at a site, of all tenants or of one; it says nothing about the addresses",
            scope="operator",
            name="bounce_site",
            tag="operator",
            body=OfTenant,
            answers={202: Acted},
            problems=["unknown_tenant"],
            in_path=of_site,
        ),
        api.Route(
            "POST",
            "/v1/sites/{site}/move",
            handlers.move,
            "Send what waits at a site by another pool of source addresses",
            scope="operator",
            name="move_site",
            tag="operator",
            body=Moved,
            answers={200: Acted},
            problems=["unknown_pool", "unknown_tenant", "already_over"],
            in_path=of_site,
        ),
        api.Route(
            "POST",
            "/v1/sites/{site}/move-back",
            handlers.move_back,
            "Send what waits at a site by the usual pool again",
            scope="operator",
            name="move_site_back",
            tag="operator",
            body=OfTenant,
            answers={200: Acted},
            problems=["not_moved"],
            in_path=of_site,
        ),
        api.Route(
            "POST",
            "/v1/tenants/{tenant}/cancel",
            handlers.cancel_tenant,
            "Cancel all bulk of a tenant that was posted until now",
            scope="operator",
            name="cancel_tenant",
            tag="operator",
            body=Because,
            answers={202: Acted},
            problems=["unknown_tenant"],
            in_path=of_tenant,
        ),
        api.Route(
            "POST",
            "/v1/jobs/{job}/cancel",
            handlers.cancel_job,
            "Cancel a job: recipients without an end get none of it; with the scope operator, of any tenant",
            scope="send",
            name="cancel_job",
            tag="jobs",
            body=MaybeBecause,
            body_optional=True,
            answers={202: Acted},
            problems=["unknown_job", "job_ended"],
        ),
        api.Route(
            "POST",
            "/v1/tenants/{tenant}/suspend",
            handlers.suspend_tenant,
            "Send nothing of a tenant's bulk",
            scope="operator",
            name="suspend_tenant",
            tag="operator",
            body=Suspension,
            answers={200: Acted},
            problems=["unknown_tenant", "already_stopped", "already_over"],
            in_path=of_tenant,
        ),
        api.Route(
            "POST",
            "/v1/tenants/{tenant}/resume",
            handlers.resume_tenant,
            "End the suspension of a tenant's bulk",
            scope="operator",
            name="resume_tenant",
            tag="operator",
            body=Because,
            answers={200: Acted},
            problems=["not_suspended"],
            in_path=of_tenant,
        ),
        api.Route(
            "POST",
            "/v1/jobs/{job}/suspend",
            handlers.suspend_job,
            "Send nothing of a job, whoever its tenant is",
            scope="operator",
            name="suspend_job",
            tag="operator",
            body=Suspension,
            answers={200: Acted},
            problems=["unknown_job", "already_stopped", "already_over"],
        ),
        api.Route(
            "POST",
            "/v1/jobs/{job}/unsuspend",
            handlers.resume_job,
            "End the suspension of a job",
            scope="operator",
            name="unsuspend_job",
            tag="operator",
            body=Because,
            answers={200: Acted},
            problems=["unknown_job", "not_suspended"],
        ),
        api.Route(
            "GET",
            "/v1/dead",
            letters.list_all,
            "Entries of streams that no reader could handle",
            scope="operator",
            name="list_dead",
            tag="operator",
            answers={200: DeadPage},
            query=DeadQuery,
        ),
        api.Route(
            "GET",
            "/v1/dead/{entry}",
            letters.show,
            "One dead entry: what it says, and why it could not be handled",
            scope="operator",
            name="get_dead",
            tag="operator",
            answers={200: DeadShown},
            problems=["unknown_entry"],
            in_path=of_entry,
        ),
        api.Route(
            "POST",
            "/v1/dead/{entry}/replay",
            handlers.replay,
            "Put a dead entry back where it came from",
            scope="operator",
            name="replay_dead",
            tag="operator",
            body=Because,
            answers={200: Acted},
            problems=["unknown_entry", "cannot_replay"],
            in_path=of_entry,
        ),
        api.Route(
            "POST",
            "/v1/dead/{entry}/drop",
            handlers.drop,
            "Give a dead entry up",
            scope="operator",
            name="drop_dead",
            tag="operator",
            body=Because,
            answers={200: Acted},
            problems=["unknown_entry"],
            in_path=of_entry,
        ),
    ]


class _Routes:
    def __init__(self, operator: Operator, sites: Sites) -> None:
        self._operator = operator
        self._sites = sites

    async def list_sites(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, SiteQuery)
        found = [one for one in await self._sites.all() if one.site > query.after]
        page, following = paging.cut(found, query.limit, lambda one: one.site)
        return api.json_answer(SitePage(page, following))

    async def show_site(self, request: web.Request) -> web.StreamResponse:
        name = api.path_text(request, "site")
        found = await self._sites.one(name)
        if found is None:
            raise Problem("unknown_site", f"nothing is known of a site {name[:80]!r}")
        return api.json_answer(found)

    async def suspend_site(self, request: web.Request) -> web.StreamResponse:
        asked = await api.read_json(request, SiteSuspension)
        act = act_of(request, asked.why, asked.until)
        return acted(await self._operator.suspend_site(api.path_text(request, "site"), act, asked.source))

    async def resume_site(self, request: web.Request) -> web.StreamResponse:
        asked = await api.read_json(request, BecauseOfSource)
        act = act_of(request, asked.why)
        return acted(await self._operator.resume_site(api.path_text(request, "site"), act, asked.source))

    async def lift(self, request: web.Request) -> web.StreamResponse:
        asked = await api.read_json(request, BecauseOfSource)
        act = act_of(request, asked.why)
        return acted(await self._operator.lift(api.path_text(request, "site"), act, asked.source))

    async def requeue(self, request: web.Request) -> web.StreamResponse:
        return await self._do(request, self._operator.requeue, "site", Because)

    async def cancel_site(self, request: web.Request) -> web.StreamResponse:
        asked = await api.read_json(request, OfTenant)
        done = await self._operator.cancel_site(
            api.path_text(request, "site"), act_of(request, asked.why), asked.tenant
        )
        return acted(done, 202)

    async def bounce_site(self, request: web.Request) -> web.StreamResponse:
        asked = await api.read_json(request, OfTenant)
        site, act = api.path_text(request, "site"), act_of(request, asked.why)
        return acted(await self._operator.cancel_site(site, act, asked.tenant, "bounce"), 202)

    async def move(self, request: web.Request) -> web.StreamResponse:
        asked = await api.read_json(request, Moved)
        site, act = api.path_text(request, "site"), act_of(request, asked.why, asked.until)
        return acted(await self._operator.move(site, asked.pool, act, asked.tenant))

    async def move_back(self, request: web.Request) -> web.StreamResponse:
        asked = await api.read_json(request, OfTenant)
        site, act = api.path_text(request, "site"), act_of(request, asked.why)
        return acted(await self._operator.move_back(site, act, asked.tenant))

    async def cancel_tenant(self, request: web.Request) -> web.StreamResponse:
        return await self._do(request, self._operator.cancel_tenant, "tenant", Because, 202)

    async def cancel_job(self, request: web.Request) -> web.StreamResponse:
        principal, job = request[api.PRINCIPAL], request.match_info["job"]
        asked = await api.read_json_or(request, MaybeBecause())
        is_own = await self._operator.tenant_of(job) == principal.tenant
        if not is_own and "operator" not in principal.scopes:
            raise api.unknown_job()
        by = "tenant" if is_own else "operator"
        return acted(await self._operator.cancel_job(job, by, act_of(request, asked.why)), 202)

    async def suspend_tenant(self, request: web.Request) -> web.StreamResponse:
        return await self._do(request, self._operator.suspend_tenant, "tenant", Suspension)

    async def resume_tenant(self, request: web.Request) -> web.StreamResponse:
        return await self._do(request, self._operator.resume_tenant, "tenant", Because)

    async def suspend_job(self, request: web.Request) -> web.StreamResponse:
        return await self._do(request, self._operator.suspend_job, "job", Suspension)

    async def replay(self, request: web.Request) -> web.StreamResponse:
        return await self._do(request, self._operator.replay, "entry", Because)

    async def drop(self, request: web.Request) -> web.StreamResponse:
        return await self._do(request, self._operator.drop, "entry", Because)

    async def resume_job(self, request: web.Request) -> web.StreamResponse:
        return await self._do(request, self._operator.resume_job, "job", Because)

    async def _do(
        self,
        request: web.Request,
        action: Callable[[str, Act], Awaitable[Done]],
        name: str,
        body: Any,
        status: int = 200,
    ) -> web.StreamResponse:
        """An action on what the path names."""
        asked = await api.read_json(request, body)
        act = act_of(request, asked.why, getattr(asked, "until", None))
        return acted(await action(api.path_text(request, name), act), status)


def act_of(request: web.Request, why: str, until: datetime | None = None) -> Act:
    principal = request[api.PRINCIPAL]
    return Act(f"key:{principal.key}", principal.tenant, why, int(until.timestamp() * 1000) if until else 0)


def acted(done: Done, status: int = 200) -> web.Response:
    act = done.act
    until = rfc3339(act.until_ms) if act.until_ms else None
    return api.json_answer(Acted(done.action, done.target, act.who, act.why, until, done.messages, done.more), status)

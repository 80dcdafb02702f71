"""What is stopped, over HTTP: who is stopped sees why, an operator consents, the tenant resumes.

A breaker's stop is resumed by its tenant once an operator has consented, and is judged from new figures from then on. A
tenant pauses and resumes their own jobs as they like.
"""

from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec
import structlog
from aiohttp import web
from prometheus_client import Counter

from services.breakers.breakers import resumed, stopped
from services.breakers.store import FigureStore
from shared.http import api, paging
from shared.redis import stops
from shared.redis.stops import (
    PAUSED,
    RENDER_FAILED,
    Stop,
    StopList,
)
from shared.words import events, ids
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.times import rfc3339

#: The name of a stop, and what is said of it wherever it is shown.
_NAME = "job:068vjfm5s9m2rc1jqqrg"
_JOB = "068vjfm5s9m2rc1jqqrg"

RESUMED = Counter(
    "estafette_breakers_resumed_total", "Jobs and tenants resumed, by why they had been stopped", ["reason"]
)
PAUSES = Counter("estafette_breakers_paused_total", "Jobs paused by their tenant")


class StopShown(msgspec.Struct, frozen=True):
    """What is not sent for now: a job, or, where `job` is null, the tenant's bulk. `reason` is `invalid_rate` or
    `complaint_rate` (`bad` of `of` messages), which an operator has to consent to resume, `render_failed` (`bad` of the
    first `of` mails could not be made), `paused`, or `suspended` by an operator: a job, a tenant's bulk, a site
    (`site:gmail`) or a source of ours at a site (`source:a1@gmail`). `consented` is when an operator did."""

    name: Annotated[str, says("The name by which it is resumed.", _NAME)]
    tenant: Annotated[str, says("Whose it is.", "acme")]
    job: Annotated[str | None, says("The job that is not sent; null for the tenant's bulk.", _JOB)]
    reason: Annotated[
        str, says("Why it was stopped.", "complaint_rate", "invalid_rate", "render_failed", "paused", "suspended")
    ]
    by: Annotated[str, says("Who stopped it: `engine`, `tenant` or `operator`.", "engine")]
    since: Annotated[str, says("When it was stopped.", "2026-01-31T09:05:00.123Z")]
    bad: Annotated[int, says("How many messages went wrong.", 20)]
    of: Annotated[int, says("Of how many that were looked at.", 20_000)]
    needs_consent: Annotated[bool, says("Whether an operator has to consent before it is resumed.", True)]
    consented: Annotated[str | None, says("When an operator did.", None, "2026-01-31T11:20:00.000Z")]
    why: Annotated[str | None, says("What the operator said who suspended it.", "a list that was bought")]
    until: Annotated[str | None, says("When it goes on by itself.", None, "2026-02-01T07:00:00.000Z")]


class StopPage(msgspec.Struct, frozen=True):
    """`next` is what `after` takes to go on; null at the end."""

    stops: Annotated[list[StopShown], says("The stops of this page, by name.")]
    next: Annotated[str | None, paging.following(_NAME)]


class StopQuery(msgspec.Struct, frozen=True):
    """Which stops are listed."""

    after: Annotated[str, paging.after(_NAME)] = ""
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT


class StopEnded(msgspec.Struct, frozen=True):
    """It goes on: the job, or, where `job` is null, the tenant's bulk. `reason` is why it had been stopped."""

    name: Annotated[str, says("The name that its stop had.", _NAME)]
    tenant: Annotated[str, says("Whose it is.", "acme")]
    job: Annotated[str | None, says("The job that goes on; null for the tenant's bulk.", _JOB)]
    reason: Annotated[str, says("Why it had been stopped.", "paused")]


class Publisher(Protocol):
    async def publish(self, facts: list[events.Fact], patience_s: float = 2.0, batch: str = "") -> None: ...


def routes(
    stop_list: StopList, figures: FigureStore, publisher: Publisher, now_ms: Callable[[], int]
) -> list[api.Route]:
    handlers = _Routes(stop_list, figures, publisher, now_ms)
    name = {"name": says("The name of the stop.", _NAME)}
    return [
        api.Route(
            "POST",
            "/v1/jobs/{job}/pause",
            handlers.pause,
            "Stop sending a job for now",
            scope="send",
            name="pause_job",
            tag="stops",
            answers={200: StopShown},
            problems=["unknown_job", "job_ended"],
        ),
        api.Route(
            "POST",
            "/v1/jobs/{job}/resume",
            handlers.resume_job,
            "Go on with a job that was paused, or stopped and an operator has consented",
            scope="send",
            name="resume_job",
            tag="stops",
            answers={200: StopEnded},
            problems=["unknown_job", "not_stopped", "consent_missing"],
        ),
        api.Route(
            "GET",
            "/v1/stops",
            handlers.list_all,
            "What is not sent for now, and why; with the scope operator, of all tenants",
            scope="admin",
            name="list_stops",
            tag="stops",
            answers={200: StopPage},
            query=StopQuery,
        ),
        api.Route(
            "POST",
            "/v1/stops/{name}/resume",
            handlers.resume,
            "Go on with what was paused, or stopped and an operator has consented, by the name of its stop",
            scope="send",
            name="resume_stop",
            tag="stops",
            answers={200: StopEnded},
            problems=["unknown_stop", "consent_missing"],
            in_path=name,
        ),
        api.Route(
            "POST",
            "/v1/stops/{name}/consent",
            handlers.consent,
            "Consent that its tenant resumes what a breaker stopped",
            scope="operator",
            name="consent_to_stop",
            tag="stops",
            answers={200: StopShown},
            problems=["unknown_stop", "no_consent_needed"],
            in_path=name,
        ),
    ]


class _Routes:
    def __init__(
        self,
        stop_list: StopList,
        figures: FigureStore,
        publisher: Publisher,
        now_ms: Callable[[], int],
    ) -> None:
        self._stops = stop_list
        self._figures = figures
        self._publisher = publisher
        self._now_ms = now_ms
        self._log = structlog.get_logger("breakers")

    async def list_all(self, request: web.Request) -> web.StreamResponse:
        principal, query = request[api.PRINCIPAL], api.query_of(request, StopQuery)
        everybody = "operator" in principal.scopes
        found = [
            (name, stop)
            for name, stop in sorted((await self._stops.all()).items())
            if name > query.after and (everybody or stop.tenant == principal.tenant)
        ]
        page, following = paging.cut(found, query.limit, lambda one: one[0])
        return api.json_answer(StopPage([_shown(name, stop) for name, stop in page], following))

    # POST /v1/jobs/{job}/pause

    async def pause(self, request: web.Request) -> web.StreamResponse:
        tenant, job = request[api.PRINCIPAL].tenant, await self._own_job(request)
        if await self._figures.has_ended(job):
            raise Problem("job_ended", "every message of the job has its end; there is nothing to stop")
        name = stops.of_job(job)
        stop = Stop(PAUSED, tenant, self._now_ms(), "tenant", epoch=await self._stops.resumed(name))
        if await self._stops.add(name, stop):
            PAUSES.inc()
            self._log.info("stopped", name=name, tenant=tenant, reason=PAUSED)
            await self._publisher.publish([stopped(name, stop)], batch=f"stopped.{name}.{stop.since_ms}")
            await self._stops.tell(name, stop, self._now_ms())
        (there,) = await self._stops.some([name])
        return api.json_answer(_shown(name, there or stop))

    async def _own_job(self, request: web.Request) -> str:
        job = request.match_info["job"]
        tenant = await self._figures.tenant_of(job) if ids.is_job_id(job) else None
        if tenant != request[api.PRINCIPAL].tenant:
            raise api.unknown_job()
        return job

    # POST /v1/jobs/{job}/resume, /v1/stops/{name}/resume

    async def resume_job(self, request: web.Request) -> web.StreamResponse:
        name = stops.of_job(await self._own_job(request))
        (stop,) = await self._stops.some([name])
        if stop is None:
            raise Problem("not_stopped", "the job itself is not stopped; GET /v1/stops shows what is")
        return await self._resume(name, stop)

    async def resume(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        (stop,) = await self._stops.some([name])
        if stop is None or stop.tenant != request[api.PRINCIPAL].tenant:
            raise _unknown_stop(name)
        return await self._resume(name, stop)

    async def _resume(self, name: str, stop: Stop) -> web.StreamResponse:
        if stop.needs_consent and not stop.consent_ms:
            figures = f": {stop.bad} of {stop.of}" if stop.of else ""
            detail = f"stopped by {'a breaker' if stop.is_counted else 'an operator'} ({stop.reason}{figures})"
            raise Problem("consent_missing", f"{detail}: an operator has to consent first")
        job = stops.job_of(name)
        if stop.reason == RENDER_FAILED:
            await self._figures.begin_renderings_anew(job)
        elif stop.is_counted:
            # Before the stop ends: the figures that led to it must not lead to another.
            await (self._figures.begin_job_anew(job) if job else self._figures.begin_tenant_anew(stop.tenant))
        now_ms = self._now_ms()
        fact = resumed(name, stop, "tenant", now_ms)
        # Told first: who gets no answer repeats the request, and then it is the same event.
        await self._publisher.publish([fact], batch=f"resumed.{name}.{stop.since_ms}")
        if await self._stops.resume(name, stop):
            RESUMED.labels(stop.reason).inc()
            self._log.info("resumed", name=name, tenant=stop.tenant, reason=stop.reason)
        return api.json_answer(StopEnded(name, stop.tenant, job or None, stop.reason))

    # POST /v1/stops/{name}/consent

    async def consent(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        (stop,) = await self._stops.some([name])
        if stop is None:
            raise _unknown_stop(name)
        if not stop.needs_consent:
            raise Problem("no_consent_needed", "its tenant stopped it, and resumes it without an operator")
        if not stop.consent_ms:
            await self._stops.consent(name, stop, self._now_ms())
            self._log.info("consented", name=name, tenant=stop.tenant, reason=stop.reason)
        (there,) = await self._stops.some([name])
        if there is None:
            raise _unknown_stop(name)
        return api.json_answer(_shown(name, there))


def _shown(name: str, stop: Stop) -> StopShown:
    return StopShown(
        name=name,
        tenant=stop.tenant,
        job=stops.job_of(name) or None,
        reason=stop.reason,
        by=stop.by,
        since=rfc3339(stop.since_ms),
        bad=stop.bad,
        of=stop.of,
        needs_consent=stop.needs_consent,
        consented=rfc3339(stop.consent_ms) if stop.consent_ms else None,
        why=stop.why or None,
        until=rfc3339(stop.until_ms) if stop.until_ms else None,
    )


def _unknown_stop(name: str) -> Problem:
    return Problem("unknown_stop", f"nothing of the name {name[:80]!r} is stopped")

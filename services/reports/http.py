"""The routes of reports: a job's counts, a message's timeline, the events. All are reads, and see one tenant only."""

from typing import Annotated

import msgspec
from aiohttp import web

from services.reports import cursor, job_report
from services.reports.describe import MessageReport
from services.reports.event_log import EventLog, Wanted
from services.reports.job_list import JobList, JobPage, JobQuery
from services.reports.job_report import JobReport
from services.reports.shown import job_shown, message_shown
from services.reports.store import ReportReader
from shared.http import api, paging
from shared.http.query import Read, Words
from shared.mail import addresses
from shared.redis.recipients import Recipients
from shared.words import ids, public
from shared.words.described import says
from shared.words.errors import Problem

#: A cursor of two partitions.
_CURSOR = "lc8AAAGcE0xm2wAAAAE"


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """`next` is what `after` takes to go on, also when nothing came; `more` tells that something is there already."""

    events: Annotated[list[public.Event], says("The events of this page; fewer than `limit` if it takes seconds.")]
    next: Annotated[str, says("What `after` takes to go on, at the end too.", _CURSOR)]
    more: Annotated[bool, says("Whether there is something after it already.", False)]


def _job_id(text: str) -> str:
    if not ids.is_job_id(text):
        raise ValueError("not the id of a job")
    return text


def _address(text: str) -> str:
    try:
        return addresses.parse(text).key
    except addresses.InvalidAddress as fault:
        raise ValueError(f"not an address: {fault}") from None


class EventQuery(msgspec.Struct, frozen=True):
    """Which events are listed."""

    after: Annotated[list[cursor.Position] | None, paging.after(_CURSOR), Read(cursor.unpack)] = None
    limit: Annotated[int, paging.limit()] = paging.DEFAULT_LIMIT
    type: Annotated[
        frozenset[str] | None, says("Of these types only.", ["message.bounced"]), Words(tuple(sorted(public.TYPES)))
    ] = None
    job: Annotated[str | None, says("Of this job only.", "068vjfm5s9m2rc1jqqrg"), Read(_job_id)] = None
    recipient: Annotated[str | None, says("About this address only.", "ana@exemple.fr"), Read(_address)] = None


def routes(
    reader: ReportReader, log: EventLog, recipients: Recipients, jobs: JobList, partitions: int
) -> list[api.Route]:
    handlers = _Routes(reader, log, recipients, jobs, partitions)
    return [
        api.Route(
            "GET",
            "/v1/jobs",
            handlers.list_jobs,
            "The jobs of the tenant, the latest first; with the scope operator, of any tenant",
            scope="read",
            name="list_jobs",
            tag="jobs",
            answers={200: JobPage},
            query=JobQuery,
        ),
        api.Route(
            "GET",
            "/v1/jobs/{job}",
            handlers.show_job,
            "What became of a job: its state, counts, rates, clicks by link and by position, and documents",
            scope="read",
            name="get_job",
            tag="jobs",
            answers={200: JobReport},
            problems=["unknown_job"],
        ),
        api.Route(
            "GET",
            "/v1/messages/{message}",
            handlers.show_message,
            "What happened to one message, in the order of time",
            scope="read",
            name="get_message",
            tag="messages",
            answers={200: MessageReport},
            problems=["unknown_message"],
        ),
        api.Route(
            "GET",
            "/v1/events",
            handlers.list_events,
            "All events of the tenant, page by page, the oldest first",
            scope="read",
            name="list_events",
            tag="events",
            answers={200: EventPage},
            query=EventQuery,
        ),
    ]


class _Routes:
    def __init__(
        self, reader: ReportReader, log: EventLog, recipients: Recipients, jobs: JobList, partitions: int
    ) -> None:
        self._reader = reader
        self._log = log
        self._recipients = recipients
        self._jobs = jobs
        self._partitions = partitions

    async def list_jobs(self, request: web.Request) -> web.StreamResponse:
        principal, query = request[api.PRINCIPAL], api.query_of(request, JobQuery)
        tenant: str | None = principal.tenant
        if "operator" in principal.scopes:
            tenant = query.tenant
        elif query.tenant not in (None, principal.tenant):
            raise Problem("missing_scope", "jobs of other tenants are listed with the scope operator")
        return api.json_answer(await self._jobs.page(query, tenant))

    async def show_job(self, request: web.Request) -> web.StreamResponse:
        job = await self._job_of(request, request.match_info["job"])
        return api.json_answer(await job_shown(self._reader, self._jobs, job))

    async def show_message(self, request: web.Request) -> web.StreamResponse:
        try:
            job_id, ordinal = ids.split_message_id(request.match_info["message"])
        except ValueError:
            raise _unknown_message() from None
        if await self._recipients.tenant_of(job_id) != request[api.PRINCIPAL].tenant:
            raise _unknown_message()
        recipient = (await self._recipients.find(job_id, [ordinal])).get(ordinal)
        if recipient is None:
            raise _unknown_message()
        state, timeline = await message_shown(self._reader, job_id, ordinal)
        return api.json_answer(
            MessageReport(
                id=ids.message_id(job_id, ordinal),
                job=job_id,
                email=recipient.email,
                metadata=recipient.metadata or {},
                state=state,
                timeline=timeline,
            )
        )

    async def list_events(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, EventQuery)
        try:
            after = cursor.beginning_or(query.after, self._partitions)
        except paging.InvalidCursor as fault:
            raise paging.refused(fault) from None
        wanted = Wanted(request[api.PRINCIPAL].tenant, query.type, query.job, query.recipient)
        page = await self._log.page(wanted, after, query.limit)
        return api.json_answer(EventPage(events=page.events, next=cursor.pack(page.positions), more=page.more))

    async def _job_of(self, request: web.Request, job: str) -> job_report.Job:
        found = await self._reader.job(job) if ids.is_job_id(job) else None
        if found is None or found.tenant != request[api.PRINCIPAL].tenant:
            raise api.unknown_job()
        return found


def _unknown_message() -> Problem:
    """The same for what is not there and for what is another tenant's."""
    return Problem("unknown_message", "there is no such message")

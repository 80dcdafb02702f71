"""The routes of reports: a job's counts, a message's timeline, the events. All are reads, and see one tenant only."""

from aiohttp import web

from services.reports import job_record
from services.reports.describe import MessageReport
from services.reports.feed import http as feed_http
from services.reports.feed.feed import Feed
from services.reports.feed.live import Live
from services.reports.job_content import JobContent, job_content
from services.reports.job_list import JobList, JobPage, JobQuery
from services.reports.job_report import JobReport
from services.reports.message_list import MessageList, MessagePage, MessageQuery
from services.reports.old_message import old_message
from services.reports.shown import job_shown, message_shown
from services.reports.store import ReportReader
from shared.archive.asked import Behind, SearchFailed
from shared.http import api, paging
from shared.redis.recipients import Recipients
from shared.words import ids
from shared.words.errors import Problem


def routes(
    reader: ReportReader,
    feed: Feed,
    live: Live,
    recipients: Recipients,
    jobs: JobList,
    messages: MessageList,
    partitions: int,
    behind: Behind | None = None,
) -> list[api.Route]:
    """`behind`: the archive, if there is one."""
    handlers = _Routes(reader, recipients, jobs, messages, partitions, behind)
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
            "/v1/messages",
            handlers.list_messages,
            "The messages of the tenant, of the latest job first: to an address, of a job, in a state, by metadata",
            scope="read",
            name="list_messages",
            tag="messages",
            answers={200: MessagePage},
            query=MessageQuery,
        ),
        api.Route(
            "GET",
            "/v1/jobs/{job}/content",
            handlers.show_content,
            "The HTML of a job's mails, with the places of the links that are counted",
            scope="read",
            name="get_job_content",
            tag="jobs",
            answers={200: JobContent},
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
            problems=["unknown_message", "archive_unavailable"],
        ),
        *feed_http.routes(feed, live, partitions),
    ]


class _Routes:
    def __init__(
        self,
        reader: ReportReader,
        recipients: Recipients,
        jobs: JobList,
        messages: MessageList,
        partitions: int,
        behind: Behind | None,
    ) -> None:
        self._reader = reader
        self._recipients = recipients
        self._jobs = jobs
        self._messages = messages
        self._partitions = partitions
        self._behind = behind

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

    async def list_messages(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, MessageQuery)
        try:
            page = await self._messages.page(request[api.PRINCIPAL].tenant, query)
        except paging.InvalidCursor as fault:
            raise paging.refused(fault) from None
        return api.json_answer(page)

    async def show_content(self, request: web.Request) -> web.StreamResponse:
        job = await self._job_of(request, request.match_info["job"])
        compiled = await self._reader.content(job.id)
        shown = JobContent(job=job.id, html=None) if compiled is None else job_content(job.id, compiled)
        return api.json_answer(shown)

    async def show_message(self, request: web.Request) -> web.StreamResponse:
        try:
            job_id, ordinal = ids.split_message_id(request.match_info["message"])
        except ValueError:
            raise _unknown_message() from None
        tenant = request[api.PRINCIPAL].tenant
        whose = await self._recipients.tenant_of(job_id)
        if whose not in (None, tenant):
            raise _unknown_message()
        # Of a job that is being removed nobody knows any more whose it was, and its recipients may still be there.
        found = {} if whose is None else await self._recipients.find(job_id, [ordinal])
        recipient = found.get(ordinal)
        if recipient is None:
            return api.json_answer(await self._old_message(tenant, job_id, ordinal))
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

    async def _old_message(self, tenant: str, job: str, ordinal: int) -> MessageReport:
        """Of a job that is not kept any more, as the archive has it."""
        if self._behind is None or await self._reader.job(job) is not None:
            raise _unknown_message()
        try:
            found = await old_message(self._behind, tenant, job, ordinal, ids.job_partition(job, self._partitions))
        except SearchFailed as fault:
            raise feed_http.archive_unavailable(fault) from None
        if found is None:
            raise _unknown_message()
        return found

    async def _job_of(self, request: web.Request, job: str) -> job_record.Job:
        found = await self._reader.job(job) if ids.is_job_id(job) else None
        if found is None or found.tenant != request[api.PRINCIPAL].tenant:
            raise api.unknown_job()
        return found


def _unknown_message() -> Problem:
    """The same for what is not there and for what is another tenant's."""
    return Problem("unknown_message", "there is no such message")

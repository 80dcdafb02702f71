"""The routes of reports: a job's counts, a message's timeline, the events. All are reads, and see one tenant only."""

import msgspec
from aiohttp import web

from services.reports import cursor, describe, job_report
from services.reports.describe import Event, MessageReport
from services.reports.event_log import EventLog, Wanted
from services.reports.job_report import JobReport
from services.reports.state import word
from services.reports.store import ReportReader
from shared.http import api
from shared.mail import addresses
from shared.redis import bus
from shared.redis.recipients import Recipients
from shared.words import events, ids
from shared.words.errors import Fault, Problem, ProblemDocument

MAX_EVENTS = 1_000
DEFAULT_EVENTS = 100


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """`next` is what `after` takes to go on, also when nothing came; `more` tells that something is there already."""

    events: list[Event]
    next: str
    more: bool


def routes(reader: ReportReader, log: EventLog, recipients: Recipients, partitions: int) -> list[api.Route]:
    site = _Site(reader, log, recipients, partitions)
    return [
        api.Route(
            "GET",
            "/v1/jobs/{job}",
            site.show_job,
            "What became of a job: its state, counts, rates, and clicks by link and by position",
            scope="read",
            answers={200: JobReport, 404: ProblemDocument},
        ),
        api.Route(
            "GET",
            "/v1/messages/{message}",
            site.show_message,
            "What happened to one message, in the order of time",
            scope="read",
            answers={200: MessageReport, 404: ProblemDocument},
        ),
        api.Route(
            "GET",
            "/v1/events",
            site.list_events,
            "All events of the tenant, page by page, the oldest first",
            scope="read",
            answers={200: EventPage, 422: ProblemDocument},
            query={
                "after": "the `next` of the page before; the first page begins with the oldest event that is retained",
                "limit": f"1 to {MAX_EVENTS}, else {DEFAULT_EVENTS}; fewer at the end or if it takes seconds",
                "type": "one or more of " + ", ".join(sorted(describe.TYPES)) + ", with commas between",
                "job": "of this job only",
                "recipient": "about this address only",
            },
        ),
    ]


class _Site:
    def __init__(self, reader: ReportReader, log: EventLog, recipients: Recipients, partitions: int) -> None:
        self._reader = reader
        self._log = log
        self._recipients = recipients
        self._partitions = partitions

    async def show_job(self, request: web.Request) -> web.StreamResponse:
        job = await self._job_of(request, request.match_info["job"])
        links = await self._reader.links(job.id)
        shared = {url: at for url, at in job_report.positions_by_url(links).items() if len(at) > 1}
        unique = {url: await self._reader.clicked_any(job.id, positions) for url, positions in shared.items()}
        # The counters after the bitmaps: no URL has then more unique clicks than its job has.
        counters = await self._reader.counts(job.id)
        stop = await self._reader.stop(job_report.stop_names(job))
        return api.json_answer(job_report.report(job, counters, links, unique, stop))

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
        byte, records = await self._reader.message(job_id, ordinal)
        records.sort(key=lambda record: (record.occurred_at, cursor.position(record.stream_id)))
        entries = await self._reader.details(job_id, [record.stream_id for record in records])
        return api.json_answer(
            MessageReport(
                id=ids.message_id(job_id, ordinal),
                job=job_id,
                email=recipient.email,
                metadata=recipient.metadata or {},
                state=word(byte),
                timeline=[
                    describe.timeline_event(record, _fact(entry))
                    for record, entry in zip(records, entries, strict=True)
                ],
            )
        )

    async def list_events(self, request: web.Request) -> web.StreamResponse:
        query = _Query(request)
        after, limit = query.after(self._partitions), query.limit()
        wanted = Wanted(request[api.PRINCIPAL].tenant, query.types(), query.job(), query.email())
        if query.faults:
            raise Problem("invalid_query", "the query does not fit", query.faults)
        page = await self._log.page(wanted, after, limit)
        return api.json_answer(EventPage(events=page.events, next=cursor.pack(page.positions), more=page.more))

    async def _job_of(self, request: web.Request, job: str) -> job_report.Job:
        found = await self._reader.job(job) if ids.is_job_id(job) else None
        if found is None or found.tenant != request[api.PRINCIPAL].tenant:
            raise api.unknown_job()
        return found


class _Query:
    """The parameters of /v1/events; what is wrong with any of them is gathered in `faults`."""

    def __init__(self, request: web.Request) -> None:
        self._query = request.query
        self.faults: list[Fault] = []

    def after(self, partitions: int) -> list[cursor.Position]:
        text = self._query.get("after", "")
        try:
            return cursor.unpack(text, partitions) if text else cursor.beginning(partitions)
        except cursor.InvalidCursor as fault:
            self.faults.append(Fault("?after", str(fault)))
            return cursor.beginning(partitions)

    def limit(self) -> int:
        text = self._query.get("limit", str(DEFAULT_EVENTS))
        if text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_EVENTS:
            return int(text)
        self.faults.append(Fault("?limit", f"expected 1 to {MAX_EVENTS}"))
        return DEFAULT_EVENTS

    def types(self) -> frozenset[str] | None:
        text = self._query.get("type", "")
        types = frozenset(part.strip() for part in text.split(",")) if text else None
        for unknown in sorted((types or frozenset()) - describe.TYPES.keys()):
            self.faults.append(Fault("?type", f"there is no type {unknown[:60]!r}"))
        return types

    def job(self) -> str | None:
        text = self._query.get("job", "")
        if text and not ids.is_job_id(text):
            self.faults.append(Fault("?job", "not the id of a job"))
        return text or None

    def email(self) -> str | None:
        text = self._query.get("recipient", "")
        try:
            return addresses.parse(text).key if text else None
        except addresses.InvalidAddress as fault:
            self.faults.append(Fault("?recipient", f"not an address: {fault}"))
            return None


def _fact(entry: bus.Entry | None) -> events.Fact | None:
    """The fact, if it is still there and can be read."""
    if entry is None:
        return None
    try:
        fact = entry.message()
    except bus.Hopeless:
        return None
    return fact if isinstance(fact, events.Fact) else None


def _unknown_message() -> Problem:
    """The same for what is not there and for what is another tenant's."""
    return Problem("unknown_message", "there is no such message")

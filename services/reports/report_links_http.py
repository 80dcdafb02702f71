"""The routes of links to one job's report, for somebody without a key."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from services.reports.job_list import JobList
from services.reports.job_record import Job
from services.reports.job_report import JobReport
from services.reports.report_link_store import MOST, KeptLink, ReportLinks
from services.reports.report_links import ID_BYTES, LinkedReport, LinkTokens
from services.reports.shown import job_shown
from services.reports.statistics import JobStatistics, StatisticsReader
from services.reports.store import ReportReader
from shared.http import api
from shared.words import ids
from shared.words.described import says
from shared.words.errors import Problem
from shared.words.times import rfc3339

DAY_MS = 86_400_000
MAX_DAYS = 365
_LINK = "9f86d081884c7d65"


class ReportLinkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the link leads to the report, and for whom it is."""

    days: Annotated[int, says("So many days.", 7), Meta(ge=1, le=MAX_DAYS)] = 30
    note: Annotated[str, says("For whom, or why.", "for the board"), Meta(max_length=200)] = ""


class ReportLink(msgspec.Struct, frozen=True):
    """A link to the report of one job: who has it sees that report, and nothing else, until it is over or taken
    back."""

    id: Annotated[str, says("Its id, by which it is taken back.", _LINK)]
    path: Annotated[str, says("The path of its page, where the API is reached.", "/r/n4bQgYhMfWUAaG")]
    created_at: Annotated[str, says("When it was made.", "2026-01-31T09:05:00.123Z")]
    expires_at: Annotated[str, says("When it is over.", "2026-03-02T09:05:00.000Z")]
    note: Annotated[str, says("For whom, or why.", "for the board")]


class ReportLinkList(msgspec.Struct, frozen=True):
    """The links to a job's report that are not over, the first to be over first."""

    links: Annotated[list[ReportLink], says("The links.")]


class LinkedReportShown(msgspec.Struct, frozen=True):
    """The report of a job, as a link to it shows it."""

    expires_at: Annotated[str, says("When the link is over.", "2026-03-02T09:05:00.000Z")]
    report: Annotated[JobReport, says("What became of the job.")]
    statistics: Annotated[JobStatistics, says("The same hour by hour, and by what tells mail apart.")]


def routes(
    reader: ReportReader,
    jobs: JobList,
    links: ReportLinks,
    tokens: LinkTokens,
    statistics: StatisticsReader,
    now_ms: Callable[[], int],
    chance: Callable[[int], bytes],
) -> list[api.Route]:
    handlers = _Routes(reader, jobs, links, tokens, statistics, now_ms, chance)
    known = {"link": says("The id of the link.", _LINK), "token": says("The token of the link.", "n4bQgYhMfWUAaG")}
    return [
        api.Route(
            "POST",
            "/v1/jobs/{job}/report-links",
            handlers.add,
            f"Make a link to the report of a job, for somebody without a key; up to {MOST} of a job",
            scope="send",
            body=ReportLinkRequest,
            body_optional=True,
            name="add_report_link",
            tag="jobs",
            answers={201: ReportLink},
            problems=["unknown_job", "too_many_report_links"],
        ),
        api.Route(
            "GET",
            "/v1/jobs/{job}/report-links",
            handlers.list,
            "The links to the report of a job that are not over",
            scope="send",
            name="list_report_links",
            tag="jobs",
            answers={200: ReportLinkList},
            problems=["unknown_job"],
        ),
        api.Route(
            "DELETE",
            "/v1/jobs/{job}/report-links/{link}",
            handlers.remove,
            "Take back a link to the report of a job: it leads nowhere from now on",
            scope="send",
            in_path=known,
            name="remove_report_link",
            tag="jobs",
            answers={204: None},
            problems=["unknown_job", "unknown_report_link"],
        ),
        api.Route(
            "GET",
            "/r/{token}/report",
            handlers.show,
            "The report of a job, by a link to it: the token is the right to it, no key is asked for",
            in_path=known,
            name="get_linked_report",
            tag="jobs",
            answers={200: LinkedReportShown},
            problems=["unknown_report_link"],
        ),
    ]


class _Routes:
    def __init__(
        self,
        reader: ReportReader,
        jobs: JobList,
        links: ReportLinks,
        tokens: LinkTokens,
        statistics: StatisticsReader,
        now_ms: Callable[[], int],
        chance: Callable[[int], bytes],
    ) -> None:
        self._reader = reader
        self._jobs = jobs
        self._links = links
        self._tokens = tokens
        self._statistics = statistics
        self._now_ms = now_ms
        self._chance = chance

    async def add(self, request: web.Request) -> web.StreamResponse:
        job = await self._job(request)
        wanted = await api.read_json_or(request, ReportLinkRequest())
        now_ms = self._now_ms()
        # A token has whole seconds.
        over_ms = (now_ms + wanted.days * DAY_MS) // 1000 * 1000
        link = KeptLink(self._chance(ID_BYTES), now_ms, over_ms, wanted.note)
        if not await self._links.add(job.id, link):
            raise Problem("too_many_report_links", f"the job has {MOST} already: take some back")
        return api.json_answer(self._shown(job.id, link), 201)

    async def list(self, request: web.Request) -> web.StreamResponse:
        job = await self._job(request)
        found = await self._links.all(job.id, self._now_ms())
        return api.json_answer(ReportLinkList([self._shown(job.id, link) for link in found]))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        job = await self._job(request)
        try:
            link = bytes.fromhex(request.match_info["link"])
        except ValueError:
            raise _unknown_link() from None
        if not await self._links.remove(job.id, link, self._now_ms()):
            raise _unknown_link()
        return web.Response(status=204)

    async def show(self, request: web.Request) -> web.StreamResponse:
        now_ms = self._now_ms()
        linked = self._tokens.read(request.match_info["token"], now_ms)
        if linked is None or await self._links.find(linked.job, linked.id, now_ms) is None:
            raise _unknown_link()
        job = await self._reader.job(linked.job)
        if job is None:
            raise _unknown_link()
        report = await job_shown(self._reader, self._jobs, job)
        statistics = await self._statistics.of_job(report)
        return api.json_answer(LinkedReportShown(rfc3339(linked.over_s * 1000), report, statistics))

    async def _job(self, request: web.Request) -> Job:
        job = request.match_info["job"]
        found = await self._reader.job(job) if ids.is_job_id(job) else None
        if found is None or found.tenant != request[api.PRINCIPAL].tenant:
            raise api.unknown_job()
        return found

    def _shown(self, job: str, link: KeptLink) -> ReportLink:
        token = self._tokens.sign(LinkedReport(link.id, job, link.over_ms // 1000))
        return ReportLink(link.id.hex(), f"/r/{token}", rfc3339(link.created_ms), rfc3339(link.over_ms), link.note)


def _unknown_link() -> Problem:
    """The same for what nobody made, what is over, and what was taken back."""
    return Problem("unknown_report_link", "there is no such link, or not any more")

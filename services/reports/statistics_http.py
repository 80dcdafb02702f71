"""The routes of statistics: of a tenant, and of one of its jobs."""

from aiohttp import web

from services.reports.feed.http import archive_unavailable
from services.reports.job_list import JobList
from services.reports.shown import job_shown
from services.reports.statistics import JobStatistics, StatisticsAnswer, StatisticsQuery, StatisticsReader
from services.reports.store import ReportReader
from shared.archive.asked import SearchFailed
from shared.http import api
from shared.words import ids


def routes(statistics: StatisticsReader, reader: ReportReader, jobs: JobList) -> list[api.Route]:
    handlers = _Routes(statistics, reader, jobs)
    return [
        api.Route(
            "GET",
            "/v1/statistics",
            handlers.show,
            "What happened to the tenant's mail, by day, hour, list, tag, category, stream, domain, provider …",
            scope="read",
            name="get_statistics",
            tag="statistics",
            answers={200: StatisticsAnswer},
            problems=["archive_unavailable"],
            query=StatisticsQuery,
        ),
        api.Route(
            "GET",
            "/v1/jobs/{job}/statistics",
            handlers.show_job,
            "What happened to a job hour by hour, and by provider, source, reason, link, device and client",
            scope="read",
            name="get_job_statistics",
            tag="statistics",
            answers={200: JobStatistics},
            problems=["unknown_job"],
        ),
    ]


class _Routes:
    def __init__(self, statistics: StatisticsReader, reader: ReportReader, jobs: JobList) -> None:
        self._statistics = statistics
        self._reader = reader
        self._jobs = jobs

    async def show(self, request: web.Request) -> web.StreamResponse:
        query = api.query_of(request, StatisticsQuery)
        try:
            return api.json_answer(await self._statistics.of_tenant(request[api.PRINCIPAL].tenant, query))
        except SearchFailed as fault:
            raise archive_unavailable(fault) from None

    async def show_job(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["job"]
        job = await self._reader.job(name) if ids.is_job_id(name) else None
        if job is None or job.tenant != request[api.PRINCIPAL].tenant:
            raise api.unknown_job()
        shown = await job_shown(self._reader, self._jobs, job)
        return api.json_answer(await self._statistics.of_job(shown))

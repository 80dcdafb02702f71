"""The routes of reports and events, put together."""

from services.reports import http, report_links_http, results_http, statistics_http
from services.reports import settings as own
from services.reports.feed.feed import Feed
from services.reports.feed.live import Live
from services.reports.job_list import JobList
from services.reports.report_link_store import ReportLinks
from services.reports.report_links import PURPOSE, LinkTokens
from services.reports.statistics import StatisticsReader
from services.reports.store import ReportReader
from shared.archive.asked import Behind, Missing
from shared.http.parts import Mounted, Parts
from shared.process.settings import Settings
from shared.redis.cancels import CancelList, Cancels
from shared.redis.result_sets import ResultSets
from shared.redis.stops import StopList


def _behind(settings: Settings) -> Behind | None:
    """What has the events that the streams have no more, if anything has."""
    archive = settings.archive
    if not archive.target:
        return None
    try:
        from shared.archive.search import Search
    except ImportError as missing:
        return Missing(missing.name or str(missing))
    return Search(
        archive.target,
        settings.data.path / "archive",
        archive.s3_endpoint,
        archive.s3_region,
        archive.search_seconds,
        archive.searches,
        archive.search_megabytes,
    )


def routes(parts: Parts) -> Mounted:
    behind = _behind(parts.settings)
    feed = Feed(parts.client, parts.partitions, parts.recipients, parts.monotonic, behind)
    mine = parts.settings.of(own.Reports)
    live = Live(feed, mine.live_streams, mine.live_streams_per_tenant, parts.monotonic)
    reader = ReportReader(parts.client, parts.partitions)
    jobs = JobList(reader, StopList(parts.client), Cancels(CancelList(parts.client)))
    statistics = StatisticsReader(parts.client, parts.partitions, parts.now_ms)
    links = ReportLinks(parts.client, parts.partitions), LinkTokens(parts.derive(PURPOSE))
    return Mounted(
        [
            *http.routes(reader, feed, live, parts.recipients, jobs, parts.partitions, behind),
            *statistics_http.routes(statistics, reader, jobs),
            *results_http.routes(ResultSets(parts.client, parts.partitions), parts.chance),
            *report_links_http.routes(reader, jobs, *links, statistics, parts.now_ms, parts.chance),
        ],
        run=live.run,
        close=None if behind is None else behind.close,
    )

"""The routes of reports and events, put together."""

from services.reports import http, report_links_http, results_http, statistics_http, usage_http
from services.reports import settings as own
from services.reports.behind import archive_of
from services.reports.feed.feed import Feed
from services.reports.feed.live import Live
from services.reports.job_list import JobList
from services.reports.message_list import MessageList
from services.reports.report_link_store import ReportLinks
from services.reports.report_links import PURPOSE, LinkTokens
from services.reports.statistics import StatisticsReader
from services.reports.store import ReportReader
from services.reports.usage import UsageReader
from shared.http.parts import Mounted, Parts
from shared.redis.cancels import CancelList, Cancels
from shared.redis.histories import Histories
from shared.redis.result_sets import ResultSets
from shared.redis.stops import StopList


def routes(parts: Parts) -> Mounted:
    behind = archive_of(parts.settings)
    feed = Feed(parts.client, parts.partitions, parts.recipients, parts.monotonic, behind)
    mine = parts.settings.of(own.Reports)
    live = Live(feed, mine.live_streams, mine.live_streams_per_tenant, parts.monotonic)
    reader = ReportReader(parts.client, parts.partitions)
    jobs = JobList(reader, StopList(parts.client), Cancels(CancelList(parts.client)))
    statistics = StatisticsReader(parts.client, parts.partitions, parts.now_ms, mine.statistics_days, behind)
    histories = Histories(parts.client, parts.partitions, parts.settings.jobs.retention_days)
    messages = MessageList(parts.client, parts.partitions, histories, parts.erasure_keys, parts.now_ms, parts.monotonic)
    links = ReportLinks(parts.client, parts.partitions), LinkTokens(parts.derive(PURPOSE))
    return Mounted(
        [
            *http.routes(reader, feed, live, parts.recipients, jobs, messages, parts.partitions, behind),
            *statistics_http.routes(statistics, reader, jobs),
            *usage_http.routes(UsageReader(parts.client, parts.partitions, parts.now_ms), parts.tenants),
            *results_http.routes(ResultSets(parts.client, parts.partitions), parts.chance),
            *report_links_http.routes(reader, jobs, *links, statistics, parts.now_ms, parts.chance),
        ],
        run=live.run,
        close=None if behind is None else behind.close,
    )

"""The routes of reports and events, put together."""

from services.reports import http, report_links_http
from services.reports.event_log import EventLog
from services.reports.job_list import JobList
from services.reports.report_link_store import ReportLinks
from services.reports.report_links import PURPOSE, LinkTokens
from services.reports.store import ReportReader
from shared.http.parts import Mounted, Parts
from shared.redis.cancels import CancelList, Cancels
from shared.redis.stops import StopList


def routes(parts: Parts) -> Mounted:
    log = EventLog(parts.client, parts.partitions, parts.recipients, parts.monotonic)
    reader = ReportReader(parts.client, parts.partitions)
    jobs = JobList(reader, StopList(parts.client), Cancels(CancelList(parts.client)))
    mounted = http.routes(reader, log, parts.recipients, jobs, parts.partitions)
    mounted += report_links_http.routes(
        reader, jobs, ReportLinks(parts.client, parts.partitions), LinkTokens(parts.derive(PURPOSE)), parts.now_ms,
        parts.chance,
    )  # fmt: skip
    return Mounted(mounted)

"""The routes of reports and events, put together."""

from services.reports import http, statistics_http
from services.reports.event_log import EventLog
from services.reports.job_list import JobList
from services.reports.statistics import StatisticsReader
from services.reports.store import ReportReader
from shared.http.parts import Mounted, Parts
from shared.redis.cancels import CancelList, Cancels
from shared.redis.stops import StopList


def routes(parts: Parts) -> Mounted:
    log = EventLog(parts.client, parts.partitions, parts.recipients, parts.monotonic)
    reader = ReportReader(parts.client, parts.partitions)
    jobs = JobList(reader, StopList(parts.client), Cancels(CancelList(parts.client)))
    statistics = StatisticsReader(parts.client, parts.partitions, parts.now_ms)
    return Mounted(
        [
            *http.routes(reader, log, parts.recipients, jobs, parts.partitions),
            *statistics_http.routes(statistics, reader, jobs),
        ]
    )

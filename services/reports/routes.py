"""The routes of reports and events, put together."""

from services.reports import http, results_http
from services.reports.event_log import EventLog
from services.reports.job_list import JobList
from services.reports.store import ReportReader
from shared.http.parts import Mounted, Parts
from shared.redis.cancels import CancelList, Cancels
from shared.redis.result_sets import ResultSets
from shared.redis.stops import StopList


def routes(parts: Parts) -> Mounted:
    log = EventLog(parts.client, parts.partitions, parts.recipients, parts.monotonic)
    reader = ReportReader(parts.client, parts.partitions)
    jobs = JobList(reader, StopList(parts.client), Cancels(CancelList(parts.client)))
    sets = results_http.routes(ResultSets(parts.client, parts.partitions), parts.chance)
    return Mounted([*http.routes(reader, log, parts.recipients, jobs, parts.partitions), *sets])

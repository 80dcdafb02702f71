"""The routes of reports and events, put together."""

from services.reports import http
from services.reports.event_log import EventLog
from services.reports.store import ReportReader
from shared.http.parts import Mounted, Parts


def routes(parts: Parts) -> Mounted:
    log = EventLog(parts.client, parts.partitions, parts.recipients, parts.monotonic)
    return Mounted(http.routes(ReportReader(parts.client, parts.partitions), log, parts.recipients, parts.partitions))

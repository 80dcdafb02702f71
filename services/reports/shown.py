"""A job and a message as they are shown, over HTTP and at the console: read from the store, and put together."""

import msgspec

from services.reports import describe, job_report
from services.reports.describe import TimelineEvent
from services.reports.feed import cursor
from services.reports.job_list import JobList
from services.reports.job_record import Job
from services.reports.job_report import JobReport
from services.reports.state import word
from services.reports.store import ReportReader
from shared.redis import bus
from shared.words import events


async def job_shown(reader: ReportReader, jobs: JobList, job: Job) -> JobReport:
    """What became of the job until now. RedisAway."""
    links = await reader.links(job.id)
    shared = {url: at for url, at in job_report.positions_by_url(links).items() if len(at) > 1}
    unique = {url: await reader.clicked_any(job.id, positions) for url, positions in shared.items()}
    several = {name: at for name, at in job_report.positions_by_document(links).items() if len(at) > 1}
    opened = {name: await reader.opened_any(job.id, positions) for name, positions in several.items()}
    # The counters after the bitmaps: no URL has then more unique clicks than its job has.
    counters = await reader.counts(job.id)
    stop = await reader.stop(job_report.stop_names(job))
    job = msgspec.structs.replace(job, seeds=await reader.seeds(job))
    return job_report.report(job, counters, links, unique, stop, await jobs.is_cancelled(job), opened)


async def message_shown(reader: ReportReader, job: str, ordinal: int) -> tuple[str, list[TimelineEvent]]:
    """The state of a message, and what happened to it in the order of time, but for what only a newer program knows.
    RedisAway."""
    byte, records = await reader.message(job, ordinal)
    records.sort(key=lambda record: (record.occurred_at, cursor.position(record.stream_id)))
    entries = await reader.details(job, [record.stream_id for record in records])
    timeline = [
        describe.timeline_event(record, _fact(entry))
        for record, entry in zip(records, entries, strict=True)
        if describe.is_known(record)
    ]
    return word(byte), timeline


def _fact(entry: bus.Entry | None) -> events.Fact | None:
    """The fact, if it is still there and can be read."""
    if entry is None:
        return None
    try:
        fact = entry.message()
    except bus.DeadLetter:
        return None
    return fact if isinstance(fact, events.Fact) else None

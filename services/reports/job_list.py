"""The jobs of a tenant, or of all, the latest first: which they are, and how far.

Jobs are in lists of their own, by partition, in the order in which they were made; a page is merged of them. What a
filter leaves out is looked at all the same, so there is a bound to that: a page may have fewer jobs than were asked
for, and `next` goes on behind the last one that was looked at.
"""

import asyncio
import re
from typing import Annotated

import msgspec

from services.reports import job_report, state
from services.reports.job_record import Job
from services.reports.store import ReportReader
from shared.http import paging
from shared.http.query import Read, Words
from shared.redis import stops
from shared.redis.cancels import Cancels
from shared.redis.stops import Stop
from shared.words.described import says
from shared.words.times import rfc3339

#: Jobs that one page looks at, and at a time: each costs two short commands.
MOST_LOOKED_AT = 1_000
TOGETHER = 100
#: On one page at most.
MAX_LIMIT = 200
STATES = ("open", "scheduled", "selecting", "queueing", "queued", "paused", "stopped", "cancelling", "done")
_ID = re.compile(r"[0-9a-v]{20}")
_JOB = "068vjfm5s9m2rc1jqqrg"


class JobQuery(msgspec.Struct, frozen=True):
    """Which jobs are listed."""

    after: Annotated[str, paging.after(_JOB), Read(paging.matching(_ID))] = ""
    limit: Annotated[int, paging.limit(MAX_LIMIT)] = paging.DEFAULT_LIMIT
    tenant: Annotated[str | None, says("Of this tenant; with the scope operator any, and all if left out.", "acme")] = (
        None
    )
    state: Annotated[frozenset[str] | None, says("In these states only.", ["queued"]), Words(STATES)] = None
    stream: Annotated[
        frozenset[str] | None,
        says("Of these kinds only.", ["bulk"]),
        Words(("bulk", "one_to_one", "transactional")),
    ] = None
    list: Annotated[str | None, says("Of this list only.", "newsletter")] = None
    tag: Annotated[str | None, says("With this tag only.", "soldes")] = None


class JobListed(msgspec.Struct, frozen=True, kw_only=True):
    """A job as lists show it; GET /v1/jobs/{job} has the rest."""

    id: Annotated[str, says("The id of the job.", _JOB)]
    tenant: Annotated[str, says("Whose it is.", "acme")]
    state: Annotated[str, says("How far it is.", "queued", "cancelling", "done")]
    stream: Annotated[str, says("The kind of mail: `bulk`, `transactional` or `one_to_one`.", "bulk")]
    sender: Annotated[str, says("Its sender.", "Chouette <news@exemple.fr>")] = msgspec.field(name="from")
    subject: Annotated[str, says("Its subject, as it was written.", "Bonjour {{ prenom }}")]
    list: Annotated[str | None, says("The name of its list.", "newsletter")]
    tags: Annotated[tuple[str, ...], says("Its tags.", ["soldes"])]
    created_at: Annotated[str, says("When it was made.", "2026-01-31T09:05:00.123Z")]
    total: Annotated[int, says("How many recipients were taken so far.", 1_000)]
    delivered: Annotated[int, says("Messages that a host took, and that did not bounce afterwards.", 945)]
    bounced: Annotated[int, says("Messages that will not arrive.", 31)]
    cancelled: Annotated[int, says("Messages that were cancelled.", 0)]
    pending: Annotated[int, says("Messages without an end yet.", 4)]


class JobPage(msgspec.Struct, frozen=True):
    """`next` is what `after` takes to go on; null at the end. A page may have fewer jobs than were asked for."""

    jobs: Annotated[list[JobListed], says("The jobs of this page, the latest first.")]
    next: Annotated[str | None, paging.following(_JOB)]


class JobList:
    """`page` raises RedisAway."""

    def __init__(self, reader: ReportReader, stop_list: stops.StopList, cancels: Cancels) -> None:
        self._reader = reader
        self._stops = stop_list
        self._cancels = cancels

    async def page(self, query: JobQuery, tenant: str | None) -> JobPage:
        """Of that tenant; None: of all."""
        await self._cancels.load()
        stopped = await self._stops.all()
        found: list[JobListed] = []
        after, looked_at = query.after, 0
        while looked_at < MOST_LOOKED_AT:
            names = await self._reader.jobs(tenant, after, TOGETHER)
            listed = await asyncio.gather(*(self._listed(name, query, stopped) for name in names))
            found += [one for one in listed if one is not None]
            if len(found) > query.limit:
                return JobPage(found[: query.limit], found[query.limit - 1].id)
            if len(names) < TOGETHER:
                return JobPage(found, None)
            after, looked_at = names[-1], looked_at + len(names)
        return JobPage(found, after)

    async def is_cancelled(self, job: Job) -> bool:
        """Whether what has no end of the job gets one now."""
        await self._cancels.load()
        return self._cancels.of(job.id, job.tenant, job.stream) is not None

    async def _listed(self, name: str, query: JobQuery, stopped: dict[str, Stop]) -> JobListed | None:
        job = await self._reader.job(name)
        if job is None or not fits(job, query):
            return None
        stop = next(((one, stopped[one]) for one in job_report.stop_names(job) if one in stopped), None)
        is_cancelled = self._cancels.of(job.id, job.tenant, job.stream) is not None
        counters = await self._reader.counts(name)
        counted = state.tally(job_report.histogram(counters))
        word = job_report.state_of(job, counted, stop, is_cancelled)
        if query.state is not None and word not in query.state:
            return None
        return JobListed(
            id=job.id,
            tenant=job.tenant,
            state=word,
            stream=job.stream,
            sender=job.sender,
            subject=job.subject,
            list=job.list or None,
            tags=job.tags,
            created_at=rfc3339(job.created_at),
            total=job.total,
            delivered=counted.delivered,
            bounced=counted.bounced,
            cancelled=counted.cancelled_at_queueing + counted.cancelled_later,
            pending=counted.pending,
        )


def fits(job: Job, query: JobQuery) -> bool:
    """Whether the job is wanted, by what does not change."""
    return (
        (query.stream is None or job.stream in query.stream)
        and (query.list is None or job.list == query.list)
        and (query.tag is None or query.tag in job.tags)
    )

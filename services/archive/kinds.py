"""What jobs were made as, for the columns of their events: written once, so it is remembered."""

import asyncio
from collections.abc import Sequence

from services.archive.tables import JobKind
from shared.net.remembered import Remembered
from shared.redis import jobs
from shared.redis.redis import Client
from shared.words import ids

#: Jobs that are remembered, 500 bytes each, and those that are looked up at a time.
REMEMBERED, AT_ONCE = 10_000, 200
_FIELDS = (jobs.STREAM, jobs.LIST, jobs.TAGS)


class JobKinds:
    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._known: Remembered[str, JobKind] = Remembered(REMEMBERED)

    async def kinds(self, asked: Sequence[str]) -> dict[str, JobKind]:
        """By job, without those that are not kept any more. Raises RedisAway."""
        found: dict[str, JobKind] = {}
        unknown: list[str] = []
        for job in asked:
            if known := self._known.known(job):
                found[job] = known
            elif ids.is_job_id(job):
                unknown.append(job)
        for begin in range(0, len(unknown), AT_ONCE):
            some = unknown[begin : begin + AT_ONCE]
            answers = await asyncio.gather(*(jobs.read(self._client, self._partitions, job, _FIELDS) for job in some))
            for job, answer in zip(some, answers, strict=True):
                tags = answer[jobs.TAGS]
                if stream := answer[jobs.STREAM]:
                    found[job] = JobKind(stream, answer[jobs.LIST], tags)
                    self._known.keep(job, found[job])
        return found

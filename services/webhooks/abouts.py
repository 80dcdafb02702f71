"""What is told of a job with each of its events: its list, stream, category and tags, which never change."""

from typing import Any

from services.webhooks.endpoints import About
from shared.net.remembered import Remembered
from shared.redis import jobs
from shared.redis.redis import Client
from shared.words import ids

KEPT = 10_000
_FIELDS: tuple[jobs.Field[Any], ...] = (jobs.TENANT, jobs.LIST, jobs.STREAM, jobs.CATEGORY, jobs.TAGS)


class JobAbouts:
    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions
        self._known = Remembered[str, About](KEPT)

    async def about(self, job: str) -> About:
        """Nothing of a job that is not there (any more). RedisAway."""
        if not ids.is_job_id(job):
            return About()
        if (known := self._known.known(job)) is not None:
            return known
        found = await jobs.read(self._client, self._partitions, job, _FIELDS)
        about = About(found[jobs.LIST], found[jobs.STREAM], found[jobs.CATEGORY], found[jobs.TAGS])
        if found[jobs.TENANT]:
            self._known.keep(job, about)
        return about

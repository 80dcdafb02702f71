"""What jobs are, asked of Redis: once for each, in one round trip for all that are new."""

from collections.abc import Sequence

from services.contacts.behaviour import operations
from services.contacts.behaviour.operations import About
from shared.redis import jobs
from shared.redis.redis import Client
from shared.words import ids

#: A job that is not kept.
UNKNOWN = jobs.Job(operations.FIELDS, [None] * len(operations.FIELDS))


class JobsInRedis:
    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = partitions

    async def about(self, named: Sequence[str]) -> dict[str, About]:
        """Each of these; of one that is not kept nothing but its id is known. RedisAway."""
        known = [job for job in dict.fromkeys(named) if ids.is_job_id(job)]
        found = dict(
            zip(known, await jobs.read_many(self._client, self._partitions, known, operations.FIELDS), strict=True)
        )
        return {job: operations.about(job, found.get(job, UNKNOWN)) for job in named}

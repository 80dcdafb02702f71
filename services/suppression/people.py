"""All that is kept of one address of a tenant, gathered where it is asked for."""

from collections.abc import Callable
from typing import NamedTuple

from services.suppression.counts import Counts
from services.suppression.erasing import Erasing, Removed
from services.suppression.escalation import Count
from services.suppression.mentions import At, Mention, Mentions, found
from shared.redis import jobs
from shared.redis.erased import Erased, Erasure
from shared.redis.redis import Client
from shared.words import ids
from shared.words.erased import ErasureKeys

#: No step of a walk through jobs begins later than this after it was asked for: callers wait ten seconds and more.
BUDGET_S = 2.0


class Message(NamedTuple):
    """One that had the address as its recipient."""

    job: str
    ordinal: int
    subject: str
    list: str


class People:
    """`monotonic` is a clock in seconds. Every method raises RedisAway."""

    def __init__(
        self,
        client: Client,
        partitions: int,
        secrets: ErasureKeys,
        erasing: Erasing,
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._partitions = partitions
        self._keys = secrets
        self._erasing = erasing
        self._erased = Erased(client, partitions, secrets)
        self._counts = Counts(client, partitions)
        self._mentions = Mentions(client, partitions)
        self._monotonic = monotonic

    async def bounces(self, tenant: str, address: str) -> Count | None:
        """Of a normalised address, as below; None if it has none."""
        (count,) = await self._counts.get_many([(tenant, address)])
        return count if count is not None and count.bounces else None

    async def erasure(self, tenant: str, address: str) -> Erasure | None:
        """With what it has come to, while it is under way."""
        for digest in self._keys.digests(tenant, address):
            if (intent := await self._erasing.intent(tenant, digest)) is not None:
                return Erasure(intent.asked_ms, 0, intent.messages)
        return await self._erased.find(tenant, address)

    async def erase(self, tenant: str, address: str) -> Removed:
        """Begins, or begins again: what came since the last time goes as well. From then on there is an erasure."""
        return await self._erasing.begin(tenant, address, self._keys.digest(tenant, address))

    async def messages(self, tenant: str, address: str, after: At, limit: int) -> tuple[list[Message], At | None]:
        """At most `limit` from that place on, and the place to go on from, None at the end; few, or none, where a walk
        takes longer."""
        deadline_s = self._monotonic() + BUDGET_S
        mentions: list[Mention] = []
        at: At | None = after
        while at is not None and len(mentions) <= limit:
            chunks, following = await self._mentions.read(tenant, at)
            for job, member in chunks:
                mentions += [one for one in found(job, member, (address,)) if at.is_before(one)]
            at = following
            if self._monotonic() >= deadline_s:
                break
        if len(mentions) > limit:
            job, ordinal, _ = mentions[limit - 1]
            at = At(ids.job_partition(job, self._partitions), job, ordinal + 1)
        return [await self._message(mention) for mention in mentions[:limit]], at

    async def _message(self, mention: Mention) -> Message:
        job = await jobs.read(self._client, self._partitions, mention.job, (jobs.SUBJECT, jobs.LIST))
        return Message(mention.job, mention.ordinal, job[jobs.SUBJECT], job[jobs.LIST])

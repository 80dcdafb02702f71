"""Whether a message may still be attempted: it has no end on record, and nobody has left in the meantime."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from shared import events, ids, keys
from shared.redis import Client, Script

# KEYS: the bitmap of a job. ARGV: ordinals. Answers their bits.
_ENDED = Script(
    """
local bits = {}
for i = 1, #ARGV do bits[i] = redis.call('GETBIT', KEYS[1], ARGV[i]) end
return bits
"""
)

#: The word for a message whose end is on record: it came back because a relay died before it could end the lease.
ENDED = "(ended)"


class Suppressions(Protocol):
    def check(self, pairs: Sequence[tuple[str, str]]) -> Coroutine[Any, Any, list[str | None]]: ...


class Admission:
    """Asks for many messages at once. Raises RedisAway: without an answer nothing is attempted."""

    def __init__(self, client: Client, partitions: int, suppressions: Suppressions) -> None:
        self._client = client
        self._partitions = partitions
        self._suppressions = suppressions

    async def check(self, readies: Sequence[events.Ready]) -> list[str | None]:
        """For each message None (go), `ENDED`, or the reason of its suppression."""
        by_job: dict[str, list[int]] = defaultdict(list)
        for at, ready in enumerate(readies):
            by_job[ready.job].append(at)
        listed = asyncio.create_task(
            self._suppressions.check([(ready.tenant, ready.email) for ready in readies]), name="suppressions"
        )
        ended = await asyncio.gather(
            *(self._ended(job, [readies[at].ordinal for at in places]) for job, places in by_job.items()),
            return_exceptions=True,
        )
        verdicts = await listed
        for places, bits in zip(by_job.values(), ended, strict=True):
            if isinstance(bits, BaseException):
                raise bits
            for at, bit in zip(places, bits, strict=True):
                if bit:
                    verdicts[at] = ENDED
        return verdicts

    async def _ended(self, job: str, ordinals: Sequence[int]) -> list[int]:
        partition = ids.job_partition(job, self._partitions)
        bits: list[int] = await _ENDED(self._client, [keys.job_ended(partition, job)], list(ordinals))
        return bits

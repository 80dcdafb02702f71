"""Whether a message may still be attempted: it has no end on record, nobody has left in the meantime, and if it is to
be sent at most once this attempt was not begun by a relay that died."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from services.relay.begun import byte_of
from shared import events, ids, keys
from shared.redis import Client, Script

# KEYS: the bitmap of a job, its begun attempts. ARGV: for each message its ordinal, and the byte of its attempt (0: not
# asked about). Answers for each: 1 it has ended, 2 this attempt was begun, else 0.
_STANDS = Script(
    """
local stands = {}
for i = 1, #ARGV, 2 do
  local stand = redis.call('GETBIT', KEYS[1], ARGV[i])
  if stand == 0 and ARGV[i + 1] ~= '0' then
    if string.byte(redis.call('GETRANGE', KEYS[2], ARGV[i], ARGV[i])) == tonumber(ARGV[i + 1]) then stand = 2 end
  end
  stands[#stands + 1] = stand
end
return stands
"""
)

#: The word for a message whose end is on record: it came back because a relay died before it could end the lease.
ENDED = "(ended)"
#: The word for an at-most-once message whose attempt was begun by a relay that did not live to record its end.
UNKNOWN = "(unknown)"
_STAND = {1: ENDED, 2: UNKNOWN}


class Suppressions(Protocol):
    def check(self, pairs: Sequence[tuple[str, str]]) -> Coroutine[Any, Any, list[str | None]]: ...


class Admission:
    """Asks for many messages at once. Raises RedisAway: without an answer nothing is attempted."""

    def __init__(self, client: Client, partitions: int, suppressions: Suppressions) -> None:
        self._client = client
        self._partitions = partitions
        self._suppressions = suppressions

    async def check(self, readies: Sequence[events.Ready], *, in_hand: bool = False) -> list[str | None]:
        """For each message None (go), `ENDED`, `UNKNOWN`, or the reason of its suppression. `in_hand`: they were asked
        about when this relay took them, so an attempt that has begun since is its own, and its end will be known."""
        by_job: dict[str, list[int]] = defaultdict(list)
        for at, ready in enumerate(readies):
            by_job[ready.job].append(at)
        listed = asyncio.create_task(
            self._suppressions.check([(ready.tenant, ready.email) for ready in readies]), name="suppressions"
        )
        stands = await asyncio.gather(
            *(self._stands(job, [readies[at] for at in places], in_hand) for job, places in by_job.items()),
            return_exceptions=True,
        )
        verdicts = await listed
        for places, found in zip(by_job.values(), stands, strict=True):
            if isinstance(found, BaseException):
                raise found
            for at, stand in zip(places, found, strict=True):
                verdicts[at] = _STAND.get(stand, verdicts[at])
        return verdicts

    async def _stands(self, job: str, readies: Sequence[events.Ready], in_hand: bool) -> list[int]:
        partition = ids.job_partition(job, self._partitions)
        args: list[str | bytes | int] = []
        for ready in readies:
            args += [ready.ordinal, byte_of(ready.attempt) if ready.at_most_once and not in_hand else 0]
        stands: list[int] = await _STANDS(
            self._client, [keys.job_ended(partition, job), keys.job_begun(partition, job)], args
        )
        return stands

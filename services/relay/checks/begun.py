"""Which attempts of at-most-once jobs have begun: recorded before the final dot, asked when a message is taken over.

A job has a string with a byte per ordinal: the number of the attempt whose body was about to be sent. It is written
when the host has said 354, and durable before the body goes. So a message that comes back with the same attempt,
because a relay died with it, may have been delivered; one whose byte is another attempt's, or none, was not. An attempt
that ended as deferred comes back with the next number, and is made.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from prometheus_client import Counter, Histogram

from shared.redis import keys
from shared.redis.redis import Client, Script
from shared.words import events, ids

MARKED = Counter("estafette_relay_begun_attempts_total", "Attempts of at-most-once jobs marked before their body went")
MARK_SECONDS = Histogram(
    "estafette_relay_begun_seconds",
    "Time to mark a batch of attempts as begun",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1),
)
#: Marks of one script call; more wait for the next.
BATCH = 500

_MARK = Script.of(__file__, "begun_mark")


def byte_of(attempt: int) -> int:
    """The byte that stands for an attempt: 1 to 255, and from the start again; 0 is none. Two attempts with the same
    byte are 255 apart, which at four hours each is six weeks: no message waits so long."""
    return (attempt - 1) % 255 + 1


class Begun:
    """Marks that come together travel together: one call a partition at a time, and all that came meanwhile in the
    next."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client: Any = client
        self._partitions = partitions
        self._waiting: dict[int, list[tuple[events.Ready, asyncio.Future[None]]]] = {}
        self._sending: dict[int, asyncio.Task[None]] = {}

    async def mark(self, ready: events.Ready) -> None:
        """Returns once it is stored that this attempt has begun. If it raises, the body must not be sent."""
        partition = ids.job_partition(ready.job, self._partitions)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(partition, []).append((ready, stored))
        if partition not in self._sending:
            self._sending[partition] = asyncio.create_task(self._send(partition), name=f"begun {partition}")
        await stored

    async def _send(self, partition: int) -> None:
        """Runs as long as marks of the partition wait. What fails is told to who waits for it, and to nobody else."""
        await asyncio.sleep(0)  # who marks in the same turn of the loop comes along
        while waiting := self._waiting.get(partition):
            batch, self._waiting[partition] = waiting[:BATCH], waiting[BATCH:]
            try:
                with MARK_SECONDS.time():
                    await self._store(partition, [ready for ready, _ in batch])
            except Exception as fault:
                for _, stored in batch:
                    if not stored.done():
                        stored.set_exception(fault)
                continue
            MARKED.inc(len(batch))
            for _, stored in batch:
                if not stored.done():
                    stored.set_result(None)
        del self._waiting[partition], self._sending[partition]

    async def _store(self, partition: int, readies: Sequence[events.Ready]) -> None:
        names: dict[str, int] = {}
        args: list[str | bytes | int] = []
        for ready in readies:
            place = names.setdefault(keys.job_begun(partition, ready.job), len(names) + 1)
            args += [place, ready.ordinal, bytes([byte_of(ready.attempt)])]
        await _MARK(self._client, list(names), args)

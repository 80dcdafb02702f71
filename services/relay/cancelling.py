"""What is cancelled is looked for wherever it waits, and ends here: in ready queues, held or not, among what waits for
another attempt, where it is parked, and in the relay's own lines.

All relays do this side by side, and share how far they have looked. What a relay took and could not end before it died
is found by whoever takes it over: the mark is obeyed at every turn (`permission`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from shared.process.lifecycle import pause
from shared.redis.cancels import Cancel
from shared.redis.ready import Lease, ReadyQueues
from shared.redis.redis import RedisAway

#: Between two looks, after one that found nothing: the first, and the longest.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
#: While there is no room for what is found.
FULL_PAUSE_S = 0.05


class Cancels(Protocol):
    @property
    def marks(self) -> Mapping[str, Cancel]: ...


class Cancelling:
    """`name`, `partitions` and `lease_ms` are the relay's; `end_in_line` ends what of it waits in line here."""

    def __init__(
        self,
        name: str,
        partitions: int,
        lease_ms: int,
        queues: ReadyQueues,
        cancels: Cancels,
        end_in_line: Callable[[], Awaitable[None]],
    ) -> None:
        self._name = name
        self._partitions = partitions
        self._lease_ms = lease_ms
        self._queues = queues
        self._cancels = cancels
        self._end_in_line = end_in_line
        self._log = structlog.get_logger("relay")

    async def run(
        self, room: Callable[[], int], admit: Callable[[Sequence[Lease]], Awaitable[None]], stopping: asyncio.Event
    ) -> None:
        """`admit` ends what it is given; `room` is for how many messages. Until `stopping`."""
        pause_s = FIRST_PAUSE_S
        while not stopping.is_set():
            found = 0
            if self._cancels.marks:
                await self._end_in_line()
            for mark, cancel in list(self._cancels.marks.items()):
                try:
                    for partition in range(self._partitions):
                        found += await self._look(partition, mark, cancel, room, admit, stopping)
                except RedisAway as away:
                    self._log.warning("redis_away", reason=str(away))
                except Exception:  # ours: what is taken has to be sent and recorded all the same
                    self._log.exception("cancelling_failed", mark=mark)
            busy = found or not self._cancels.marks
            pause_s = FIRST_PAUSE_S if busy else min(pause_s * 2, LONGEST_PAUSE_S)
            await pause(stopping, pause_s)

    async def _look(
        self,
        partition: int,
        mark: str,
        cancel: Cancel,
        room: Callable[[], int],
        admit: Callable[[Sequence[Lease]], Awaitable[None]],
        stopping: asyncio.Event,
    ) -> int:
        """How many were found in a partition."""
        found = 0
        for queue in await self._queues.cancelled_queues(partition, mark, cancel):
            more = True
            while more and not stopping.is_set():
                limit = room()
                if limit <= 0:
                    await pause(stopping, FULL_PAUSE_S)
                    continue
                leases, more = await self._queues.take_cancelled(
                    partition, self._name, self._lease_ms, limit, mark, cancel, queue
                )
                if leases:
                    found += len(leases)
                    await admit(leases)
        return found

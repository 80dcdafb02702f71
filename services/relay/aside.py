"""What waits outside of the relay's lines: messages parked because they were stopped, and those whose time ends.

- What is stopped (a job, a tenant's bulk) is parked in Redis (`shared.redis.ready`), comes back when its stop ends, and
  is any relay's then.
- What expires while it waits, parked or in a ready queue, is taken in hand so that its end is recorded: a queue that is
  held has no turn in which that could be seen.

All relays do this side by side; each step is a script, so nothing is done twice. A bug here is waited out: what has
been taken has to be sent and recorded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from shared.process.lifecycle import pause
from shared.redis.ready import Lease, ReadyQueues
from shared.redis.redis import RedisAway

#: How often what waits is searched for what has expired, and what is parked for what may go on.
SWEEP_S = 5.0
ASIDE_S = 1.0
#: Parked messages that come back in one step.
ASIDE_BATCH = 500


class Stops(Protocol):
    async def lifted(self, jobs: Sequence[str]) -> list[str]:
        """Those of the jobs that may go on. RedisAway."""


class Aside:
    """`name`, `partitions` and `lease_ms` are the relay's."""

    def __init__(self, name: str, partitions: int, lease_ms: int, queues: ReadyQueues, stops: Stops) -> None:
        self._name = name
        self._partitions = partitions
        self._lease_ms = lease_ms
        self._queues = queues
        self._stops = stops
        self._log = structlog.get_logger("relay")

    async def put(self, numbers: Mapping[int, Sequence[int]]) -> None:
        """The messages of these leases, by partition. Never fails."""
        for partition, its_numbers in numbers.items():
            try:
                await self._queues.park(partition, self._name, its_numbers)
            except RedisAway as away:  # they come back by themselves when the lease is over, or as what was lost
                self._log.warning("not_parked", reason=str(away), partition=partition)

    async def bring_back(self, stopping: asyncio.Event) -> None:
        """What was parked, once its stop has ended. Until `stopping`."""

        async def bring_back_from(partition: int) -> None:
            for job in await self._stops.lifted(await self._queues.parked_jobs(partition)):
                while not stopping.is_set() and await self._queues.unpark(partition, job, ASIDE_BATCH):
                    pass

        await self._every(ASIDE_S, bring_back_from, stopping)

    async def sweep(
        self, room: Callable[[], int], admit: Callable[[Sequence[Lease]], Awaitable[None]], stopping: asyncio.Event
    ) -> None:
        """What expires while it is parked or in a queue ends here: `admit` sees to that. `room` is for how many
        messages. Until `stopping`."""

        async def sweep_in(partition: int) -> None:
            limit = room()
            leases = await self._queues.take_expired(partition, self._name, self._lease_ms, limit) if limit else []
            if leases:
                await admit(leases)

        await self._every(SWEEP_S, sweep_in, stopping)

    async def _every(self, seconds: float, call: Callable[[int], Awaitable[None]], stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            for partition in range(self._partitions):
                try:
                    await call(partition)
                except RedisAway as away:
                    self._log.warning("redis_away", reason=str(away), partition=partition)
                except Exception:  # ours, or a server that refuses
                    self._log.exception("minding_failed", partition=partition)
            await pause(stopping, seconds)

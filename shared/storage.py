"""How a process finds its Redis at start: waits until it answers, checks that the data is ours and may be trusted.

A process with another number of partitions would look for every fact in the wrong place, and one whose Redis forgets
what it acknowledged would break the promise of the 202: both are found here, before anything is read or written.
"""

import time

from prometheus_client import Gauge

from shared import logs, redis
from shared.lifecycle import Lifecycle, pause

#: Between two looks for a Redis that is away.
RETRY_SECONDS = 0.5

DURABLE = Gauge("estafette_redis_durable", "1 if an acknowledged write survives a kill -9 of Redis, 0 if it may not")


def connect(life: Lifecycle) -> redis.Client:
    """The client of this process, closed with it."""
    client = redis.connect(life.settings.redis.url)
    life.push_close(lambda: redis.close(client))
    return client


async def is_ours(life: Lifecycle, client: redis.Client) -> bool:
    """True once Redis answers and holds our data; False if the process is to stop before that. WrongPartitions,
    NotDurable (with `redis.require_durable`)."""
    settings = life.settings.redis
    while not life.stopping.is_set():
        try:
            await redis.check_partitions(client, settings.partitions)
            durable, why = await redis.durability(client)
        except redis.RedisAway:
            life.not_ready("redis does not answer")
            await pause(life.stopping, RETRY_SECONDS)
            continue
        DURABLE.set(durable)
        if not durable:
            logs.get_logger().warning("redis_not_durable", why=why)
            if settings.require_durable:
                raise redis.NotDurable(why)
        life.also_check(_StillThere(client, settings.partitions))
        return True
    return False


class _StillThere:
    """Whether the data is there that this process started with: after a FLUSHALL every answer would be wrong. Asked at
    most once a second."""

    def __init__(self, client: redis.Client, partitions: int) -> None:
        self._client, self._partitions = client, partitions
        self._good_until = 0.0

    async def __call__(self) -> str | None:
        now = time.monotonic()
        if now < self._good_until:
            return None
        try:
            stored = await redis.stored_partitions(self._client)
        except redis.RedisAway:
            return None  # away is not gone
        if stored != self._partitions:
            return "the data that this process started with is gone from redis"
        self._good_until = now + 1.0
        return None

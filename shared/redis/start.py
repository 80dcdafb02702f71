"""How a process starts on Redis: its client and name, and the wait until Redis answers and its data is found ours.

A process with another number of partitions would look for every fact in the wrong place, one whose Redis forgets what
it acknowledged would break the promise of the 202, and one whose Redis was emptied, or is another installation's, would
lose what it knew: all are found here, before anything is read or written.
"""

import os
import secrets
import socket
import time

from prometheus_client import Gauge

from shared.process import logs
from shared.process.lifecycle import Lifecycle, pause
from shared.process.settings import Settings
from shared.redis import bus, direct, redis
from shared.redis.conversion import convert
from shared.redis.installation import SCHEMA, Installation, NotOurs
from shared.redis.kept import Wants
from shared.redis.watch import Watch

#: Between two looks for a Redis that is away.
RETRY_SECONDS = 0.5

#: Of what may be in the way, what the operator is told as it is.
_TOLD = (redis.NotLetIn, redis.NotConfirmed)

DURABLE = Gauge("estafette_redis_durable", "1 if an acknowledged write survives a kill -9 of Redis, 0 if it may not")


def connect(life: Lifecycle) -> redis.Client:
    """The client of this process, closed with it."""
    client = redis.connect(life.settings.redis.url, wants(life.settings))
    direct.share(client)
    life.push_close(lambda: redis.close(client))
    return client


def wants(settings: Settings) -> Wants | None:
    """Who is to have a write before it counts; None: the server that was asked."""
    asked = settings.redis
    if not asked.wait_replicas and not asked.wait_aof:
        return None
    return Wants(asked.wait_replicas, asked.wait_aof, asked.wait_ms)


def publisher(client: redis.Client, settings: Settings) -> bus.Publisher:
    """Of facts, under names of batches that nobody guesses."""
    return bus.Publisher(client, settings.redis.partitions, lambda: secrets.token_hex(8))


def process_name() -> str:
    """Unlike that of any other process, now or before: for whoever may not find what another had in hand."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def installation(client: redis.Client, settings: Settings) -> Installation:
    """As this process remembers it."""
    return Installation(
        client,
        settings.redis.partitions,
        lambda: secrets.token_hex(8),
        given=settings.redis.installation,
        memory=settings.data.path / "installation",
    )


async def is_ours(life: Lifecycle, client: redis.Client) -> bool:
    """True once Redis answers and holds our data; False if the process is to stop before that. WrongPartitions,
    NewerData, CannotWait (with `redis.wait_aof`), NotDurable (with `redis.require_durable`)."""
    settings = life.settings.redis
    found = installation(client, life.settings)
    while not life.stopping.is_set():
        try:
            await redis.check_wait(client)
            await found.find()
            durable, why = await redis.durability(client)
            await convert(client, settings.partitions)
        except NotOurs as words:
            life.not_ready(str(words))
            await pause(life.stopping, RETRY_SECONDS)
            continue
        except redis.RedisAway as away:
            life.not_ready(str(away) if isinstance(away, _TOLD) else "redis does not answer")
            await pause(life.stopping, RETRY_SECONDS)
            continue
        DURABLE.set(durable)
        if not durable:
            logs.get_logger().warning("redis_not_durable", why=why)
            if settings.require_durable:
                raise redis.NotDurable(f"redis.require_durable: this Redis may forget what it acknowledged ({why})")
        if found.former_schema < SCHEMA:
            logs.get_logger().warning("data_of_older_program", schema=found.former_schema, now=SCHEMA)
        if not found.is_kept:
            logs.get_logger().warning("installation_not_remembered", id=found.id, setting="redis.installation")
        life.also_check(StillOurs(found))
        watch = Watch(client, settings.partitions, time.monotonic)
        life.also_check(watch.readiness)
        life.spawn(watch.run(life.stopping), "watching redis")
        return True
    return False


class StillOurs:
    """Whether the data is there that this process works on: after a FLUSHALL every answer would be wrong. Asked at most
    once a second."""

    def __init__(self, found: Installation) -> None:
        self._found = found
        self._good_until = 0.0

    async def __call__(self) -> str | None:
        now = time.monotonic()
        if now < self._good_until:
            return None
        try:
            await self._found.still()
        except redis.RedisAway:
            return None  # away is not gone
        except NotOurs as words:
            return str(words)
        self._good_until = now + 1.0
        return None

"""Whether Redis takes writes is known while it answers reads, and by its reason."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from shared.redis import keys, redis
from shared.redis.redis import NotLetIn, RedisAway
from shared.redis.watch import Watch, why
from tests.servers import RedisServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """One of its own: the others share theirs."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def own(server: RedisServer) -> AsyncIterator[Any]:
    client = redis.connect(server.url)
    yield client
    await redis.close(client)


async def looked(client: Any) -> str | None:
    watch = Watch(client, 8, time.monotonic)
    await watch.look()
    return await watch.readiness()


async def test_a_server_that_takes_writes_is_ready_and_nothing_is_written(client: Any) -> None:
    assert await looked(client) is None
    assert [await client.exists(keys.probe(partition)) for partition in range(8)] == [0] * 8
    assert REGISTRY.get_sample_value("estafette_redis_usable") == 1


async def test_a_full_one_is_not_although_it_answers_reads(own: Any) -> None:
    await own.config_set("maxmemory", "1")

    assert await looked(own) == "redis is full: it takes nothing more (maxmemory)"
    assert await own.get("anything") is None
    assert REGISTRY.get_sample_value("estafette_redis_usable") == 0

    await own.config_set("maxmemory", "0")
    assert await looked(own) is None


async def test_a_master_that_became_a_replica_is_read_only(own: Any, tmp_path: Path) -> None:
    other = RedisServer(tmp_path / "master")
    other.start()
    await own.execute_command("REPLICAOF", "127.0.0.1", other.port)

    assert await looked(own) == "redis is read-only: it is a replica, and no master"
    other.stop()


async def test_one_that_lacks_replicas_takes_nothing(own: Any) -> None:
    await own.config_set("min-replicas-to-write", "1")

    assert await looked(own) == "redis has too few replicas to take anything"


async def test_one_that_is_gone_does_not_answer_and_the_time_is_counted(own: Any, server: RedisServer) -> None:
    now, stopping = 100.0, asyncio.Event()
    before = REGISTRY.get_sample_value("estafette_redis_away_seconds_total", {"why": "no_answer"}) or 0.0
    server.kill()

    def monotonic() -> float:
        nonlocal now
        now += 0.25
        return now

    watch = Watch(own, 8, monotonic)
    running = asyncio.create_task(watch.run(stopping))
    async with asyncio.timeout(60):
        while await watch.readiness() is None:  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)
    stopping.set()
    await running

    assert await watch.readiness() == "redis does not answer"
    assert (REGISTRY.get_sample_value("estafette_redis_away_seconds_total", {"why": "no_answer"}) or 0.0) > before


async def test_a_look_that_takes_too_long_is_no_answer(own: Any) -> None:
    now = 0.0
    watch = Watch(own, 8, lambda: now)
    await own.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    looking = asyncio.create_task(watch.look())
    await asyncio.sleep(0)
    assert await watch.readiness() is None

    now = 3.0

    assert await watch.readiness() == "redis does not answer"
    await own.execute_command("CLIENT", "UNPAUSE")
    await looking
    assert await watch.readiness() is None


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (RedisAway("command not allowed when used memory > 'maxmemory'."), "full"),
        (RedisAway("You can't write against a read only replica."), "read_only"),
        (RedisAway("MISCONF Errors writing to the AOF file: No space left on device"), "disk"),
        (RedisAway("NOREPLICAS Not enough good replicas to write."), "replicas"),
        (RedisAway("CLUSTERDOWN The cluster is down"), "no_master"),
        (RedisAway("Hash slot not served"), "no_master"),
        (RedisAway("Error 111 connecting to 127.0.0.1:6379"), "no_answer"),
        (NotLetIn("Redis wants a password"), "not_let_in"),
        (ValueError("NOPERM"), "refused"),
    ],
)
def test_the_reason_is_one_word(fault: Exception, word: str) -> None:
    assert why(fault) == word

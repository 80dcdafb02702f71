"""A Redis that is full is one that is away: what it refuses waits, and nothing that was accepted is dead-lettered."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.redis import keys, redis
from shared.redis.bus import Entry
from shared.redis.redis import RedisAway, Script, answer
from tests.redis.test_bus import JOB, Reader, opened, publisher, until
from tests.servers import RedisServer

_GROW = Script("return redis.call('SET', KEYS[1], ARGV[1])")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Any]:
    """Of a server of its own: the others share theirs."""
    server = RedisServer(tmp_path)
    server.start()
    client = redis.connect(server.url)
    yield client
    await redis.close(client)
    server.stop()


async def test_a_script_and_a_command_that_find_it_full_say_that_it_is_away(client: Any) -> None:
    await client.config_set("maxmemory", "1")

    with pytest.raises(RedisAway, match="memory"):
        await _GROW(client, [keys.job(1, JOB)], ["x"])
    with pytest.raises(RedisAway, match="memory"):
        await answer(client.set(keys.job(1, JOB), "x"))


async def test_promise_1_work_that_meets_a_full_redis_waits_and_is_not_buried(client: Any) -> None:
    full = asyncio.Event()
    refusals, handled = 0, 0

    async def call(_partition: int, _entries: Sequence[Entry]) -> None:
        nonlocal refusals, handled
        await full.wait()
        try:
            await _GROW(client, [keys.job(1, JOB)], ["x"])
        except Exception:
            refusals += 1
            raise
        handled += 1

    async with Reader(client, call=call):
        await publisher(client).publish([opened(1)])
        await client.config_set("maxmemory", "1")
        full.set()
        await until(lambda: refusals > 6)
        await client.config_set("maxmemory", "0")
        await until(lambda: handled == 1)

    assert await client.xlen(keys.dead(keys.events(1))) == 0


async def test_a_disk_that_redis_cannot_write_to_is_a_redis_that_is_away(client: Any) -> None:
    where = Path((await client.config_get("dir"))["dir"]) / "dump.rdb"
    (where / "in the way").mkdir(parents=True)  # of root, too
    await client.config_set("save", "3600 1000000")
    await client.bgsave()

    async def failed() -> bool:
        return bool((await client.info("persistence"))["rdb_last_bgsave_status"] == "err")

    async with asyncio.timeout(60):
        while not await failed():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)

    with pytest.raises(RedisAway, match="MISCONF"):
        await answer(client.set(keys.job(1, JOB), "x"))
    with pytest.raises(RedisAway, match="MISCONF"):
        await _GROW(client, [keys.job(1, JOB)], ["x"])


async def test_a_primary_without_its_replicas_is_a_redis_that_is_away(client: Any) -> None:
    await client.config_set("min-replicas-to-write", "1")

    with pytest.raises(RedisAway, match="NOREPLICAS"):
        await answer(client.set(keys.job(1, JOB), "x"))
    with pytest.raises(RedisAway, match="NOREPLICAS"):
        await _GROW(client, [keys.job(1, JOB)], ["x"])


async def test_a_primary_that_becomes_a_replica_while_somebody_waits_there_is_a_redis_that_is_away(client: Any) -> None:
    waiting = asyncio.create_task(answer(client.xread({keys.events(1): "$"}, block=60_000)))

    async with asyncio.timeout(60):
        while not (await client.info("clients"))["blocked_clients"]:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
    await client.replicaof("127.0.0.1", "1")

    with pytest.raises(RedisAway, match="UNBLOCKED"):
        await waiting
    with pytest.raises(RedisAway):
        await answer(client.set(keys.job(1, JOB), "x"))


async def test_a_fault_of_ours_is_no_redis_that_is_away(client: Any) -> None:
    await client.lpush("list", "MISCONF")

    with pytest.raises(redis.Refused, match="wrong kind"):
        await answer(client.incr("list"))
    with pytest.raises(redis.Refused):
        await Script("return redis.call('INCR', KEYS[1])")(client, ["list"], [])

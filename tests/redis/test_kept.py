"""What a promise rests on is answered when replicas have it, or disks: on real servers whose replicas are cut off."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.settings import load
from shared.redis import bus, keys, redis
from shared.redis.bus import BusUnavailable
from shared.redis.kept import Text, Wants, too_old
from shared.redis.redis import NotConfirmed, RedisAway, Refused, Script
from shared.redis.start import wants
from shared.redis.watch import Watch, why
from tests.failover import DOWN_MS, FailingCluster, FailingMaster, until
from tests.redis.test_bus import opened
from tests.servers import RedisServer, newest_server

P = 3
KEPT = Script("return redis.call('INCR', KEYS[1])", kept=True)
PASSING = Script("return redis.call('INCR', KEYS[1])")
ONE = Wants(replicas=1, ms=300)
#: A replica that comes is not made to wait for more of them.
AT_ONCE = ("--repl-diskless-sync-delay", "0")


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    """It is there, and does nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def follows(replica: RedisServer, master: RedisServer) -> None:
    with replica.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", master.port)
    with master.client() as client:  # a replica is online before it says for the first time what it has
        until(lambda: client.set("{p1}any", "") and client.wait(1, 100) == 1)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    master, replica = RedisServer(tmp_path / "master", *AT_ONCE), RedisServer(tmp_path / "replica")
    master.start()
    replica.start()
    follows(replica, master)
    yield master, replica
    master.stop()
    replica.stop()


@pytest.fixture
async def client(pair: tuple[RedisServer, RedisServer]) -> AsyncIterator[Any]:
    """One that waits for the replica."""
    client = redis.connect(pair[0].url, ONE)
    yield client
    await redis.close(client)


def unconfirmed() -> float:
    return REGISTRY.get_sample_value("estafette_redis_unconfirmed_total") or 0.0


async def test_a_write_that_is_answered_is_on_the_replica(pair: tuple[RedisServer, RedisServer], client: Any) -> None:
    assert await KEPT(client, ["{p1}number"], []) == 1
    await client.hset("{p1}hash", "a", "b")

    with pair[1].client() as replica:
        assert (replica.get("{p1}number"), replica.hget("{p1}hash", "a")) == (b"1", b"b")


async def test_promise_1_what_the_replica_does_not_have_in_time_is_not_answered(
    pair: tuple[RedisServer, RedisServer], client: Any
) -> None:
    before = unconfirmed()
    with frozen(pair[1]):
        with pytest.raises(NotConfirmed, match="0 of 1 replicas have received what was written, after 300 ms"):
            await KEPT(client, ["{p1}number"], [])
        with pytest.raises(NotConfirmed):
            await client.set("{p1}text", "x")

        # What no promise rests on waits for nobody.
        assert await PASSING(client, ["{p1}other"], []) == 1
        assert await client.get("{p1}text") == b"x"

    assert unconfirmed() == before + 2


async def test_a_repeat_that_writes_nothing_waits_for_what_was_written_before(
    pair: tuple[RedisServer, RedisServer], client: Any
) -> None:
    publisher = bus.Publisher(client, P, lambda: "name")
    with frozen(pair[1]):
        for _ in range(2):  # the second finds the batch stored
            with pytest.raises(BusUnavailable):
                await publisher.publish([opened(1)], patience_s=0, batch="one")

    await publisher.publish([opened(1)], batch="one")

    stream = keys.events(bus.fact_partition(opened(1), P))
    with pair[1].client() as replica:
        assert replica.xlen(stream) == 1 == await client.xlen(stream)


async def test_a_connection_goes_on_after_an_answer_that_was_refused_or_too_late(
    pair: tuple[RedisServer, RedisServer], client: Any
) -> None:
    wrong = Script("return redis.call('LPUSH', KEYS[1], 'x')", kept=True)
    await client.set("{p1}text", "x")
    for _ in range(3):
        with pytest.raises(Refused, match="WRONGTYPE"):
            await wrong(client, ["{p1}text"], [])
        with frozen(pair[1]), pytest.raises(NotConfirmed):
            await KEPT(client, ["{p1}number"], [])
    cancelled = asyncio.create_task(KEPT(client, ["{p1}number"], []))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)

    assert await client.get("{p1}text") == b"x"
    counts = await asyncio.gather(*(KEPT(client, ["{p1}many"], []) for _ in range(50)))
    assert sorted(counts) == list(range(1, 51))


async def test_readiness_says_that_too_few_confirm(pair: tuple[RedisServer, RedisServer], client: Any) -> None:
    watch = Watch(client, P, asyncio.get_running_loop().time)
    await watch.look()
    assert await watch.readiness() is None

    with frozen(pair[1]):
        await watch.look()

    assert (await watch.readiness() or "").startswith("too few replicas or disks of redis confirm")
    assert why(NotConfirmed("x")) == "unconfirmed"


async def test_promise_1_what_was_answered_survives_a_master_that_sentinels_replace(tmp_path: Path) -> None:
    with FailingMaster(tmp_path) as redis_of:
        client = redis.connect(redis_of.url, Wants(replicas=2, ms=1000))
        try:
            for _ in range(100):
                last = await KEPT(client, ["{p1}number"], [])
            killed = redis_of.kill_master("")
            await asyncio.to_thread(until, lambda: redis_of.has_master(""))
            await asyncio.to_thread(redis_of.start_again, killed)

            assert await answered(client, "{p1}number") > last
        finally:
            await redis.close(client)


async def test_promise_1_what_was_answered_survives_a_master_that_the_cluster_replaces(tmp_path: Path) -> None:
    with FailingCluster(tmp_path) as cluster:
        client = redis.connect(cluster.url, Wants(replicas=1, ms=1000))
        try:
            for _ in range(100):
                last = await KEPT(client, ["{p1}number"], [])
            killed = cluster.kill_master("{p1}number")
            with pytest.raises(RedisAway):
                await KEPT(client, ["{p1}number"], [])
            await asyncio.to_thread(until, lambda: cluster.has_master("{p1}number"))
            await asyncio.to_thread(cluster.start_again, killed)

            assert await answered(client, "{p1}number") > last
        finally:
            await redis.close(client)


async def answered(client: Any, key: str) -> int:
    """As a careful caller asks."""
    async with asyncio.timeout(60 + DOWN_MS / 1000):
        while True:
            try:
                return int(await KEPT(client, [key], []))
            except RedisAway:
                await asyncio.sleep(0.05)


# Disks


@pytest.fixture
async def newest(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A server that has WAITAOF, and writes to its disk once a second."""
    server = RedisServer(tmp_path / "newest", *AT_ONCE, "--appendfsync", "everysec", program=newest_server())
    server.start()
    yield server
    server.stop()


async def test_where_the_disk_confirms_each_answer_it_is_as_durable_as_one_that_always_writes(
    newest: RedisServer,
) -> None:
    plain, waiting = redis.connect(newest.url), redis.connect(newest.url, Wants(disk=True, ms=4000))
    try:
        await redis.check_wait(waiting)
        await KEPT(waiting, ["{p1}number"], [])

        assert await redis.durability(plain) == (False, "appendonly yes, appendfsync everysec")
        assert (await redis.durability(waiting))[0] is True
    finally:
        await redis.close(plain)
        await redis.close(waiting)

    newest.kill()
    newest.start()
    with newest.client() as client:
        assert client.get("{p1}number") == b"1"


async def test_a_disk_that_does_not_confirm_in_time_is_no_answer(newest: RedisServer) -> None:
    client = redis.connect(newest.url, Wants(disk=True, ms=10))
    try:
        with pytest.raises(NotConfirmed, match="the disk of Redis did not"):  # noqa: PT012 - now and then it is in time
            for _ in range(100):
                await KEPT(client, ["{p1}number"], [])
    finally:
        await redis.close(client)


async def test_a_replica_that_has_no_append_only_file_confirms_no_disk(newest: RedisServer, tmp_path: Path) -> None:
    replica = RedisServer(tmp_path / "replica", "--appendonly", "no", program=newest_server())
    replica.start()
    try:
        follows(replica, newest)
        client = redis.connect(newest.url, Wants(replicas=1, disk=True, ms=1500))
        with pytest.raises(NotConfirmed, match="0 of 1 replicas have on their disks what was written"):
            await KEPT(client, ["{p1}number"], [])
        await redis.close(client)
    finally:
        replica.stop()


async def test_a_server_from_before_waitaof_is_refused_by_name(redis_url: str) -> None:
    client: Any = redis.connect(redis_url, Wants(disk=True))
    try:
        version = (await client.info("server"))["redis_version"]
        if not too_old(version):
            pytest.fail("the server of the tests has become newer: take another one here")
        with pytest.raises(redis.CannotWait, match=rf"redis\.wait_aof .*this Redis is {version}"):
            await redis.check_wait(client)
    finally:
        await redis.close(client)


@pytest.mark.parametrize(
    ("version", "is_too_old"),
    [("6.2.14", True), ("7.0.15", True), ("7.2.0", False), ("7.2", False), ("8.0.1", False), ("", True), ("x.y", True)],
)
def test_waitaof_came_with_7_2(version: str, is_too_old: bool) -> None:
    assert too_old(version) is is_too_old


def test_settings_say_who_is_waited_for() -> None:
    assert wants(load({}, None)) is None
    assert wants(load({"ESTAFETTE_REDIS_WAIT_REPLICAS": "2"}, None)) == Wants(2, False, 1000)
    both = {"ESTAFETTE_REDIS_WAIT_AOF": "true", "ESTAFETTE_REDIS_WAIT_MS": "2000"}
    assert wants(load(both, None)) == Wants(0, True, 2000)


def test_scripts_that_promises_rest_on_are_kept() -> None:
    from services.queueing import store
    from services.relay.checks import begun
    from services.suppression import store as lists
    from shared.redis import ready

    kept = [store._STORE, store._APPEND, store._START, begun._MARK, lists._ADD, lists._REMOVE]
    kept += [bus._PUBLISH, ready._ENQUEUE, ready._LEASE]

    assert [script for script in kept if not isinstance(script.digest, Text)] == []
    assert not isinstance(ready._RECORD.digest, Text)

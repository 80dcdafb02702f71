"""Script calls over a kept connection: answered in order, given up with it, and made again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from shared.redis import direct, redis
from shared.redis.direct import Direct
from shared.redis.kept import Wants
from shared.redis.redis import RedisAway, Refused, Script
from tests.servers import RedisServer

ECHO = Script("return ARGV[1]")
COUNT = Script("return redis.call('INCR', KEYS[1]) - 1")
FAULTY = Script("return redis.call('HGET', KEYS[1])")
KEY = "{p0}number"


@pytest.fixture
async def client(mortal: RedisServer) -> AsyncIterator[redis.Client]:
    client = redis.connect(mortal.url)
    yield client
    await redis.close(client)


@pytest.fixture
def calls(client: redis.Client) -> Direct:
    found = Direct.of(client)
    assert found is not None
    return found


@contextmanager
def hanging(server: RedisServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def connections(client: redis.Client) -> int:
    return int((await client.info("clients"))["connected_clients"])


async def test_each_call_has_its_answer_and_0_is_one(calls: Direct) -> None:
    answers = await calls.calls(COUNT, [([KEY], [])] * 3)

    assert answers == [0, 1, 2]
    assert await calls.calls(COUNT, []) == []


async def test_calls_at_the_same_time_share_a_connection_and_keep_their_order(
    client: redis.Client, calls: Direct
) -> None:
    await client.get("another")
    said = await asyncio.gather(*(calls.calls(ECHO, [([], [one]), ([], [-one])]) for one in range(200)))

    assert said == [[b"%d" % one, b"%d" % -one] for one in range(200)]
    assert await connections(client) == 2


async def test_what_the_server_refuses_is_told_and_the_connection_goes_on(calls: Direct) -> None:
    with pytest.raises(Refused):
        await calls.calls(FAULTY, [([KEY], [])])

    assert await calls.calls(ECHO, [([], ["x"])]) == [b"x"]


async def test_who_stops_waiting_takes_nobody_elses_answer(mortal: RedisServer, calls: Direct) -> None:
    await calls.calls(ECHO, [([], ["first"])])
    with hanging(mortal):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await calls.calls(ECHO, [([], ["left"])])
        waiting = asyncio.ensure_future(calls.calls(ECHO, [([], ["stayed"])]))
        await asyncio.sleep(0)

    assert await waiting == [b"stayed"]


async def test_a_server_that_is_killed_is_away_and_met_again_when_it_is_back(
    mortal: RedisServer, calls: Direct
) -> None:
    await calls.calls(ECHO, [([], ["x"])])
    with hanging(mortal):
        waiting = [asyncio.ensure_future(calls.calls(COUNT, [([KEY], [])])) for _ in range(3)]
        await asyncio.sleep(0)
        mortal.kill()
        for one in waiting:
            with pytest.raises(RedisAway):
                await one
        mortal.start()

    assert await calls.calls(ECHO, [([], ["again"])]) == [b"again"]
    mortal.kill()
    with pytest.raises(RedisAway):
        await calls.calls(ECHO, [([], ["nobody"])])
    mortal.start()
    assert await calls.calls(ECHO, [([], ["back"])]) == [b"back"]


async def test_a_server_that_hangs_is_given_up_and_is_asked_over_another_connection(
    mortal: RedisServer, client: redis.Client, calls: Direct, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "SOCKET_TIMEOUT_S", 0.2)
    await calls.calls(ECHO, [([], ["x"])])
    with hanging(mortal), pytest.raises(RedisAway, match="lost"):
        await calls.calls(ECHO, [([], ["nobody"])])

    assert await calls.calls(ECHO, [([], ["again"])]) == [b"again"]
    await client.get("another")
    assert await connections(client) == 2


async def test_a_server_that_answers_in_time_is_never_given_up(calls: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "SOCKET_TIMEOUT_S", 0.02)
    for number in range(10):
        await asyncio.sleep(0.01)
        assert await calls.calls(ECHO, [([], [number])]) == [b"%d" % number]


async def test_who_writes_more_than_the_server_reads_waits(mortal: RedisServer, calls: Direct) -> None:
    await calls.calls(ECHO, [([], ["x"])])
    large = "x" * 8_000_000
    with hanging(mortal):
        waiting = [asyncio.ensure_future(calls.calls(ECHO, [([], [large])])) for _ in range(3)]
        _, pending = await asyncio.wait(waiting, timeout=0.1)
        assert len(pending) == 3

    assert [len(one) for (one,) in await asyncio.gather(*waiting)] == [len(large)] * 3


async def test_who_stops_waiting_to_write_stops_nobody_else(mortal: RedisServer, calls: Direct) -> None:
    await calls.calls(ECHO, [([], ["x"])])
    with hanging(mortal):
        first = asyncio.ensure_future(calls.calls(ECHO, [([], ["x" * 8_000_000])]))
        await asyncio.sleep(0.01)
        left, stayed = (asyncio.ensure_future(calls.calls(ECHO, [([], [word])])) for word in ("left", "stayed"))
        await asyncio.sleep(0.01)
        left.cancel()
        await asyncio.wait([stayed], timeout=0.05)
        assert left.cancelled()
        assert not stayed.done()

    await first
    assert await stayed == [b"stayed"]


async def test_what_must_be_confirmed_by_others_goes_another_way(mortal: RedisServer) -> None:
    client = redis.connect(mortal.url, Wants(replicas=1))

    assert Direct.of(client) is None

    await redis.close(client)


async def test_only_one_server_is_asked_so(any_redis_url: str) -> None:
    client = redis.connect(any_redis_url)

    assert (Direct.of(client) is None) == ("cluster" in any_redis_url)

    await redis.close(client)


async def test_a_client_that_shares_answers_as_one_that_does_not(mortal: RedisServer) -> None:
    async def answers(client: redis.Client) -> list[object]:
        return [
            await client.hset("{p0}h", "a", 1),
            await client.hset("{p0}h", "b", "2"),
            await client.hgetall("{p0}h"),
            await client.hmget("{p0}h", ["a", "c"]),
            await client.set("{p0}s", "x", nx=True, px=60_000),
            await client.set("{p0}s", "y", nx=True),
            await client.get("{p0}s"),
            await client.exists("{p0}s", "{p0}none"),
            await client.zrangebyscore("{p0}none", 0, 1, start=0, num=1),
            await client.hdel("{p0}h", "a", "b"),
            await ECHO(client, [], ["x"]),
            await ECHO.many(client, [([], ["y"]), ([], [3])], ("GET", "{p0}s")),
        ]

    told = []
    for shares in (False, True):
        client = redis.connect(mortal.url)
        if shares:
            direct.share(client)
        await client.delete("{p0}h", "{p0}s")
        told.append(await answers(client))
        await redis.close(client)

    assert told[0] == told[1]


async def test_small_calls_of_a_client_that_shares_take_one_connection_and_large_ones_another(
    client: redis.Client,
) -> None:
    direct.share(client)

    said = await asyncio.gather(*(ECHO(client, [], [one]) for one in range(200)))
    small = await connections(client)
    large = await asyncio.gather(*(ECHO(client, [], [b"x" * direct.SMALL_BYTES]) for _ in range(2)))

    assert said == [b"%d" % one for one in range(200)]
    assert small == 2  # the other one asks how many there are
    assert [len(one) for one in large] == [direct.SMALL_BYTES] * 2
    assert await connections(client) == 3
    assert Direct.of(client) is Direct.of(client)


async def test_a_client_that_shares_tells_what_is_refused_and_who_is_away(
    client: redis.Client, mortal: RedisServer
) -> None:
    direct.share(client)
    await client.hset("{p0}h", "a", 1)

    with pytest.raises(Refused):
        await client.get("{p0}h")
    with pytest.raises(Refused):
        await FAULTY(client, [KEY], [])
    mortal.kill()
    with pytest.raises(RedisAway):
        await client.hget("{p0}h", "a")
    with pytest.raises(RedisAway):
        await ECHO(client, [], ["x"])

"""What relays learn from providers' replies, shared through a real Redis."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from services.relay.limits.paces import Paces
from services.relay.limits.tending import tend
from shared.redis import keys, redis
from shared.words.pace import OVER_MS, Pace

AWAY = redis.connect("redis://127.0.0.1:1")
SITE, SOURCE = "gmail", "a1"


@pytest.fixture
def relays(client: Any) -> Sequence[Paces]:
    return [Paces(client) for _ in range(3)]


async def _now_ms(client: Any) -> int:
    return int(await client.eval("return redis.call('TIME')[1] * 1000", 1, keys.paces()))


async def _stored(client: Any) -> Pace:
    stored: Any = await client.hget(keys.paces(), f"{SITE}\n{SOURCE}")
    return msgspec.msgpack.decode(stored, type=Pace)


async def test_a_refusal_gives_the_source_a_pace_at_the_site_for_all_relays(relays: Sequence[Paces]) -> None:
    refused, other, _ = relays
    for _ in range(40):
        refused.note_accepted(SITE, SOURCE)
    assert refused.pace(SITE, SOURCE) is None

    await refused.slow_down(SITE, SOURCE)
    at_once = refused.pace(SITE, SOURCE)
    await other.tend()

    assert at_once is not None
    assert 4 <= at_once.per_s <= 21  # a half of 40 within one to five seconds
    shared = other.pace(SITE, SOURCE)
    assert shared is not None
    assert shared.per_s == pytest.approx(at_once.per_s, rel=0.2)
    assert other.pace(SITE, "a2") is None
    assert other.pace("yahoo", SOURCE) is None


async def test_a_pace_is_made_from_what_all_relays_had_accepted(relays: Sequence[Paces]) -> None:
    refused, other, _ = relays
    for _ in range(9000):
        other.note_accepted(SITE, SOURCE)
    await other.tend()
    refused.note_accepted(SITE, SOURCE)

    await refused.slow_down(SITE, SOURCE)

    pace = refused.pace(SITE, SOURCE)
    assert pace is not None
    assert pace.per_s > 800


async def test_of_many_that_are_refused_at_once_one_decreases_the_pace(client: Any, relays: Sequence[Paces]) -> None:
    for relay in relays:
        for _ in range(50):
            relay.note_accepted(SITE, SOURCE)

    await asyncio.gather(*(relay.slow_down(SITE, SOURCE) for relay in relays for _ in range(10)))
    paces = {relay.pace(SITE, SOURCE) is not None for relay in relays}
    first = await _stored(client)
    await asyncio.gather(*(relay.slow_down(SITE, SOURCE) for relay in relays for _ in range(10)))

    assert True in paces
    assert await _stored(client) == first
    assert await client.get(keys.pace_changes()) == b"1"


async def test_what_is_told_is_counted_once(client: Any, relays: Sequence[Paces]) -> None:
    relay = relays[0]
    relay.note_accepted(SITE, SOURCE)
    await relay.slow_down(SITE, SOURCE)
    await relay.tend()
    await relay.tend()

    counted = [await client.hgetall(key) async for key in client.scan_iter(keys.attempts_prefix() + "*")]

    assert sum(int(count) for counts in counted for count in counts.values()) == 2
    lifetimes = [await client.pttl(key) async for key in client.scan_iter(keys.attempts_prefix() + "*")]
    assert all(0 < lifetime <= 120_000 for lifetime in lifetimes)


async def test_a_pace_that_is_over_leaves_redis(client: Any, relays: Sequence[Paces]) -> None:
    long_ago = Pace(90.0, 100.0, await _now_ms(client) - OVER_MS - 1000)
    await client.hset(keys.paces(), f"{SITE}\n{SOURCE}", msgspec.msgpack.encode(long_ago))
    await client.incr(keys.pace_changes())

    await relays[0].tend()

    assert relays[0].pace(SITE, SOURCE) is None
    assert not await client.exists(keys.paces())


async def test_a_pace_that_is_not_over_stays_and_grows(client: Any, relays: Sequence[Paces]) -> None:
    before = Pace(90.0, 100.0, await _now_ms(client) - 450_000)
    await client.hset(keys.paces(), f"{SITE}\n{SOURCE}", msgspec.msgpack.encode(before))
    await client.incr(keys.pace_changes())

    await relays[0].tend()

    rate = relays[0].pace(SITE, SOURCE)
    assert rate is not None
    assert 178 < rate.per_s < 185
    assert await _stored(client) == before


async def test_what_cannot_be_read_is_no_pace_and_is_written_anew(client: Any, relays: Sequence[Paces]) -> None:
    await client.hset(keys.paces(), f"{SITE}\n{SOURCE}", b"\xff\x00")
    await client.incr(keys.pace_changes())

    await relays[0].tend()
    assert relays[0].pace(SITE, SOURCE) is None
    await relays[0].slow_down(SITE, SOURCE)

    assert (await _stored(client)).at_ms > 0


async def test_a_resting_source_rests_for_all_until_it_is_over(client: Any, relays: Sequence[Paces]) -> None:
    one, other, _ = relays
    until_ms = await _now_ms(client) + 60_000

    await one.rest(SITE, SOURCE, until_ms)
    await one.rest(SITE, SOURCE, until_ms - 30_000)
    await other.tend()

    assert one.resting(SITE, SOURCE)
    assert other.resting(SITE, SOURCE)
    assert not other.resting(SITE, "a2")
    assert not other.only_one(SITE, SOURCE)
    assert await client.hget(keys.rests(), f"{SITE}\n{SOURCE}") == b"%d" % until_ms


async def test_one_connection_alone_is_for_all_and_leaves_redis_when_it_is_over(
    client: Any, relays: Sequence[Paces]
) -> None:
    one, other, third = relays
    await one.one_connection(SITE, SOURCE, await _now_ms(client) + 60_000)
    await other.tend()
    assert other.only_one(SITE, SOURCE)

    await client.hset(keys.single_connections(), f"{SITE}\n{SOURCE}", await _now_ms(client) - 1)
    await client.incr(keys.pace_changes())
    await other.tend()
    await third.tend()

    assert not other.only_one(SITE, SOURCE)
    assert not third.only_one(SITE, SOURCE)
    assert not await client.exists(keys.single_connections())


async def test_what_redis_did_not_hear_counts_here_and_is_told_later(client: Any) -> None:
    paces = Paces(AWAY)
    until_ms = await _now_ms(client) + 60_000
    await paces.rest(SITE, SOURCE, until_ms)
    paces.note_accepted(SITE, SOURCE)
    await paces.slow_down(SITE, SOURCE)
    assert SITE in str(paces._rests)
    with pytest.raises(redis.RedisAway):
        await paces.tend()

    paces._client = client
    await paces.tend()

    assert paces.resting(SITE, SOURCE)
    other = Paces(client)
    await other.tend()
    assert other.resting(SITE, SOURCE)
    counted = [await client.hgetall(key) async for key in client.scan_iter(keys.attempts_prefix() + "*")]
    assert sum(int(count) for counts in counted for count in counts.values()) == 2


async def test_the_limits_keep_their_view_fresh(client: Any) -> None:
    one, other = Paces(client), Paces(client)
    one.note_accepted(SITE, SOURCE)
    await one.slow_down(SITE, SOURCE)
    await one.rest("yahoo", SOURCE, await _now_ms(client) + 60_000)
    await one.one_connection("orange", SOURCE, await _now_ms(client) + 60_000)

    stopping = asyncio.Event()
    running = asyncio.create_task(tend([other], stopping))
    async with asyncio.timeout(30):
        while not other.only_one("orange", SOURCE):  # noqa: ASYNC110 - Redis's state
            await asyncio.sleep(0.01)
    stopping.set()
    await running

    assert other.pace(SITE, SOURCE) is not None
    assert other.resting("yahoo", SOURCE)
    assert other.only_one("orange", SOURCE)


async def test_redis_that_lost_everything_leaves_no_pace_behind(client: Any, relays: Sequence[Paces]) -> None:
    await relays[0].slow_down(SITE, SOURCE)
    await relays[0].tend()
    await client.delete(keys.paces(), keys.pace_changes())

    await relays[0].tend()

    assert relays[0].pace(SITE, SOURCE) is None

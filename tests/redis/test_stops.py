"""Stops in a real Redis and a real cluster: added once, resumed as seen, known to the relays within a second."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from services.relay.checks.stops import Stops
from shared.redis import keys, redis, stops
from shared.redis.stops import (
    COMPLAINT_RATE,
    INVALID_RATE,
    PAUSED,
    Stop,
    StopList,
)
from shared.words import ids
from tests.jobs import job_hash
from tests.servers import free_port

P = 4
NOW_MS = 1_790_000_000_000
JOB = ids.new_job_id(NOW_MS, b"chance", P, 1)
NAME = stops.of_job(JOB)
STOP = Stop(INVALID_RATE, "acme", NOW_MS, "engine", bad=30, of=400)
PAUSE = Stop(PAUSED, "acme", NOW_MS - 1, "tenant")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what changes is in another task, which tells nobody
            await asyncio.sleep(0.01)


@pytest.fixture
def stop_list(client: Any) -> StopList:
    return StopList(client)


async def test_what_is_stopped_is_stopped_once(stop_list: StopList) -> None:
    assert await stop_list.add(NAME, STOP)
    assert not await stop_list.add(NAME, msgspec.structs.replace(STOP, since_ms=NOW_MS + 5))

    assert await stop_list.all() == {NAME: STOP}
    assert await stop_list.some([NAME, "tenant:acme"]) == [STOP, None]


async def test_figures_of_before_a_resume_stop_nothing_after_it(stop_list: StopList) -> None:
    await stop_list.add(NAME, STOP)

    assert await stop_list.resume(NAME, STOP)

    assert await stop_list.resumed(NAME) == 1
    assert not await stop_list.add(NAME, STOP)
    assert await stop_list.all() == {}
    assert await stop_list.add(NAME, msgspec.structs.replace(STOP, epoch=1))


async def test_a_stop_that_is_not_the_one_that_was_seen_stays(stop_list: StopList) -> None:
    await stop_list.add(NAME, STOP)
    seen = msgspec.structs.replace(STOP, since_ms=NOW_MS - 1)

    assert not await stop_list.resume(NAME, seen)
    assert not await stop_list.consent(NAME, seen, NOW_MS)
    assert not await stop_list.forget(NAME, seen)
    assert await stop_list.all() == {NAME: STOP}


async def test_consent_and_telling_are_noted_beside_each_other(stop_list: StopList) -> None:
    await stop_list.add(NAME, STOP)

    assert await stop_list.consent(NAME, STOP, NOW_MS + 1)
    assert await stop_list.tell(NAME, STOP, NOW_MS + 2)

    assert await stop_list.all() == {NAME: msgspec.structs.replace(STOP, consent_ms=NOW_MS + 1, told_ms=NOW_MS + 2)}


async def test_a_breaker_takes_the_place_of_a_pause_and_not_the_reverse(stop_list: StopList) -> None:
    await stop_list.add(NAME, PAUSE)

    assert await stop_list.add(NAME, STOP)
    assert not await stop_list.add(NAME, PAUSE)
    assert await stop_list.all() == {NAME: STOP}


async def test_a_pause_that_ends_lets_the_breaker_go_on_counting(stop_list: StopList) -> None:
    await stop_list.add(NAME, PAUSE)

    assert await stop_list.resume(NAME, PAUSE)

    assert await stop_list.resumed(NAME) == 0
    assert await stop_list.add(NAME, STOP)


async def test_the_stop_of_what_has_ended_is_forgotten(stop_list: StopList) -> None:
    await stop_list.add(NAME, STOP)

    assert await stop_list.forget(NAME, STOP)
    assert (await stop_list.all(), await stop_list.resumed(NAME)) == ({}, 0)


# What relays see


async def test_a_stopped_job_is_stopped_whatever_its_stream(client: Any, stop_list: StopList) -> None:
    view = Stops(client, P, stop_list)
    await stop_list.add(NAME, STOP)
    assert view.reason(JOB, "acme", "bulk") is None

    await view.load()

    assert view.reason(JOB, "acme", "bulk") == INVALID_RATE
    assert view.reason(JOB, "acme", "transactional") == INVALID_RATE
    assert view.reason("another", "acme", "bulk") is None


async def test_of_a_stopped_tenant_bulk_is_stopped_and_the_rest_goes_on(client: Any, stop_list: StopList) -> None:
    view = Stops(client, P, stop_list)
    await stop_list.add(stops.of_tenant("acme"), Stop(COMPLAINT_RATE, "acme", NOW_MS, "engine"))

    await view.load()

    assert view.reason(JOB, "acme", "bulk") == COMPLAINT_RATE
    assert view.reason(JOB, "acme", "transactional") is None
    assert view.reason(JOB, "acme", "one_to_one") is None
    assert view.reason(JOB, "other", "bulk") is None


async def test_what_is_parked_may_go_on_once_nothing_stops_it(client: Any, stop_list: StopList) -> None:
    jobs = [ids.new_job_id(NOW_MS, bytes([seed]) * 6, P, seed) for seed in range(4)]
    for job, (tenant, stream) in zip(
        jobs, [("acme", "bulk"), ("acme", "transactional"), ("other", "bulk"), ("other", "bulk")], strict=True
    ):
        await client.hset(keys.job(ids.job_partition(job, P), job), mapping=job_hash(tenant=tenant, stream=stream))
    await stop_list.add(stops.of_tenant("acme"), Stop(COMPLAINT_RATE, "acme", NOW_MS, "engine"))
    await stop_list.add(stops.of_job(jobs[2]), STOP)
    view = Stops(client, P, stop_list)
    await view.load()

    assert await view.lifted([*jobs, JOB]) == [jobs[1], jobs[3], JOB]

    await stop_list.resume(stops.of_job(jobs[2]), STOP)
    await view.load()
    assert await view.lifted(jobs) == jobs[1:]


async def test_the_view_follows_and_ends_when_the_process_does(client: Any, stop_list: StopList) -> None:
    view = Stops(client, P, stop_list)
    stopping = asyncio.Event()
    running = asyncio.create_task(view.run(stopping))

    await stop_list.add(NAME, STOP)
    await until(lambda: view.reason(JOB, "acme", "bulk") == INVALID_RATE)
    await stop_list.resume(NAME, STOP)
    await until(lambda: view.reason(JOB, "acme", "bulk") is None)

    stopping.set()
    await running


async def test_while_redis_is_away_what_was_known_last_holds(client: Any, stop_list: StopList) -> None:
    await stop_list.add(NAME, STOP)
    view = Stops(client, P, stop_list)
    await view.load()
    away = redis.connect(f"redis://127.0.0.1:{free_port()}/0")
    try:
        asked = 0

        class Asked(StopList):
            async def all(self) -> dict[str, Stop]:
                nonlocal asked
                asked += 1
                return await super().all()

        view._list = Asked(away)
        stopping = asyncio.Event()
        running = asyncio.create_task(view.run(stopping))
        await until(lambda: asked > 0)
        stopping.set()
        await running

        assert view.reason(JOB, "acme", "bulk") == INVALID_RATE
        with pytest.raises(redis.RedisAway):
            await view.load()
    finally:
        await redis.close(away)

"""One process of all tells what waits; the others tell nothing of it."""

import asyncio
from typing import Any

from prometheus_client import REGISTRY

from services.reports.survey import HOLD_MS, Survey
from shared.redis import keys
from shared.redis.ready import Queued, ReadyQueues
from shared.redis.stops import SUSPENDED, Stop, StopList, of_job, of_site
from shared.words import events

JOB = "06h006mus2uer1pplc9g"
NOW = 1_790_000_000_000


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def enqueue(client: Any, site: str, count: int = 1) -> None:
    body = events.encode(events.Ready(tenant="acme", job=JOB, ordinal=0, email="ana@example.org"))
    some = [Queued(1, site, "acme", body, 4_000_000_000_000) for _ in range(count)]
    await ReadyQueues(client, "email").enqueue(3, JOB, 0, some)


async def test_what_waits_is_told_and_forgotten_when_it_is_gone(client: Any) -> None:
    survey = Survey(client, 8, "one", lambda: NOW)
    await enqueue(client, "gmail", 2)
    await StopList(client).add(of_job(JOB), Stop("invalid_rate", "acme", 5_000, "engine"))
    await StopList(client).add(of_site("gmail"), Stop(SUSPENDED, "", 6_000, "ana"))
    await client.xadd(keys.dead(keys.events(2)), {"t": "Opened"})

    await survey.look()

    gmail = {"where": "ready", "lane": "bulk", "provider": "gmail"}
    assert value("estafette_queue_messages", **gmail) == 2
    assert value("estafette_queue_oldest_seconds", **gmail) is not None
    assert value("estafette_jobs_stops", what="job", reason="invalid_rate") == 1
    assert value("estafette_jobs_stops", what="site", reason="suspended") == 1
    assert value("estafette_jobs_stopped_since_timestamp_seconds", what="job", reason="invalid_rate") == 5
    assert value("estafette_stream_dead_entries", stream="events") == 1
    assert value("estafette_stream_dead_entries", stream="ready") == 0
    assert value("estafette_jobs_unfinished", state="open") == 0
    assert (value("estafette_redis_memory_bytes") or 0) > 0

    await ReadyQueues(client, "email").lease(3, "r1", 5000, 10, 10)
    await survey.look()

    assert value("estafette_queue_messages", **gmail) is None


async def test_of_two_one_looks_until_it_is_gone(client: Any) -> None:
    await enqueue(client, "gmail")
    one, other = Survey(client, 8, "one", lambda: NOW), Survey(client, 8, "other", lambda: NOW)

    async def turn(survey: Survey) -> float | None:
        stopping = asyncio.Event()
        stopping_soon = asyncio.create_task(survey.run(stopping))
        async with asyncio.timeout(60):
            while await client.get(keys.surveyor()) is None:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)
        stopping.set()
        await stopping_soon
        return value("estafette_queue_messages", where="ready", lane="bulk", provider="gmail")

    assert await turn(one) == 1
    assert await turn(other) is None
    assert 0 < await client.pttl(keys.surveyor()) <= HOLD_MS

    await client.delete(keys.surveyor())

    assert await turn(other) == 1


async def test_a_process_that_was_refused_for_its_secret_is_told_by_its_name(client: Any) -> None:
    survey = Survey(client, 8, "one", lambda: NOW)
    await client.set(keys.refused_secret("relay"), "1")

    await survey.look()

    assert value("estafette_secret_refused", process="relay") == 1
    assert value("estafette_secret_refused", process="http") == 0

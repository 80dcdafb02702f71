"""The feed: events of one tenant of a thousand, of one with ten beside all the others, and how fast places are written.

Each page is made whole, as the route does: read, merged, and written as JSON.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import orjson

from services.reports.feed.feed import Feed, Wanted
from services.reports.feed.indexing import Indexing
from shared.redis import keys, redis
from shared.redis.recipients import Recipients
from shared.words import events, ids

PARTITIONS = 8
TENANTS = 1_000
#: The tenant whose events are measured, and one that has ten.
ONE, SMALL = "tenant-1", "small"
JOBS_EACH = 4
TOGETHER = 5_000
#: Pages of a figure.
PAGES = 30


def measure(url: str, number: int) -> dict[str, float]:
    return asyncio.run(_measure(url, number))


async def _measure(url: str, number: int) -> dict[str, float]:
    client = redis.connect(url)
    try:
        at_ms = int(time.time() * 1000)
        await _fill(client, number, at_ms)
        before = await _bytes(client)
        index_s = await _indexed(client, at_ms)
        bytes_each = (await _bytes(client) - before) / number
        bare_per_s = await _bare(client, number)
        feed = Feed(client, PARTITIONS, Recipients(client, PARTITIONS), time.monotonic)
        shown, took_s = 0, 0.0
        for _ in range(PAGES):
            found, seconds = await _timed(lambda: _page(feed, ONE, 1_000))
            shown, took_s = shown + found, took_s + seconds
        small = sorted([(await _timed(lambda: _page(feed, SMALL, 100)))[1] for _ in range(PAGES)])
        return {
            "feed_per_s": shown / took_s,
            "feed_of_bare_loop": shown / took_s / bare_per_s,
            "feed_bare_loop_per_s": bare_per_s,
            "feed_ten_beside_all_ms": small[len(small) // 2] * 1000,
            "feed_indexed_per_s": number / index_s,
            "feed_indexed_of_bare_loop": number / index_s / bare_per_s,
            "feed_index_bytes_each": bytes_each,
        }
    finally:
        await redis.close(client)


async def _fill(client: redis.Client, number: int, at_ms: int) -> None:
    """Events of all tenants in turn, a job's in its partition; in the middle of them the ten of the small one."""
    jobs = {
        tenant: [ids.new_job_id(at_ms, f"{tenant:05}{at}".encode()[-6:], PARTITIONS) for at in range(JOBS_EACH)]
        for tenant in range(TENANTS)
    }
    for start in range(0, number, TOGETHER):
        pipeline = client.pipeline(transaction=False)
        for at in range(start, min(start + TOGETHER, number)):
            tenant = at * 7919 % TENANTS
            job = jobs[tenant][at // TENANTS % JOBS_EACH]
            is_small = number // 2 <= at < number // 2 + 10
            fact = events.Delivered(
                **events.about_message(
                    SMALL if is_small else f"tenant-{tenant}",
                    job,
                    at // TENANTS,
                    at_ms + at // 20,
                    "delivered",
                    email=f"r{at}@exemple.fr",
                ),
                site="exemple.fr",
                host="mx1.exemple.fr",
                reply="250 2.0.0 Ok: queued as 4bX1",
                size_bytes=18_230,
                duration_ms=412,
            )
            stream = keys.events(ids.job_partition(job, PARTITIONS))
            pipeline.execute_command("XADD", stream, "*", "t", "Delivered", "v", 1, "b", events.encode(fact))
        await redis.answer(pipeline.execute())


async def _indexed(client: redis.Client, at_ms: int) -> float:
    indexing = Indexing(client, PARTITIONS, 7 * 86_400_000, 1_000, lambda: at_ms)
    began_s = time.perf_counter()
    for partition in range(PARTITIONS):
        while await indexing.step(partition):
            pass
    return time.perf_counter() - began_s


async def _bytes(client: redis.Client) -> float:
    """What Redis uses."""
    return float((await client.info("memory"))["used_memory"])


async def _bare(client: redis.Client, number: int) -> float:
    """Entries a second of a loop that reads the streams and does nothing."""
    began_s = time.perf_counter()
    for p in range(PARTITIONS):
        after = "-"
        while found := await client.xrange(keys.events(p), after, "+", count=1_000):
            after = f"({found[-1][0].decode()}"
    return number / (time.perf_counter() - began_s)


async def _page(feed: Feed, tenant: str, limit: int) -> int:
    page = await feed.page(Wanted(tenant), None, limit)
    orjson.dumps(page.events, default=msgspec.to_builtins)
    return len(page.events)


async def _timed(call: Callable[[], Awaitable[int]]) -> tuple[int, float]:
    began_s = time.perf_counter()
    return await call(), time.perf_counter() - began_s

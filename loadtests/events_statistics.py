"""Statistics: facts a second through the counting of reports, with statistics and put away, beside a bare loop.

The facts are those of `loadtests.statistics`: of any message in any order, over two hours, some of them told twice.
"""

import asyncio
import random
import time

from loadtests.statistics import JOBS, MESSAGES, PARTITIONS, cpu_s, generated, prepare, put, run
from shared.redis import keys, redis

#: Facts that are made, and put on the streams, at a time: a million would not fit into the memory of a small machine.
TOGETHER = 50_000


def measure(url: str, number: int) -> dict[str, float]:
    return asyncio.run(_measure(url, number))


async def _measure(url: str, number: int) -> dict[str, float]:
    client = redis.connect(url)
    try:
        await _fill(client, number)
        bare_s = await _bare(client)
        used, redis_used = await cpu_s(client)
        began_s = time.perf_counter()
        await run(client, "with")
        took_s = time.perf_counter() - began_s
        now_used, redis_now_used = await cpu_s(client)
        return {
            "statistics_per_s": number / took_s,
            "statistics_of_bare_loop": bare_s / took_s,
            "statistics_bare_loop_per_s": number / bare_s,
            "statistics_own_us_each": (now_used - used) / number * 1e6,
            "statistics_redis_us_each": (redis_now_used - redis_used) / number * 1e6,
        }
    finally:
        await redis.close(client)


async def _fill(client: redis.Client, number: int) -> None:
    await prepare(client)
    chance = random.Random(1)
    messages = max(MESSAGES, number // (JOBS * 4))
    some = []
    for fact in generated(number, chance, messages, hours=2):
        some.append(fact)
        if len(some) == TOGETHER:
            await put(client, some)
            some = []
    await put(client, some)


async def _bare(client: redis.Client) -> float:
    """Seconds of a loop that reads the streams and does nothing."""
    began_s = time.perf_counter()
    for p in range(PARTITIONS):
        after = "-"
        while found := await client.xrange(keys.events(p), after, "+", count=1_000):
            after = f"({found[-1][0].decode()}"
    return time.perf_counter() - began_s

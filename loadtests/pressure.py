"""Marketing pressure: what counting, refusing and giving back cost, and what an address takes, beside a bare SETBIT.

    python -m loadtests.pressure [--addresses 1000000] [--partitions 8]

As queueing asks: chunks of 500 recipients, a rule of two mails in seven days, against a Redis of its own. Everybody
gets a first mail and a second one, is refused a third, and the second is given back. Beside it, in the same run, a
pipeline of as many SETBITs, each of which writes one bit of one key. The last line is JSON.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from loadtests.statistics import cpu_s
from shared.redis import redis
from shared.redis.pressure import Mail, Pressure
from shared.words import ids
from shared.words.pressure import Rule
from tests.servers import RedisServer

TENANT, STREAM, CHUNK = "acme", "bulk", 500
RULES = (Rule(2, 7),)


async def measure(url: str, addresses: int, partitions: int) -> dict[str, float]:
    client = redis.connect(url)
    try:
        pressure = Pressure(client, partitions, lambda: time.time_ns() // 1_000_000, time.monotonic)
        await pressure.rules.put(TENANT, RULES)
        made_ms = time.time_ns() // 1_000_000
        first, second, third = (ids.new_job_id(made_ms + at, bytes([at]) * 6, partitions, 0) for at in range(3))
        found: dict[str, float] = {}
        before = await _bytes(client)

        async def count(job: str, expected: bool) -> None:
            for mails in _chunks(addresses):
                if any(one != expected for one in await pressure.count(TENANT, STREAM, job, mails)):
                    raise AssertionError(f"not everybody of {job} is {'let through' if expected else 'refused'}")

        async def give_back() -> None:
            for mails in _chunks(addresses):
                await pressure.give_back(TENANT, STREAM, second, mails)

        async def bare() -> None:
            for mails in _chunks(addresses):
                pipeline = client.pipeline(transaction=False)
                for ordinal, _ in mails:
                    pipeline.execute_command("SETBIT", "bare", ordinal, 1)
                await redis.answer(pipeline.execute())

        found |= await _timed(client, "counted", addresses, lambda: count(first, True))
        found["bytes_each"] = (await _bytes(client) - before) / addresses
        found |= await _timed(client, "counted_again", addresses, lambda: count(second, True))
        found["bytes_each_of_two"] = (await _bytes(client) - before) / addresses
        found |= await _timed(client, "refused", addresses, lambda: count(third, False))
        found |= await _timed(client, "given_back", addresses, give_back)
        found |= await _timed(client, "bare", addresses, bare)
        found["counted_of_bare"] = found["counted_per_s"] / found["bare_per_s"]
        return found
    finally:
        await redis.close(client)


def _chunks(addresses: int) -> Any:
    for begin in range(0, addresses, CHUNK):
        yield [Mail(at, f"r{at}@exemple.fr") for at in range(begin, min(begin + CHUNK, addresses))]


async def _timed(
    client: redis.Client, name: str, addresses: int, work: Callable[[], Awaitable[None]]
) -> dict[str, float]:
    own, of_redis = await cpu_s(client)
    began_s = time.perf_counter()
    await work()
    took_s = time.perf_counter() - began_s
    own_now, redis_now = await cpu_s(client)
    return {
        f"{name}_per_s": addresses / took_s,
        f"{name}_own_us": (own_now - own) / addresses * 1e6,
        f"{name}_redis_us": (redis_now - of_redis) / addresses * 1e6,
    }


async def _bytes(client: redis.Client) -> int:
    return int((await client.info("memory"))["used_memory"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addresses", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-bench-") as folder:
        server = RedisServer(Path(folder) / "redis")
        server.start()
        try:
            found = asyncio.run(measure(server.url, options.addresses, options.partitions))
        finally:
            server.stop()
    for name, figure in found.items():
        print(f"{name}: {figure:,.3f}")
    print(json.dumps({"bench": "pressure", **found}))


if __name__ == "__main__":
    main()

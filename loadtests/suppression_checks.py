"""How much memory a suppressed address takes, and how many addresses are checked a second, beside Redis' SISMEMBER.

Addresses go onto the list of one tenant as an import puts them there. Memory is what Redis itself says it uses, less
what it used before. Then one process checks them in batches of 1,000, half of which are on the list, as queueing does:
several batches at a time. In the same run Redis' own SISMEMBER is asked about the same addresses of a set, in
pipelines of 1,000, as many at a time.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from services.suppression.store import Addition, Lists
from shared.process.clock import now_ms
from shared.process.settings import Redis as RedisSettings
from shared.redis.redis import Client
from shared.redis.suppression import Asked, SuppressionList

PARTITIONS = RedisSettings().partitions
TENANT = "acme"
#: Of one check, as queueing has chunks.
BATCH = 1_000
#: Batches under way: one is put together while Redis answers the others.
AT_A_TIME = 4
#: Additions of one call, and calls under way.
ADDED_TOGETHER, ADDING = 8_000, 4
#: Of the set that SISMEMBER looks into; its pace does not depend on how many there are.
SET_SIZE = 1_000_000
_SET = "bench:set"


class Found(NamedTuple):
    """Checks and SISMEMBER: addresses a second, in the same run by turns."""

    addresses: int
    bytes_per_address: float
    mean_address_bytes: float
    added_per_s: int
    checks_per_s: int
    sismember_per_s: int
    ratio_to_sismember: float


def address(number: int) -> str:
    """As addresses are: of 26 bytes in the mean."""
    return f"prenom.nom{number}@exemple{number % 977}.fr"


async def measure(client: Client, count: int, seconds: float) -> Found:
    """So many addresses on the list of one tenant; the rest of `client`'s database has to be still."""
    before = await _used(client)
    began = time.perf_counter()
    await _fill(Lists(client, PARTITIONS), count)
    took = time.perf_counter() - began
    used = await _used(client) - before
    lookup, chance = SuppressionList(client, PARTITIONS), random.Random(1)
    batches = [_batch(chance, count) for _ in range(64)]

    async def check(batch: Sequence[str]) -> int:
        found = await lookup.check([Asked(TENANT, one, "email", "bulk", "") for one in batch])
        return sum(reason is not None for reason in found)

    await _fill_set(client, min(count, SET_SIZE))
    within = [_batch(chance, min(count, SET_SIZE)) for _ in range(64)]
    # In turns, so that both see the same machine.
    paces: dict[str, list[float]] = {"check": [], "sismember": []}
    for _ in range(5):
        paces["check"].append(await _pace(check, batches, seconds / 10))
        paces["sismember"].append(await _pace(lambda batch: _sismember(client, batch), within, seconds / 10))
    checks, sismember = (sorted(paces[name])[2] for name in ("check", "sismember"))
    return Found(
        addresses=count,
        bytes_per_address=round(used / count, 1),
        mean_address_bytes=round(sum(len(address(number)) for number in range(0, count, 97)) / -(-count // 97), 1),
        added_per_s=round(count / took),
        checks_per_s=round(checks),
        sismember_per_s=round(sismember),
        ratio_to_sismember=round(checks / sismember, 2),
    )


async def _fill(lists: Lists, count: int) -> None:
    at_ms, starts = now_ms(), iter(range(0, count, ADDED_TOGETHER))

    async def add() -> None:
        for start in starts:
            numbers = range(start, min(start + ADDED_TOGETHER, count))
            await lists.add(
                [
                    Addition(TENANT, address(number), "unsubscribed", at_ms, source="import", is_told=False)
                    for number in numbers
                ]
            )

    await asyncio.gather(*(add() for _ in range(ADDING)))


async def _fill_set(client: Client, count: int) -> None:
    for start in range(0, count, 10_000):
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command("SADD", _SET, *map(address, range(start, min(start + 10_000, count))))
        await pipeline.execute()


def _batch(chance: random.Random, count: int) -> list[str]:
    """Half of them are on the list."""
    return [address(chance.randrange(2 * count)) for _ in range(BATCH)]


async def _sismember(client: Client, batch: Sequence[str]) -> int:
    pipeline = client.pipeline(transaction=False)
    for one in batch:
        pipeline.execute_command("SISMEMBER", _SET, one)
    return sum(await pipeline.execute())


async def _pace(ask: Callable[[Sequence[str]], Awaitable[int]], batches: list[list[str]], seconds: float) -> float:
    """Addresses a second. A third to two thirds of them are found, or nothing was measured."""
    asked = found = at = 0
    began = time.perf_counter()

    async def one() -> None:
        nonlocal asked, found, at
        while time.perf_counter() - began < seconds:
            batch = batches[at % len(batches)]
            at += 1
            hits = await ask(batch)
            found, asked = found + hits, asked + len(batch)

    await asyncio.gather(*(one() for _ in range(AT_A_TIME)))
    if not asked / 3 < found < asked * 2 / 3:
        raise AssertionError(f"{found} of {asked} were found")
    return asked / (time.perf_counter() - began)


async def _used(client: Client) -> int:
    said: Any = await client.info("memory")
    return int(said["used_memory"])

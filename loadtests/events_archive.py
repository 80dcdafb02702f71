"""The archive: how fast events become durable files, of a few tenants and of a thousand, what an event takes there, and
how long a search for old ones takes, of a page of a tenant and of one message.

The files are written as the service writes them: batches of `archive.file_events`, one after the other. A batch is a
file for each tenant in it, and a file has its price, however little is in it.
"""

import asyncio
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog

from loadtests.events_feed import ONE, PARTITIONS, TENANTS, bare_loop, fill, timed
from services.archive.archive import Archive, Due
from services.archive.kinds import JobKinds
from services.archive.statistics import Statistics
from services.archive.store import ArchiveStore
from services.archive.tending import Tending
from shared.archive.asked import Asked, Place
from shared.archive.search import Search
from shared.archive.target import Folder
from shared.redis import archived, redis
from shared.redis.erased import Erased
from shared.redis.leases import Lease
from shared.redis.recipients import Recipients
from shared.words.erased import ErasureKeys

#: As `archive.file_events`.
FILE_EVENTS = 50_000
LOOK_S = 0.05
#: Tenants of the first figure.
FEW = 4
#: Searches of a figure.
SEARCHES = 20
_SECRETS = ErasureKeys(b"0" * 32)
_EVER = {p: Place((0, 0), (2**47, 0)) for p in range(PARTITIONS)}


def measure(url: str, number: int) -> dict[str, float]:
    return asyncio.run(_measure(url, number))


async def _measure(url: str, number: int) -> dict[str, float]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    client: Any = redis.connect(url)
    try:
        found: dict[str, float] = {}
        for tenants, name in ((FEW, "archive"), (TENANTS, "archive_thousand_tenants")):
            await client.flushall()
            with tempfile.TemporaryDirectory(prefix="estafette-archive-") as folder:
                target = Folder(Path(folder))
                await fill(client, number, int(time.time() * 1000), tenants)
                found |= await _written(client, target, number, name)
                if tenants == FEW:
                    await _merged(client, target)
                    found["archive_bytes_each_merged"] = _bytes(target) / number
                    found |= await _searched(Path(folder))
        return found
    finally:
        await redis.close(client)


async def _written(client: redis.Client, target: Folder, number: int, name: str) -> dict[str, float]:
    bare_per_s = await bare_loop(client, number)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    await _archived(client, target)
    took_s, took_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return {
        f"{name}_per_s": number / took_s,
        f"{name}_of_bare_loop": number / took_s / bare_per_s,
        f"{name}_bare_loop_per_s": bare_per_s,
        f"{name}_cpu_us_each": took_cpu_s / number * 1_000_000,
        f"{name}_files": len(target.stored()),
        f"{name}_bytes_each": _bytes(target) / number,
    }


def _bytes(target: Folder) -> int:
    return sum(file.size_bytes for file in target.stored())


async def _archived(client: redis.Client, target: Folder) -> None:
    """All that is on the streams, in files."""
    store = ArchiveStore(client, PARTITIONS, "bench")
    await store.register()
    lease = Lease(store, time.monotonic)
    await lease.renew()
    archive = Archive(
        store,
        target,
        Recipients(client, PARTITIONS),
        Erased(client, PARTITIONS, _SECRETS),
        JobKinds(client, PARTITIONS),
        lease,
        # The hour is over.
        Due(3_600, FILE_EVENTS, lambda: int(time.time() * 1000) + 3_600_000),
        lambda: int(time.time() * 1000),
        0,
    )
    stopping = asyncio.Event()
    working = asyncio.create_task(archive.run(PARTITIONS, stopping))
    while await _is_behind(client):
        await asyncio.sleep(LOOK_S)
        await lease.renew()
    stopping.set()
    await working


async def _is_behind(client: redis.Client) -> bool:
    return any([await archived.oldest_outside_ms(client, p) is not None for p in range(PARTITIONS)])


async def _merged(client: redis.Client, target: Folder) -> None:
    """As they are when the day has been over for a while."""
    store = ArchiveStore(client, PARTITIONS, "bench")
    lease = Lease(store, time.monotonic)
    await lease.renew()
    later_ms = int(time.time() * 1000) + 5 * 86_400_000
    statistics = Statistics(client, PARTITIONS, target, lease, lambda: later_ms)
    tending = Tending(store, target, _SECRETS, lease, lambda: later_ms, 0, statistics)
    for tenant in target.folders():
        for day in target.folders(tenant):
            await lease.renew()
            await asyncio.to_thread(tending.merge, day)


async def _searched(folder: Path) -> dict[str, float]:
    """Milliseconds of a page of a hundred events, and of the timeline of one message: of half of them it was less."""
    search = Search(str(folder), folder, "", "", 30, 1, 256)
    first = (await search.find(Asked(ONE, _EVER, 1))).rows[0].fact
    page, message = Asked(ONE, _EVER, 100), Asked(ONE, _EVER, 100, job=first.job, ordinal=first.ordinal)
    found: dict[str, float] = {}
    for name, asked in (("archive_page_ms", page), ("archive_message_ms", message)):

        async def search_once(asked: Asked = asked) -> int:
            return len((await search.find(asked)).rows)

        times = sorted([(await timed(search_once))[1] for _ in range(SEARCHES)])
        found[name] = times[len(times) // 2] * 1000
    await search.close()
    return found

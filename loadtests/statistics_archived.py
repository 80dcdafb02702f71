"""Whether statistics say the same once their days are in files and Redis has forgotten them."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from services.archive.statistics import Statistics
from services.archive.store import ArchiveStore
from services.reports.statistics import By, Interval, StatisticsQuery, StatisticsReader
from shared.archive.search import Search
from shared.archive.target import Folder
from shared.redis import keys
from shared.redis.leases import Lease
from shared.words.errors import Problem

DAY_MS = 86_400_000
#: Days that facts may be in, from the day before the jobs were made.
DAYS = 10
FILTERS: tuple[dict[str, Any], ...] = ({}, {"list": "newsletter"}, {"tag": "soldes"}, {"stream": "bulk"})
KEPT_DAYS = 92
SEARCH_SECONDS, SEARCH_MB = 120.0, 512


async def differences(client: Any, partitions: int, tenant: str, born_ms: int, folder: Path) -> list[str]:
    """The questions to which the answers are others, of all ways to group, by hour, day and month."""
    later_ms = born_ms + (DAYS + 1) * DAY_MS
    target = Folder(folder)  # made, so that it can be searched
    search = Search(str(folder), folder / "scratch", "", "", SEARCH_SECONDS, 1, SEARCH_MB)

    def reader() -> StatisticsReader:
        return StatisticsReader(client, partitions, lambda: later_ms + 200 * DAY_MS, KEPT_DAYS, search)

    before = await _answers(reader(), tenant, born_ms)
    lease = Lease(ArchiveStore(client, partitions, "check"), time.monotonic)
    await lease.renew()
    await Statistics(client, partitions, target, lease, lambda: later_ms).sweep()
    forgotten = 0
    for p in range(partitions):
        for day in range(born_ms // DAY_MS - 1, born_ms // DAY_MS + DAYS):
            name = keys.statistics(p, tenant, day)
            # What is in no file has no time to live, and stays.
            if await client.pttl(name) > 0:
                forgotten += await client.delete(name)
    after = await _answers(reader(), tenant, born_ms)
    await search.close()
    if not forgotten:
        return ["no day was archived"]
    return [question for question, answer in before.items() if after[question] != answer]


async def _answers(reader: StatisticsReader, tenant: str, born_ms: int) -> dict[str, Any]:
    since, until = (datetime.fromtimestamp((born_ms + days * DAY_MS) / 1000, UTC) for days in (-1, DAYS - 2))
    found: dict[str, Any] = {}
    for by in get_args(By):
        for interval in get_args(Interval):
            for filters in FILTERS:
                try:
                    answer: Any = await reader.of_tenant(tenant, StatisticsQuery(since, until, by, interval, **filters))
                except Problem as problem:  # it would be too long
                    answer = problem.faults
                found[f"{by} {interval} {filters}"] = answer
    return found

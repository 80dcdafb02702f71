"""Mails are sent while the process that writes the archive is killed, again and again: each event is in one file or in
the stream, and who reads the feed from a time on goes over the border without a gap and without a repeat."""

import asyncio
import signal
import sys
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from shared.redis import archived, bus, keys, redis, trimming
from shared.words import events
from tests.flows.accounting import PARTITIONS
from tests.flows.stack import Stack

RECIPIENTS, KILLS = 150, 4
DAY_MS = 86_400_000
SINCE = "2024-01-01T00:00:00Z"


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("tenant=*/day=*/*.parquet"))


def in_files(folder: Path) -> Counter[str]:
    """Event ids, and in how many rows each is."""
    return Counter(
        one for file in files(folder) for one in pq.ParquetFile(file).read(["event_id"]).column(0).to_pylist()
    )


async def feed(stack: Stack, limit: int, after: str = "") -> list[str]:
    """Ids of all events from then, or from the cursor on, page by page."""
    found, more = [], True
    while more:
        query = {"limit": str(limit), **({"after": after} if after else {"since": SINCE})}
        status, page = await stack.answered("GET", "/v1/events", params=query)
        assert status == 200, page
        found += [event["event_id"] for event in page["events"]]
        after, more = page["next"], page["more"]
    return found


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[tuple[Any, str]]:
    """Its Redis, and where that is."""
    url = (stack.directory / "redis.url").read_text().strip()
    client = redis.connect(url)
    try:
        yield client, url
    finally:
        await redis.close(client)


async def on_streams(client: Any) -> Counter[str]:
    """Ids of the events that the archive does not have."""
    found: Counter[str] = Counter()
    for p in range(PARTITIONS):
        for _, fields in await client.xrange(keys.events(p), f"({await archived.position(client, p)}", "+"):
            found[_event_id(fields)] += 1
    return found


async def _trimmed(client: Any, partition: int) -> int:
    return await trimming.trim(client, partition, int(time.time() * 1000), DAY_MS, is_archived=True)


def _event_id(fields: dict[bytes, bytes]) -> str:
    entry = bus.entry(b"0-0", fields)
    fact = entry.message()
    assert isinstance(fact, events.Fact)
    return fact.event_id


async def _sent_while_the_archive_is_killed(stack: Stack, client: Any, url: str, folder: Path) -> list[str]:
    """Jobs, all of whose events are archived in the end: each process before the last one is killed in the middle."""
    jobs: list[str] = []

    async def more() -> None:
        jobs.append(await stack.send(*(f"u{at}@j{len(jobs)}.test" for at in range(RECIPIENTS))))

    async def is_written() -> bool:
        return all([await archived.oldest_outside_ms(client, p) is None for p in range(PARTITIONS)])

    async def is_caught_in_the_middle(process: Process, known: int) -> bool:
        """Held still to be looked at: whether it has written a file and has more to write."""
        process.send_signal(signal.SIGSTOP)
        has_begun = len(files(folder)) > known
        if has_begun and not await is_written():
            return True
        process.send_signal(signal.SIGCONT)
        if has_begun:  # it was done before it was looked at
            await more()
        return False

    for kill in range(KILLS + 1):
        await client.delete(keys.archive_lease())  # it would end by itself, in 20 seconds
        known = len(files(folder))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.archive", env=stack.environ | {"ESTAFETTE_REDIS_URL": url}
        )
        try:
            await more()
            if kill < KILLS:
                await stack.until(partial(is_caught_in_the_middle, process, known))
            else:
                for job in jobs:
                    assert (await stack.done(job))["counts"]["delivered"] == RECIPIENTS
                await stack.until(is_written)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
    return jobs


async def test_each_event_is_in_one_file_or_in_the_stream_and_the_feed_goes_over_the_border(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    environ = {
        "ESTAFETTE_ARCHIVE_TARGET": str(folder),
        "ESTAFETTE_ARCHIVE_FILE_SECONDS": "1",
        "ESTAFETTE_ARCHIVE_FILE_EVENTS": "100",
    }
    async with Stack.running(tmp_path / "run", environ) as stack, connected(stack) as (client, url):
        jobs = await _sent_while_the_archive_is_killed(stack, client, url, folder)
        # What comes now is in the stream alone.
        await stack.done(await stack.send(*(f"u{at}@late.test" for at in range(20))))

        async def all_is_told() -> bool:
            _, page = await stack.call("GET", "/v1/events", params={"type": "job.finished", "since": SINCE})
            return len(page["events"]) == len(jobs) + 1

        await stack.until(all_is_told)
        before = await feed(stack, 1_000)
        status, middle = await stack.call("GET", "/v1/events", params={"since": SINCE, "limit": "70"})
        assert status == 200

        removed = [await _trimmed(client, p) for p in range(PARTITIONS)]
        inside, outside = in_files(folder), await on_streams(client)

        assert any(removed)
        assert set(inside.values()) == set(outside.values()) == {1}
        assert not inside.keys() & outside.keys()
        assert inside.keys() | outside.keys() == set(before)
        assert len(before) == len(set(before)) >= 2 * (RECIPIENTS * (KILLS + 1) + 20)
        after = await feed(stack, 70)
        assert sorted(after) == sorted(before)
        rest = await feed(stack, 70, after=middle["next"])
        assert sorted([*rest, *(event["event_id"] for event in middle["events"])]) == sorted(before)

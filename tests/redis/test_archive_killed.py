"""The process that writes the archive is killed, again and again, while events come: each is in one file in the end."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import duckdb

from shared.redis import archived, bus, redis
from shared.words import events, ids
from tests.servers import RedisServer

P = 4
KILLS = 4


def facts(number: int, seed: int) -> list[events.Fact]:
    at_ms = int(time.time() * 1000)
    job = ids.new_job_id(at_ms, (seed << 20).to_bytes(6, "big"), P)
    return [
        events.Delivered(
            **events.about_message(f"tenant{at % 3}", job, at, at_ms, "delivered", email=f"u{at}@a.test"), site="a.test"
        )
        for at in range(number)
    ]


async def test_a_process_that_is_killed_again_and_again_leaves_each_event_once(
    mortal: RedisServer, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    environ = os.environ | {
        "ESTAFETTE_REDIS_URL": mortal.url,
        "ESTAFETTE_REDIS_PARTITIONS": str(P),
        "ESTAFETTE_DATA_DIR": str(tmp_path / "data"),
        "ESTAFETTE_ARCHIVE_TARGET": str(folder),
        "ESTAFETTE_ARCHIVE_FILE_SECONDS": "1",
        "ESTAFETTE_ARCHIVE_FILE_EVENTS": "500",
        "ESTAFETTE_ARCHIVE_METRICS_PORT": "0",
    }
    client = redis.connect(mortal.url)
    publisher = bus.Publisher(client, P, lambda: os.urandom(8).hex())
    published: set[str] = set()

    async def behind() -> bool:
        return any([await archived.oldest_outside_ms(client, p) is not None for p in range(P)])

    for kill in range(KILLS + 1):
        await client.delete("est:{meta}:archive_lease")  # it would end by itself, in 20 seconds
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.archive", env=environ)
        try:
            for batch in range(10):
                made = facts(400, kill * 100 + batch + 1)
                await publisher.publish(made)
                published |= {fact.event_id for fact in made}
            if kill == KILLS:
                async with asyncio.timeout(60):
                    while await behind():  # noqa: ASYNC110 - Redis's state
                        await asyncio.sleep(0.1)
            else:
                async with asyncio.timeout(60):
                    while len(list(folder.glob("*/*/*.parquet"))) < 3 * (kill + 1):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
    await redis.close(client)

    found = Counter(
        one for (one,) in duckdb.execute(f"select event_id from read_parquet('{folder}/*/*/*.parquet')").fetchall()
    )
    assert set(found) == published
    assert set(found.values()) == {1}

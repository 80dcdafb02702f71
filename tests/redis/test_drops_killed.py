"""The process that writes drops is killed, again and again, while hours are made up for and files are taken away: each
event is in one file, and each file is had once, and whole."""

import asyncio
import csv
import io
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from services.reports.drops import periods
from services.reports.drops.drop import Drop
from services.reports.drops.periods import HOUR_MS
from services.reports.drops.store import Store
from shared.redis import keys, redis
from shared.words import events, ids
from tests.feeds import catch_up
from tests.servers import RedisServer

P = 2
HOURS = 40
IN_AN_HOUR = 60
KILLS = 6
PATIENCE_S = 120


async def test_a_process_that_is_killed_again_and_again_places_each_file_once_and_whole(
    mortal: RedisServer, tmp_path: Path
) -> None:
    begin = periods.containing("hourly", 0, int(time.time() * 1000)).begin_ms - HOURS * HOUR_MS
    client = redis.connect(mortal.url)
    recorded = [await _record(client, begin + at * HOUR_MS // IN_AN_HOUR, at) for at in range(HOURS * IN_AN_HOUR)]
    await catch_up(client, P)
    store = Store(client)
    drop = Drop("acme", "events", "events", "crm", "hourly", columns=("event_id", "type"))
    await store.put(drop, "1", begin, 1, moved=False)
    root = tmp_path / "drops"
    root.mkdir()
    environ = os.environ | {
        "ESTAFETTE_REDIS_URL": mortal.url,
        "ESTAFETTE_REDIS_PARTITIONS": str(P),
        "ESTAFETTE_DATA_DIR": str(tmp_path / "data"),
        "ESTAFETTE_DROPS_ENABLED": "true",
        "ESTAFETTE_DROPS_FOLDER": str(root),
        "ESTAFETTE_DROPS_METRICS_PORT": "0",
    }
    taken: Counter[str] = Counter()
    found: list[str] = []

    def take() -> None:
        """As a receiver does that looks again and again, and takes away what has its name."""
        for file in sorted((root / "acme" / "crm").glob("*.csv")):
            rows = list(csv.DictReader(io.StringIO(file.read_text("utf-8"), newline=""), strict=True))
            file.unlink()
            taken[file.name] += 1
            found.extend(row["event_id"] for row in rows)

    for kill in range(KILLS + 1):
        await client.delete(keys.drops_lease())  # it would end by itself, in 20 seconds
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.reports.drops", env=environ)
        try:
            until = HOURS if kill == KILLS else (kill + 1) * HOURS // (KILLS + 2)
            async with asyncio.timeout(PATIENCE_S):
                while len(taken) < until:
                    take()
                    await asyncio.sleep(0.001 * (kill % 3))
                while kill == KILLS and (await store.state(drop)).next < begin + HOURS * HOUR_MS:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
    take()
    state = await store.state(drop)
    await redis.close(client)

    assert sorted(taken) == sorted(
        drop.file_name(periods.containing("hourly", 0, begin + hour * HOUR_MS)) for hour in range(HOURS)
    )
    assert set(taken.values()) == {1}
    assert Counter(found) == Counter(recorded)
    assert (state.written, state.missed, state.placing) == (HOURS, 0, "")


async def _record(client: Any, at_ms: int, number: int) -> str:
    job = ids.new_job_id(at_ms, (number + 1 << 20).to_bytes(6, "big"), P)
    fact = events.Delivered(**events.about_message("acme", job, 0, at_ms, "delivered", email="a@a.test"), site="a.test")
    fields = {"t": "Delivered", "v": events.MAJOR_VERSION, "b": events.encode(fact)}
    await client.xadd(keys.events(ids.job_partition(job, P)), fields, id=f"{at_ms}-{number}")
    return fact.event_id

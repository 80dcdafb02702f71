"""A segment as recipients of a job: how fast contacts are handed over and taken.

python -m loadtests.targeting --contacts 100000    of 20 fields each, four of them named by the content

Both sides of the hand-over run in this process, beside a real PostgreSQL and a real Redis: what contacts do (they write
down who belongs, read them, make recipients of them, pack them) and what queueing does with pages. Queueing the chunks,
which every job needs, is not measured here. The last line is JSON.
"""

import argparse
import asyncio
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests import segments
from services.contacts import migrating
from services.contacts.base.database import Database
from services.contacts.targeting.targeting import Targeting
from services.queueing.selecting import Selecting, Selections
from services.queueing.store import JobStore
from shared.process.clock import now_ms
from shared.redis import jobs, redis
from shared.redis.cancels import CancelList, Cancels
from shared.redis.result_sets import ResultSets
from shared.redis.targets import Targets
from shared.words import content, ids
from tests.jobs import compile_job, new_job
from tests.servers import PostgresServer, RedisServer

P = 8
CHUNKS = 1_000_000
#: Values of `number1`, which has each as often.
_VALUES = 1_000


async def measured(postgres: str, redis_url: str, contacts: int) -> dict[str, Any]:
    database, client = Database(postgres, 4, 600), redis.connect(redis_url)
    try:
        await migrating.migrate(database, migrating.steps())
        async with database.transaction() as sql:
            await sql.execute("insert into tenants (name) values ('acme')")
            await sql.execute(segments.FIELDS)
            await sql.execute(segments.CONTACTS, contacts, timeout=3_600)
        async with database.connection() as sql:
            await sql.execute("vacuum analyze", timeout=3_600)
        return {"contacts": contacts, **await to_job(database, client, contacts, contacts)}
    finally:
        await redis.close(client)
        await database.close()


async def to_job(database: Database, client: redis.Client, contacts: int, wanted: int) -> dict[str, Any]:
    """So many of the contacts of a base as `segments` makes it, nearly."""
    values = min(_VALUES, _VALUES * wanted // contacts)
    criteria = {"kind": "field", "field": "number1", "test": "at_most", "value": values - 1}
    compiled = compile_job(subject="Bonjour {{ text2 }}", text="{{ text1 }} {{ text4 }} {{ choice1 }} {{ date1 }}")
    assert isinstance(compiled, content.CompiledContent), compiled
    job = ids.new_job_id(now_ms(), os.urandom(6), P)
    new = new_job(selection=json.dumps({"criteria": criteria}).encode(), content=content.encode(compiled))
    await JobStore(client, P, CHUNKS).store(job, new, [], "selecting")
    cancels = Cancels(CancelList(client))
    store = Selections(client, P, CHUNKS, CHUNKS)
    queueing = Selecting(store, ResultSets(client, P), cancels, P, now_ms, os.urandom)
    handing = Targeting(database, Targets(client, P), P, now_ms)
    stopping = asyncio.Event()
    began, cpu = time.perf_counter(), _cpu_s()
    running = [asyncio.create_task(queueing.run(stopping)), asyncio.create_task(handing.work(stopping))]
    while (found := await jobs.read(client, P, job, (jobs.STATE, jobs.TOTAL)))[jobs.STATE] == "selecting":  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    took_s, own_s = time.perf_counter() - began, _cpu_s() - cpu
    stopping.set()
    await asyncio.gather(*running)
    recipients = int(found[jobs.TOTAL])
    assert recipients or not contacts
    return {
        "recipients": recipients,
        "to_job_s": round(took_s, 2),
        "to_job_per_s": round(recipients / took_s),
        "to_job_own_us": round(own_s / recipients * 1e6, 1),
    }


def _cpu_s() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-targeting-") as folder:
        server = PostgresServer(Path(folder) / "postgresql", {"shared_buffers": "256MB"})
        store = RedisServer(Path(folder) / "redis")
        try:
            (Path(folder) / "postgresql").mkdir()
            server.start()
            store.start()
            found = asyncio.run(measured(server.url, store.url, given.contacts))
        finally:
            store.stop()
            server.stop()
    print(json.dumps({"bench": "targeting", **found}))


if __name__ == "__main__":
    main()

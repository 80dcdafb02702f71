"""Result sets: rows a second of a job of a million recipients, and of a join of two such jobs.

    make bench-results
    make bench-results BENCH_ARGS='--recipients 100000'    # a quick look

Against a Redis of its own, in one process: the set is read, and written as lines of JSON or rows of CSV, as an answer
has them. Beside it a bare loop reads the same chunks of recipients and decodes them. The last line is JSON.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from loadtests.processes import Processes
from services.reports.results import WRITTEN, Format
from shared.process import logs
from shared.process.settings import Redis as RedisSettings
from shared.redis import jobs, keys, recipients
from shared.redis.recipients import Waiting, pack_slim
from shared.redis.redis import Client, close, connect
from shared.redis.result_sets import Member, ResultSets
from shared.words import ids, result_sets, standing
from shared.words.result_sets import And, Expression, Node, Not, Or, Set
from shared.words.standing import ACCEPTED, State

PARTITIONS = RedisSettings().partitions
CHUNK = 500
MADE_MS = 1_790_000_000_000
A, B = (ids.new_job_id(MADE_MS + n, bytes([n]) * 6, PARTITIONS) for n in (1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=1_000_000)
    given = parser.parse_args()
    logs.configure("bench", "warning")
    with (
        tempfile.TemporaryDirectory(prefix="estafette-bench-", ignore_cleanup_errors=True) as folder,
        Processes(Path(folder)) as processes,
    ):
        Path(folder).chmod(0o755)
        found = asyncio.run(_measured(processes.redis(), given.recipients))
    print(json.dumps({"bench": "results", "recipients": given.recipients, **found}))


async def _measured(url: str, count: int) -> dict[str, Any]:
    client: Any = connect(url)
    try:
        await _fill(client, A, 0, count)
        await _fill(client, B, count // 2, count)
        sets = ResultSets(client, PARTITIONS)
        delivered, opened, clicked = Set(A, "delivered"), Set(A, "not_opened"), Set(B, "clicked")
        found: dict[str, float] = {
            "bare_rows_per_s": await _bare(client, count),
            "delivered_rows_per_s": await _pace(sets, delivered, "ndjson"),
            "csv_rows_per_s": await _pace(sets, delivered, "csv"),
            "not_opened_rows_per_s": await _pace(sets, opened, "ndjson"),
        }
        for name, node in (
            ("and_not", And((delivered, Not(clicked)))),
            ("or", Or((delivered, Set(B, "delivered")))),
        ):
            began = time.perf_counter()
            rows = await _written(sets, node, "ndjson")
            found[f"{name}_s"] = round(time.perf_counter() - began, 2)
            found[f"{name}_rows"] = rows
        found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        for name, value in found.items():
            print(f"{name:<24} {value:,}")
        return found
    finally:
        await close(client)


async def _fill(client: Any, job: str, begin: int, count: int) -> None:
    """A job to that many addresses from a number on: nine of ten delivered, a third opened, a tenth clicked."""
    p = ids.job_partition(job, PARTITIONS)
    fields: dict[jobs.Field[Any], Any] = {jobs.TENANT: "acme", jobs.STATE: "queued", jobs.TOTAL: count}
    for field, value in fields.items():
        await client.hset(keys.job(p, job), field.name, field.write(value))
    for first in range(0, count, CHUNK):
        people = [
            Waiting(email=f"prenom.nom{begin + n}@exemple{(begin + n) % 977}.fr", metadata={"crm_id": str(begin + n)})
            for n in range(first, min(first + CHUNK, count))
        ]
        await client.zadd(keys.job_recipients(p, job), {pack_slim(first, people): first})
    ended = bytes((State.DELIVERED | ACCEPTED,)) * 9 + bytes((State.BOUNCED_HARD | ACCEPTED,))
    await client.set(keys.job_states(p, job), (ended * (count // 10 + 1))[:count])
    await client.set(keys.job_bitmap(p, job, standing.OPENS), bytes((0b10010010,)) * (count // 8 + 1))
    await client.set(keys.job_bitmap(p, job, standing.CLICKS), bytes((0b10000000, 0)) * (count // 16 + 1))


async def _bare(client: Client, count: int) -> int:
    """Chunks that are read and decoded, and nothing else."""
    key = keys.job_recipients(ids.job_partition(A, PARTITIONS), A)
    began, rows = time.perf_counter(), 0
    for first in range(0, count, 20 * CHUNK):
        members = await client.zrangebyscore(key, first, first + 20 * CHUNK - 1)
        rows += sum(len(recipients.read(member).viewed()) for member in members)
    return round(rows / (time.perf_counter() - began))


async def _pace(sets: ResultSets, one: Set, format: Format) -> int:
    began = time.perf_counter()
    rows = await _written(sets, one, format)
    return round(rows / (time.perf_counter() - began))


async def _written(sets: ResultSets, node: Node, format: Format) -> int:
    """As an answer is; how many rows."""
    expression, faults = result_sets.read(result_sets.packed(node))
    assert isinstance(expression, Expression), faults
    named, _ = await sets.named("acme", expression)
    found: AsyncIterator[Sequence[Member]]
    found = sets.messages(named[0], node) if isinstance(node, Set) else sets.recipients(named, node, b"bench")
    _, written = WRITTEN[format]
    rows = 0
    async for some in found:
        rows += len(some)
        written(some)
    return rows


if __name__ == "__main__":
    main()

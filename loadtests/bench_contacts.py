"""The base of contacts: imports, counts of segments, recipients, the activity rank, and behaviours that are followed.

    make bench-contacts
    python -m loadtests.bench_contacts [--contacts 1000000] [--behaviours 10000000] [--parts import,…] [--no-growth]

Against a PostgreSQL and a Redis of its own, one part after the other in one process, at 10,000 contacts, 100,000 and as
many as were asked for: `contacts_importing` in a database of its own; then `segments`, `targeting`, the rank and
`contacts_following` on one base, which SQL makes as its services would leave it. The goals, at a million contacts with
20 fields: 20,000 lines a second come in, a count takes less than a second at the median of 50 segments, 20,000
recipients a second, a rank of all within a minute, 10,000 behaviours a second. A figure whose part was not asked for is
null in the last line, which is JSON.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests import contacts_following, contacts_importing, segments, targeting
from services.contacts.base.database import Database
from services.contacts.rank.asked import USUAL, since_ms
from services.contacts.rank.ranking import MOST_S
from services.contacts.rank.run import Rank
from shared.process import logs
from shared.redis import redis
from tests.servers import PostgresServer, RedisServer

PARTS = ("import", "segments", "job", "rank", "followed")
#: Everybody looks at these; the order is that of the last line.
FIGURES = ("import_per_s", "segment_median_s", "to_job_per_s", "rank_s", "followed_per_s")
#: And at what stands beside them in the same run: ours ÷ what somebody would do without us.
RATIOS = ("import_to_copy", "segment_to_hand", "rank_to_hand")
GROWTH = (10_000, 100_000)
#: Of a base: enough to tell the pace.
RECIPIENTS = 200_000
FACTS = 200_000
FOLLOWING_S = 60.0
TURNS = 2
_NOW_MS = round(segments.NOW.timestamp() * 1000)

#: In the order of their key, as many for each contact, over the half year before; of six three are deliveries, two
#: openings, one a click.
_BEHAVIOURS = """
insert into behaviours (tenant, contact, occurred_at, event, kind, operation)
select 1, contact, $3::timestamptz - abs(chance % 15552000) * interval '1 second', chance,
       (array[4, 4, 4, 5, 5, 6])[1 + abs(chance % 6)], 1 + abs(chance % 40)
from generate_series(1, $1::int) as contact, generate_series(1, $2::int) as at,
     lateral (select hashint8extended(contact, at)) as one (chance)
"""
#: What somebody would write who knows the table, of e-mail alone: no contact is looked up, and only notes are kept.
_RANK_BY_HAND = """
create temporary table noted on commit drop as
select contact, 11 - ntile(10) over (order by count(*) desc, max(occurred_at) desc, contact) as note
from behaviours
where tenant = 1 and kind in (5, 6) and not machine and occurred_at >= to_timestamp($1::float8)
    and occurred_at < to_timestamp($2::float8)
group by contact
"""


async def make(database: Database, contacts: int, behaviours: int) -> None:
    began = time.perf_counter()
    await segments.make(database, contacts)
    async with database.transaction() as sql:
        await sql.execute("update tenants set next_operation = 100")
        await sql.execute(_BEHAVIOURS, contacts, max(1, behaviours // contacts), segments.NOW, timeout=3_600)
    async with database.connection() as sql:
        await sql.execute("vacuum analyze behaviours", timeout=3_600)
        await sql.execute("checkpoint", timeout=3_600)
    print(f"{contacts:,} contacts, {behaviours:,} behaviours made in {time.perf_counter() - began:.0f} s", flush=True)


async def ranked(database: Database) -> dict[str, Any]:
    """Ours and the one by hand, in turns; both say how many are active."""
    rank, ours, theirs = Rank(database), [], []
    for _ in range(TURNS):
        began = time.perf_counter()
        run = await rank.run(1, _NOW_MS, MOST_S)
        ours.append(time.perf_counter() - began)
        async with database.transaction() as sql:
            began = time.perf_counter()
            await sql.execute(_RANK_BY_HAND, since_ms(USUAL.period, _NOW_MS) / 1000, _NOW_MS / 1000, timeout=MOST_S)
            theirs.append(time.perf_counter() - began)
            active = await sql.fetchval("select count(*) from noted")
        assert active == sum(run.contacts), (active, run.contacts)
    rank_s, by_hand_s = statistics.median(ours), statistics.median(theirs)
    return {
        "active": active,
        "rank_s": round(rank_s, 2),
        "rank_by_hand_s": round(by_hand_s, 2),
        "rank_to_hand": round(rank_s / by_hand_s, 2),
    }


async def on_base(url: str, store: RedisServer, pid: int, given: argparse.Namespace, contacts: int) -> dict[str, Any]:
    """All parts but the import."""
    behaviours = given.behaviours * contacts // given.contacts
    found: dict[str, Any] = {"behaviours": behaviours}
    database = Database(url, 8, 600)
    try:
        await make(database, contacts, behaviours)
        if "segments" in given.parts:
            found |= await segments.counts_of(database, segments.COUNTS, 14)
            found["segment_to_hand"] = round(found["same_s"] / found["by_hand_s"], 2)
        if "job" in given.parts:
            client = redis.connect(store.url)
            try:
                found |= await targeting.to_job(database, client, contacts, RECIPIENTS)
            finally:
                await redis.close(client)
        if "rank" in given.parts:
            found |= await ranked(database)
        if "followed" in given.parts:
            found |= await contacts_following.followed(database, pid, contacts, FACTS, FOLLOWING_S)
    finally:
        await database.close()
    return found


async def measured(
    server: PostgresServer, store: RedisServer, folder: Path, given: argparse.Namespace, contacts: int
) -> dict[str, Any]:
    found: dict[str, Any] = {"contacts": contacts}
    if "import" in given.parts:
        url = await server.new()
        found |= await contacts_importing.measured(url, server.pid, folder, contacts)
        found["import_per_s"] = found["import_changed_per_s"]
        await server.drop(url)
    if set(given.parts) - {"import"}:
        url = await server.new()
        found |= await on_base(url, store, server.pid, given, contacts)
        await server.drop(url)
    return found


def shown(by_size: Mapping[int, Mapping[str, Any]]) -> str:
    """How each figure grows, a line each."""
    names = list(dict.fromkeys(name for found in by_size.values() for name in found if name != "contacts"))
    lines = [f"{'contacts':>24}" + "".join(f"{size:>14,}" for size in by_size)]
    lines += [f"{name:>24}" + "".join(f"{found.get(name, ''):>14}" for found in by_size.values()) for name in names]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--behaviours", type=int, default=10_000_000, help="rows of them, of all contacts")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=PARTS, help=f"of {','.join(PARTS)}")
    parser.add_argument("--no-growth", action="store_true", help="at no other size")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    logs.configure("bench", "warning")
    by_size: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="estafette-contacts-") as name:
        folder = Path(name)
        server, store = PostgresServer(folder / "postgresql", segments.OPTIONS), RedisServer(folder / "redis")
        try:
            server.start()
            store.start()
            for size in [*(size for size in GROWTH if size < given.contacts and not given.no_growth), given.contacts]:
                began = time.perf_counter()
                by_size[size] = asyncio.run(measured(server, store, folder, given, size))
                print(f"at {size:,} contacts, in {time.perf_counter() - began:.0f} s: {by_size[size]}", flush=True)
        finally:
            store.stop()
            server.stop()
    print(shown(by_size))
    last = by_size[given.contacts]
    whole = {name: last.get(name) for name in (*FIGURES, *RATIOS, "contacts", "behaviours")}
    print(json.dumps({"bench": "contacts", **whole}))


if __name__ == "__main__":
    main()

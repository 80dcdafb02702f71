"""Segments: how long a count takes on a large base, beside what somebody would write by hand.

python -m loadtests.segments --contacts 1000000    50 behaviours each, in 40 operations; 50 different segments

Every segment has three criteria on fields and two on behaviour. The base is made by SQL, as its services would leave
it; the tables, the compiler and the server are real. A count is all that a caller waits for: the criteria are read,
checked against the tenant's fields and segments, compiled and answered. The last line is JSON.
"""

import argparse
import asyncio
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from services.contacts import migrating
from services.contacts.base.database import Database
from services.contacts.segments import language, store
from tests.servers import PostgresServer

OPERATIONS = 40
COUNTS = 50
#: Of each contact: mails received, openings, clicks, pages seen, events; together 50 at the mean.
DEEDS = {4: 16, 5: 16, 6: 4, 20: 10, 21: 4}
#: What machines did counts besides, here nothing (`tallies` of `0001_contacts.sql`).
_MACHINES_TOO = {105: 16, 106: 4}
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
#: What a machine of this size would be given; the rest is as PostgreSQL comes.
OPTIONS = {"shared_buffers": "2GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
_SECONDS = int((NOW - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds())
_DAY = 86_400

FIELDS = """
insert into fields (tenant, field, name, kind, slot)
select 1, n, 'text' || n, 'text', n from generate_series(1, 10) as n
union all select 1, 10 + n, 'number' || n, 'number', n from generate_series(1, 4) as n
union all select 1, 14 + n, 'date' || n, 'date', n from generate_series(1, 3) as n
union all select 1, 17 + n, 'choice' || n, 'choice', null from generate_series(1, 3) as n;
insert into choices (tenant, choice, field, value, folded)
select 1, field * 65536 + place, field, 'value' || place, 'value' || place
from generate_series(18, 20) as field, generate_series(0, 11) as place;
"""
CONTACTS = """
insert into contacts
    (tenant, contact, key, email, email_key, mobile, texts, folded, numbers, dates, choices, email_optin,
     email_status)
select 1, n, email, email, email, '+336' || lpad(n::text, 8, '0'), texts,
       array(select lower(t) from unnest(texts) as t),
       array[n * 17 % 1000, case when n % 4 > 0 then n % 90 end, n % 365, n * 3 % 77],
       array[date '1950-01-01' + n * 37 % 25000, case when n % 3 <> 1 then date '2020-01-01' + n % 2500 end,
             date '2024-01-01' + n % 700],
       array[18 * 65536 + n % 12, 19 * 65536 + n % 4, 20 * 65536 + n % 7], n % 10 < 8, 'valid'
from (
    select n, 'u' || n || '@exemple.fr' as email,
           array['Nom' || n::bigint * 7919 % 50000, 'Prenom' || n * 31 % 3000, n % 12000 || ' rue de la Paix',
                 'Ville' || n * 13 % 36000, lpad((n::bigint * 977 % 95000)::text, 5, '0'),
                 case when n % 5 > 0 then 'fr' end, case when n % 2 = 0 then 'Société ' || n % 9999 end, 'C' || n,
                 'tag' || n % 50, case when n % 3 > 0 then 'note ' || n % 777 end] as texts
    from generate_series(1, $1::int) as n
) as made
"""
_TALLIES = """
insert into tallies (tenant, kind, name, contact, n, last, times)
select 1, $2::int, 0, contact, cardinality(times), times[cardinality(times)], times
from (
    select contact, array(
        select (($3::bigint - (contact::bigint * 7919 + at::bigint * 15485863) % 63072000))::int as second
        from generate_series(1, contact % ($4::int * 2) + 1) as at order by second) as times
    from generate_series(1, $1::int) as contact
) as made
"""
#: Random bits, every other one; those of `halved` times as many digests at once: a half, a fourth …
_SETS = """
insert into sets (tenant, fact, subject, item, chunk, members)
select 1, $2::int, operation, 0, chunk, bit_and(members)
from (
    select operation, chunk, one,
           ('x' || string_agg(md5(concat_ws(' ', $2::int, operation, chunk, one, part)), ''))::bit(8192) as members
    from generate_series(1, $4::int) as operation, generate_series(0, $1::int >> 13) as chunk,
         generate_series(1, $3::int) as one, generate_series(1, 64) as part
    group by operation, chunk, one
) as bits
group by operation, chunk
"""
_OPERATIONS = """
insert into operations (tenant, operation, key, category, tags, started_at)
select 1, n, 'job' || n, (array['promotion', 'newsletter'])[n % 2 + 1], array['tag' || n % 8],
       $2::timestamptz - n * interval '9 days'
from generate_series(1, $1::int) as n
"""


def segments(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Different ones without end: all of five criteria, or two of them in a node of their own."""
    while True:
        fields = chance.sample(list(_field_criteria(chance)), 3)
        behaviour = [_operation(chance), _counted(chance)]
        if chance.random() < 0.4:
            behaviour[chance.randrange(2)] = chance.choice([_operation, _counted])(chance)
        of = [*fields, *behaviour]
        chance.shuffle(of)
        nested = chance.choice(["all", "all", "any", "none"])
        yield {"kind": "all", "of": [*of[:3], {"kind": nested, "of": of[3:]}]}


def _field_criteria(chance: random.Random) -> Iterator[dict[str, Any]]:
    for given in (
        {"field": "text5", "test": "begins_with", "value": f"{chance.randrange(95):02}"},
        {"field": "text4", "test": "not_contains", "value": f"{chance.randrange(99):02}"},
        {"field": "text1", "test": "contains", "value": f"m{chance.randrange(9)}"},
        {"field": "text7", "test": "not_empty"},
        {"field": "text6", "test": "differs", "value": "be"},
        {"field": "email", "test": "ends_with", "value": "@exemple.fr"},
        {"field": "number1", "test": "greater", "value": chance.randrange(900)},
        {"field": "number2", "test": "at_most", "value": chance.randrange(90)},
        {"field": "date1", "test": "before", "value": f"{chance.randrange(1955, 2010)}-01-01"},
        {"field": "date2", "test": "in_last_days", "days": chance.randrange(300, 2500)},
        {"field": "date1", "test": "birthday_in_days", "days": chance.randrange(30)},
        {"field": "choice1", "test": "one_of", "values": [f"value{at}" for at in chance.sample(range(12), 4)]},
        {"field": "choice2", "test": "differs", "value": f"value{chance.randrange(4)}"},
    ):
        yield {"kind": "field", **given}


def _operation(chance: random.Random) -> dict[str, Any]:
    was = chance.choice(["opened", "not_opened", "clicked", "delivered", "not_clicked"])
    meant: dict[str, Any] = chance.choice([
        {"operations": [f"job{chance.randrange(1, OPERATIONS)}"]},
        {"tag": f"tag{chance.randrange(8)}"},
        {"category": "promotion", "last_days": 90},
        {"last_days": 120},
    ])  # fmt: skip
    return {"kind": "operation", "was": was, "match": chance.choice(["one", "one", "all"]), **meant}


def _counted(chance: random.Random) -> dict[str, Any]:
    period: dict[str, Any] = chance.choice([{"last_days": chance.choice([7, 30, 60, 90, 180])}, {}])
    return {
        "kind": "behaviour",
        "did": chance.choice(["opened", "clicked", "page_seen", "received"]),
        chance.choice(["at_least", "at_least", "at_most", "exactly"]): chance.randrange(1, 5),
        **period,
    }


#: What somebody would write who knows the tables: the first three criteria on fields, one operation, one count.
BY_HAND = f"""
select count(*) from contacts as c
where tenant = 1 and folded[5] like '75%' and numbers[1] > 100
and choices && array[{18 * 65536 + 1}, {18 * 65536 + 2}]
and exists (select from sets as s where s.tenant = 1 and fact = 5 and subject = 7 and item = 0
            and chunk = c.contact >> 13 and get_bit(members, c.contact & 8191) = 1)
and exists (select from tallies as t where t.tenant = 1 and kind = 5 and name = 0 and t.contact = c.contact
            and (select count(*) from unnest(times) as at where at >= {_SECONDS - 60 * _DAY}) >= 3)
"""
SAME = {
    "kind": "all",
    "of": [
        {"kind": "field", "field": "text5", "test": "begins_with", "value": "75"},
        {"kind": "field", "field": "number1", "test": "greater", "value": 100},
        {"kind": "field", "field": "choice1", "test": "one_of", "values": ["value1", "value2"]},
        {"kind": "operation", "was": "opened", "operations": ["job7"]},
        {"kind": "behaviour", "did": "opened", "at_least": 3, "since": (NOW - timedelta(days=60)).isoformat()},
    ],
}


async def make(database: Database, contacts: int) -> None:
    await migrating.migrate(database, migrating.steps())
    async with database.transaction() as sql:
        await sql.execute("insert into tenants (name) values ('acme')")
        await sql.execute(FIELDS)
        await sql.execute(CONTACTS, contacts, timeout=3_600)
        for kind, mean in (DEEDS | _MACHINES_TOO).items():
            await sql.execute(_TALLIES, contacts, kind, _SECONDS, mean, timeout=3_600)
        await sql.execute(_OPERATIONS, OPERATIONS, NOW)
        for fact, halved in ((4, 0), (5, 2), (6, 4)):
            await sql.execute(_SETS, contacts, fact, max(1, halved), OPERATIONS, timeout=3_600)
    async with database.connection() as sql:
        await sql.execute("vacuum analyze", timeout=3_600)


async def counted(database: Database, given: object) -> tuple[int, float]:
    """How many, and seconds."""
    began = time.perf_counter()
    criterion, faults = language.read(given)
    assert criterion is not None, faults
    async with database.transaction() as sql:
        found = await store.count(sql, 1, criterion, NOW)
    return found.contacts, time.perf_counter() - began


async def by_hand(database: Database) -> tuple[int, float]:
    began = time.perf_counter()
    async with database.transaction() as sql:
        await sql.execute("set local jit = off")
        found: int = await sql.fetchval(BY_HAND)
    return found, time.perf_counter() - began


async def measured(url: str, contacts: int, counts: int, seed: int) -> dict[str, Any]:
    database = Database(url, 4, 600)
    try:
        began = time.perf_counter()
        await make(database, contacts)
        took = time.perf_counter() - began
        print(f"{contacts} contacts, {sum(DEEDS.values()) * contacts} behaviours made in {took:.0f} s", flush=True)
        return {"contacts": contacts, **await counts_of(database, counts, seed)}
    finally:
        await database.close()


async def counts_of(database: Database, counts: int, seed: int) -> dict[str, Any]:
    await counted(database, SAME)  # the first look at every page
    times, found = [], []
    for given, _ in zip(segments(random.Random(seed)), range(counts), strict=False):
        how_many, seconds = await counted(database, given)
        times.append(seconds)
        found.append(how_many)
        print(f"{seconds:7.3f} s {how_many:9d}  {msgspec.json.encode(given).decode()[:200]}", flush=True)
    pairs = [(await counted(database, SAME), await by_hand(database)) for _ in range(5)]
    assert all(ours == theirs for (ours, _), (theirs, _) in pairs), pairs
    return {
        "segment_median_s": round(statistics.median(times), 3),
        "segment_worst_s": round(max(times), 3),
        "nobody": found.count(0),
        "same_s": round(statistics.median(seconds for (_, seconds), _ in pairs), 3),
        "by_hand_s": round(statistics.median(seconds for _, (_, seconds) in pairs), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--counts", type=int, default=COUNTS)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--url", help="of an empty database, in the place of a server of its own")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-segments-") as folder:
        server = None if given.url else PostgresServer(Path(folder), OPTIONS)
        try:
            if server is not None:
                server.start()
            url = given.url or (server.url if server else "")
            found = asyncio.run(measured(url, given.contacts, given.counts, given.seed))
        finally:
            if server is not None:
                server.stop()
    own = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"bench": "segments", **found, "own_cpu_s": round(own.ru_utime + own.ru_stime, 2)}))


if __name__ == "__main__":
    main()

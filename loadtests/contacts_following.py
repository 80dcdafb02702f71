"""Contacts: how fast what happens to mail becomes rows, bits and counts, on a base that has much of it already.

python -m loadtests.contacts_following --contacts 1000000 --before 50000000 --facts 200000

The base is made by SQL; then a job to as many of its contacts is followed: for ten recipients ten are accepted and
delivered, four openings and one click come from among them, in bulk and mixed. Entries go to the main path of the
process as the bus hands them over, of several partitions at once; Redis is left out, its figures are in `bench-events`.
CPU is told apart: this process, and the server's. The last line is JSON.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from services.contacts import migrating
from services.contacts.base.database import Database
from services.contacts.behaviour import operations
from services.contacts.behaviour.jobs import UNKNOWN
from services.contacts.behaviour.late import Rule
from services.contacts.behaviour.operations import About
from services.contacts.behaviour.writing import Behaviour
from services.contacts.following import BATCH, Following
from shared.process.lifecycle import settle
from shared.redis import bus
from shared.redis.recipients import Recipient
from shared.words import events, ids
from shared.words.erased import ErasureKeys
from tests.servers import PostgresServer

#: What a machine of this size would be given; the rest is as PostgreSQL comes.
OPTIONS = {"shared_buffers": "2GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
PARTITIONS = 4
#: The mail was sent then, a month after the last of what was there before.
SENT_MS = 1_795_000_000_000
_TICKS = os.sysconf("SC_CLK_TCK")

_CONTACTS = """
insert into contacts (tenant, contact, key, email, email_key, texts, folded, numbers, email_optin, email_status)
select 1, n, email, email, email, array['Nom' || n, 'Ville' || n % 36000], array['nom' || n, 'ville' || n % 36000],
       array[n % 90, n % 1000], true, 'valid'
from (select n, 'u' || n || '@exemple.fr' as email from generate_series(1, $1::int) as n) as made
"""
#: In the order of their key, as many for each contact.
_BEFORE = """
insert into behaviours (tenant, contact, occurred_at, event, kind, operation)
select 1, contact, timestamptz '2026-09-01' + at * interval '3 hours', hashint8extended(contact, at)::bigint,
       4 + at % 3, 1 + at % 40
from generate_series(1, $1::int) as contact, generate_series(1, $2::int) as at
"""
_TALLIES = """
insert into tallies (tenant, kind, name, contact, n, last, times)
select 1, kind, 0, contact, cardinality(times), times[cardinality(times)], times
from generate_series(1, $1::int) as contact, unnest(array[4, 5, 6, 105, 106]) as kind,
     lateral (select array(select 200000000 + at * 10800 from generate_series(1, greatest($2::int / 3, 1)) as at)
              as times) as made
"""


class Sent:
    """Redis, where somebody asks it: nobody should once recipients were seen."""

    asked = 0

    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        self.asked += 1
        return {}

    async def list_of(self, job: str) -> str:
        return ""

    async def about(self, jobs: Sequence[str]) -> dict[str, About]:
        return {job: operations.about(job, UNKNOWN) for job in jobs}


def facts(job: str, recipients: Sequence[int], chance: random.Random) -> Iterator[events.Fact]:
    """Of a job to these contacts: accepted in order, then delivered and read as it goes."""

    def about(ordinal: int, after_ms: int, what: str, *, named: bool) -> dict[str, Any]:
        email = f"u{recipients[ordinal]}@exemple.fr" if named else None
        return dict(events.about_message("acme", job, ordinal, SENT_MS + after_ms, what, after_ms, email=email))

    for ordinal in range(len(recipients)):
        yield events.Accepted(**about(ordinal, ordinal, "accepted", named=True), site="exemple.fr")
    for ordinal in range(len(recipients)):
        yield events.Delivered(**about(ordinal, 60_000 + ordinal, "delivered", named=True), site="exemple.fr")
        reader = chance.randrange(ordinal + 1)
        if chance.random() < 0.4:
            yield events.Opened(**about(reader, 3_600_000 + ordinal, "opened", named=False))
        if chance.random() < 0.1:
            about_click = about(reader, 3_700_000 + ordinal, "clicked", named=False)
            yield events.Clicked(
                **about_click, url=f"https://exemple.fr/{chance.randrange(20)}", position=chance.randrange(20)
            )


async def make(database: Database, contacts: int, before: int) -> None:
    await migrating.migrate(database, migrating.steps())
    async with database.transaction() as sql:
        await sql.execute("set local synchronous_commit = off")
        await sql.execute("insert into tenants (name, next_operation) values ('acme', 100)")
        await sql.execute(_CONTACTS, contacts, timeout=3_600)
        await sql.execute(_BEFORE, contacts, before // contacts, timeout=3_600)
        await sql.execute(_TALLIES, contacts, before // contacts, timeout=3_600)
    async with database.connection() as sql:
        await sql.execute("vacuum analyze", timeout=3_600)
        await sql.execute("checkpoint", timeout=3_600)


def server_seconds(pid: int) -> float:
    """CPU of the server and of what it has started, those that have ended too."""
    found = 0.0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found += sum(map(int, fields[11:13]))
        elif int(status.parent.name) == pid:
            found += sum(map(int, fields[11:15]))
    return found / _TICKS


def own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measured(url: str, pid: int, contacts: int, before: int, wanted: int, seconds: float) -> dict[str, Any]:
    database = Database(url, 8, 600)
    try:
        began = time.perf_counter()
        await make(database, contacts, before)
        print(f"{contacts} contacts, {before} behaviours made in {time.perf_counter() - began:.0f} s", flush=True)
        return {"contacts": contacts, "before": before, **await followed(database, pid, contacts, wanted, seconds)}
    finally:
        await database.close()


async def followed(database: Database, pid: int, contacts: int, wanted: int, seconds: float) -> dict[str, Any]:
    """Of a base with contacts numbered from 1, `u1@exemple.fr` the first."""
    chance = random.Random(14)
    sent = Sent()
    following = Following(database, sent, ErasureKeys(b"k" * 32), Behaviour(database, sent, Rule()))
    streams = []
    for partition in range(PARTITIONS):
        job = ids.new_job_id(SENT_MS, bytes([partition]) * 6, PARTITIONS, partition)
        whom = chance.sample(range(1, contacts + 1), min(contacts, wanted // PARTITIONS * 2 // 5))
        streams.append([
            bus.Entry(f"{at}-0", type(one).__name__, 1, events.encode(one))
            for at, one in enumerate(facts(job, whom, chance), 1)
        ])  # fmt: skip
    settle()  # as the process of contacts does
    done = [0] * PARTITIONS

    async def follow(partition: int, entries: Sequence[bus.Entry], until: float) -> None:
        for start in range(0, len(entries), BATCH):
            if time.perf_counter() > until:
                return
            some = entries[start : start + BATCH]
            await following.apply(partition, some)
            done[partition] += len(some)

    found: dict[str, Any] = {"batch": BATCH}
    there = await _rows(database)
    for word, is_first in (("accepted", True), ("followed", False)):
        done[:] = [0] * PARTITIONS
        taken = [[one for one in entries if (one.name == "Accepted") == is_first] for entries in streams]
        began, server, own = time.perf_counter(), server_seconds(pid), own_seconds()
        await asyncio.gather(*(follow(at, entries, began + seconds) for at, entries in enumerate(taken)))
        took = time.perf_counter() - began
        found |= {
            f"{word}": sum(done),
            f"{word}_per_s": round(sum(done) / took),
            f"{word}_own_us": round((own_seconds() - own) / sum(done) * 1e6, 1),
            f"{word}_server_us": round((server_seconds(pid) - server) / sum(done) * 1e6, 1),
        }
        print(found, flush=True)
    return found | {"rows": await _rows(database) - there, "asked_redis": sent.asked}


async def _rows(database: Database) -> int:
    """Behaviours since the mail was sent."""
    async with database.connection() as sql:
        statement = "select count(*) from behaviours where occurred_at >= to_timestamp($1::float8)"
        return int(await sql.fetchval(statement, SENT_MS / 1000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--before", type=int, default=1_000_000, help="behaviours that are there")
    parser.add_argument("--facts", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60, help="at most, for each of the two parts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estafette-following-") as folder:
        server = PostgresServer(Path(folder), OPTIONS)
        try:
            server.start()
            found = asyncio.run(
                measured(server.url, server.pid, given.contacts, given.before, given.facts, given.seconds)
            )
        finally:
            server.stop()
    print(json.dumps({"bench": "contacts_following", **found}))


if __name__ == "__main__":
    main()

"""The statements of behaviour: each takes a whole batch, as arrays. Every one names the tenant.

Whoever writes behaviour of a tenant holds it first (`hold`), before any contact: one at a time, so that two never wait
for each other, a word gets one number, and what is erased is not written to.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from services.contacts.base.database import Row as Read
from services.contacts.base.database import Sql
from services.contacts.behaviour import batch, deeds, late
from services.contacts.behaviour.batch import Mark, Message, Row
from services.contacts.behaviour.deeds import Word
from services.contacts.behaviour.operations import About
from shared.words.tokens import TRAP_POSITION

_TENANTS = "SELECT tenant, name FROM tenants WHERE name = ANY ($1::text[])"
_CONTACTS = """
SELECT contact, email_key, coalesce(email_status = 'valid', false) AND email_softs = 0 AS settled
FROM contacts WHERE tenant = $1 AND email_key = ANY ($2::text[])"""
_EXIST = "SELECT contact FROM contacts WHERE tenant = $1 AND contact = ANY ($2::text::int[])"
_RECIPIENTS = """
SELECT r.job, r.chunk, r.contacts FROM unnest($2::text[], $3::int[]) AS w (job, chunk)
JOIN recipients AS r ON r.tenant = $1 AND r.job = w.job AND r.chunk = w.chunk"""
#: Arrays are written as text, as there is no array of arrays of different lengths. Who was somebody stays so.
_KEEP_RECIPIENTS = """
INSERT INTO recipients AS kept (tenant, job, chunk, contacts)
SELECT $1, job, chunk, contacts::int[] FROM unnest($2::text[], $3::int[], $4::text[]) AS w (job, chunk, contacts)
ON CONFLICT (tenant, job, chunk) DO UPDATE SET contacts = array(
    SELECT coalesce(nullif(old, 0), new, old)
    FROM unnest(kept.contacts, excluded.contacts) WITH ORDINALITY AS w (old, new, at) ORDER BY at)"""
_JOBS = """
SELECT j.job, j.operation FROM jobs AS j WHERE j.tenant = $1 AND j.job = ANY ($2::text[])"""
_OPERATIONS = "SELECT key, operation FROM operations WHERE tenant = $1 AND key = ANY ($2::text[])"
_NEXT_OPERATIONS = """
UPDATE tenants SET next_operation = next_operation + $2 WHERE tenant = $1 RETURNING next_operation - $2"""
_ADD_OPERATION = """
INSERT INTO operations (tenant, operation, key, name, stream, category, tags, started_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_ADD_JOBS = """
INSERT INTO jobs (tenant, job, operation)
SELECT $1, job, operation FROM unnest($2::text[], $3::int[]) AS n (job, operation) ON CONFLICT DO NOTHING"""
_NAMES = """
SELECT n.name, n.kind, n.text FROM unnest($2::text[], $3::text[]) AS w (kind, text)
JOIN names AS n ON n.tenant = $1 AND n.kind = w.kind AND md5(n.text) = md5(w.text) AND n.text = w.text"""
_NEXT_NAMES = "UPDATE tenants SET next_name = next_name + $2 WHERE tenant = $1 RETURNING next_name - $2"
_ADD_NAMES = """
INSERT INTO names (tenant, name, kind, text)
SELECT $1, name, kind, text FROM unnest($2::int[], $3::text[], $4::text[]) AS n (name, kind, text)"""

#: A fact whose time is another at a repeat. Of what people do the time is part of what tells it apart, and of a
#: delivery there is one (`shared/words/abouts.py`, `shared/redis/bus.py`).
_REPEATED = """
SELECT b.contact, b.event FROM behaviours AS b
JOIN unnest($2::int[], $3::bigint[]) AS w (contact, event) ON w.contact = b.contact AND w.event = b.event
WHERE b.tenant = $1 AND b.contact = ANY ($2::int[])"""
_ADD = """
INSERT INTO behaviours (tenant, contact, occurred_at, event, kind, machine, operation, name, position)
SELECT $1, contact, at, event, kind, machine, operation, name, position
FROM unnest($2::text::int[], $3::timestamptz[], $4::text::bigint[], $5::text::smallint[], $6::text::boolean[],
    $7::text::int[], $8::text::int[], $9::text::int[])
    AS n (contact, at, event, kind, machine, operation, name, position)
ON CONFLICT DO NOTHING RETURNING contact, occurred_at, event"""
#: Clicks within times of contacts, those that a person seemed to make and those on a trap, and the deliveries around
#: them. Nearly always there are none.
_NEAR = """
WITH clicks AS (
    SELECT DISTINCT b.contact, b.occurred_at, b.event, b.kind, b.machine, b.operation, b.name, b.position
    FROM unnest($2::text::int[], $3::text::int[], $4::timestamptz[], $5::timestamptz[])
        AS w (contact, operation, first, last)
    JOIN behaviours AS b ON b.tenant = $1 AND b.contact = w.contact AND b.occurred_at BETWEEN w.first AND w.last
        AND b.operation = w.operation AND b.kind = 6
    WHERE NOT b.machine OR b.position = $6 OR EXISTS (
        SELECT FROM judged AS j WHERE j.tenant = $1 AND j.contact = b.contact AND j.occurred_at = b.occurred_at
            AND j.event = b.event)
)
SELECT * FROM clicks
UNION ALL
SELECT DISTINCT d.contact, d.occurred_at, d.event, d.kind, d.machine, d.operation, d.name, d.position
FROM clicks AS c JOIN behaviours AS d ON d.tenant = $1 AND d.contact = c.contact AND d.operation = c.operation
    AND d.kind = 4 AND d.occurred_at BETWEEN c.occurred_at - $7::interval AND c.occurred_at + $8::interval"""
_JUDGE = """
UPDATE behaviours AS b SET machine = true
FROM unnest($2::text::int[], $3::timestamptz[], $4::text::bigint[]) AS w (contact, at, event)
WHERE b.tenant = $1 AND b.contact = w.contact AND b.occurred_at = w.at AND b.event = w.event"""
_NOTE_JUDGED = """
INSERT INTO judged (tenant, contact, occurred_at, event)
SELECT $1, contact, at, event
FROM unnest($2::text::int[], $3::timestamptz[], $4::text::bigint[]) AS w (contact, at, event) ON CONFLICT DO NOTHING"""
#: What people opened and clicked in operations, of those contacts.
_BY_PEOPLE = """
SELECT b.contact, b.occurred_at, b.event, b.kind, b.machine, b.operation, b.name, b.position
FROM behaviours AS b JOIN unnest($2::text::int[], $3::text::int[]) AS w (contact, operation)
    ON w.contact = b.contact AND w.operation = b.operation
WHERE b.tenant = $1 AND b.contact = ANY ($2::text::int[]) AND b.kind IN (5, 6) AND NOT b.machine"""
_MARK = "SELECT mark($1, $2::text::int[], $3::text::int[], $4::text::int[], $5::text::int[])"
_UNMARK = "SELECT unmark($1, $2::text::int[], $3::text::int[], $4::text::int[], $5::text::int[])"
_TALLY = "SELECT tally($1, $2::text::int[], $3::text::int[], $4::text::int[], $5::text::int[])"
_UNTALLY = "SELECT untally($1, $2::text::int[], $3::text::int[], $4::text::int[], $5::text::int[])"
#: A recipient is one who was selected and not excluded (E16), whichever was told first.
_APART = """
UPDATE sets AS r SET members = r.members & ~x.members
FROM sets AS x, unnest($2::text::int[], $3::text::int[]) AS w (operation, chunk)
WHERE r.tenant = $1 AND r.fact = 2 AND r.subject = w.operation AND r.item = 0 AND r.chunk = w.chunk
    AND x.tenant = $1 AND x.fact = 3 AND x.subject = w.operation AND x.item = 0 AND x.chunk = w.chunk
    AND bit_count(r.members & x.members) > 0"""
#: In the order in which whoever writes contacts locks them.
_ACTED = """
WITH held AS (
    SELECT c.contact FROM contacts AS c JOIN unnest($2::int[], $3::timestamptz[]) AS w (contact, at)
        ON w.contact = c.contact
    WHERE c.tenant = $1 AND c.contact = ANY ($2::int[]) AND (c.last_action_at IS NULL OR c.last_action_at < w.at)
    ORDER BY c.key, c.copy FOR UPDATE OF c
)
UPDATE contacts AS c SET last_action_at = w.at
FROM held, unnest($2::int[], $3::timestamptz[]) AS w (contact, at)
WHERE c.tenant = $1 AND c.contact = held.contact AND w.contact = held.contact"""
_FOLLOWED = """
INSERT INTO followed AS f (stream, partition, entry) VALUES ($1, $2, $3)
ON CONFLICT (stream, partition) DO UPDATE SET entry = excluded.entry
WHERE string_to_array(f.entry, '-')::bigint[] < string_to_array(excluded.entry, '-')::bigint[]"""


class Addressed(NamedTuple):
    """Who has addresses. `contacts`: whose what happens to an address is, the one with the lowest number. `unsettled`:
    addresses of which somebody's is not known to work, or had soft bounces."""

    contacts: Mapping[str, int]
    unsettled: frozenset[str]


async def tenants(sql: Sql, names: Collection[str]) -> dict[str, int]:
    """Those that have a base, by name."""
    return {row["name"]: row["tenant"] for row in await sql.fetch(_TENANTS, list(names))}


async def addressed(sql: Sql, of: int, addresses: Collection[str]) -> Addressed:
    """By normalised address; whoever is not in the base is left out."""
    contacts: dict[str, int] = {}
    unsettled = set()
    for row in await sql.fetch(_CONTACTS, of, list(addresses)):
        number, address = row["contact"], row["email_key"]
        contacts[address] = min(number, contacts.get(address, number))
        if not row["settled"]:
            unsettled.add(address)
    return Addressed(contacts, frozenset(unsettled))


async def existing(sql: Sql, of: int, contacts: Collection[int]) -> set[int]:
    """Those of these that were not erased."""
    if not contacts:
        return set()
    (listed,) = batch.arrays([(one,) for one in contacts], 1)
    return {row["contact"] for row in await sql.fetch(_EXIST, of, listed)}


async def recipients(sql: Sql, of: int, chunks: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[int | None]]:
    """Who is known of chunks of jobs."""
    listed = list(chunks)
    rows = await sql.fetch(_RECIPIENTS, of, [job for job, _ in listed], [chunk for _, chunk in listed])
    return {(row["job"], row["chunk"]): row["contacts"] for row in rows}


async def keep_recipients(sql: Sql, of: int, kept: Mapping[Message, int]) -> None:
    """0 for nobody."""
    chunks: dict[tuple[str, int], dict[int, int]] = {}
    for message, contact in kept.items():
        chunks.setdefault(batch.chunk_of(message), {})[batch.place_of(message)] = contact
    order = sorted(chunks)
    texts = [
        "{" + ",".join(str(there.get(place, "NULL")) for place in range(max(there) + 1)) + "}"
        for there in (chunks[key] for key in order)
    ]
    await sql.execute(_KEEP_RECIPIENTS, of, [job for job, _ in order], [chunk for _, chunk in order], texts)


async def jobs(sql: Sql, of: int, named: Collection[str]) -> dict[str, int]:
    """The operations of jobs that are known."""
    return {row["job"]: row["operation"] for row in await sql.fetch(_JOBS, of, list(named))}


async def add_jobs(sql: Sql, of: int, new: Mapping[str, About]) -> dict[str, int]:
    """The operations of new jobs, made where they are not there. The tenant is held."""
    keys = {about.key: about for about in new.values()}
    known = {row["key"]: row["operation"] for row in await sql.fetch(_OPERATIONS, of, list(keys))}
    if missing := [about for key, about in keys.items() if key not in known]:
        first = await sql.fetchval(_NEXT_OPERATIONS, of, len(missing))
        numbered = list(enumerate(missing, first))
        await sql.executemany(
            _ADD_OPERATION,
            [
                (of, number, one.key, one.name, one.stream, one.category, list(one.tags), one.started_at)
                for number, one in numbered
            ],
        )
        known |= {one.key: number for number, one in numbered}
    found = {job: known[about.key] for job, about in new.items()}
    await sql.execute(_ADD_JOBS, of, list(found), list(found.values()))
    return found


async def names(sql: Sql, of: int, wanted: Sequence[Word]) -> dict[Word, int]:
    """Numbers of words, given where they have none. The tenant is held."""
    rows = await sql.fetch(_NAMES, of, [one.kind for one in wanted], [one.text for one in wanted])
    known = {Word(row["kind"], row["text"]): row["name"] for row in rows}
    if missing := [one for one in wanted if one not in known]:
        first = await sql.fetchval(_NEXT_NAMES, of, len(missing))
        new = dict(zip(missing, range(first, first + len(missing)), strict=True))
        await sql.execute(_ADD_NAMES, of, list(new.values()), [one.kind for one in new], [one.text for one in new])
        known |= new
    return known


async def add(sql: Sql, of: int, rows: Sequence[Row]) -> list[Row]:
    """Those that were not there."""
    timed = [one for one in rows if one.kind in (deeds.BOUNCED, deeds.UNSUBSCRIBED, deeds.COMPLAINED)]
    if timed:
        contacts, events = [one.contact for one in timed], [one.event for one in timed]
        repeated = {(row["contact"], row["event"]) for row in await sql.fetch(_REPEATED, of, contacts, events)}
        rows = [one for one in rows if (one.contact, one.event) not in repeated]
    if not rows:
        return []
    first, _, *others = batch.arrays(rows, 8)
    added = await sql.fetch(_ADD, of, first, [one.at for one in rows], *others)
    new = {(row["contact"], row["occurred_at"], row["event"]) for row in added}
    return [one for one in rows if (one.contact, one.at, one.event) in new]


async def near(
    sql: Sql, of: int, wanted: Sequence[tuple[int, int, datetime, datetime]], before: timedelta
) -> list[Row]:
    """Clicks between two times of a contact in an operation, (contact, operation, from, until), that a person seemed to
    make or that are on a trap, and deliveries from so long before each of them on."""
    contacts, operations, _, _ = batch.arrays(wanted, 4)
    times = [one[2] for one in wanted], [one[3] for one in wanted]
    rows = await sql.fetch(_NEAR, of, contacts, operations, *times, TRAP_POSITION, before, late.KEEP)
    return [_row(row) for row in rows]


async def judge(sql: Sql, of: int, clicks: Sequence[Row]) -> None:
    """They are a machine's."""
    contacts, _, judged, *_ = batch.arrays(clicks, 8)
    times = [one.at for one in clicks]
    await sql.execute(_JUDGE, of, contacts, times, judged)
    await sql.execute(_NOTE_JUDGED, of, contacts, times, judged)


async def by_people(sql: Sql, of: int, wanted: Collection[tuple[int, int]]) -> list[Row]:
    """What people opened and clicked: (contact, operation)."""
    return [_row(row) for row in await sql.fetch(_BY_PEOPLE, of, *batch.arrays(wanted, 2))]


async def mark(sql: Sql, of: int, marks: Iterable[Mark]) -> None:
    if listed := list(marks):
        await sql.execute(_MARK, of, *batch.arrays(listed, 4))


async def unmark(sql: Sql, of: int, marks: Iterable[Mark]) -> None:
    if listed := list(marks):
        await sql.execute(_UNMARK, of, *batch.arrays(listed, 4))


async def part(sql: Sql, of: int, where: Collection[tuple[int, int]]) -> None:
    """Takes who is excluded out of the recipients: (operation, contact) of those that may be both."""
    chunks = sorted({(operation, contact >> 13) for operation, contact in where})
    if chunks:
        await sql.execute(_APART, of, *batch.arrays(chunks, 2))


async def tally(sql: Sql, of: int, tallies: Sequence[tuple[int, int, int, int]]) -> None:
    if tallies:
        await sql.execute(_TALLY, of, *batch.arrays(tallies, 4))


async def untally(sql: Sql, of: int, tallies: Sequence[tuple[int, int, int, int]]) -> None:
    if tallies:
        await sql.execute(_UNTALLY, of, *batch.arrays(tallies, 4))


async def acted(sql: Sql, of: int, last: Mapping[int, datetime]) -> None:
    """The time of the last interaction, where it is later than what is known."""
    if last:
        await sql.execute(_ACTED, of, list(last), list(last.values()))


async def followed(sql: Sql, stream: str, partition: int, entry: str) -> None:
    """So far the stream was read; never back."""
    await sql.execute(_FOLLOWED, stream, partition, entry)


def _row(row: Read) -> Row:
    return Row(
        row["contact"],
        row["occurred_at"],
        row["event"],
        row["kind"],
        row["machine"],
        row["operation"],
        row["name"],
        row["position"],
    )

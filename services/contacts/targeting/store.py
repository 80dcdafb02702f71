"""The statements of jobs that are sent to contacts. Every one names the tenant.

Who belongs is written down in one transaction with the job, once, at one moment (E30): whoever reads on reads the same.
What stands in the fields of a contact, and how they stand by e-mail, is read when they are handed over.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from services.contacts.base import store as base
from services.contacts.base.database import Row, Sql
from services.contacts.segments import language
from services.contacts.segments import store as segments
from services.contacts.segments.language import Criterion, OnSegments
from services.contacts.segments.store import Saved
from shared.redis.targets import Asked, Meant
from shared.words.targets import Target

_KNOWN = "SELECT segment, version, name, selected FROM targets WHERE tenant = $1 AND job = $2"
_SELECTED = """
SELECT coalesce(sum(cardinality(contacts)), 0)::int FROM target_members WHERE tenant = $1 AND job = $2"""
_ADD = """
INSERT INTO targets (tenant, job, segment, version, name, criteria, selected)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7)"""
#: An operation is a job, unless somebody said already that it is part of one that has another key.
_NEXT_OPERATION = """
UPDATE tenants SET next_operation = next_operation + 1 WHERE tenant = $1 RETURNING next_operation - 1"""
_ADD_OPERATION = """
INSERT INTO operations (tenant, operation, key, name, stream, category, tags, started_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant, key) DO UPDATE SET key = excluded.key RETURNING operation"""
_ADD_JOB = """
INSERT INTO jobs (tenant, job, operation, segment, version) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, job) DO UPDATE SET segment = excluded.segment, version = excluded.version"""
_JOB = "SELECT operation, segment, version FROM jobs WHERE tenant = $1 AND job = $2"
_CHUNK = """
SELECT contacts FROM target_members WHERE tenant = $1 AND job = $2 AND chunk >= $3 ORDER BY chunk LIMIT 1"""
_PAGE = """
SELECT contact, key, copy, email, email_key, mobile, telephone, professional, email_optin,
    email_status::text AS email_status, email_left, email_opposed, texts, numbers, dates, choices
FROM contacts WHERE tenant = $1 AND contact = ANY ($2::int[]) ORDER BY contact"""
_CLAIM = """
INSERT INTO target_addresses (tenant, job, address, contact)
SELECT DISTINCT ON (a.address) $1::int, $2, a.address, a.contact
FROM unnest($3::bytea[], $4::int[]) AS a (address, contact) ORDER BY a.address, a.contact ON CONFLICT DO NOTHING"""
_OWNERS = """
SELECT contact FROM target_addresses WHERE tenant = $1 AND job = $2 AND address = ANY ($3::bytea[])"""
_FREE = "DELETE FROM target_addresses WHERE tenant = $1 AND job = $2"
_FREE_OLD = """
DELETE FROM target_addresses AS a USING targets AS t
WHERE a.tenant = t.tenant AND a.job = t.job AND t.taken_at < now() - make_interval(days => $1)"""
_FORGET = """
DELETE FROM target_members AS m USING targets AS t
WHERE m.tenant = t.tenant AND m.job = t.job AND t.taken_at < now() - make_interval(days => $1)"""
#: Chunks of `target_members` are of so many numbers.
CHUNK_BITS = 13


class Wanted(NamedTuple):
    """What a job asked for, found: the segment, None if nobody saved it."""

    criterion: Criterion
    saved: Saved | None


async def known(sql: Sql, tenant: int, job: str) -> Meant | None:
    """Which contacts a job is sent to, if they were written down."""
    row = await sql.fetchrow(_KNOWN, tenant, job)
    return None if row is None else Meant(row["selected"], row["segment"], row["version"], row["name"])


async def find(sql: Sql, tenant: int, target: Target) -> Wanted:
    """Which contacts are meant. NotThere; Problem `invalid_segment` with what does not fit."""
    has = await segments.known(sql, tenant)
    if target.segment is None:
        return Wanted(segments.read(target.criteria, has), None)
    if isinstance(target.segment, int):
        saved = await segments.get(sql, tenant, target.segment)
    else:
        saved = await segments.named(sql, tenant, target.segment)
    return Wanted(OnSegments(test="in", segments=[saved.segment]), saved)


async def take(sql: Sql, tenant: int, asked: Asked, wanted: Wanted, now: datetime) -> Meant:
    """Writes down who belongs now. Within a transaction of one moment; Problem `invalid_segment`."""
    await segments.keep(sql, tenant, wanted.criterion, now, asked.id)
    selected = int(await sql.fetchval(_SELECTED, tenant, asked.id))
    saved = wanted.saved
    segment, version, name = (None, None, "") if saved is None else (saved.segment, saved.version, saved.name)
    criterion = wanted.criterion if saved is None else saved.criterion
    criteria = language.packed(criterion).decode()
    await sql.execute(_ADD, tenant, asked.id, segment, version, name, criteria, selected)
    return Meant(selected, segment, version, name)


async def note_job(sql: Sql, tenant: int, asked: Asked, meant: Meant, now: datetime) -> None:
    """The operation of a job, and to which segment it was sent (E30); it may be noted already. Whoever follows what
    happens gives operations their numbers too, so behaviours are held."""
    await base.hold_behaviours(sql, tenant)
    row = await sql.fetchrow(_JOB, tenant, asked.id)
    if row is not None and (row["segment"], row["version"]) == (meant.segment, meant.version):
        return
    operation = None if row is None else row["operation"]
    if operation is None:
        number = await sql.fetchval(_NEXT_OPERATION, tenant)
        told = (asked.id, asked.subject, asked.stream, asked.category, list(asked.tags), now)
        operation = await sql.fetchval(_ADD_OPERATION, tenant, number, *told)
    await sql.execute(_ADD_JOB, tenant, asked.id, operation, meant.segment, meant.version)


async def members(sql: Sql, tenant: int, job: str, after: int) -> list[int] | None:
    """The next of those who were written down, behind that number, in order; None if nobody is. Some may have been
    erased since."""
    chunk = (after + 1) >> CHUNK_BITS
    while True:
        row = await sql.fetchrow(_CHUNK, tenant, job, chunk)
        if row is None:
            return None
        numbers: list[int] = row["contacts"]
        if found := [number for number in numbers if number > after]:
            return found
        chunk += 1


async def page(sql: Sql, tenant: int, contacts: Sequence[int]) -> list[Row]:
    """What recipients are made of, in the order of their numbers; nothing of who was erased."""
    return await sql.fetch(_PAGE, tenant, contacts)


async def forget(sql: Sql, days: int) -> None:
    """Who belonged to jobs that began so long ago; which segment it was stays."""
    await sql.execute(_FORGET, days)
    await sql.execute(_FREE_OLD, days)


async def owners(sql: Sql, tenant: int, job: str, addressed: Mapping[int, str]) -> set[int]:
    """Which of these contacts, each with its address, are sent to where a job takes each address once (E3): the first
    that asked for it, for ever, so that a page that is made again is the same. In the order of addresses, so that two
    who make one never wait for each other in a circle."""
    digests = [hashlib.sha256(f"{job} {address}".encode()).digest() for address in addressed.values()]
    await sql.execute(_CLAIM, tenant, job, digests, list(addressed))
    found = await sql.fetch(_OWNERS, tenant, job, digests)
    return {row["contact"] for row in found} & addressed.keys()


async def free(sql: Sql, tenant: int, job: str) -> None:
    """All are handed over: which addresses the job has nobody asks any more."""
    await sql.execute(_FREE, tenant, job)

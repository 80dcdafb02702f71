"""Saved segments in PostgreSQL, and who is in them: counted, sampled, and read from end to end.

Every function takes a connection within a transaction, and the tenant. A change of segments holds the row of its tenant
until the transaction ends, so two changes cannot close a circle together. Versions are kept for ever: a job says which
one it was sent to (E30).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from services.contacts.segments import checking, language
from services.contacts.segments.checking import Field, Known
from services.contacts.segments.compiling import Compiled, Statement, compiled
from services.contacts.segments.language import Criterion, OnActivity, OnRisk
from shared.words.errors import Fault, Problem

#: Segments of a tenant that are in force. All of them are read for each use.
MAX_SEGMENTS = 1_000
MAX_NAME_CHARS = 200
#: A segment as somebody would send it.
EXAMPLE = {
    "kind": "all",
    "of": [
        {"kind": "field", "field": "postcode", "test": "begins_with", "value": "75"},
        {"kind": "operation", "was": "not_opened", "tag": "soldes"},
    ],
}
#: Members that are fetched at a time: a second's worth of a job's recipients.
FETCHED = 10_000
#: Who made what is there from the start (E38); nobody changes it.
BUILT_IN_BY = "built-in"
BUILT_IN: Mapping[str, Criterion] = {
    "all active": OnActivity(at_least=1),
    "all inactive": OnActivity(at_least=0, at_most=0),
    "at risk": OnRisk(),
}
#: Each statement is planned for its own values: what is good for three members is not for a million. Joins of this size
#: never pay for being compiled, and may be kept in memory.
_PLANNED = "set local plan_cache_mode = force_custom_plan; set local jit = off; set local work_mem = '64MB'"


class Sql(Protocol):
    """A connection within a transaction. Parameters are `$1` …"""

    async def fetch(self, statement: str, *parameters: Any) -> Sequence[Mapping[str, Any]]: ...

    async def fetchrow(self, statement: str, *parameters: Any) -> Mapping[str, Any] | None: ...

    async def fetchval(self, statement: str, *parameters: Any) -> Any: ...

    async def execute(self, statement: str, *parameters: Any) -> str: ...


class Scrolling(Sql, Protocol):
    """The same, which also reads an answer bit by bit."""

    def cursor(self, statement: str, *parameters: Any) -> Any: ...


class Saved(msgspec.Struct, frozen=True):
    """A segment as it is in force."""

    segment: int
    name: str
    version: int
    criterion: Criterion
    uses: list[int]
    made_at: datetime
    made_by: str


class Counted(msgspec.Struct, frozen=True):
    """How many contacts, and how many of them are addressable by each channel (E31)."""

    contacts: int
    email: int
    sms: int
    phone: int


class Version(msgspec.Struct, frozen=True):
    """A version of a segment, whether it is in force or not."""

    version: int
    criterion: Criterion
    made_at: datetime


class NotThere(Exception):
    """There is no such segment in force, or it is another tenant's."""


# What a tenant has


async def known(sql: Sql, tenant: int) -> Known:
    """Its fields, and its segments that are in force."""
    fields = await sql.fetch(
        "select name, field, kind, slot from fields where tenant = $1 and removed_at is null", tenant
    )
    segments = await sql.fetch(f"{_SAVED} limit $2", tenant, MAX_SEGMENTS)
    return Known(
        {row["name"]: Field(row["field"], row["kind"], row["slot"]) for row in fields},
        {row["segment"]: _criterion(row["criteria"]) for row in segments},
    )


_SAVED = (
    "select s.segment, s.name, s.version, s.uses, v.criteria, v.made_at, v.made_by from segments as s "
    "join segment_versions as v on v.tenant = s.tenant and v.segment = s.segment and v.version = s.version "
    "where s.tenant = $1 and s.archived_at is null"
)


async def saved(sql: Sql, tenant: int) -> list[Saved]:
    """All of them, by name."""
    return [_read(row) for row in await sql.fetch(f"{_SAVED} order by s.name", tenant)]


async def get(sql: Sql, tenant: int, segment: int) -> Saved:
    """NotThere."""
    row = await sql.fetchrow(f"{_SAVED} and s.segment = $2", tenant, segment)
    if row is None:
        raise NotThere
    return _read(row)


async def version(sql: Sql, tenant: int, segment: int, number: int) -> Criterion:
    """The criteria of any version that ever was. NotThere."""
    criteria = await sql.fetchval(
        "select criteria from segment_versions where tenant = $1 and segment = $2 and version = $3",
        tenant,
        segment,
        number,
    )
    if criteria is None:
        raise NotThere
    return _criterion(criteria)


async def versions(sql: Sql, tenant: int, segment: int) -> list[Version]:
    """All of a segment that is in force, the latest first. NotThere."""
    rows = await sql.fetch(
        "select v.version, v.criteria, v.made_at from segment_versions as v join segments as s "
        "on s.tenant = v.tenant and s.segment = v.segment "
        "where v.tenant = $1 and v.segment = $2 and s.archived_at is null order by v.version desc",
        tenant,
        segment,
    )
    if not rows:
        raise NotThere
    return [Version(row["version"], _criterion(row["criteria"]), row["made_at"]) for row in rows]


def _read(row: Mapping[str, Any]) -> Saved:
    return Saved(
        row["segment"],
        row["name"],
        row["version"],
        _criterion(row["criteria"]),
        row["uses"],
        row["made_at"],
        row["made_by"],
    )


def _criterion(criteria: str) -> Criterion:
    criterion, faults = language.read(msgspec.json.decode(criteria))
    if criterion is None:
        raise ValueError(f"a segment that was saved cannot be read: {faults}")
    return criterion


# Changes


def read(given: object, has: Known, own: int | None = None) -> Criterion:
    """Criteria as JSON gave them, under `criteria` of a body. Problem `invalid_segment` with all that is wrong."""
    criterion, faults = language.read(given)
    if criterion is not None:
        faults = checking.check(criterion, has, own)
    if criterion is None or faults:
        shown = [Fault(f"$.criteria{fault.at[1:]}", fault.what) for fault in faults]
        raise Problem("invalid_segment", "the criteria do not fit", shown)
    return criterion


async def create(sql: Sql, tenant: int, name: str, given: object, by: str) -> Saved:
    """Problem `invalid_segment`, also for a name that is taken, or one segment too many."""
    await _alone(sql, tenant)
    has = await known(sql, tenant)
    criterion = read(given, has)
    if len(has.segments) >= MAX_SEGMENTS:
        raise Problem("invalid_segment", f"{MAX_SEGMENTS} segments are there already; archive one first")
    segment = await sql.fetchval(
        "update tenants set next_segment = next_segment + 1 where tenant = $1 returning next_segment - 1", tenant
    )
    await _named(sql, tenant, segment, name)
    await sql.execute(
        "insert into segments (tenant, segment, name, version, uses) values ($1, $2, $3, 1, $4)",
        tenant,
        segment,
        name,
        checking.used(criterion),
    )
    await _keep(sql, tenant, segment, 1, criterion, by)
    return await get(sql, tenant, segment)


async def change(sql: Sql, tenant: int, segment: int, name: str, given: object, by: str) -> Saved:
    """Another version, if the criteria are others. NotThere; Problem `invalid_segment` (a circle names the way round),
    `segment_kept`."""
    await _alone(sql, tenant)
    before = await get(sql, tenant, segment)
    if before.made_by == BUILT_IN_BY:
        raise Problem("segment_kept", "a built-in segment stays as it is")
    criterion = read(given, await known(sql, tenant), segment)
    await _named(sql, tenant, segment, name)
    number = before.version
    if criterion != before.criterion:
        number = 1 + await sql.fetchval(
            "select max(version) from segment_versions where tenant = $1 and segment = $2", tenant, segment
        )
        await _keep(sql, tenant, segment, number, criterion, by)
    await sql.execute(
        "update segments set name = $3, version = $4, uses = $5, updated_at = now() where tenant = $1 and segment = $2",
        tenant,
        segment,
        name,
        number,
        checking.used(criterion),
    )
    return await get(sql, tenant, segment)


async def archive(sql: Sql, tenant: int, segment: int) -> None:
    """It is used no more; its versions stay. NotThere; Problem `segment_kept`: others use it, or it is built in."""
    await _alone(sql, tenant)
    before = await get(sql, tenant, segment)
    if before.made_by == BUILT_IN_BY:
        raise Problem("segment_kept", "a built-in segment stays as it is")
    users = await sql.fetch(
        "select segment from segments where tenant = $1 and archived_at is null and $2 = any(uses) order by segment",
        tenant,
        segment,
    )
    if users:
        named = ", ".join(str(row["segment"]) for row in users[:20])
        raise Problem("segment_kept", f"other segments use it: {named}")
    await sql.execute("update segments set archived_at = now() where tenant = $1 and segment = $2", tenant, segment)


async def make_built_in(sql: Sql, tenant: int) -> None:
    """Those that every tenant has (E38), where they are not there yet. Whoever finds them there waits for nobody. One
    whose name a tenant has given to a segment of its own stays away until that is archived."""
    if not await _lacking(sql, tenant):
        return
    await _alone(sql, tenant)
    for name in await _lacking(sql, tenant):
        await create(sql, tenant, name, msgspec.json.decode(language.packed(BUILT_IN[name])), BUILT_IN_BY)


async def _lacking(sql: Sql, tenant: int) -> list[str]:
    rows = await sql.fetch(
        "select name from segments where tenant = $1 and name = any($2) and archived_at is null", tenant, list(BUILT_IN)
    )
    there = {row["name"] for row in rows}
    return [name for name in BUILT_IN if name not in there]


async def _alone(sql: Sql, tenant: int) -> None:
    """Nobody else changes segments of the tenant until the transaction ends."""
    if await sql.fetchval("select tenant from tenants where tenant = $1 for no key update", tenant) is None:
        raise NotThere


async def _named(sql: Sql, tenant: int, segment: int, name: str) -> None:
    if what := checking.wrong_text(name.strip()):
        raise Problem("invalid_segment", "the name does not fit", [Fault("$.name", what)])
    other = await sql.fetchval(
        "select segment from segments where tenant = $1 and name = $2 and segment <> $3 and archived_at is null",
        tenant,
        name,
        segment,
    )
    if other is not None:
        raise Problem("invalid_segment", "the name is taken", [Fault("$.name", f"segment {other} has this name")])


async def _keep(sql: Sql, tenant: int, segment: int, number: int, criterion: Criterion, by: str) -> None:
    await sql.execute(
        "insert into segment_versions (tenant, segment, version, criteria, made_by) values ($1, $2, $3, $4, $5)",
        tenant,
        segment,
        number,
        language.packed(criterion).decode(),
        by,
    )


# Who belongs


async def count(sql: Sql, tenant: int, criterion: Criterion, now: datetime) -> Counted:
    """`now` in the time zone in which the tenant has its days; here as in all that follows."""
    row = await sql.fetchrow(*_flat((await _prepared(sql, tenant, criterion, now)).count()))
    assert row is not None, "a count has a row"
    return Counted(row["contacts"], row["email"], row["sms"], row["phone"])


async def sample(sql: Sql, tenant: int, criterion: Criterion, now: datetime, most: int, seed: int) -> list[int]:
    """Numbers of some of them; the same for the same seed."""
    who = await _prepared(sql, tenant, criterion, now)
    return [row["contact"] for row in await sql.fetch(*_flat(who.sample(most, seed)))]


async def called(sql: Sql, tenant: int, contacts: Sequence[int]) -> Sequence[Mapping[str, Any]]:
    """Key, copy and address of these contacts, in their order."""
    return await sql.fetch(
        "select c.key, c.copy, c.email from unnest($2::int[]) with ordinality as asked (contact, place) "
        "join contacts as c on c.tenant = $1 and c.contact = asked.contact order by place",
        tenant,
        list(contacts),
    )


async def which(sql: Sql, tenant: int, criterion: Criterion, now: datetime, contacts: Sequence[int]) -> list[int]:
    """Those of these contacts who belong."""
    who = await _prepared(sql, tenant, criterion, now)
    return [row["contact"] for row in await sql.fetch(*_flat(who.which(contacts)))]


async def keep(sql: Sql, tenant: int, criterion: Criterion, now: datetime, job: str) -> None:
    """Writes down who belongs at this moment, as those of a job (E30)."""
    who = await _prepared(sql, tenant, criterion, now)
    await sql.execute(*_flat(who.kept(job)))


async def named(sql: Sql, tenant: int, name: str) -> Saved:
    """NotThere."""
    row = await sql.fetchrow(f"{_SAVED} and s.name = $2", tenant, name)
    if row is None:
        raise NotThere
    return _read(row)


async def members(sql: Scrolling, tenant: int, criterion: Criterion, now: datetime) -> AsyncIterator[list[int]]:
    """All of them in the order of their numbers, by thousands, as they are at one moment: what is written meanwhile
    changes nothing (E30)."""
    text, *parameters = _flat((await _prepared(sql, tenant, criterion, now)).members())
    cursor = await sql.cursor(text, *parameters)
    while rows := await cursor.fetch(FETCHED):
        yield [row["contact"] for row in rows]


async def _prepared(sql: Sql, tenant: int, criterion: Criterion, now: datetime) -> Compiled:
    """Checked anew: a field may have been removed since a segment was saved. Problem `invalid_segment`."""
    has = await known(sql, tenant)
    used = [has.segments[number] for number in checking.all_used(criterion, has)]
    if faults := [fault for one in (criterion, *used) for fault in checking.misfits(one, has)]:
        raise Problem("invalid_segment", "the criteria do not fit any more", faults)
    await sql.execute(_PLANNED)
    return compiled(tenant, criterion, has, now)


def _flat(statement: Statement) -> tuple[Any, ...]:
    return (statement.text, *statement.parameters)

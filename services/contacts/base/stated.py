"""What a base says of addresses that suppression is to be told: whether they left or are back (E11), and whether their
address is hard or works (E12).

It is written in the transaction that changes the contact, and removed once it is told (`../stating.py`): whoever is
killed in between, it is told. Only one process tells at a time, in the order in which it was said.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

from msgspec import UNSET

from services.contacts.base.channels import State
from services.contacts.base.contact import Contact, WantedState
from services.contacts.base.database import Database, Row, Sql
from shared.mail import addresses

Optin = Literal["yes", "no", ""]
Standing = Literal["hard", "valid", ""]
_STATUSES: dict[str, Standing] = {"hard": "hard", "valid": "valid"}

_SAY = """
INSERT INTO stated (tenant, source, addresses, optins, statuses, sure, lines) VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_ROWS = """
SELECT s.tenant, s.stated, t.name, s.source, (extract(epoch FROM s.said_at) * 1000)::bigint AS at_ms,
    s.addresses, s.optins, s.statuses, s.sure, s.lines
FROM stated AS s JOIN tenants AS t ON t.tenant = s.tenant"""
_OLDEST = f"{_ROWS} ORDER BY s.stated LIMIT 1"
#: Whoever comes second waits, and finds that it is gone.
_HELD = f"{_ROWS} WHERE s.tenant = $1 AND s.stated = $2 FOR UPDATE OF s"
#: A line has a key in the report where that is the address.
_REPORT = """
WITH named AS (
    INSERT INTO import_lines (tenant, import, line, key, result, what)
    SELECT $1, $2, s.line, coalesce(c.key, ''), 'reactivated', $5
    FROM unnest($3::int[], $4::text[]) AS s (line, address)
    LEFT JOIN contacts AS c ON c.tenant = $1 AND c.key = s.address AND c.copy = 0
    ON CONFLICT DO NOTHING RETURNING line
)
UPDATE import_batches AS b SET reactivated = b.reactivated + (SELECT count(*) FROM named)
WHERE b.tenant = $1 AND b.import = $2
    AND b.batch = (SELECT min(batch) FROM import_batches WHERE tenant = $1 AND import = $2)"""
_AGAIN = "is mailed again: on the suppression list the address had left, or was given up"
_TOLD = "DELETE FROM stated WHERE tenant = $1 AND stated = $2"
_SINCE = "SELECT coalesce(extract(epoch FROM min(said_at)), 0)::float8 FROM stated"
#: Of a contact that is still there. Before it is removed.
FORGET = """
UPDATE stated AS s SET addresses = array_replace(s.addresses, c.email_key, '') FROM contacts AS c
WHERE s.tenant = $1 AND c.tenant = $1 AND c.contact = $2 AND c.email_key = ANY (s.addresses)"""


class Said(NamedTuple):
    """Of an address, in the form by which it is looked up. `sure`: it changes how the contact stood; else suppression
    may know it already. `line`: of the file of an import."""

    address: str
    optin: Optin
    status: Standing
    sure: bool
    line: int = 0


class Stated(NamedTuple):
    """What was said in one go: by which tenant and source, when, and of whom."""

    tenant: int
    number: int
    name: str
    source: str
    at_ms: int
    said: Sequence[Said]


def said(before: Contact | None, after: Contact, wanted: WantedState | None) -> Said | None:
    """What a request says of the address of a contact; None if nothing that concerns suppression."""
    if wanted is None or after.email is None:
        return None
    optin: Optin = "yes" if wanted.optin is True else "no" if wanted.optin is False else ""
    status: Standing = "" if wanted.status is UNSET else _STATUSES.get(wanted.status, "")
    if not (optin or status):
        return None
    was = State() if before is None else before.state("email")
    sure = (
        (optin == "yes" and (was.left or was.opposed))
        or (optin == "no" and not was.left)
        or (status == "valid" and was.status in ("hard", "soft"))
        or (status == "hard" and was.status != "hard")
    )
    return Said(addresses.parse(after.email).key, optin, status, sure)


async def say(sql: Sql, tenant: int, source: str, some: Sequence[Said]) -> None:
    """In the transaction that changes these contacts, which are held."""
    if some:
        await sql.execute(_SAY, tenant, source, *(list(column) for column in zip(*some, strict=True)))


async def since_s(database: Database) -> float:
    """Since when (Unix time) the oldest waits to be told; 0: nothing does. DatabaseAway."""
    async with database.connection() as sql:
        return float(await sql.fetchval(_SINCE))


async def report(database: Database, found: Stated, back: Sequence[Said]) -> None:
    """Who is mailed again though the base did not know that they were not is named in the report of the import that
    said it (E11); once, however often this is asked. DatabaseAway."""
    lines = [one.line for one in back if one.line]
    whose = [one.address for one in back if one.line]
    if lines:
        import_ = int(found.source.removeprefix("import "))
        async with database.transaction() as sql:
            await sql.execute(_REPORT, found.tenant, import_, lines, whose, _AGAIN)


async def oldest(database: Database) -> Stated | None:
    """What was said first; None: nothing. DatabaseAway."""
    async with database.connection() as sql:
        row = await sql.fetchrow(_OLDEST)
    return None if row is None else _stated(row)


@asynccontextmanager
async def held(database: Database, found: Stated) -> AsyncIterator[Stated | None]:
    """As it is now, for whoever tells it; it is removed at the end, unless that fails. None: another process told it.
    DatabaseAway."""
    async with database.transaction() as sql:
        row = await sql.fetchrow(_HELD, found.tenant, found.number)
        yield None if row is None else _stated(row)
        await sql.execute(_TOLD, found.tenant, found.number)


def _stated(row: Row) -> Stated:
    columns = (row["addresses"], row["optins"], row["statuses"], row["sure"], row["lines"])
    some = [Said(*one) for one in zip(*columns, strict=True) if one[0]]
    return Stated(row["tenant"], row["stated"], row["name"], row["source"], row["at_ms"], some)

"""Writes down what is to be told, in the transaction of what it tells. Every statement names the tenant.

A statement asks itself whether the tenant wants to be told: so nobody has to know it, and what is not told costs a look
at one row.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import orjson

from services.contacts.base.database import Database, Sql
from services.contacts.outbox.wanted import USUAL, ContactEvents, condition

_WANTED = "SELECT settings -> 'told' FROM tenants WHERE tenant = $1"
_SET_WANTED = "UPDATE tenants SET settings = jsonb_set(settings, '{told}', $2::jsonb) WHERE tenant = $1"


def told_key(key: str, tenants: str = "t") -> str:
    """SQL: a contact's key as events tell it. An address is told as one, so that it goes with its erasure; a telephone
    is not told."""
    return f"CASE WHEN {tenants}.key_field IN ('email', 'mobile') THEN '' ELSE {key} END"


#: `$2` to `$4`: what, whose, and the names of what changed ("" of who is new), in the order in which it happened.
_WRITTEN = f"""
INSERT INTO outbox (tenant, fact, contact, email, details)
SELECT $1, n.fact, n.contact, c.email_key, jsonb_build_object('by', 'api', 'key', {told_key("c.key")})
    || CASE WHEN n.changed = '' THEN '{{}}' ELSE jsonb_build_object('changed', n.changed) END
FROM unnest($2::text[], $3::int[], $4::text[]) WITH ORDINALITY AS n (fact, contact, changed, place)
JOIN contacts AS c ON c.tenant = $1 AND c.contact = n.contact
JOIN tenants AS t ON t.tenant = $1 AND {condition("requests", "t")}
ORDER BY n.place"""  # noqa: S608  (constants alone)
_NAMES = ", 'changed', (SELECT string_agg(n, E'\\n' ORDER BY n) FROM jsonb_object_keys({}) AS n)"
_ONE = "INSERT INTO outbox (tenant, at, fact, details) VALUES ($1, $2, $3, $4::text::jsonb)"


async def written(sql: Sql, tenant: int, added: Sequence[int], updated: Sequence[tuple[int, Sequence[str]]]) -> None:
    """A request added contacts, and changed others: the names of what it changed of each."""
    told = [("ContactAdded", one, "") for one in added]
    told += [("ContactUpdated", one, "\n".join(sorted(names))) for one, names in updated]
    if told:
        await sql.execute(_WRITTEN, tenant, *(list(column) for column in zip(*told, strict=True)))


def by_import(fact: str, rows: str, import_: str, *, contact: str, email: str, key: str, changed: str = "") -> str:
    """SQL, as a part of the statement of a batch: the contacts of these rows are told. `changed`: an object whose names
    are those of what changed."""
    names = _NAMES.format(changed) if changed else ""
    return f"""
    INSERT INTO outbox (tenant, fact, contact, email, details)
    SELECT $1, '{fact}', {contact}, {email}, jsonb_build_object('by', 'import', 'import_number', {import_}::int,
        'key', {told_key(key)}{names})
    FROM {rows} JOIN tenants AS t ON t.tenant = $1 AND {condition("imports", "t")}"""  # noqa: S608  (our own words)


async def one(sql: Sql, tenant: int, at: datetime, fact: str, details: Mapping[str, Any]) -> None:
    """Something of the whole base."""
    await sql.execute(_ONE, tenant, at, fact, orjson.dumps(details).decode())


class Wishes:
    """What tenants want to be told. Every method raises DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, tenant: int) -> ContactEvents:
        async with self._database.connection() as sql:
            found = await sql.fetchval(_WANTED, tenant)
        return USUAL if found is None else msgspec.json.decode(found, type=ContactEvents)

    async def set(self, tenant: int, wanted: ContactEvents) -> None:
        """From the next transaction on."""
        async with self._database.connection() as sql:
            await sql.execute(_SET_WANTED, tenant, msgspec.json.encode(wanted).decode())

"""Looks at everybody of a tenant, and tells who has come to be at risk; tells at once whose address was given up.

Of whom it was told is a set of contacts (fact 51 of `sets`). A look is one statement: who is at risk now and not in the
set is told, and the set becomes who is at risk now. So it is told once for each time that somebody comes to be at risk,
as looks see it: who recovered and is at risk again before the next look is told of once. Whoever writes the set holds a
lock of the tenant, taken after the tenant's row and contacts, and before the set.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from services.contacts.base.database import Database, Row, Sql
from services.contacts.outbox.noting import told_key
from services.contacts.outbox.wanted import Way, condition
from services.contacts.risk import asked as rules
from services.contacts.risk.asked import USUAL, Look, RiskRule
from services.contacts.segments.checking import Known
from services.contacts.segments.compiling import QUIET_DAYS, compiled
from services.contacts.segments.language import OnRisk
from shared.words.errors import Fault

#: Of this purpose and a tenant.
_LOCK = 0x6573_7404
_HOLD = "SELECT pg_advisory_xact_lock($1, $2)"
_MAY_TAKE = "SELECT set_config('statement_timeout', $1, true)"
_SETTINGS = "SELECT settings, created_at FROM tenants WHERE tenant = $1"
_HOLD_SETTINGS = "SELECT settings, created_at FROM tenants WHERE tenant = $1 FOR NO KEY UPDATE"
_TENANTS = "SELECT tenant, settings, created_at FROM tenants ORDER BY tenant"
_SET = "UPDATE tenants SET settings = jsonb_set(settings, '{at_risk}', $2::jsonb) WHERE tenant = $1"
_NOTE = "UPDATE tenants SET settings = jsonb_set(settings, '{at_risk_look}', $2::jsonb) WHERE tenant = $1"

#: Those of `risky` that it was not told of, as rows of the outbox. `$1` is the tenant.
_NEW = """
new AS (
    SELECT risky.* FROM risky
    LEFT JOIN sets AS s
        ON s.tenant = $1 AND s.fact = 51 AND s.subject = 0 AND s.item = 0 AND s.chunk = risky.contact >> 13
    WHERE coalesce(get_bit(s.members, risky.contact & 8191), 0) = 0
)"""
_TOLD = f"""
told AS (
    INSERT INTO outbox (tenant, at, fact, contact, email, details)
    SELECT $1, {{at}}, 'ContactAtRisk', new.contact, new.email_key, jsonb_build_object(
        'key', {told_key("new.key")}, 'reason', CASE WHEN new.hard THEN 'hard' ELSE 'quiet' END,
        'days', coalesce((t.settings -> 'at_risk' ->> 'days')::int, {QUIET_DAYS:d}))
    FROM new JOIN tenants AS t ON t.tenant = $1 AND {{wanted}} ORDER BY new.contact
)"""  # noqa: S608  (constants alone)
_COLUMNS = "c.contact, c.key, c.email_key, (c.email_status = 'hard') IS TRUE AS hard"
_LOOK = """
WITH risky AS MATERIALIZED ({who}), {new}, {told}, chunks AS (
    SELECT contact >> 13 AS chunk, bit_or(set_bit(repeat('0', 8192)::bit(8192), contact & 8191, 1)) AS members
    FROM risky GROUP BY contact >> 13
), kept AS (
    INSERT INTO sets AS s (tenant, fact, subject, item, chunk, members) SELECT $1, 51, 0, 0, chunk, members FROM chunks
    ON CONFLICT (tenant, fact, subject, item, chunk) DO UPDATE SET members = excluded.members
    WHERE s.members <> excluded.members
), emptied AS (
    DELETE FROM sets AS s WHERE s.tenant = $1 AND s.fact = 51 AND NOT EXISTS (
        SELECT FROM chunks WHERE chunks.chunk = s.chunk)
)
SELECT count(*)::int AS contacts FROM risky"""
_HARD = f"""
risky AS (
    SELECT {_COLUMNS} FROM contacts AS c
    WHERE c.tenant = $1 AND c.contact = ANY ($2::int[]) AND c.email_status = 'hard'
)"""  # noqa: S608
_ANY_HARD = f"WITH {_HARD}, {_NEW} SELECT EXISTS (SELECT FROM new)"  # noqa: S608
_BECAME = """
WITH {hard}, {new}, {told}
SELECT mark($1, array_agg(51), array_agg(0), array_agg(0), array_agg(contact ORDER BY contact)) FROM new"""


class Standing(NamedTuple):
    """A tenant's settings, the last look, and when the next one is due, in ms since the epoch."""

    asked: RiskRule
    last: Look | None
    due_ms: int


class Risk:
    """Every method raises DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self, tenant: int) -> Standing:
        async with self._database.connection() as sql:
            return _standing(await sql.fetchrow(_SETTINGS, tenant))

    async def set(self, tenant: int, asked: RiskRule) -> list[Fault]:
        """In force at once for segments; what is wrong with it, and then nothing was set."""
        faults = rules.faults(asked)
        if not faults:
            async with self._database.connection() as sql:
                await sql.execute(_SET, tenant, msgspec.json.encode(asked).decode())
        return faults

    async def due(self, now_ms: int) -> list[int]:
        """The tenants whose contacts are to be looked at."""
        async with self._database.connection() as sql:
            rows = await sql.fetch(_TENANTS)
        return [row["tenant"] for row in rows if _standing(row).due_ms <= now_ms]

    async def overdue_ms(self, now_ms: int) -> int:
        """For how long the look that waits longest has been due; 0 if none is."""
        async with self._database.connection() as sql:
            rows = await sql.fetch(_TENANTS)
        return max([0, *(now_ms - _standing(row).due_ms for row in rows)])

    async def look(self, tenant: int, now_ms: int, most_s: float | None = None) -> Look:
        """At everybody, at once. It may take so long, or as long as any statement."""
        async with self._database.transaction() as sql:
            if most_s is not None:
                await sql.execute(_MAY_TAKE, str(int(most_s * 1000)))
            standing = _standing(await sql.fetchrow(_HOLD_SETTINGS, tenant))
            await sql.fetchval(_HOLD, _LOCK, tenant)
            now = datetime.fromtimestamp(now_ms // 1000, UTC).replace(microsecond=now_ms % 1000 * 1000)
            text, parameters = _statement(tenant, now, tells=rules.tells(standing.asked, standing.last))
            (row,) = await sql.fetch(text, *parameters, timeout=most_s)
            look = Look(now_ms, standing.asked.days, row["contacts"])
            await sql.execute(_NOTE, tenant, msgspec.json.encode(look).decode())
        return look


def _statement(tenant: int, now: datetime, *, tells: bool) -> tuple[str, Sequence[object]]:
    who = compiled(tenant, OnRisk(), Known({}, {}), now).columns(_COLUMNS)
    at = f"${len(who.parameters) + 1}::timestamptz"
    told = _TOLD.format(at=at, wanted=condition("at_risk", "t") if tells else f"{at} IS NULL")
    return _LOOK.format(who=who.text, new=_NEW, told=told), (*who.parameters, now)


async def became_hard(sql: Sql, tenant: int, contacts: Sequence[int], way: Way = "at_risk") -> None:
    """In a transaction that wrote to these: those of them whose address is given up by now are told, if it was not told
    of them before, and if the tenant wants to be told of what comes in that way."""
    if not contacts or not await sql.fetchval(_ANY_HARD, tenant, contacts):
        return
    await sql.fetchval(_HOLD, _LOCK, tenant)
    wanted = " AND ".join(condition(one, "t") for one in dict.fromkeys((way, "at_risk")))
    told = _TOLD.format(at="now()", wanted=wanted)
    await sql.fetchval(_BECAME.format(hard=_HARD, new=_NEW, told=told), tenant, contacts)


def _standing(row: Row | None) -> Standing:
    settings: dict[str, Any] = msgspec.json.decode(row["settings"]) if row is not None else {}
    asked = msgspec.convert(settings["at_risk"], RiskRule) if "at_risk" in settings else USUAL
    last = msgspec.convert(settings["at_risk_look"], Look) if "at_risk_look" in settings else None
    made_ms = 0 if row is None else int(row["created_at"].timestamp() * 1000)
    return Standing(asked, last, rules.due_ms(made_ms, last))

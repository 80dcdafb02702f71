"""A run of the rank: one statement counts, orders and cuts, and puts the notes where segments find them.

The notes in force are sets of contacts (fact 41 of `migrations/0001_contacts.sql`): who is in none has 0, so a contact
that came after the run has 0, and nothing changes a note between two runs (E37). A run replaces all of them in one
transaction: nobody sees half of it, and it is told what came of it. Who is erased is out of the sets by then.

`ntile(10)` cuts as `notes.py` does, so 11 less that is the note; a test holds that both agree.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from services.contacts.base.database import Database, Row, Sql
from services.contacts.outbox import noting
from services.contacts.rank import asked as settings_of
from services.contacts.rank import due
from services.contacts.rank.asked import USUAL, Asked
from services.contacts.rank.notes import BANDS, HIGHEST, INACTIVE, LOWEST, Band, band
from shared.words.errors import Fault

#: By what counts, the kind of `behaviours`, and the kind of its operation: "" where the behaviour alone says it.
BEHAVIOURS: dict[tuple[str, str], tuple[int, str]] = {
    ("email", "opened"): (5, "email"),
    ("email", "clicked"): (6, "email"),
    ("sms", "clicked"): (25, ""),
    ("survey", "answered"): (22, ""),
    ("form", "sent"): (23, ""),
}

#: Of this transaction, in ms: a whole base is ranked in minutes, where any other statement has seconds.
_MAY_TAKE = "SELECT set_config('statement_timeout', $1, true)"
_LOCK = "SELECT settings FROM tenants WHERE tenant = $1 FOR UPDATE"
_CLEAR = "DELETE FROM sets WHERE tenant = $1 AND fact = 41"
#: `$2`, `$3`: from and before when; `$4`: the least number; `$5`, `$6`: kinds of behaviour, and of operation to each.
#: An operation of which nothing is known is one of e-mail, as in its table.
_RUN = """
WITH counted AS (
    SELECT b.contact, count(*) AS events, max(b.occurred_at) AS last
    FROM behaviours AS b
    JOIN unnest($5::smallint[], $6::text[]) AS c (kind, operation_kind) ON c.kind = b.kind
    LEFT JOIN operations AS o ON o.tenant = $1 AND o.operation = b.operation
    WHERE b.tenant = $1 AND b.occurred_at >= $2 AND b.occurred_at < $3 AND NOT b.machine
        AND b.kind = ANY ($5::smallint[])
        AND (c.operation_kind = '' OR c.operation_kind = coalesce(o.kind, 'email'))
    GROUP BY b.contact HAVING count(*) >= $4
), noted AS (
    SELECT n.contact, 11 - ntile(10) OVER (ORDER BY n.events DESC, n.last DESC, n.contact) AS note
    FROM counted AS n WHERE EXISTS (SELECT FROM contacts AS c WHERE c.tenant = $1 AND c.contact = n.contact)
), written AS (
    INSERT INTO sets (tenant, fact, subject, item, chunk, members)
    SELECT $1, 41, 0, note, contact >> 13, bit_or(set_bit(repeat('0', 8192)::bit(8192), contact & 8191, 1))
    FROM noted GROUP BY note, contact >> 13
)
SELECT note, count(*) AS contacts FROM noted GROUP BY note"""
_NOTE_RUN = """
UPDATE tenants SET settings = jsonb_set(settings, '{rank_run}', $2::jsonb) WHERE tenant = $1"""
_SET = "UPDATE tenants SET settings = jsonb_set(settings, '{rank}', $2::jsonb) WHERE tenant = $1"
_SHOWN = "SELECT settings, created_at FROM tenants WHERE tenant = $1"
_TENANTS = "SELECT tenant, settings, created_at FROM tenants ORDER BY tenant"
#: Those who are not addressable as a set, so that two sets are compared and not a million contacts looked up.
_HISTOGRAM = """
WITH away AS (
    SELECT contact >> 13 AS chunk, bit_or(set_bit(repeat('0', 8192)::bit(8192), contact & 8191, 1)) AS members
    FROM contacts WHERE tenant = $1 AND (email_status = 'hard' OR email_left) GROUP BY contact >> 13
)
SELECT s.item AS note, sum(bit_count(s.members))::int AS contacts,
    sum(coalesce(bit_count(s.members & a.members), 0))::int AS away
FROM sets AS s LEFT JOIN away AS a ON a.chunk = s.chunk
WHERE s.tenant = $1 AND s.fact = 41 AND s.subject = 0 GROUP BY s.item"""
_BASE = """
SELECT count(*)::int AS contacts, count(*) FILTER (WHERE email_status = 'hard' OR email_left)::int AS away
FROM contacts WHERE tenant = $1"""


_ALL = "SELECT count(*)::int AS contacts FROM contacts WHERE tenant = $1"


class Run(msgspec.Struct, frozen=True):
    """The last run of a tenant: when it was, in ms since the epoch, by which settings, and how many contacts it gave
    each note, the highest first."""

    at_ms: int
    asked: Asked
    contacts: list[int]


class Histogram(NamedTuple):
    """How many contacts have each note, from 0 to 10, and how many are in each band: each contact is in one of each."""

    notes: dict[int, int]
    bands: dict[Band, int]


class Standing(NamedTuple):
    """A tenant's settings, its last run, and when the next one is due, in ms since the epoch."""

    asked: Asked
    last: Run | None
    due_ms: int


class Rank:
    """Every method raises DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self, tenant: int) -> Standing:
        async with self._database.connection() as sql:
            row = await sql.fetchrow(_SHOWN, tenant)
        return _standing(row) if row is not None else Standing(USUAL, None, 0)

    async def set(self, tenant: int, asked: Asked) -> list[Fault]:
        """Sets what counts from the next run on; what is wrong with it, and then nothing was set (E35)."""
        faults = settings_of.faults(asked)
        if not faults:
            async with self._database.connection() as sql:
                await sql.execute(_SET, tenant, msgspec.json.encode(asked).decode())
        return faults

    async def run(self, tenant: int, now_ms: int, most_s: float | None = None) -> Run:
        """Gives every contact its note anew, at once. It may take so long, or as long as any statement."""
        async with self._database.transaction() as sql:
            if most_s is not None:
                await sql.execute(_MAY_TAKE, str(int(most_s * 1000)))
            return await _run(sql, tenant, now_ms, most_s)

    async def histogram(self, tenant: int) -> Histogram:
        """Of the notes in force."""
        async with self._database.transaction(repeatable=True) as sql:
            noted = await sql.fetch(_HISTOGRAM, tenant)
            base = await sql.fetchrow(_BASE, tenant)
        assert base is not None  # a count has a row
        rows = {row["note"]: (row["contacts"], row["away"]) for row in noted}
        rows[INACTIVE] = (
            base["contacts"] - sum(count for count, _ in rows.values()),
            base["away"] - sum(away for _, away in rows.values()),
        )
        bands: dict[Band, int] = dict.fromkeys(BANDS, 0)
        bands["not_addressable"] = base["away"]
        for note, (count, away) in rows.items():
            bands[band(note, is_addressable=True)] += count - away
        return Histogram({note: rows.get(note, (0, 0))[0] for note in range(INACTIVE, HIGHEST + 1)}, bands)

    async def overdue_ms(self, now_ms: int) -> int:
        """For how long the run that waits longest has been due; 0 if none is."""
        async with self._database.connection() as sql:
            rows = await sql.fetch(_TENANTS)
        return max([0, *(now_ms - _standing(row).due_ms for row in rows)])

    async def due(self, now_ms: int) -> list[int]:
        """The tenants whose run is due (E36)."""
        async with self._database.connection() as sql:
            rows = await sql.fetch(_TENANTS)
        return [row["tenant"] for row in rows if _standing(row).due_ms <= now_ms]


async def _run(sql: Sql, tenant: int, now_ms: int, most_s: float | None) -> Run:
    row = await sql.fetchrow(_LOCK, tenant)  # two runs at once would each put in what the other took out
    asked, _ = _of(row)
    wanted = [BEHAVIOURS[one] for one in settings_of.counted(asked)]
    since = _moment(settings_of.since_ms(asked.period, now_ms))
    kinds, operations = [kind for kind, _ in wanted], [operation for _, operation in wanted]
    await sql.execute(_CLEAR, tenant)
    given = (tenant, since, _moment(now_ms), asked.least, kinds, operations)
    found = await sql.fetch(_RUN, *given, timeout=most_s)
    by_note = {one["note"]: one["contacts"] for one in found}
    run = Run(now_ms, asked, [by_note.get(note, 0) for note in range(HIGHEST, LOWEST - 1, -1)])
    await sql.execute(_NOTE_RUN, tenant, msgspec.json.encode(run).decode())
    (base,) = await sql.fetch(_ALL, tenant, timeout=most_s)
    if base["contacts"]:
        await noting.one(sql, tenant, _moment(now_ms), "ActivityRanked", _told(run, base["contacts"]))
    return run


def _told(run: Run, contacts: int) -> dict[str, Any]:
    """A run as its event tells it: notes from 0 to 10."""
    active = sum(run.contacts)
    notes = msgspec.json.encode([contacts - active, *reversed(run.contacts)]).decode()
    settings = msgspec.json.encode(run.asked).decode()
    return {"active": active, "contacts": contacts, "notes": notes, "settings": settings}


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def _of(row: Row | None) -> tuple[Asked, Run | None]:
    settings: dict[str, Any] = msgspec.json.decode(row["settings"]) if row is not None else {}
    asked = msgspec.convert(settings["rank"], Asked) if "rank" in settings else USUAL
    return asked, msgspec.convert(settings["rank_run"], Run) if "rank_run" in settings else None


def _standing(row: Row) -> Standing:
    asked, last = _of(row)
    made_ms = round(row["created_at"].timestamp() * 1000)
    return Standing(asked, last, due.due_ms(made_ms, None if last is None else last.at_ms))

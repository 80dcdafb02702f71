"""Takes what is to be told from PostgreSQL to the streams, oldest first, a tenant after the other.

Of several processes one tells a tenant's at a time: it holds a lock of PostgreSQL, which goes with its connection. In
one transaction it reads some rows, hands them to the streams, and removes them. What it had handed over when it died,
or when the commit was lost, is handed over again by the next one: the same rows in one batch are stored once
(`bus.Publisher.publish`), and a row always has the same `event_id`.

A tenant gets some rows told, then it is the next one's turn: an import that tells a million keeps nobody else waiting.
"""

import asyncio
from collections import Counter as Counts
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec
from prometheus_client import Counter

from services.contacts.base import database
from services.contacts.base.database import Database, DatabaseAway
from services.contacts.outbox.rows import KNOWN, Row, fact_of
from shared.process import logs
from shared.process.lifecycle import pause
from shared.words import events
from shared.words.errors import StorageAway

TOLD = Counter("estafette_contacts_told_total", "Facts of contacts that went to the streams, by their name", ["fact"])

#: Rows of a tenant at a time: one script of Redis in each partition.
BATCH = 500
#: Between two looks while there is nothing to tell.
LOOK_S = 0.5
#: And after something was away.
RETRY_S = 1.0
#: More rows than this are not counted one by one.
MOST_COUNTED = 100_000

#: Of this purpose and a tenant.
_LOCK = 0x6573_7403
_TENANTS = """
SELECT tenant, name FROM tenants AS t
WHERE EXISTS (SELECT FROM outbox AS o WHERE o.tenant = t.tenant AND o.fact = ANY ($1::text[])) ORDER BY tenant"""
_IS_MINE = "SELECT pg_try_advisory_xact_lock($1, $2)"
_NEXT = """
SELECT said, at, fact, contact, email, details FROM outbox WHERE tenant = $1 AND fact = ANY ($2::text[])
ORDER BY said LIMIT $3"""
_REMOVE = "DELETE FROM outbox WHERE tenant = $1 AND said = ANY ($2::bigint[])"
_WAITING = "SELECT count(*)::int FROM (SELECT FROM outbox LIMIT $1) AS counted"
_OLDEST = """
SELECT coalesce(extract(epoch FROM now() - min(o.at)), 0)::float8
FROM tenants AS t CROSS JOIN LATERAL (SELECT at FROM outbox WHERE tenant = t.tenant ORDER BY said LIMIT 1) AS o"""

_log = logs.get_logger()


class Publishing(Protocol):
    async def publish(self, facts: Sequence[events.Fact], patience_s: float = ..., batch: str = ...) -> None:
        """Returns when every fact is stored. Raises RedisAway."""


class Waiting(NamedTuple):
    """How many rows wait, up to `MOST_COUNTED`, and for how long the oldest has, in seconds."""

    rows: int
    oldest_s: float


class Telling:
    """Every method raises DatabaseAway, and `tell` RedisAway as well: it may be called again."""

    def __init__(self, database: Database, publisher: Publishing) -> None:
        self._database = database
        self._publisher = publisher

    async def work(self, stopping: asyncio.Event) -> None:
        """Until it is to stop."""
        while not stopping.is_set():
            try:
                told = await self.tell()
            except DatabaseAway:
                await pause(stopping, RETRY_S)  # that it is away is told by who watches it
            except StorageAway as away:
                _log.warning("contacts_not_told", reason=str(away))
                await pause(stopping, RETRY_S)
            else:
                if not told:
                    await pause(stopping, LOOK_S)

    async def tell(self) -> int:
        """Some of what waits, of each tenant; how many rows."""
        async with self._database.connection() as sql:
            tenants = await sql.fetch(_TENANTS, KNOWN)
        return sum([await self._tell(row["tenant"], row["name"]) for row in tenants])

    async def _tell(self, tenant: int, name: str) -> int:
        async with self._database.transaction() as sql:
            if not await sql.fetchval(_IS_MINE, _LOCK, tenant):
                return 0
            rows = [_row(row) for row in await sql.fetch(_NEXT, tenant, KNOWN, BATCH)]
            if not rows:
                return 0
            facts = [fact_of(name, row) for row in rows]
            batch = events.event_id("outbox", *(fact.event_id for fact in facts))
            await self._publisher.publish(facts, batch=batch)
            await sql.execute(_REMOVE, tenant, [row.said for row in rows])
        for fact, count in Counts(row.fact for row in rows).items():
            TOLD.labels(fact).inc(count)
        return len(rows)

    async def waiting(self) -> Waiting:
        async with self._database.connection() as sql:
            return Waiting(await sql.fetchval(_WAITING, MOST_COUNTED), await sql.fetchval(_OLDEST))


def _row(row: database.Row) -> Row:
    return Row(row["said"], row["at"], row["fact"], row["contact"], row["email"], msgspec.json.decode(row["details"]))

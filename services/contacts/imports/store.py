"""Imports as PostgreSQL has them: files in pieces, who works on which, how far, and what is reported.

Every statement names the tenant but those by which a worker takes the next import, whosever it is, and tells whether
any moves.
"""

import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from services.contacts.base import store as contacts_store
from services.contacts.base.database import Database, Row
from services.contacts.base.fields import MAX_CHOICES
from services.contacts.imports.reading import Asked
from services.contacts.imports.writing import Told, tell
from shared.words.errors import Fault

State = Literal["receiving", "waiting", "reading", "applying", "done", "refused", "interrupted"]
#: Bytes of a file that are kept as one piece.
PIECE_BYTES = 1 << 20
#: Whoever works on an import says so again within that; another one takes it over then.
LEASE_S = 30
#: An upload of which nothing was heard for so long has ended with its process.
SILENT_S = 900
#: A file is text, and has to be packed as fast as it comes.
_LEVEL = 1

_CREATE = """
WITH taken AS (
    UPDATE tenants SET next_import = next_import + 1 WHERE tenant = $1 RETURNING next_import - 1 AS import
)
INSERT INTO imports (tenant, import, name, dry_run, only_new, asked, made_by)
SELECT $1, import, $2, $3, $4, $5, $6 FROM taken RETURNING import"""
_PIECE = "INSERT INTO import_pieces (tenant, import, piece, packed) VALUES ($1, $2, $3, $4)"
_RECEIVED = """
UPDATE imports SET pieces = pieces + 1, bytes = bytes + $3, updated_at = now() WHERE tenant = $1 AND import = $2"""
_IS_THERE = """
UPDATE imports SET state = 'waiting', updated_at = now() WHERE tenant = $1 AND import = $2 AND state = 'receiving'"""
_TAKE = """
UPDATE imports AS i SET worked_until = now() + make_interval(secs => $1),
    state = CASE i.state WHEN 'waiting' THEN 'reading' ELSE i.state END, updated_at = now()
FROM (
    SELECT tenant, import FROM imports
    WHERE state IN ('waiting', 'reading', 'applying') AND (worked_until IS NULL OR worked_until < now())
    ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED
) AS next
WHERE i.tenant = next.tenant AND i.import = next.import
RETURNING i.tenant, i.import, i.dry_run, i.only_new, i.asked, i.pieces"""
_MOVED = """
SELECT coalesce(extract(epoch FROM max(updated_at)), 0)::float8 FROM imports
WHERE state IN ('waiting', 'reading', 'applying')"""
_RENEW = """
UPDATE imports SET worked_until = now() + make_interval(secs => $3), updated_at = now()
WHERE tenant = $1 AND import = $2"""
_LET_GO = "UPDATE imports SET worked_until = NULL WHERE tenant = $1 AND import = $2"
_ALL_PIECES = "SELECT packed FROM import_pieces WHERE tenant = $1 AND import = $2 AND piece = $3"
_WAS_READ = """
UPDATE imports SET state = 'applying', encoding = $3, lines = $4, refused = $5, warnings = $6, updated_at = now()
WHERE tenant = $1 AND import = $2"""
_WORDS = "SELECT folded, choice FROM choices WHERE tenant = $1 AND field = $2"
_DONE = "SELECT batch FROM import_batches WHERE tenant = $1 AND import = $2"
_END = """
UPDATE imports SET state = $3, detail = $4, encoding = $5, updated_at = now(), ended_at = now(), worked_until = NULL
WHERE tenant = $1 AND import = $2"""
_FORGET = "DELETE FROM import_pieces WHERE tenant = $1 AND import = $2"
_SILENT = """
UPDATE imports SET state = 'interrupted', detail = 'its upload was not heard of any more; nothing was changed',
    ended_at = now(), updated_at = now()
WHERE state = 'receiving' AND updated_at < now() - make_interval(secs => $1) RETURNING tenant, import"""
_SHOWN = """
SELECT i.*, coalesce(b.added, 0) AS added, coalesce(b.updated, 0) AS updated, coalesce(b.unchanged, 0) AS unchanged,
    coalesce(b.replaced, 0) AS replaced, coalesce(b.reactivated, 0) AS reactivated
FROM imports AS i LEFT JOIN LATERAL (
    SELECT sum(added) AS added, sum(updated) AS updated, sum(unchanged) AS unchanged, sum(replaced) AS replaced,
        sum(reactivated) AS reactivated
    FROM import_batches WHERE tenant = i.tenant AND import = i.import
) AS b ON true
WHERE i.tenant = $1"""
_GET = _SHOWN + " AND i.import = $2"
_LAST = _SHOWN + " AND ($2::int IS NULL OR i.import < $2) ORDER BY i.import DESC LIMIT $3"
_REPORT = """
SELECT line, key, result, what FROM import_lines WHERE tenant = $1 AND import = $2 AND line > $3
ORDER BY line LIMIT $4"""


class Taken(NamedTuple):
    """An import that somebody works on now."""

    tenant: int
    import_: int
    dry_run: bool
    only_new: bool
    asked: Asked
    pieces: int


class Progress(NamedTuple):
    """An import as it is shown. The counts are of lines; each that is not empty is in one of the first five once it is
    done, and `reactivated` are among the updated."""

    import_: int
    name: str
    state: State
    dry_run: bool
    only_new: bool
    encoding: str
    bytes: int
    lines: int
    added: int
    updated: int
    unchanged: int
    replaced: int
    refused: int
    reactivated: int
    warnings: list[Fault]
    detail: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


class TooManyWords(ValueError):
    """A file has more words of a field than it may have. The message says so."""


class Imports:
    """Every method raises DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # A file comes in

    async def create(
        self, tenant: int, asked: Asked, *, name: str = "", dry_run: bool = False, only_new: bool = False, by: str = ""
    ) -> int:
        """The number of a new import, whose file is still to come."""
        packed = msgspec.json.encode(asked).decode()
        async with self._database.connection() as sql:
            return int(await sql.fetchval(_CREATE, tenant, name, dry_run, only_new, packed, by))

    async def receive(self, tenant: int, import_: int, number: int, piece: bytes) -> None:
        """A piece of its file, from 0."""
        packed = zlib.compress(piece, _LEVEL)
        async with self._database.transaction() as sql:
            await sql.execute(_PIECE, tenant, import_, number, packed)
            await sql.execute(_RECEIVED, tenant, import_, len(piece))

    async def is_there(self, tenant: int, import_: int) -> None:
        """All of the file has come: somebody may work on it."""
        async with self._database.connection() as sql:
            await sql.execute(_IS_THERE, tenant, import_)

    # Somebody works on it

    async def take(self) -> Taken | None:
        """The oldest import that nobody works on."""
        async with self._database.connection() as sql:
            row = await sql.fetchrow(_TAKE, float(LEASE_S))
        if row is None:
            return None
        asked = msgspec.json.decode(row["asked"], type=Asked)
        return Taken(row["tenant"], row["import"], row["dry_run"], row["only_new"], asked, row["pieces"])

    async def moved_s(self) -> float:
        """When something was last done for those that wait or are worked on, in seconds since the epoch; 0 if none is
        there."""
        async with self._database.connection() as sql:
            return float(await sql.fetchval(_MOVED))

    async def renew(self, taken: Taken) -> None:
        """It is still worked on."""
        async with self._database.connection() as sql:
            await sql.execute(_RENEW, taken.tenant, taken.import_, float(LEASE_S))

    async def let_go(self, taken: Taken) -> None:
        """Somebody else may go on with it at once."""
        async with self._database.connection() as sql:
            await sql.execute(_LET_GO, taken.tenant, taken.import_)

    async def pieces(self, taken: Taken) -> AsyncIterator[bytes]:
        """The file, from its beginning."""
        for number in range(taken.pieces):
            async with self._database.connection() as sql:
                packed = await sql.fetchval(_ALL_PIECES, taken.tenant, taken.import_, number)
            yield zlib.decompress(packed)

    async def learn(self, tenant: int, new: Mapping[int, Mapping[str, str]]) -> dict[tuple[int, str], int]:
        """By field and word the numbers of words that fields do not have yet, or have by now. TooManyWords."""
        found: dict[tuple[int, str], int] = {}
        async with self._database.transaction() as sql:
            await contacts_store.hold_tenant(sql, tenant)
            for field, words in new.items():
                known = {row["folded"]: row["choice"] for row in await sql.fetch(_WORDS, tenant, field)}
                lacking = {word: "" for key, word in words.items() if key not in known}
                if len(known) + len(lacking) > MAX_CHOICES:
                    raise TooManyWords(f"a field has {MAX_CHOICES:,} words at most, and would have more by this file")
                if lacking:
                    await contacts_store.add_choices(sql, tenant, field, lacking)
                    known = {row["folded"]: row["choice"] for row in await sql.fetch(_WORDS, tenant, field)}
                found |= {(field, key): known[key] for key in words}
        return found

    async def was_read(
        self, taken: Taken, encoding: str, lines: int, refused: int, warnings: Sequence[Fault], told: Sequence[Told]
    ) -> None:
        """All of the file was read; its batches are written now."""
        packed = msgspec.json.encode(warnings).decode()
        async with self._database.transaction() as sql:
            await sql.execute(_WAS_READ, taken.tenant, taken.import_, encoding, lines, refused, packed)
            await tell(sql, taken.tenant, taken.import_, told)

    async def done(self, taken: Taken) -> set[int]:
        """The batches that were done."""
        async with self._database.connection() as sql:
            return {row["batch"] for row in await sql.fetch(_DONE, taken.tenant, taken.import_)}

    async def end(
        self,
        tenant: int,
        import_: int,
        state: Literal["done", "refused", "interrupted"],
        detail: str = "",
        encoding: str = "",
        told: Sequence[Told] = (),
    ) -> None:
        """Nobody works on it any more, and its file is forgotten."""
        async with self._database.transaction() as sql:
            await sql.execute(_END, tenant, import_, state, detail, encoding)
            await tell(sql, tenant, import_, told)
            await sql.execute(_FORGET, tenant, import_)

    async def forget_silent(self) -> int:
        """Ends uploads whose process has ended; how many."""
        async with self._database.transaction() as sql:
            found = await sql.fetch(_SILENT, float(SILENT_S))
            for row in found:
                await sql.execute(_FORGET, row["tenant"], row["import"])
        return len(found)

    # What is shown

    async def get(self, tenant: int, import_: int) -> Progress | None:
        """None if the tenant has none of that number."""
        async with self._database.connection() as sql:
            row = await sql.fetchrow(_GET, tenant, import_)
        return None if row is None else _progress(row)

    async def last(self, tenant: int, before: int | None, count: int) -> list[Progress]:
        """The latest first, from the one before that number on."""
        async with self._database.connection() as sql:
            return [_progress(row) for row in await sql.fetch(_LAST, tenant, before, count)]

    async def report(self, tenant: int, import_: int, after: int, count: int) -> list[Told]:
        """So many lines of the report behind a line of the file, in its order."""
        async with self._database.connection() as sql:
            rows = await sql.fetch(_REPORT, tenant, import_, after, count)
        return [Told(row["line"], row["key"], row["result"], row["what"]) for row in rows]


def _progress(row: Row) -> Progress:
    named: dict[str, Any] = {name: row[name] for name in Progress._fields if name not in ("import_", "warnings")}
    warnings = msgspec.json.decode(row["warnings"], type=list[Fault])
    counts = {name: int(row[name]) for name in ("added", "updated", "unchanged", "replaced", "reactivated")}
    return Progress(import_=row["import"], warnings=warnings, **(named | counts))

"""A batch of lines as one transaction: who is new is added, who was there gets the mapped fields, once.

A batch has a row in `import_batches` or was not done. So it may be tried any number of times, by several processes at
once, and counts once: whoever comes second waits for the row of the first and finds nothing left to do.

Numbers of new contacts are taken before, in a transaction of their own: nobody waits for a whole batch to get one. What
is there already is held in the order of keys, and what is new is added in that order.
"""

from collections.abc import Sequence
from io import BytesIO
from types import MappingProxyType
from typing import NamedTuple

from services.contacts.base.database import Database, Sql
from services.contacts.imports import statements
from services.contacts.imports.columns import Field
from services.contacts.imports.lines import Line
from services.contacts.imports.staging import Words, copied, rows
from services.contacts.imports.statements import MAKE_STAGED, Shape
from services.contacts.risk.run import became_hard

#: Whom an import included, added and updated, as facts of `sets`.
INCLUDED, ADDED, UPDATED = 31, 32, 33
#: Contacts that somebody erases between two steps make a batch begin anew; nobody erases so fast as that.
_TRIES = 10

_BEGIN = """
INSERT INTO import_batches (tenant, import, batch, replaced) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
RETURNING batch"""
_END = """
UPDATE import_batches SET added = $4, updated = $5, unchanged = $6, reactivated = $7
WHERE tenant = $1 AND import = $2 AND batch = $3"""
_TELL = """
INSERT INTO import_lines (tenant, import, line, key, result, what)
SELECT $1, $2, * FROM unnest($3::int[], $4::text[], $5::text[], $6::text[]) ON CONFLICT DO NOTHING"""


class Told(NamedTuple):
    """A line that somebody may want to look at. `result` is `refused`, `replaced` or `reactivated`."""

    line: int
    key: str
    result: str
    what: str


class _Held(NamedTuple):
    """Who was there and is held now, who of them was changed, and the lines by which somebody is mailed again, or of
    which suppression is told."""

    contacts: Sequence[int] = ()
    changed: Sequence[int] = ()
    again: Sequence[int] = ()
    turned: Sequence[int] = ()


class Batch(NamedTuple):
    """Lines of an import, one for each contact. `replaced` were left out because a later line has their key; `told` are
    those of them that belong into the report. `layouts` are the fields that lines write, by `Line.layout`, and whether
    these have an opt-in and a status; `words` the numbers of the words of fields that take new ones."""

    tenant: int
    import_: int
    number: int
    lines: Sequence[tuple[int, Line]]
    layouts: "Sequence[Written]"
    replaced: int = 0
    told: Sequence[Told] = ()
    dry_run: bool = False
    only_new: bool = False
    words: Words = MappingProxyType({})


class Written(NamedTuple):
    """The fields that the lines of a layout write."""

    fields: tuple[Field, ...]
    opt_in: bool = False
    status: bool = False


class Outcome(NamedTuple):
    """What became of the lines of a batch; `reactivated` are among the updated."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    reactivated: int = 0

    def plus(self, other: "Outcome") -> "Outcome":
        return Outcome(*(one + more for one, more in zip(self, other, strict=True)))


class _Erased(Exception):
    """A contact was there when numbers were taken, and is not any more."""


class Writer:
    """Writes batches. Every method raises DatabaseAway: what was asked may have happened, and may be asked again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, batch: Batch) -> bool:
        """Whether it was done now; False: it was done before."""
        for _ in range(_TRIES):
            try:
                return await self._write(batch)
            except _Erased:
                continue
        raise RuntimeError(f"import {batch.import_}: its contacts are erased as fast as they are found")

    async def _write(self, batch: Batch) -> bool:
        numbers = {} if batch.dry_run else await self._numbers(batch)
        async with self._database.transaction() as sql:
            named = (batch.tenant, batch.import_, batch.number)
            if await sql.fetchval(_BEGIN, *named, batch.replaced) is None:
                return False
            await sql.execute(MAKE_STAGED)
            outcome, told = Outcome(), list(batch.told)
            for layout, lines in _by_layout(batch.lines):
                more = await _write_layout(sql, batch, batch.layouts[layout], lines, numbers, told)
                outcome = outcome.plus(more)
            await sql.execute(_END, *named, *outcome)
            await tell(sql, batch.tenant, batch.import_, told)
        return True

    async def _numbers(self, batch: Batch) -> dict[str, int]:
        """A number for each key that nobody has yet."""
        keys = [line.key for _, line in batch.lines]
        async with self._database.connection() as sql:
            new = [row["key"] for row in await sql.fetch(statements.NEW, batch.tenant, keys)]
            first = await sql.fetchval(statements.NUMBERS, batch.tenant, len(new)) if new else 0
        return {key: number for number, key in enumerate(new, first)}


async def tell(sql: Sql, tenant: int, import_: int, told: Sequence[Told]) -> None:
    """Lines for the report; those that are there stay. DatabaseAway."""
    if told:
        lines, keys, results, whats = (list(column) for column in zip(*told, strict=True))
        await sql.execute(_TELL, tenant, import_, lines, keys, results, whats)


def _by_layout(lines: Sequence[tuple[int, Line]]) -> list[tuple[int, list[tuple[int, Line]]]]:
    found: dict[int, list[tuple[int, Line]]] = {}
    for one in lines:
        found.setdefault(one[1].layout, []).append(one)
    return sorted(found.items())


async def _write_layout(
    sql: Sql,
    batch: Batch,
    written: Written,
    lines: Sequence[tuple[int, Line]],
    numbers: dict[str, int],
    told: list[Told],
) -> Outcome:
    shape = statements.shape_of(written.fields, opt_in=written.opt_in, status=written.status)
    names = statements.names_of(written.fields)
    staged = BytesIO(copied(rows(lines, written.fields, numbers, batch.words)))
    await sql.copy_to_table("staged", source=staged, columns=statements.STAGED)
    if batch.dry_run:
        found = await _look(sql, batch, shape, names)
    else:
        found = await _apply(sql, batch, shape, names, len(lines))
    outcome, again = found
    keys = {line: one.key for line, one in lines} if again else {}
    told += [Told(line, keys[line], "reactivated", "is mailed again") for line in again]
    await sql.execute("DELETE FROM staged")
    return outcome


async def _look(sql: Sql, batch: Batch, shape: Shape, names: list[str]) -> tuple[Outcome, Sequence[int]]:
    """What would become of the staged lines, and of which lines somebody would be mailed again."""
    found = await sql.fetch(statements.look(shape), batch.tenant, names)
    added = sum(row["contact"] is None for row in found)
    changed = [row for row in found if row["contact"] is not None and row["changes"] and not batch.only_new]
    again = [row["line"] for row in changed if row["reactivates"]]
    return Outcome(added, len(changed), len(found) - added - len(changed), len(again)), again


async def _apply(sql: Sql, batch: Batch, shape: Shape, names: list[str], count: int) -> tuple[Outcome, Sequence[int]]:
    """What became of the staged lines, and of which lines somebody is mailed again. _Erased."""
    added = [row["contact"] for row in await sql.fetch(statements.insert(shape), batch.tenant, batch.import_)]
    held = await _hold(sql, batch, shape, names, added) if len(added) < count else _Held()
    if len(added) + len(held.contacts) != count:
        raise _Erased
    for fact, contacts in ((INCLUDED, [*added, *held.contacts]), (ADDED, added), (UPDATED, held.changed)):
        if contacts:
            await sql.execute(statements.MARK, batch.tenant, fact, batch.import_, contacts)
    if shape.status:
        await became_hard(sql, batch.tenant, [*added, *held.changed], "imports")
    if shape.opt_in or shape.status:
        source = _source(batch)
        await sql.execute(statements.SAY, batch.tenant, added, held.turned, batch.only_new, source)
    unchanged = len(held.contacts) - len(held.changed)
    return Outcome(len(added), len(held.changed), unchanged, len(held.again)), held.again


async def _hold(sql: Sql, batch: Batch, shape: Shape, names: list[str], added: list[int]) -> _Held:
    if batch.only_new:
        return _Held([row["contact"] for row in await sql.fetch(statements.HOLD, batch.tenant, added)])
    given = (batch.tenant, names, _source(batch), added, batch.import_)
    row = await sql.fetchrow(statements.update(shape), *given)
    assert row is not None  # an aggregate has a row
    return _Held(*(row[name] or [] for name in ("held", "changed", "again", "turned")))


def _source(batch: Batch) -> str:
    """As the history of a contact names it."""
    return f"import {batch.import_}"

"""A base of contacts for tests: a tenant with fields of every kind, and what is in it, as people would say it."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from services.contacts.base.database import Database
from services.contacts.imports.columns import Field
from services.contacts.imports.reading import Asked, Reading
from services.contacts.imports.writing import Writer

_ADD_TENANT = "INSERT INTO tenants (name, key_field) VALUES ($1, $2) RETURNING tenant"
_ADD_IMPORT = """
WITH taken AS (UPDATE tenants SET next_import = next_import + 1 WHERE tenant = $1 RETURNING next_import - 1 AS import)
INSERT INTO imports (tenant, import) SELECT $1, import FROM taken RETURNING import"""
_MEMBERS = """
SELECT c.key FROM contacts AS c JOIN sets AS s ON s.tenant = c.tenant AND s.chunk = c.contact >> 13
WHERE c.tenant = $1 AND s.fact = $2 AND s.subject = $3 AND get_bit(s.members, c.contact & 8191) = 1"""
_COUNTS = """
SELECT coalesce(sum(added), 0)::int AS added, coalesce(sum(updated), 0)::int AS updated,
    coalesce(sum(unchanged), 0)::int AS unchanged, coalesce(sum(replaced), 0)::int AS replaced,
    coalesce(sum(reactivated), 0)::int AS reactivated
FROM import_batches WHERE tenant = $1 AND import = $2"""

#: name, kind, slot, words
_FIELDS: tuple[tuple[str, Any, int, tuple[str, ...]], ...] = (
    ("last_name", "text", 1, ()),
    ("town", "text", 3, ()),
    ("points", "number", 2, ()),
    ("birthday", "date", 1, ()),
    ("colour", "choice", 0, ("red", "blue")),
    ("tags", "choices", 0, ("a", "b", "c")),
    ("member", "yes_no", 0, ("yes", "no")),
)


@dataclass
class Base:
    """A tenant."""

    database: Database
    tenant: int
    fields: list[Field]
    key: str = "email"

    async def new_import(self) -> int:
        async with self.database.connection() as sql:
            return int(await sql.fetchval(_ADD_IMPORT, self.tenant))

    def asked(self, **how: Any) -> Asked:
        return Asked(self.key, self.fields, **how)

    async def run(
        self,
        import_: int,
        file: bytes,
        *,
        batch: int = 3,
        skipped: Sequence[int] = (),
        dry_run: bool = False,
        only_new: bool = False,
        **how: Any,
    ) -> Reading:
        """A whole file, but the batches that somebody skips."""
        reading = Reading(self.asked(**how), batch=batch)
        writer = Writer(self.database)
        with closing(reading):
            for _ in reading.read(file, last=True):
                pass
            for one in reading.batches(self.tenant, import_, dry_run=dry_run, only_new=only_new):
                if one.number not in skipped:
                    await writer.write(one)
        return reading

    async def contacts(self) -> dict[str, dict[str, Any]]:
        """By key all that stands in a field, and what is known of the address."""
        async with self.database.connection() as sql:
            rows = await sql.fetch("SELECT * FROM contacts WHERE tenant = $1 ORDER BY contact", self.tenant)
        return {row["key"]: self._shown(row) for row in rows}

    def _shown(self, row: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {"email": row["email"], "mobile": row["mobile"]}
        for field in self.fields:
            match field.kind:
                case "text" | "number" | "date":
                    array = row[f"{field.kind}s"]
                    found[field.name] = array[field.slot - 1] if len(array) >= field.slot else None
                case "choice" | "choices" | "yes_no":
                    words = {number: word for word, number in field.choices.items()}
                    found[field.name] = sorted(words[one] for one in row["choices"] if one in words)
        states = ("email_optin", "email_left", "email_status", "email_softs")
        return found | {name: row[name] for name in states}

    async def members(self, import_: int) -> tuple[set[str], set[str], set[str]]:
        """The keys of whom an import included, added and updated."""
        async with self.database.connection() as sql:
            found = [await sql.fetch(_MEMBERS, self.tenant, fact, import_) for fact in (31, 32, 33)]
        included, added, updated = ({row["key"] for row in rows} for rows in found)
        return included, added, updated

    async def counts(self, import_: int) -> dict[str, int]:
        async with self.database.connection() as sql:
            row = await sql.fetchrow(_COUNTS, self.tenant, import_)
        assert row is not None
        return dict(row)

    async def report(self, import_: int) -> list[tuple[int, str, str]]:
        """Lines, their keys and what became of them."""
        async with self.database.connection() as sql:
            rows = await sql.fetch(
                "SELECT line, key, result FROM import_lines WHERE tenant = $1 AND import = $2 ORDER BY line",
                self.tenant,
                import_,
            )
        return [(row["line"], row["key"], row["result"]) for row in rows]


async def new_base(database: Database, name: str, key: str = "email") -> Base:
    """A tenant with fields, and nobody in it."""
    fields = [Field("email", "address"), Field("mobile", "phone")]
    async with database.transaction() as sql:
        tenant = int(await sql.fetchval(_ADD_TENANT, name, key))
        for number, (field, kind, slot, words) in enumerate(_FIELDS, 1):
            await sql.execute(
                "INSERT INTO fields (tenant, field, name, kind, slot) VALUES ($1, $2, $3, $4, $5)",
                tenant,
                number,
                field,
                kind,
                slot or None,
            )
            numbers = {word: number * 65_536 + place for place, word in enumerate(words)}
            for word, choice in numbers.items():
                await sql.execute(
                    "INSERT INTO choices (tenant, choice, field, value, folded) VALUES ($1, $2, $3, $4, $4)",
                    tenant,
                    choice,
                    number,
                    word,
                )
            fields.append(Field(field, kind, "", number, slot, numbers))
    return Base(database, tenant, fields, key)

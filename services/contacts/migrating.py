"""The tables of contacts, step by step: numbered files of SQL, each done once and in order, what is missing as a whole.

Processes of an installation may start together: who comes first holds a lock for as long as it takes, the others wait
and find nothing left to do. A step that was done stands in the table `migrations` with the digest of its file. A
database with a step that we do not know was made by a newer program, which may mean something else by what is there:
it is refused. So is one whose steps are not those of our files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from services.contacts.base.database import Database, Sql
from shared.words.errors import OperatorFault

FOLDER = Path(__file__).with_name("migrations")
#: Of this purpose alone, in every database: the letters `est` and a number.
LOCK = 0x657374_0001
#: For a step, and for those of the others, however many rows are there.
LONGEST_S = 86_400.0

_TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now()
)
"""
_NOTED = "INSERT INTO migrations (number, name, sha256) VALUES ($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class Step:
    """`0001_contacts.sql`: number, name and text."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return sha256(self.text.encode()).hexdigest()


class NewerDatabase(OperatorFault):
    """A newer program made it. The message says which of its steps is not known here."""


class ChangedStep(OperatorFault):
    """A step was done that is not the one in our file."""


def steps(folder: Path = FOLDER) -> list[Step]:
    """The files, in order. ValueError where numbers are not 1, 2, 3 …"""
    found = []
    for file in sorted(folder.glob("*.sql")):
        number, _, name = file.stem.partition("_")
        found.append(Step(int(number), name, file.read_text("utf-8")))
    if [step.number for step in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"{folder}: files are to be numbered from 0001 without a gap")
    return found


def missing(known: Sequence[Step], done: Mapping[int, str]) -> list[Step]:
    """The steps that are still to be done, of a database in which those digests are. NewerDatabase, ChangedStep."""
    if newer := sorted(done.keys() - {step.number for step in known}):
        raise NewerDatabase(
            f"contacts.url: the database was made by a newer program, whose step {newer[0]} of its tables is not known "
            "here: start that one"
        )
    for step in known:
        if done.get(step.number, step.sha256) != step.sha256:
            raise ChangedStep(
                f"contacts.url: step {step.number} of the tables was done by a program with another one of that number"
            )
    return [step for step in known if step.number not in done]


async def migrate(database: Database, known: Sequence[Step]) -> list[int]:
    """Does what is missing; the numbers of what was done now. DatabaseAway, NewerDatabase, ChangedStep."""
    async with database.transaction() as sql:
        await sql.execute("SET LOCAL statement_timeout = 0")
        await sql.execute("SELECT pg_advisory_xact_lock($1)", LOCK, timeout=LONGEST_S)
        await sql.execute(_TABLE)
        wanted = missing(known, await _done(sql))
        for step in wanted:
            await sql.execute(step.text, timeout=LONGEST_S)
            await sql.execute(_NOTED, step.number, step.name, step.sha256)
    return [step.number for step in wanted]


async def is_done(database: Database, known: Sequence[Step]) -> bool:
    """Whether every step was done, of who does none itself. DatabaseAway, NewerDatabase, ChangedStep."""
    async with database.connection() as sql:
        if await sql.fetchval("SELECT to_regclass('migrations')") is None:
            return not known
        return not missing(known, await _done(sql))


async def _done(sql: Sql) -> dict[int, str]:
    return {row["number"]: row["sha256"] for row in await sql.fetch("SELECT number, sha256 FROM migrations")}

"""Imports into a real PostgreSQL, beside a model that has the base as a dictionary."""

import asyncio
import csv
import io
import itertools
import sys
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.contacts import migrating
from services.contacts.base.database import Database
from services.contacts.imports.importing import Importing
from services.contacts.imports.store import Imports
from services.contacts.imports.writing import Writer
from tests.contacts_base import Base, new_base
from tests.servers import PostgresServer

_names = (f"tenant {number}" for number in itertools.count())


@pytest.fixture
async def base(empty: Database) -> Base:
    await migrating.migrate(empty, migrating.steps())
    return await new_base(empty, next(_names))


# What each import says, and what a dictionary makes of it

EMPTY: dict[str, Any] = {
    "email": None,
    "mobile": None,
    "last_name": None,
    "town": None,
    "points": None,
    "birthday": None,
}
EMPTY |= {"colour": [], "tags": [], "member": [], "email_optin": None, "email_left": False, "email_status": None}
EMPTY |= {"email_softs": 0}
CELLS: dict[str, dict[str, Any]] = {
    "last_name": {"": None, "Ann": "Ann", "ann": "ann", "'; DROP TABLE contacts; --": "'; DROP TABLE contacts; --"},
    "town": {"": None, "Évry": "Évry", "Paris": "Paris"},
    "points": {"": None, "1,5": 1.5, "0": 0.0},
    "birthday": {"": None, "31/01/1990": date(1990, 1, 31)},
    "colour": {"": [], "Red": ["red"], "blue": ["blue"]},
    "tags": {"": [], "a": ["a"], "c|A": ["a", "c"]},
    "member": {"": [], "oui": ["yes"], "non": ["no"]},
    "mobile": {"": None, "06 12 34 56 78": "+33612345678"},
    "Opt-In Email": {"": False, "Non": False, "Oui": True},
    "Statut Email": {"": None, "Hard": "hard", "Soft": "soft", "Valide": "valid"},
}
KEYS = ("a@x.fr", "B@x.fr", "c@x.fr", "d@x.fr", "nobody")


@dataclass
class File:
    """Columns besides the address, rows of cells, and how it is imported."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]
    only_new: bool = False

    def body(self) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=";")
        writer.writerow(["Email", *self.columns])
        writer.writerows([key, *cells] for key, cells in self.rows)
        return text.getvalue().encode()


@dataclass
class Model:
    base: dict[str, dict[str, Any]] = field(default_factory=dict)

    def import_(self, file: File) -> tuple[set[str], set[str], set[str], dict[str, int]]:
        last = {key.lower(): (key, cells) for key, cells in file.rows if "@" in key}
        added, updated, reactivated = set(), set(), 0
        for key, (email, cells) in last.items():
            before = self.base.get(key)
            if before is not None and file.only_new:
                continue
            after = dict(EMPTY if before is None else before) | {"email": email}
            for column, cell in zip(file.columns, cells, strict=True):
                self._set(after, column, CELLS[column][cell])
            if before is None:
                added.add(key)
            elif after != before:
                updated.add(key)
                reactivated += (before["email_left"] and not after["email_left"]) or (
                    before["email_status"] == "hard" and after["email_status"] == "valid"
                )
            self.base[key] = after
        readable = sum("@" in key for key, _ in file.rows)
        counts = {"added": len(added), "updated": len(updated), "unchanged": len(last) - len(added) - len(updated)}
        return set(last), added, updated, counts | {"replaced": readable - len(last), "reactivated": reactivated}

    def _set(self, contact: dict[str, Any], column: str, value: Any) -> None:
        if column == "Opt-In Email":
            contact |= {"email_optin": value, "email_left": not value}
        elif column != "Statut Email":
            contact[column] = value
        elif value is not None:
            softs = {"hard": contact["email_softs"], "soft": contact["email_softs"] + 1, "valid": 0}[value]
            stays = value == "soft" and contact["email_status"] == "hard"
            contact |= {"email_status": "hard" if stays else value, "email_softs": softs}


@st.composite
def files(draw: st.DrawFn) -> File:
    columns = draw(st.lists(st.sampled_from(list(CELLS)), unique=True, max_size=5))
    cells = st.tuples(*[st.sampled_from(list(CELLS[column])) for column in columns]).map(list)
    rows = draw(st.lists(st.tuples(st.sampled_from(KEYS), cells), max_size=9))
    return File(columns, [("a@x.fr", draw(cells)), *rows], draw(st.booleans()))


async def hold_to_the_model(database: Database, given_files: list[File]) -> None:
    base, model = await new_base(database, next(_names)), Model()
    for file in given_files:
        expected = model.import_(file)
        tried, import_ = await base.new_import(), await base.new_import()
        before = await base.contacts()

        await base.run(tried, file.body(), only_new=file.only_new, dry_run=True)
        assert await base.contacts() == before
        reading = await base.run(import_, file.body(), only_new=file.only_new)

        included, added, updated, counts = expected
        found = await base.contacts()
        assert {key: found[key] for key in sorted(found)} == {key: model.base[key] for key in sorted(model.base)}
        assert await base.members(import_) == (included, added, updated)
        assert await base.members(tried) == (set(), set(), set())
        assert included >= added | updated
        assert not added & updated
        assert await base.counts(import_) == counts
        assert await base.counts(tried) == counts
        assert await base.report(tried) == await base.report(import_)
        told = counts["added"] + counts["updated"] + counts["unchanged"] + counts["replaced"]
        assert told + reading.refused == len(file.rows)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(files(), min_size=1, max_size=3))
def test_e8_to_e15_any_files_one_after_the_other_make_what_the_model_says(
    made_url: str, given_files: list[File]
) -> None:
    async def run() -> None:
        database = Database(made_url, 2, 30)
        try:
            await hold_to_the_model(database, given_files)
        finally:
            await database.close()

    asyncio.run(run())


# In pieces, and left in the middle

WORKER = """
import asyncio, sys
from services.contacts.base.database import Database
from services.contacts.imports.importing import Importing
from services.contacts.imports.store import Imports
from services.contacts.imports.writing import Writer
database = Database(sys.argv[1], 4, 30)
asyncio.run(Importing(Imports(database), Writer(database)).work(asyncio.Event()))
"""
LINES = 30_000


def large(town: str) -> bytes:
    """Each address twice, and one line in ten of nobody."""
    rows = [f"u{number % (LINES // 2)}@x.fr;{town}" if number % 10 else f"nobody;{number}" for number in range(LINES)]
    return ("Email;Town\n" + "\n".join(rows) + "\n").encode()


async def send(base: Base, file: bytes, **how: Any) -> int:
    imports = Imports(base.database)
    import_ = await imports.create(base.tenant, base.asked(), **how)
    for number, at in enumerate(range(0, len(file), 100_000)):
        await imports.receive(base.tenant, import_, number, file[at : at + 100_000])
    await imports.is_there(base.tenant, import_)
    return import_


async def finish(base: Base) -> None:
    """Whoever worked on the imports is not there any more."""
    async with base.database.connection() as sql:
        await sql.execute("UPDATE imports SET worked_until = NULL")
    imports = Imports(base.database)
    while (taken := await imports.take()) is not None:
        await Importing(imports, Writer(base.database)).run(taken)


async def batches(base: Base, import_: int) -> int:
    async with base.database.connection() as sql:
        statement = "SELECT count(*) FROM import_batches WHERE tenant = $1 AND import = $2"
        return int(await sql.fetchval(statement, base.tenant, import_))


async def some_are_done(base: Base, import_: int) -> None:
    async with asyncio.timeout(120):
        while await batches(base, import_) < 2:  # noqa: ASYNC110  (another process tells nobody)
            await asyncio.sleep(0.01)


async def hold(base: Base, import_: int, *, added: int, updated: int) -> None:
    progress = await Imports(base.database).get(base.tenant, import_)
    included, were_added, were_updated = await base.members(import_)

    assert progress is not None
    assert (progress.state, progress.added, progress.updated) == ("done", added, updated)
    assert progress.lines == LINES == added + updated + progress.unchanged + progress.replaced + progress.refused
    assert (len(included), len(were_added), len(were_updated)) == (added + updated, added, updated)
    async with base.database.connection() as sql:
        changes = await sql.fetchval("SELECT count(*) FROM changes WHERE tenant = $1", base.tenant)
        pieces = await sql.fetchval("SELECT count(*) FROM import_pieces")
    assert (changes, pieces) == (updated, 0)


async def test_kill_9_of_the_service_in_the_middle_and_the_import_goes_on_without_counting_twice(
    base: Base, postgres_url: str
) -> None:
    await send(base, large("Paris"))
    await finish(base)
    contacts = len(await base.contacts())
    second = await send(base, large("Lyon"))

    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, postgres_url)
    try:
        await some_are_done(base, second)
    finally:
        worker.kill()
        await worker.wait()
    assert 2 <= await batches(base, second) < 7
    await finish(base)

    await hold(base, second, added=0, updated=contacts)
    assert {contact["town"] for contact in (await base.contacts()).values()} == {"Lyon"}


async def test_kill_9_of_postgresql_in_the_middle_and_the_import_goes_on_without_counting_twice(tmp_path: Any) -> None:
    server = PostgresServer(tmp_path)
    server.start()
    database = Database(server.url, 4, 30)
    try:
        await migrating.migrate(database, migrating.steps())
        base = await new_base(database, "one")
        import_ = await send(base, large("Paris"))
        stopping = asyncio.Event()
        worker = asyncio.create_task(Importing(Imports(database), Writer(database)).work(stopping))
        await some_are_done(base, import_)

        server.kill()
        server.start()
        stopping.set()
        await worker
        await finish(base)

        await hold(base, import_, added=len(await base.contacts()), updated=0)
    finally:
        await database.close()
        server.stop()


async def test_a_file_that_is_none_of_contacts_changes_nothing_and_says_why(base: Base) -> None:
    import_ = await send(base, b"Nom;Ville\nAnn;Paris\n")

    await finish(base)

    progress = await Imports(base.database).get(base.tenant, import_)
    assert progress is not None
    assert progress.state == "refused"
    assert "no column is the key, 'email'" in progress.detail
    assert await base.contacts() == {}


async def test_e13_an_import_knows_for_ever_whom_it_included_added_and_updated(base: Base) -> None:
    await base.run(first := await base.new_import(), b"Email;Town\na@x.fr;Paris\nb@x.fr;Lyon\n")
    await base.run(second := await base.new_import(), b"Email;Town\na@x.fr;Paris\nb@x.fr;Lille\nc@x.fr;Brest\n")

    assert await base.members(first) == ({"a@x.fr", "b@x.fr"}, {"a@x.fr", "b@x.fr"}, set())
    assert await base.members(second) == ({"a@x.fr", "b@x.fr", "c@x.fr"}, {"c@x.fr"}, {"b@x.fr"})


async def test_e14_of_lines_with_the_same_key_the_last_wins_and_the_report_says_so(base: Base) -> None:
    import_ = await send(base, b"Email;Town\na@x.fr;Paris\nA@X.fr;Lyon\n")
    await finish(base)

    assert (await base.contacts())["a@x.fr"]["town"] == "Lyon"
    (told,) = await Imports(base.database).report(base.tenant, import_, 0, 10)
    assert (told.line, told.result, told.what) == (2, "replaced", "line 3 is about the same contact")


async def test_the_report_names_lines_that_were_refused_replaced_and_reactivated(base: Base) -> None:
    await base.run(await base.new_import(), b"Email;Opt-In Email\na@x.fr;Non\n")

    import_ = await send(base, b"Email;Opt-In Email\na@x.fr;Oui\nB@x.fr;1\nb@X.fr;0\nno;0\nc@x.fr;bof\n")
    await finish(base)

    found = await Imports(base.database).report(base.tenant, import_, 0, 10)
    assert [(one.line, one.key, one.result, one.what) for one in found] == [
        (2, "a@x.fr", "reactivated", "is mailed again"),
        (3, "b@x.fr", "replaced", "line 4 is about the same contact"),
        (5, "", "refused", "line 5.Email: not an address: it has no @: 'no'"),
        (6, "", "refused", "line 6.Opt-In Email: neither Oui nor Non: 'bof'"),
    ]


async def test_e7_what_a_tenant_calls_its_fields_is_no_sql(base: Base) -> None:
    name = "x'); DROP TABLE contacts; --"
    field = base.fields[2]
    base.fields[2] = type(field)(name, field.kind, name, field.number, field.slot)

    await base.run(await base.new_import(), f'Email;"{name}"\na@x.fr;1\n'.encode())
    await base.run(await base.new_import(), f'Email;"{name}"\na@x.fr;2\n'.encode())

    assert (await base.contacts())["a@x.fr"][name] == "2"


async def test_one_tenant_never_touches_another_s_contacts(base: Base) -> None:
    other = await new_base(base.database, next(_names))
    await other.run(await other.new_import(), b"Email;Town\na@x.fr;Paris\n")
    before = await other.contacts()

    await base.run(import_ := await base.new_import(), b"Email;Town\na@x.fr;Lyon\n")

    assert await other.contacts() == before
    assert (await base.contacts())["a@x.fr"]["town"] == "Lyon"
    assert await Imports(base.database).get(other.tenant, import_ + 1) is None

"""Everything that a base has of one address is in one answer, and nothing of it stays when it is erased."""

from typing import Any

import pytest

from services.contacts import migrating
from services.contacts.base.database import Database
from services.contacts.base.store import tenant as tenant_of
from services.contacts.contacts import Contacts, Given
from services.contacts.imports.columns import COLUMNS
from services.contacts.person import Person
from shared.words import events
from tests.contacts_base import Base
from tests.postgres.test_following import ANA, BO, House, entry

FILE = f"email;mobile;Opt-In Email\n{ANA};0612345678;Oui\n{BO};;Oui\n{ANA};0612345679;Oui\n".encode()


class Bench:
    def __init__(self, database: Database, tenant: int) -> None:
        self.database = database
        self.contacts = Contacts(database)
        self.base = Base(database, tenant, list(COLUMNS))
        self.house = House(database)
        self.person = Person(database)

    async def imported(self) -> int:
        number = await self.base.new_import()
        await self.base.run(number, FILE)
        return number

    async def everywhere(self, text: str) -> list[str]:
        """The tables in which it stands."""
        async with self.database.connection() as sql:
            names = await sql.fetch("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
            found: list[Any] = []
            for row in names:
                one = f"SELECT count(*) FROM {row['name']} AS t WHERE t::text ILIKE '%' || $1 || '%'"
                if await sql.fetchval(one, text):
                    found.append(row["name"])
            return found


@pytest.fixture
async def bench(empty: Database) -> Bench:
    await migrating.migrate(empty, migrating.steps())
    async with empty.transaction() as sql:
        return Bench(empty, (await tenant_of(sql, "acme")).number)


async def test_fields_history_imports_and_behaviour_are_all_there(bench: Bench) -> None:
    number = await bench.imported()
    await bench.contacts.put("acme", Given(ANA, values={"town": "Lens"}), "api")
    await bench.house.apply(
        entry(events.Delivered, 1, job="j", ordinal=0),
        entry(events.Clicked, 2, job="j", ordinal=0, url="https://exemple.fr/a", position=0),
        entry(events.Unsubscribed, 3, email=ANA),
    )

    (found,) = await bench.person.kept("acme", ANA)

    assert (found.key, found.mobile, found.fields) == (ANA, "+33612345679", {"town": "Lens"})
    assert (found.channels["email"].optin, found.channels["email"].left) == (True, True)
    assert [(one.id, one.did) for one in found.imports] == [(number, "included"), (number, "added")]
    sources = [one.source.partition(" ")[0] for one in found.changes]
    assert (sources[-1], found.changes[-1].changes, "fact" in sources) == ("api", {"town": [None, "Lens"]}, True)
    assert {one.what for one in found.moments} >= {"delivered", "clicked"}
    assert (found.changes_next, found.moments_next) == (None, None)


async def test_of_who_is_not_there_and_of_another_tenant_there_is_nothing(bench: Bench) -> None:
    await bench.imported()

    assert await bench.person.kept("acme", "nobody@exemple.fr") == []
    assert await bench.person.kept("others", ANA) == []


async def test_who_is_erased_is_in_no_table_any_more(bench: Bench) -> None:
    await bench.imported()
    assert "import_lines" in await bench.everywhere(ANA)

    await bench.contacts.erase("acme", ANA)

    assert await bench.everywhere(ANA) == []
    assert await bench.person.kept("acme", ANA) == []
    assert [key for _, key, _ in await bench.base.report(1)] == [""]

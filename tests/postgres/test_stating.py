"""What contacts say of their addresses is told to suppression: all of it, once it is there, and in its order."""

import asyncio
from collections.abc import Sequence

import pytest

from services.contacts import migrating
from services.contacts.base import stated
from services.contacts.base.contact import WantedState
from services.contacts.base.database import Database
from services.contacts.base.store import tenant as tenant_of
from services.contacts.contacts import Contacts, Given, Mode
from services.contacts.imports.columns import COLUMNS
from services.contacts.stating import Stating
from shared.redis.bus import BusUnavailable
from shared.redis.suppression import Listed
from shared.words import events, scopes
from shared.words.scopes import Entry, Reason
from tests.contacts_base import Base

ANA, BO, CY = "ana@exemple.fr", "bo@exemple.fr", "cy@exemple.fr"
_OPTINS = {"opted_in": "yes", "opted_out": "no", "": ""}
Told = tuple[str, str, str, str]


class Engine:
    """The stream and the list: what was published, and who is listed."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.stored: set[str] = set()
        self.listed_for: dict[str, Entry] = {}
        self.is_away = False
        self.dies = False

    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 2.0, batch: str = "") -> None:
        if self.is_away:
            raise BusUnavailable(f"nobody for {patience_s} s")
        if batch not in self.stored:
            self.stored.add(batch)
            for one in facts:
                assert isinstance(one, events.AddressStated)
                self.told.append((one.email or "", _OPTINS[one.state], one.kind, one.source))
        if self.dies:
            raise RuntimeError("killed")

    async def listed(self, tenant: str, addresses: Sequence[str]) -> list[Listed]:
        assert tenant == "acme"
        return [Listed(one, (self.listed_for[one],) if one in self.listed_for else (), {}) for one in addresses]

    def lists(self, address: str, reason: Reason, scope: str) -> None:
        self.listed_for[address] = scopes.entry(reason, scope)


class House:
    def __init__(self, database: Database, tenant: int) -> None:
        self.engine = Engine()
        self.contacts = Contacts(database)
        self.base = Base(database, tenant, list(COLUMNS))
        self.stating = Stating(database, self.engine, self.engine)
        self.database = database

    async def put(self, address: str, mode: Mode = "update", **said: bool | str | None) -> None:
        given = Given(None, {"email": address}, states={"email": WantedState(**said)})  # type: ignore[arg-type]
        await self.contacts.write("acme", [given], mode, "api")

    async def imported(self, *lines: str, only_new: bool = False, batch: int = 3) -> None:
        file = "\n".join(["email;Opt-In Email;Statut Email", *lines]).encode()
        await self.base.run(await self.base.new_import(), file, only_new=only_new, batch=batch)

    async def told(self) -> list[Told]:
        """All that waits is told, and what that was since it was asked last."""
        while await self.stating.tell():
            pass
        found, self.engine.told = self.engine.told, []
        return found


@pytest.fixture
async def house(empty: Database) -> House:
    await migrating.migrate(empty, migrating.steps())
    async with empty.transaction() as sql:
        number = (await tenant_of(sql, "acme")).number
    return House(empty, number)


async def test_e11_e12_what_a_file_says_of_new_contacts_is_told(house: House) -> None:
    house.engine.lists(CY, "unsubscribed", "marketing")

    await house.imported(f"{ANA};Non;", f"{BO};Oui;Hard", f"{CY};1;Valide", "dee@exemple.fr;Oui;Valide")

    assert sorted(await house.told()) == [
        (ANA, "no", "", "import 1"),
        (BO, "yes", "hard", "import 1"),
        (CY, "yes", "valid", "import 1"),
    ]
    assert await house.base.report(1) == [(4, CY, "reactivated")]
    assert (await house.base.counts(1))["reactivated"] == 1


async def test_e11_an_empty_cell_is_no_and_a_file_without_the_column_says_nothing(house: House) -> None:
    await house.base.run(await house.base.new_import(), f"email;mobile\n{ANA};0612345678".encode())
    assert await house.told() == []

    await house.imported(f"{ANA};;", f"{BO};0;Soft")

    assert sorted(await house.told()) == [(ANA, "no", "", "import 2"), (BO, "no", "", "import 2")]


async def test_e11_who_left_is_back_with_the_next_file_and_what_changes_nothing_is_not_told(house: House) -> None:
    await house.imported(f"{ANA};Non;", f"{BO};Oui;Hard")
    await house.told()
    house.engine.lists(ANA, "unsubscribed", "marketing")
    house.engine.lists(BO, "hard_bounce", "all")

    await house.imported(f"{ANA};Non;", f"{BO};Oui;Hard")
    assert await house.told() == []
    await house.imported(f"{ANA};Oui;", f"{BO};Oui;Valide")

    assert sorted(await house.told()) == [(ANA, "yes", "", "import 3"), (BO, "yes", "valid", "import 3")]


async def test_e11_who_left_elsewhere_is_back_too_though_the_base_does_not_know_that_they_left(house: House) -> None:
    await house.imported(f"{ANA};Oui;")
    await house.told()
    house.engine.lists(ANA, "unsubscribed", "marketing")

    await house.imported(f"{ANA};Oui;")

    assert await house.told() == [(ANA, "yes", "", "import 2")]
    assert await house.base.report(2) == [(2, ANA, "reactivated")]


async def test_e10_of_who_exists_an_import_of_new_contacts_alone_says_nothing(house: House) -> None:
    await house.imported(f"{ANA};Oui;")
    await house.told()

    await house.imported(f"{ANA};Non;Hard", f"{BO};Non;", only_new=True)

    assert await house.told() == [(BO, "no", "", "import 2")]


async def test_e11_a_request_says_it_as_well_in_its_order(house: House) -> None:
    await house.put(ANA, optin=False)
    await house.put(ANA, optin=True)
    await house.put(ANA, status="hard")
    await house.put(ANA, optin=None)
    await house.put(ANA, mode="new_only", optin=False)

    assert await house.told() == [(ANA, "no", "", "api"), (ANA, "yes", "", "api"), (ANA, "", "hard", "api")]


async def test_e11_while_the_stream_is_away_it_waits_and_whoever_dies_having_told_it_tells_it_once(
    house: House,
) -> None:
    await house.imported(f"{ANA};Non;", f"{BO};Non;", batch=1)
    house.engine.is_away = True
    with pytest.raises(BusUnavailable):
        await house.told()
    assert await stated.since_s(house.database) > 0

    house.engine.is_away, house.engine.dies = False, True
    with pytest.raises(RuntimeError, match="killed"):
        await house.told()
    house.engine.dies = False

    assert sorted(await house.told()) == [(ANA, "no", "", "import 1"), (BO, "no", "", "import 1")]
    assert await stated.since_s(house.database) == 0


async def test_two_processes_tell_nothing_twice(house: House) -> None:
    await house.imported(*(f"p{n}@exemple.fr;Non;" for n in range(12)), batch=2)
    other = Stating(house.database, house.engine, house.engine)

    async def all_of(stating: Stating) -> None:
        while await stated.since_s(house.database):
            await stating.tell()

    await asyncio.gather(all_of(house.stating), all_of(other))

    assert sorted(one[0] for one in house.engine.told) == sorted(f"p{n}@exemple.fr" for n in range(12))


async def test_one_connection_is_enough(house: House, postgres_url: str) -> None:
    house.engine.lists(ANA, "unsubscribed", "marketing")
    await house.imported(f"{ANA};Oui;")
    narrow = Database(postgres_url, 1, 30)

    async with asyncio.timeout(5):
        assert await Stating(narrow, house.engine, house.engine).tell()
    await narrow.close()

    assert house.engine.told == [(ANA, "yes", "", "import 1")]
    assert await house.base.report(1) == [(2, ANA, "reactivated")]


async def test_who_is_erased_before_it_was_told_is_not_told_of(house: House) -> None:
    await house.imported(f"{ANA};Non;", f"{BO};Non;")
    await house.contacts.erase("acme", ANA)

    assert await house.told() == [(BO, "no", "", "import 1")]

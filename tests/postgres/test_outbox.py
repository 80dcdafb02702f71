"""What is told of contacts: nothing is lost, nothing is told that did not happen, and a repeat is the same event."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from services.contacts import migrating
from services.contacts.base import store
from services.contacts.base.contact import WantedState
from services.contacts.base.database import Database
from services.contacts.contacts import Contacts, Given
from services.contacts.field_book import FieldBook
from services.contacts.outbox import noting
from services.contacts.outbox.noting import Wishes
from services.contacts.outbox.rows import KNOWN
from services.contacts.outbox.telling import BATCH, Telling
from services.contacts.outbox.wanted import USUAL, ContactEvents
from services.contacts.rank.run import Rank
from shared.redis.redis import RedisAway
from shared.words import events
from tests.contacts_base import Base, new_base

ANA, BO = "ana@exemple.fr", "bo@exemple.fr"


class Streams:
    """Takes facts. `fails` says how often: `before` it stored them, or `after`, so that nobody knows."""

    def __init__(self, *fails: str) -> None:
        self.facts: list[events.Fact] = []
        self.batches: list[str] = []
        self._fails = list(fails)

    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 0, batch: str = "") -> None:
        fails = self._fails.pop(0) if self._fails else ""
        if fails != "before":
            self.facts += facts
            self.batches.append(batch)
        if fails:
            raise RedisAway("is away")


@pytest.fixture
async def made(empty: Database) -> Database:
    await migrating.migrate(empty, migrating.steps())
    return empty


async def put(database: Database, key: str, name: str = "acme", **fields: Any) -> None:
    await Contacts(database).put(name, Given(key, {}, values=fields), "api")


async def told(database: Database) -> list[Any]:
    streams = Streams()
    telling = Telling(database, streams)
    while await telling.tell():
        pass
    return streams.facts


async def number_of(database: Database, name: str) -> int:
    async with database.transaction() as sql:
        return (await store.tenant(sql, name)).number


def said(facts: Sequence[Any]) -> list[tuple[str, str | None]]:
    return [(type(fact).__name__, fact.email) for fact in facts]


async def test_a_request_tells_who_is_new_and_what_changed_of_whom_and_nothing_else(made: Database) -> None:
    await put(made, ANA, last_name="Durand")
    await put(made, ANA, last_name="Durand")
    await put(made, "Ana@Exemple.fr", last_name="Martin", town="Lyon")
    given = [Given(None, {"email": one}, states={"email": WantedState(optin=True)}) for one in (BO, ANA)]
    await Contacts(made).write("other", given, "update", "api")

    first, second, *others = await told(made)

    assert (first.email, first.contact, first.key, first.by, first.import_number) == (ANA, 1, "", "api", 0)
    assert (second.email, second.contact, second.by, second.changed) == (ANA, 1, "api", "last_name\ntown")
    assert [fact.tenant for fact in (first, second, *others)] == ["acme", "acme", "other", "other"]
    assert said(others) == [("ContactAdded", BO), ("ContactAdded", ANA)]
    assert first.job == ""
    assert len({fact.event_id for fact in (first, second, *others)}) == 4
    assert await told(made) == []


async def test_what_is_refused_is_not_told(made: Database) -> None:
    await Contacts(made).write("acme", [Given(None, {"email": "none"}), Given(None, {"email": ANA})], "update", "api")

    assert said(await told(made)) == [("ContactAdded", ANA)]


async def test_a_key_is_told_where_it_is_a_field_of_the_tenants_own(made: Database) -> None:
    book = FieldBook(made)
    await book.put("acme", "customer", "text", "", None)
    await book.set_key("acme", "customer", duplicates=False)
    await book.set_key("other", "mobile", duplicates=False)
    await Contacts(made).put("acme", Given("C-1", {}), "api")
    await Contacts(made).put("other", Given("+33612345678", {}), "api")

    assert [(fact.key, fact.email, fact.contact) for fact in await told(made)] == [("c-1", None, 1), ("", None, 1)]


@pytest.mark.parametrize("fails", [("before",), ("after",), ("after", "before", "after")])
async def test_what_was_handed_over_by_who_died_then_is_handed_over_as_the_same_events(
    made: Database, fails: tuple[str, ...]
) -> None:
    for number in range(7):
        await put(made, f"u{number}@exemple.fr")
    streams = Streams(*fails)
    for _ in fails:
        with pytest.raises(RedisAway):
            await Telling(made, streams).tell()

    await Telling(made, streams).tell()
    await Telling(made, streams).tell()

    ids = [fact.event_id for fact in streams.facts]
    assert len(ids) == 7 * len(streams.batches)
    assert len(set(ids)) == 7
    assert len(set(streams.batches)) == 1, "the streams store the same batch once"
    assert len({events.encode(fact) for fact in streams.facts}) == 7


async def test_a_transaction_that_does_not_end_tells_nothing(made: Database) -> None:
    tenant = await number_of(made, "acme")

    async def dies() -> None:
        async with made.transaction() as sql:
            await noting.one(sql, tenant, await sql.fetchval("SELECT now()"), "ActivityRanked", {"active": 1})
            raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"):
        await dies()

    assert await told(made) == []


async def test_one_process_tells_a_tenants_at_a_time_and_each_tenant_gets_its_turn(made: Database) -> None:
    await put(made, ANA)
    given = [Given(None, {"email": f"u{number}@exemple.fr"}) for number in range(BATCH + 1)]
    await Contacts(made).write("large", given, "update", "api")
    slow, released = asyncio.Event(), asyncio.Event()

    class Slow(Streams):
        async def publish(self, facts: Sequence[events.Fact], patience_s: float = 0, batch: str = "") -> None:
            slow.set()
            await released.wait()
            await super().publish(facts)

    one, other = Slow(), Streams()
    task = asyncio.create_task(Telling(made, one).tell())
    await slow.wait()

    meanwhile = await Telling(made, other).tell()
    released.set()
    await task

    assert (meanwhile, len(other.facts), {fact.tenant for fact in other.facts}) == (BATCH, BATCH, {"large"})
    assert [fact.tenant for fact in one.facts] == ["acme", "large"]
    assert await told(made) == []


async def test_who_is_erased_is_told_of_no_more(made: Database) -> None:
    await put(made, ANA)
    await put(made, BO)
    await Contacts(made).erase("acme", ANA)

    assert said(await told(made)) == [("ContactAdded", BO)]


async def test_a_fact_that_a_newer_program_wrote_waits_for_it_and_keeps_nobody_waiting(made: Database) -> None:
    tenant = await number_of(made, "acme")
    async with made.connection() as sql:
        now = await sql.fetchval("SELECT now()")
        await noting.one(sql, tenant, now, "ContactPraised", {"stars": 5})
        await noting.one(sql, tenant, now, "ActivityRanked", {"active": 1, "of_a_newer_one": True})
    await put(made, ANA)

    found = await told(made)

    assert [type(fact).__name__ for fact in found] == ["ActivityRanked", "ContactAdded"]
    assert "ContactPraised" not in KNOWN
    assert (await Telling(made, Streams()).waiting()).rows == 1


async def test_a_run_of_the_rank_tells_its_notes_and_what_counted_in_it(made: Database) -> None:
    tenant = await number_of(made, "acme")
    await Rank(made).run(tenant, 1_767_225_600_123)
    nobody = await told(made)
    await put(made, ANA)
    await put(made, BO)
    async with made.connection() as sql:
        await sql.execute(
            "INSERT INTO behaviours (tenant, contact, occurred_at, event, kind) "
            "VALUES ($1, 2, '2025-12-31T00:00:00Z', 1, 5)",
            tenant,
        )
    await told(made)

    run = await Rank(made).run(tenant, 1_767_225_600_123)

    (fact,) = await told(made)
    assert nobody == [], "a base in which nobody is has nothing to tell"
    assert (fact.occurred_at, fact.active, fact.contacts, fact.email) == (1_767_225_600_123, 1, 2, None)
    assert fact.notes == "[1,0,0,0,0,0,0,0,0,0,1]"
    assert '"counts":{"email":["opened","clicked"]' in fact.settings
    assert sum(run.contacts) == 1


# Imports


@pytest.fixture
async def base(made: Database) -> Base:
    return await new_base(made, "acme")


async def import_(base: Base, *lines: str) -> int:
    number = await base.new_import()
    await base.run(number, "\n".join(lines).encode())
    return number


async def test_imports_are_not_told_one_by_one_unless_the_tenant_wants_it(base: Base) -> None:
    await import_(base, "Email", ANA)
    nothing = await told(base.database)
    await Wishes(base.database).set(base.tenant, ContactEvents(imports=True))
    second = await import_(base, "Email;Nom;Tags", f"{ANA};Durand;a", f"{BO};Petit;b")
    third = await import_(base, "Email;Nom", f"{ANA};Durand", f"{BO};Martin")
    await Wishes(base.database).set(base.tenant, USUAL)
    await import_(base, "Email;Nom", f"{ANA};Else")

    updated, added, again = sorted(await told(base.database), key=lambda fact: (fact.import_number, fact.email))

    assert nothing == []
    assert (updated.email, updated.changed, updated.by) == (ANA, "last_name\ntags", "import")
    assert (added.email, added.key) == (BO, "")
    assert said([updated, added, again]) == [("ContactUpdated", ANA), ("ContactAdded", BO), ("ContactUpdated", BO)]
    assert [fact.import_number for fact in (updated, added, again)] == [second, second, third]
    assert again.changed == "last_name"


async def test_a_batch_that_is_done_twice_is_told_once_and_a_dry_run_tells_nothing(base: Base) -> None:
    await Wishes(base.database).set(base.tenant, ContactEvents(imports=True))
    number = await base.new_import()
    file = b"Email\n" + b"".join(b"u%d@exemple.fr\n" % one for one in range(10))
    await base.run(number, file, dry_run=True)
    dry = await told(base.database)

    await base.run(number + 1, file, skipped=(1,))
    await base.run(number + 1, file)

    assert dry == []
    assert len(await told(base.database)) == 10


async def test_what_is_told_of_who_has_another_address_names_the_new_one(made: Database) -> None:
    base = await new_base(made, "acme", "mobile")
    await Wishes(made).set(base.tenant, ContactEvents(imports=True))
    await import_(base, "Mobile;Email", f"0612345678;{ANA}")
    await import_(base, "Mobile;Email", f"0612345678;{BO}")
    await import_(base, "Mobile;Nom", "0612345678;Durand")
    await import_(base, "Mobile;Email", "0612345678;")

    assert [(fact.email, getattr(fact, "changed", ""), fact.key) for fact in await told(made)] == [
        (ANA, "", ""),
        (BO, "email", ""),
        (BO, "last_name", ""),
        (None, "email", ""),
    ]


async def test_requests_are_not_told_where_the_tenant_does_not_want_it(made: Database) -> None:
    await Wishes(made).set(await number_of(made, "acme"), ContactEvents(requests=False))
    await put(made, ANA)
    await put(made, ANA, "other")

    assert [fact.tenant for fact in await told(made)] == ["other"]

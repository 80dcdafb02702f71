"""Facts from the stream change contacts: once, in order, and not while PostgreSQL is away."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.contacts import migrating
from services.contacts.base.channels import State
from services.contacts.base.contact import Contact, WantedState
from services.contacts.base.database import Database
from services.contacts.behaviour import operations
from services.contacts.behaviour.jobs import UNKNOWN
from services.contacts.behaviour.late import Rule
from services.contacts.behaviour.operations import About
from services.contacts.behaviour.writing import Behaviour
from services.contacts.contacts import Contacts, Given
from services.contacts.following import NAMES, Following
from shared.redis import bus, keys, redis
from shared.redis.recipients import Recipient
from shared.words import events
from shared.words.erased import ErasureKeys
from tests.servers import PostgresServer

ANA, BO = "ana@exemple.fr", "bo@exemple.fr"
KEYS = ErasureKeys(b"k" * 32)


class Sent:
    """Whom jobs were sent to: ordinal 0 of each is Ana."""

    async def find(self, job: str, ordinals: Sequence[int]) -> dict[int, Recipient]:
        return {0: Recipient(ANA)} if 0 in ordinals else {}

    async def list_of(self, job: str) -> str:
        return "news" if job == "listed" else ""

    async def about(self, jobs: Sequence[str]) -> dict[str, About]:
        return {job: operations.about(job, UNKNOWN)._replace(test=job == "tried") for job in jobs}


def entry(fact: type[events.Fact], number: int = 1, tenant: str = "acme", /, **fields: Any) -> bus.Entry:
    made = fact(event_id=f"{number:016x}", occurred_at=number, tenant=tenant, **fields)
    return bus.Entry(f"{number}-0", fact.__name__, 1, events.encode(made))


class House:
    def __init__(self, database: Database) -> None:
        self.contacts = Contacts(database)
        self.following = Following(database, Sent(), KEYS, Behaviour(database, Sent(), Rule()))

    async def add(self, *addresses: str, tenant: str = "acme") -> None:
        given = [Given(None, {"email": one}, states={"email": WantedState(optin=True)}) for one in addresses]
        await self.contacts.write(tenant, given, "update", "api")

    async def apply(self, *entries: bus.Entry) -> None:
        await self.following.apply(0, entries)

    async def contact(self, address: str, tenant: str = "acme") -> Contact | None:
        found = await self.contacts.get(tenant, address)
        return None if found is None else found[0]

    async def state(self, address: str, tenant: str = "acme") -> State:
        contact = await self.contact(address, tenant)
        assert contact is not None
        return contact.state("email")

    async def history(self, address: str) -> list[tuple[str, Any]]:
        found = await self.contacts.changes("acme", address, 0, 2**63 - 1, 100)
        return [(one.source, dict(one.what)) for one in found or ()]


@pytest.fixture
async def house(empty: Database) -> House:
    await migrating.migrate(empty, migrating.steps())
    made = House(empty)
    await made.add(ANA, BO)
    return made


async def test_e5_what_happens_to_mail_changes_the_contact_and_is_in_its_history(house: House) -> None:
    await house.apply(
        entry(events.Bounced, 1, kind="hard", reply="550 gone", job="j", ordinal=0),
        entry(events.Unsubscribed, 2, email="BO@exemple.fr"),
        entry(events.Clicked, 3, job="j", ordinal=0),
    )

    assert await house.state(ANA) == State(optin=True, status="hard", diagnostic="550 gone")
    assert await house.state(BO) == State(optin=True, left=True)
    assert await house.history(ANA) == [("fact 0000000000000001", {"email_status": [None, "hard"]})]


async def test_k24_what_is_done_with_a_test_is_noted_of_nobody(house: House, empty: Database) -> None:
    for job in ("tried", "sent"):
        await house.apply(
            entry(events.Clicked, 1, job=job, ordinal=0), entry(events.Bounced, 2, kind="hard", job=job, ordinal=0)
        )

    async with empty.connection() as sql:
        assert [row["key"] for row in await sql.fetch("SELECT key FROM operations")] == ["sent"]
        assert await sql.fetchval("SELECT count(*) FROM behaviours") == 2
    assert (await house.state(ANA)).status == "hard"


async def test_facts_of_one_batch_count_in_their_order(house: House) -> None:
    await house.apply(
        entry(events.Unsubscribed, 1, email=ANA),
        entry(events.OptedIn, 2, email=ANA, channel="email"),
        entry(events.OptedIn, 3, email=BO, channel="email"),
        entry(events.Unsubscribed, 4, email=BO),
    )

    assert (await house.state(ANA)).left is False
    assert (await house.state(BO)).left is True


async def test_a_batch_that_is_read_twice_counts_once(house: House) -> None:
    batch = [
        entry(events.Bounced, 1, kind="soft", reply="452 full", email=ANA),
        entry(events.Bounced, 2, kind="soft", reply="452 full", email=ANA),
        entry(events.Complained, 3, email=BO),
    ]

    await house.apply(*batch)
    await house.apply(*batch)

    assert (await house.state(ANA)).softs == 2
    assert len(await house.history(ANA)) == 2
    assert len(await house.history(BO)) == 1


async def test_k14_who_leaves_the_list_of_a_job_keeps_their_opt_in(house: House) -> None:
    await house.apply(entry(events.Unsubscribed, 1, email=ANA, job="listed", ordinal=0))

    assert await house.state(ANA) == State(optin=True)


async def test_another_tenants_contact_of_that_address_stays_as_it_is(house: House) -> None:
    await house.add(ANA, tenant="zeta")

    await house.apply(entry(events.Complained, 1, email=ANA), entry(events.Complained, 2, "nobody", email=ANA))

    assert (await house.state(ANA)).left
    assert not (await house.state(ANA, "zeta")).left


async def test_facts_about_nobody_we_have_change_nothing(house: House) -> None:
    await house.apply(
        entry(events.Complained, 1, email="other@exemple.fr"), entry(events.Bounced, 2, kind="hard", job="j", ordinal=7)
    )

    assert await house.history(ANA) == await house.history(BO) == []


async def test_who_was_erased_is_erased_here_too(house: House) -> None:
    await house.add(ANA, tenant="zeta")

    await house.apply(entry(events.Erased, 1, digest=KEYS.digest("acme", ANA)))

    assert await house.contact(ANA) is None
    assert await house.contact(BO) is not None
    assert await house.contact(ANA, "zeta") is not None


async def test_while_postgresql_is_away_facts_wait_and_none_is_dead_lettered(redis_url: str, tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgresql")
    server.start()
    database, client = Database(server.url, 4, 30), redis.connect(redis_url)
    await migrating.migrate(database, migrating.steps())
    house = House(database)
    await house.add(ANA)
    passed = events.MESSAGES.keys() - NAMES
    consumer = bus.Consumer(client, 1, keys.events, keys.GROUP_CONTACTS, "one", house.following.apply, passes=passed)
    await consumer.create_groups()
    stopping = asyncio.Event()
    running = asyncio.create_task(consumer.run(stopping))
    try:
        server.kill()
        publisher = bus.Publisher(client, 1, lambda: "0123456789abcdef")
        await publisher.publish([events.Complained(event_id="1" * 16, occurred_at=1, tenant="acme", email=ANA)])
        async with asyncio.timeout(60):
            while not (await client.xpending(keys.events(0), keys.GROUP_CONTACTS))["pending"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

        server.start()

        async with asyncio.timeout(60):
            while not await _has_left(house):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await client.xlen(keys.dead(keys.events(0))) == 0
    finally:
        stopping.set()
        await running
        await database.close()
        await redis.close(client)
        server.stop()


async def _has_left(house: House) -> bool:
    try:
        return (await house.state(ANA)).left
    except Exception:  # it starts
        return False

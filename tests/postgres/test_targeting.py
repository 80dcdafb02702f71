"""A job gets the contacts of a segment: those of the moment when sending started, whoever dies, in real servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.contacts import migrating
from services.contacts.base import store as base
from services.contacts.base.contact import WantedState
from services.contacts.base.database import Database
from services.contacts.contacts import Contacts, Given
from services.contacts.field_book import FieldBook
from services.contacts.segments import store as segments
from services.contacts.targeting import store, targeting
from services.contacts.targeting.targeting import Targeting
from services.queueing import selecting as filling
from services.queueing.selecting import Selecting, Selections
from services.queueing.store import JobStore
from shared.redis import keys, redis
from shared.redis.cancels import CancelList, Cancels
from shared.redis.recipients import Waiting, read
from shared.redis.result_sets import ResultSets
from shared.redis.targets import Targets
from shared.words import content, ids
from shared.words.scopes import Channel
from tests.jobs import compile_job, new_job

P = 2
NOW_MS = 1_790_000_000_000
JOB = ids.new_job_id(NOW_MS, b"people", P)
HERE = ids.job_partition(JOB, P)
IN_LILLE = {"kind": "field", "field": "town", "test": "equals", "value": "Lille"}


class Bench:
    """Both sides of the hand-over, and the base of a tenant."""

    def __init__(self, database: Database, client: Any) -> None:
        self.database = database
        self.client = client
        self.contacts = Contacts(database)
        self.now_ms = NOW_MS
        self.tenant = 0

    async def segment(self, name: str = "Lille", criteria: Any = None) -> int:
        async with self.database.transaction() as sql:
            self.tenant = (await base.tenant(sql, "acme")).number
            return (await segments.create(sql, self.tenant, name, criteria or IN_LILLE, "somebody")).segment

    async def person(self, number: int, town: str = "Lille", **states: Any) -> None:
        said: dict[Channel, WantedState] = {"email": WantedState(**({"optin": True} | states))}
        given = Given(f"p{number}@exemple.fr", values={"town": town, "first_name": f"P{number}"}, states=said)
        outcome = await self.contacts.put("acme", given, "test")
        assert outcome.contact is not None, outcome.faults

    async def wanted(self, given: Any, **fields: Any) -> None:
        compiled = compile_job(text="Bonjour {{ first_name }} de {{ town }}", subject="Bonjour")
        assert isinstance(compiled, content.CompiledContent)
        new = new_job(selection=json.dumps(given).encode(), content=content.encode(compiled), **fields)
        assert (await JobStore(self.client, P, 1_000).store(JOB, new, [], "selecting")).word == "stored"

    def targeting(self, batch: int = 1_000, most_pages: int = 40) -> Targeting:
        return Targeting(self.database, Targets(self.client, P, most_pages), P, lambda: self.now_ms, batch)

    def selecting(self) -> Selecting:
        cancels = Cancels(CancelList(self.client))
        sets = ResultSets(self.client, P)
        return Selecting(Selections(self.client, P, 1_000), sets, cancels, P, lambda: self.now_ms, bytes)

    async def asks(self) -> None:
        await self.selecting().look(asyncio.Event())

    async def run(self, batch: int = 1_000, most_pages: int = 40) -> None:
        """Until the job has all."""
        for _ in range(200):
            if await self.field("state") != "selecting":
                return
            self.now_ms += 1_000
            await self.asks()
            await self.targeting(batch, most_pages).look(asyncio.Event())
        raise AssertionError("it takes no end")

    async def field(self, name: str) -> str:
        found = await self.client.hget(keys.job(HERE, JOB), name)
        return "" if found is None else str(found.decode())

    async def taken(self) -> list[Waiting]:
        members = await self.client.zrange(keys.job_recipients(HERE, JOB), 0, -1)
        return [one for member in members for one in read(member).waiting()]

    async def numbers(self) -> list[int]:
        """Of the contacts that the job has, in the order of their ordinals."""
        return [int((one.metadata or {})["contact"]) for one in await self.taken()]


@pytest.fixture
async def bench(empty: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    for module, name in ((filling, "PAGE_S"), (filling, "FULL_S"), (targeting, "FULL_S")):
        monkeypatch.setattr(module, name, 0.001)
    await migrating.migrate(empty, migrating.steps())
    client = redis.connect(redis_url)
    yield Bench(empty, client)
    await redis.close(client)


async def test_e6_e16_members_become_recipients_with_their_fields_and_who_is_not_addressable_is_excluded(
    bench: Bench,
) -> None:
    segment = await bench.segment()
    await bench.person(1)
    await bench.person(2, "Roubaix")
    await bench.person(3, optin=None)
    await bench.person(4, status="hard")
    await bench.wanted({"segment": segment})

    await bench.run()

    taken = await bench.taken()
    assert [(one.email, one.rejected) for one in taken] == [
        ("p1@exemple.fr", None),
        ("p3@exemple.fr", "no_optin"),
        ("p4@exemple.fr", "hard"),
    ]
    assert msgspec.msgpack.decode(taken[0].variables) == {"first_name": "P1", "town": "Lille"}
    assert taken[0].name == "P1"
    assert await bench.field("state") == "queueing"


async def test_e30_the_job_records_which_segment_in_which_version(bench: Bench) -> None:
    segment = await bench.segment()
    await bench.person(1)
    async with bench.database.transaction() as sql:
        any_of = {"kind": "any", "of": [IN_LILLE, {**IN_LILLE, "value": "Roubaix"}]}
        await segments.change(sql, bench.tenant, segment, "Nord", any_of, "somebody")
    await bench.wanted({"segment": "Nord"}, subject="Soldes", category="promotion", tags=("hiver",))

    await bench.run()

    assert json.loads(await bench.field("segment")) == {"selected": 1, "segment": segment, "version": 2, "name": "Nord"}
    async with bench.database.connection() as sql:
        row = await sql.fetchrow(
            "select j.segment, j.version, o.key, o.name, o.category, o.tags from jobs as j "
            "join operations as o using (tenant, operation) where j.tenant = $1 and j.job = $2",
            bench.tenant,
            JOB,
        )
        kept = await sql.fetchval("select criteria from targets where job = $1", JOB)
    assert row is not None
    assert dict(row) == {
        "segment": segment, "version": 2, "key": JOB, "name": "Soldes", "category": "promotion", "tags": ["hiver"],
    }  # fmt: skip
    assert json.loads(kept)["of"][1]["value"] == "Roubaix"


async def test_e30_who_belongs_is_decided_when_sending_starts_whatever_happens_meanwhile(bench: Bench) -> None:
    segment = await bench.segment()
    for number in range(1, 9):
        await bench.person(number)
    await bench.wanted({"segment": segment})
    await bench.asks()
    await bench.targeting(batch=2, most_pages=2).look(asyncio.Event())
    began = await Targets(bench.client, P).asked(JOB)

    await bench.person(7, "Roubaix")
    await bench.person(9)
    await bench.contacts.erase("acme", "p8@exemple.fr")
    await bench.run(batch=2)

    assert began is not None
    assert began.position == 4
    assert await bench.numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert await bench.field("total") == "7"


async def test_criteria_that_nobody_saved_are_sent_to_as_well(bench: Bench) -> None:
    await bench.segment()
    await bench.person(1)
    await bench.wanted({"criteria": IN_LILLE})

    await bench.run()

    assert await bench.numbers() == [1]
    assert json.loads(await bench.field("segment")) == {"selected": 1}


@pytest.mark.parametrize(
    ("given", "why", "detail"),
    [
        ({"segment": 99}, "segment_unknown", "no such segment"),
        ({"segment": "nobody knows it"}, "segment_unknown", "no such segment"),
        ({"criteria": {"kind": "field"}}, "segment_unreadable", "$.criteria"),
        ({"criteria": {**IN_LILLE, "field": "nothing"}}, "segment_unreadable", "$.criteria.field: no such field"),
    ],
)
async def test_what_is_not_there_ends_the_job_which_says_what_is_wrong(
    bench: Bench, given: Any, why: str, detail: str
) -> None:
    await bench.segment()
    await bench.wanted(given)

    await bench.run()

    assert (await bench.field("state"), await bench.field("unselected")) == ("queued", why)
    assert detail in await bench.field("unselected_detail")
    assert await bench.taken() == []


async def test_a_segment_whose_field_was_removed_ends_the_job_which_names_it(bench: Bench) -> None:
    await bench.segment()
    async with bench.database.transaction() as sql:
        number = await base.add_field(sql, bench.tenant, "shop", "text", "")
    segment = await bench.segment("shop", {**IN_LILLE, "field": "shop"})
    async with bench.database.transaction() as sql:
        await base.remove_field(sql, bench.tenant, number)
    await bench.wanted({"segment": segment})

    await bench.run()

    assert await bench.field("unselected") == "segment_unreadable"
    assert "no such field" in await bench.field("unselected_detail")


async def test_another_tenant_s_segment_is_none(bench: Bench) -> None:
    segment = await bench.segment()
    await bench.person(1)
    await bench.wanted({"segment": segment}, tenant="other")
    await bench.client.hset(keys.job(HERE, JOB), "tenant", "other")

    await bench.run()

    assert await bench.taken() == []


async def test_e2_two_contacts_who_share_an_address_are_two_recipients(bench: Bench) -> None:
    segment = await bench.segment()
    async with bench.database.transaction() as sql:
        await base.set_key(sql, bench.tenant, "email", duplicates=True)
    for _ in range(2):
        values = {"town": "Lille"}
        said: dict[Channel, WantedState] = {"email": WantedState(optin=True)}
        await bench.contacts.write(
            "acme", [Given(None, {"email": "two@exemple.fr"}, values=values, states=said)], "add", "test"
        )
    await bench.wanted({"segment": segment})

    await bench.run()

    assert [one.email for one in await bench.taken()] == ["two@exemple.fr"] * 2
    assert await bench.numbers() == [1, 2]


async def test_two_processes_at_once_hand_nobody_over_twice(bench: Bench) -> None:
    segment = await bench.segment()
    for number in range(1, 31):
        await bench.person(number)
    await bench.wanted({"segment": segment})
    await bench.asks()

    await asyncio.gather(*(bench.targeting(batch=3).serve(JOB, asyncio.Event()) for _ in range(3)))
    await bench.run(batch=3)

    assert await bench.numbers() == list(range(1, 31))


async def test_a_job_waits_while_postgresql_is_away(bench: Bench) -> None:
    segment = await bench.segment()
    await bench.person(1)
    await bench.wanted({"segment": segment})
    await bench.asks()
    away = Database("postgresql://nobody@127.0.0.1:1/nowhere", 1, 1)

    await Targeting(away, Targets(bench.client, P), P, lambda: bench.now_ms).look(asyncio.Event())
    waits = await bench.field("awaited")
    await bench.run()

    assert (waits, await bench.field("awaited")) == ("database", "")
    assert await bench.numbers() == [1]


async def test_a_job_that_was_cancelled_is_left(bench: Bench) -> None:
    segment = await bench.segment()
    await bench.person(1)
    await bench.wanted({"segment": segment})
    await bench.asks()
    await Selections(bench.client, P, 1_000).end(JOB, "cancelled")

    await bench.targeting().serve(JOB, asyncio.Event())

    assert await bench.taken() == []
    assert not await bench.client.exists(keys.target(HERE, JOB), keys.target_pages(HERE, JOB), keys.targets(HERE))


async def test_who_belonged_is_forgotten_after_its_time_and_the_segment_is_not(bench: Bench) -> None:
    segment = await bench.segment()
    await bench.person(1)
    await bench.wanted({"segment": segment})
    await bench.run()

    async with bench.database.connection() as sql:
        await store.forget(sql, 30)
        kept = await sql.fetchval("select count(*) from target_members")
        await sql.execute("update targets set taken_at = now() - interval '31 days'")
        await store.forget(sql, 30)
        gone = await sql.fetchval("select count(*) from target_members")
        known = await store.known(sql, bench.tenant, JOB)

    assert (kept, gone) == (1, 0)
    assert known is not None
    assert known.segment == segment


async def sharing(bench: Bench, *states: dict[str, Any]) -> None:
    """Contacts of one address, each under a key of its own."""
    await FieldBook(bench.database).put("acme", "customer", "text", "", None)
    await FieldBook(bench.database).set_key("acme", "customer", duplicates=True)
    for number, state in enumerate(states, 1):
        said: dict[Channel, WantedState] = {"email": WantedState(**({"optin": True} | state))}
        given = Given(
            None, {"email": "Ana@exemple.fr"}, values={"town": "Lille", "customer": f"c{number}"}, states=said
        )
        await bench.contacts.write("acme", [given], "add", "test")


async def test_e2_the_key_decides_and_not_the_address_so_each_contact_receives_the_operation_once(
    bench: Bench,
) -> None:
    segment = await bench.segment()
    await sharing(bench, {}, {})
    await bench.contacts.put("acme", Given("c1", values={"first_name": "Ana"}), "test")
    await bench.wanted({"segment": segment})

    await bench.run(batch=1)

    assert [(one.email, one.rejected) for one in await bench.taken()] == [("Ana@exemple.fr", None)] * 2
    assert await bench.numbers() == [1, 2]


async def test_e3_each_record_is_a_contact_and_an_address_is_sent_to_once_if_the_job_asks_for_it(
    bench: Bench,
) -> None:
    segment = await bench.segment()
    await sharing(bench, {"optin": None}, {}, {}, {})
    copy = Given(None, {"email": "bo@exemple.fr"}, values={"town": "Lille", "customer": "c2"})
    await bench.contacts.write("acme", [copy._replace(states={"email": WantedState(optin=True)})], "add", "test")
    await bench.wanted({"segment": segment, "once_per_address": True})

    await bench.run(batch=2)

    assert [one.rejected for one in await bench.taken()] == [
        "no_optin", None, "duplicate_address", "duplicate_address", None,
    ]  # fmt: skip
    async with bench.database.connection() as sql:
        assert await sql.fetchval("SELECT count(*) FROM target_addresses") == 0


async def test_e3_a_page_that_is_made_again_after_a_crash_takes_the_same_contact(bench: Bench) -> None:
    segment = await bench.segment()
    await sharing(bench, {}, {})
    await bench.wanted({"segment": segment, "once_per_address": True})
    await bench.asks()
    async with bench.database.transaction() as sql:
        assert await store.owners(sql, bench.tenant, JOB, {1: "ana@exemple.fr"}) == {1}  # and died
        assert await store.owners(sql, bench.tenant, JOB, {2: "ana@exemple.fr"}) == set()

    await bench.run(batch=1)

    assert [one.rejected for one in await bench.taken()] == [None, "duplicate_address"]

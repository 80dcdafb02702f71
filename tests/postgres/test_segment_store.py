"""Saved segments: versions, circles, counts, samples and members, each tenant by itself."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from services.contacts import migrating
from services.contacts.base.database import Database
from services.contacts.segments import store
from services.contacts.segments.language import OnActivity, OnField, OnSegments
from services.contacts.segments.store import Counted, NotThere
from shared.words.errors import Problem
from tests.segment_base import FIELDS, KINDS, written
from tests.segment_model import Base, Person, State

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ACTIVE = {"kind": "activity", "at_least": 1}
IN_LILLE = {"kind": "field", "field": "town", "test": "equals", "value": "LILLE"}


@pytest.fixture
async def database(empty: Database) -> Database:
    """With the tables."""
    await migrating.migrate(empty, migrating.steps())
    return empty


def person(number: int, town: str, note: int = 0, **channels: State) -> Person:
    fields = {"town": town} if town else {}
    return Person(number, f"p{number}@exemple.fr", "+33612345678", False, fields, channels, note)


async def tenant_of(database: Database, people: list[Person]) -> int:
    async with database.transaction() as sql:
        return await written(sql, Base(people, kinds=KINDS))


async def created(database: Database, tenant: int, name: str, given: object) -> int:
    async with database.transaction() as sql:
        return (await store.create(sql, tenant, name, given, "somebody")).segment


async def changed(database: Database, tenant: int, segment: int, given: object) -> store.Saved:
    async with database.transaction() as sql:
        before = await store.get(sql, tenant, segment)
        return await store.change(sql, tenant, segment, before.name, given, "somebody")


def using(*segments: int) -> dict[str, Any]:
    return {"kind": "segment", "test": "in", "segments": list(segments)}


async def test_who_belongs_is_decided_when_a_segment_is_used_e30(database: Database) -> None:
    tenant = await tenant_of(database, [person(1, "Lille"), person(2, "Roubaix")])
    segment = await created(database, tenant, "people of Lille", IN_LILLE)
    async with database.transaction() as sql:
        criterion = (await store.get(sql, tenant, segment)).criterion
        before = await store.count(sql, tenant, criterion, NOW)

    async with database.transaction() as sql:
        await sql.execute("update contacts set folded[1] = 'lille' where tenant = $1 and contact = 2", tenant)
        after = await store.count(sql, tenant, criterion, NOW)

    assert (before.contacts, after.contacts) == (1, 2)


async def test_a_count_says_how_many_are_addressable_by_each_channel_e31(database: Database) -> None:
    yes, left, hard = State(optin=True), State(optin=True, left=True), State(optin=True, status="hard")
    people = [
        person(1, "Lille", email=yes, sms=yes),
        person(2, "Lille", email=yes, sms=left),
        person(3, "Lille", email=hard, phone=yes),
        person(4, "Lille"),
        person(5, "Roubaix", email=yes, sms=yes, phone=yes),
    ]
    tenant = await tenant_of(database, people)

    async with database.transaction() as sql:
        found = await store.count(sql, tenant, OnField("town", "equals", "lille"), NOW)

    assert found == Counted(contacts=4, email=2, sms=1, phone=1)


async def test_a_change_is_a_version_and_those_before_stay_e30(database: Database) -> None:
    tenant = await tenant_of(database, [])
    segment = await created(database, tenant, "a", IN_LILLE)

    same = await changed(database, tenant, segment, IN_LILLE)
    other = await changed(database, tenant, segment, ACTIVE)

    assert (same.version, other.version, other.criterion) == (1, 2, OnActivity(at_least=1))
    async with database.transaction() as sql:
        assert await store.version(sql, tenant, segment, 1) == OnField("town", "equals", "LILLE")
        with pytest.raises(NotThere):
            await store.version(sql, tenant, segment, 3)


async def test_a_circle_is_refused_and_changes_nothing_e26(database: Database) -> None:
    tenant = await tenant_of(database, [])
    first = await created(database, tenant, "first", ACTIVE)
    second = await created(database, tenant, "second", using(first))
    third = await created(database, tenant, "third", using(second))

    with pytest.raises(Problem) as problem:
        await changed(database, tenant, first, using(third))

    assert [fault.what for fault in problem.value.faults] == [f"a circle: {first} → {third} → {second} → {first}"]
    async with database.transaction() as sql:
        assert (await store.get(sql, tenant, first)).version == 1


async def test_two_changes_at_a_time_close_no_circle_together_e26(database: Database) -> None:
    tenant = await tenant_of(database, [])
    one = await created(database, tenant, "one", ACTIVE)
    other = await created(database, tenant, "other", ACTIVE)

    ends = await asyncio.gather(
        changed(database, tenant, one, using(other)),
        changed(database, tenant, other, using(one)),
        return_exceptions=True,
    )

    assert sorted(type(end).__name__ for end in ends) == ["Problem", "Saved"]


async def test_what_others_use_stays_and_what_is_archived_is_nowhere(database: Database) -> None:
    tenant = await tenant_of(database, [])
    used = await created(database, tenant, "used", ACTIVE)
    user = await created(database, tenant, "user", using(used))

    async with database.transaction() as sql:
        with pytest.raises(Problem, match=f"other segments use it: {user}"):
            await store.archive(sql, tenant, used)
        await store.archive(sql, tenant, user)
        await store.archive(sql, tenant, used)

        assert await store.saved(sql, tenant) == []
        with pytest.raises(NotThere):
            await store.get(sql, tenant, used)
    with pytest.raises(Problem):
        await created(database, tenant, "again", using(used))
    assert await created(database, tenant, "used", ACTIVE) == user + 1


async def test_a_name_is_given_once(database: Database) -> None:
    tenant = await tenant_of(database, [])
    await created(database, tenant, "a", ACTIVE)

    with pytest.raises(Problem, match="the name is taken"):
        await created(database, tenant, "a", ACTIVE)


async def test_what_does_not_fit_is_told_with_every_fault(database: Database) -> None:
    tenant = await tenant_of(database, [])
    wrong = {"kind": "all", "of": [{**IN_LILLE, "field": "no_such"}, {**IN_LILLE, "test": "greater"}, using(7)]}

    with pytest.raises(Problem) as problem:
        await created(database, tenant, "a", wrong)

    assert [fault.at for fault in problem.value.faults] == [
        "$.criteria.of[0].field",
        "$.criteria.of[1].test",
        "$.criteria.of[2].segments[0]",
    ]


async def test_a_segment_whose_field_was_removed_says_so_and_counts_nobody(database: Database) -> None:
    tenant = await tenant_of(database, [person(1, "Lille")])
    inner = await created(database, tenant, "inner", IN_LILLE)
    async with database.transaction() as sql:
        await sql.execute("update fields set removed_at = now() where tenant = $1 and name = 'town'", tenant)

        with pytest.raises(Problem, match="do not fit any more") as problem:
            await store.count(sql, tenant, OnSegments("in", [inner]), NOW)

    assert [fault.what for fault in problem.value.faults] == ["no such field"]


async def test_the_segments_of_the_activity_rank_are_there_and_stay_e38(database: Database) -> None:
    tenant = await tenant_of(database, [person(1, "", 10), person(2, "", 1), person(3, "")])
    async with database.transaction() as sql:
        await store.make_built_in(sql, tenant)
        await store.make_built_in(sql, tenant)
        active, inactive, at_risk = await store.saved(sql, tenant)

        assert (active.name, inactive.name, at_risk.name) == ("all active", "all inactive", "at risk")
        assert await store.which(sql, tenant, active.criterion, NOW, [1, 2, 3]) == [1, 2]
        assert await store.which(sql, tenant, OnSegments("in", [inactive.segment]), NOW, [1, 2, 3]) == [3]
    for change in (changed(database, tenant, active.segment, IN_LILLE), archived(database, tenant, active.segment)):
        with pytest.raises(Problem, match="built-in"):
            await change


async def archived(database: Database, tenant: int, segment: int) -> None:
    async with database.transaction() as sql:
        await store.archive(sql, tenant, segment)


async def test_a_tenant_sees_only_its_own(database: Database) -> None:
    mine = await tenant_of(database, [person(1, "Lille", 5)])
    theirs = await tenant_of(database, [person(number, "Lille", 5) for number in range(1, 9)])
    segment = await created(database, mine, "mine", IN_LILLE)

    async with database.transaction() as sql:
        assert (await store.count(sql, mine, OnActivity(at_least=1), NOW)).contacts == 1
        assert await store.saved(sql, theirs) == []
        for refused in (store.get(sql, theirs, segment), store.version(sql, theirs, segment, 1)):
            with pytest.raises(NotThere):
                await refused
    with pytest.raises(Problem):
        await created(database, theirs, "theirs", using(segment))


async def test_members_come_in_order_and_as_they_were_at_one_moment_e30(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FETCHED", 3)
    tenant = await tenant_of(database, [person(number, "Lille") for number in range(1, 11)])

    found: list[list[int]] = []
    async with database.transaction() as sql:
        async for some in store.members(sql, tenant, OnField("town", "equals", "lille"), NOW):  # type: ignore[arg-type]
            found.append(some)
            async with database.transaction() as other:
                await other.execute("delete from contacts where tenant = $1 and contact > 5", tenant)

    assert found == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]


async def test_a_sample_is_some_of_them_and_the_same_for_the_same_seed(database: Database) -> None:
    tenant = await tenant_of(database, [person(number, "Lille" if number % 2 else "") for number in range(1, 41)])
    criterion = OnField("town", "not_empty")

    async with database.transaction() as sql:
        once, again, other, all_of_them = [
            await store.sample(sql, tenant, criterion, NOW, most, seed)
            for most, seed in ((5, 1), (5, 1), (5, 2), (100, 1))
        ]

    assert once == again != other
    assert len(once) == 5
    assert sorted(all_of_them) == list(range(1, 41, 2))
    assert all_of_them[:5] == once


def test_the_fields_of_these_tests_are_of_every_kind() -> None:
    assert {field.kind for field in FIELDS.values()} == {"text", "number", "date", "choice", "choices", "yes_no"}

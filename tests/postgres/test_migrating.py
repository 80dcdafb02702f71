"""Steps of the tables: each once, by whoever comes first, and never under a newer database."""

import asyncio

import pytest

from services.contacts import migrating
from services.contacts.base.database import Database
from services.contacts.migrating import Step

FIRST = Step(1, "first", "CREATE TABLE one (word text); INSERT INTO one VALUES ('once');")
SECOND = Step(2, "second", "INSERT INTO one VALUES ('twice')")


async def words(database: Database) -> list[str]:
    async with database.connection() as sql:
        return [row["word"] for row in await sql.fetch("SELECT word FROM one")]


async def test_each_step_is_done_once_in_order(empty: Database) -> None:
    assert await migrating.migrate(empty, [FIRST]) == [1]

    assert await migrating.migrate(empty, [FIRST, SECOND]) == [2]
    assert await migrating.migrate(empty, [FIRST, SECOND]) == []

    assert await words(empty) == ["once", "twice"]


async def test_who_starts_at_the_same_time_waits_and_has_nothing_left_to_do(empty: Database) -> None:
    slow = Step(1, "first", f"SELECT pg_sleep(0.2); {FIRST.text}")

    done = await asyncio.gather(*(migrating.migrate(empty, [slow, SECOND]) for _ in range(4)))

    assert sorted(done) == [[], [], [], [1, 2]]
    assert await words(empty) == ["once", "twice"]


async def test_a_step_that_fails_leaves_nothing_of_it_and_of_those_with_it(empty: Database) -> None:
    broken = Step(2, "broken", "CREATE TABLE two (word text); SELECT nothing FROM nowhere")

    with pytest.raises(Exception, match="nowhere"):
        await migrating.migrate(empty, [FIRST, broken])

    async with empty.connection() as sql:
        assert await sql.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_a_newer_database_is_refused_and_nothing_is_changed(empty: Database) -> None:
    await migrating.migrate(empty, [FIRST, SECOND])

    with pytest.raises(migrating.NewerDatabase, match="step 2"):
        await migrating.migrate(empty, [FIRST])
    with pytest.raises(migrating.NewerDatabase, match="step 2"):
        await migrating.is_done(empty, [FIRST])

    assert await words(empty) == ["once", "twice"]


async def test_another_step_under_a_number_that_was_done_is_refused(empty: Database) -> None:
    await migrating.migrate(empty, [FIRST])

    with pytest.raises(migrating.ChangedStep, match="step 1"):
        await migrating.migrate(empty, [Step(1, "first", "CREATE TABLE other (word text)")])


async def test_who_does_no_step_knows_whether_all_were_done(empty: Database) -> None:
    assert not await migrating.is_done(empty, [FIRST])
    await migrating.migrate(empty, [FIRST])

    assert await migrating.is_done(empty, [FIRST])
    assert not await migrating.is_done(empty, [FIRST, SECOND])


async def test_the_steps_of_the_program_can_all_be_done(empty: Database) -> None:
    steps = migrating.steps()

    assert await migrating.migrate(empty, steps) == [step.number for step in steps]

"""Runs of the rank in a real PostgreSQL, beside the notes that are given by hand."""

import asyncio
import itertools
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.contacts import migrating
from services.contacts.base import store
from services.contacts.base.database import Database, DatabaseAway
from services.contacts.rank import asked, due, notes
from services.contacts.rank.asked import Asked, Period
from services.contacts.rank.notes import Active
from services.contacts.rank.run import BEHAVIOURS, Rank
from tests.contacts_base import Base, new_base

NOW = datetime(2026, 11, 29, 9, 0, 0, 123_000, UTC)
NOW_MS = round(NOW.timestamp() * 1000)
CONTACTS = 26
OPERATIONS = ("email", "sms")
_names = (f"tenant {number}" for number in itertools.count())


class Did(NamedTuple):
    """A behaviour: whose, how many hours before the run, its kind, in which operation, and whether a machine's."""

    contact: int
    hours: int
    kind: int
    operation: int
    machine: bool = False

    @property
    def at(self) -> datetime:
        return NOW - timedelta(hours=self.hours)


#: Some are about contacts that are erased, some about operations that nobody knows, some were after the run.
DIDS = st.builds(
    Did,
    st.integers(1, CONTACTS + 2),
    st.sampled_from([-1, 0, 1, 2, 24, 24 * 40, 24 * 60, 24 * 61, 24 * 62]),
    st.sampled_from([4, 5, 5, 6, 20, 22, 23, 25]),
    st.integers(0, 3),
    st.sampled_from([False, False, False, True]),
)


@pytest.fixture
async def base(empty: Database) -> Base:
    await migrating.migrate(empty, migrating.steps())
    return await new_rank_base(empty)


async def new_rank_base(database: Database) -> Base:
    base = await new_base(database, next(_names))
    file = "Email\n" + "".join(f"u{number}@x.fr\n" for number in range(CONTACTS))
    await base.run(await base.new_import(), file.encode(), batch=100)
    async with database.connection() as sql:
        for number, kind in enumerate(OPERATIONS, 1):
            await sql.execute(
                "INSERT INTO operations (tenant, operation, key, kind) VALUES ($1, $2, $3, $4)",
                base.tenant,
                number,
                str(number),
                kind,
            )
    return base


async def note(base: Base, dids: list[Did]) -> None:
    async with base.database.connection() as sql:
        await sql.executemany(
            "INSERT INTO behaviours (tenant, contact, occurred_at, event, kind, operation, machine) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                (base.tenant, one.contact, one.at, event, one.kind, one.operation, one.machine)
                for event, one in enumerate(dids)
            ],
        )


async def given_notes(base: Base) -> dict[int, int]:
    """By contact its note, where that is not 0."""
    statement = (
        "SELECT c.contact, s.item FROM contacts AS c "
        "JOIN sets AS s ON s.tenant = c.tenant AND s.chunk = c.contact >> 13 "
        "WHERE c.tenant = $1 AND s.fact = 41 AND get_bit(s.members, c.contact & 8191) = 1"
    )
    async with base.database.connection() as sql:
        rows = await sql.fetch(statement, base.tenant)
    found = {row["contact"]: row["item"] for row in rows}
    assert len(found) == len(rows)
    return found


async def told_notes(base: Base) -> dict[int, int]:
    """The same, as contacts say it of themselves."""
    async with base.database.connection() as sql:
        found = await store.find(sql, base.tenant, store.Search(), 1000, {})
    return {one.number: one.activity for one in found if one.activity}


def by_hand(dids: list[Did], wanted: Asked) -> dict[int, int]:
    counts = {BEHAVIOURS[one] for one in asked.counted(wanted)}
    since_ms = asked.since_ms(wanted.period, NOW_MS)
    found = defaultdict(list)
    for one in dids:
        operation = OPERATIONS[one.operation - 1] if one.operation in (1, 2) else "email"
        at_ms = round(one.at.timestamp() * 1000)
        is_counted = (one.kind, operation) in counts or (one.kind, "") in counts
        if is_counted and not one.machine and one.contact <= CONTACTS and since_ms <= at_ms < NOW_MS:
            found[one.contact].append(at_ms)
    return notes.notes([Active(contact, len(times), max(times)) for contact, times in found.items()], wanted.least)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(DIDS, max_size=80),
    st.builds(
        Asked,
        st.sampled_from([Period(), Period(1), Period(1, "days"), Period(61, "days")]),
        st.integers(1, 3),
        st.sampled_from([asked.USUAL.counts, {"email": ["clicked"]}, {"sms": ["clicked"], "form": ["sent"]}]),
    ),
)
def test_e32_to_e35_and_e40_the_statement_gives_the_notes_that_are_given_by_hand(
    made_url: str, dids: list[Did], wanted: Asked
) -> None:
    async def run() -> None:
        database = Database(made_url, 2, 30)
        try:
            base = await new_rank_base(database)
            await note(base, dids)
            rank = Rank(database)
            assert await rank.set(base.tenant, wanted) == []

            told = await rank.run(base.tenant, NOW_MS)

            expected = by_hand(dids, wanted)
            assert await given_notes(base) == expected
            assert told.contacts == list(notes.sizes(len(expected)).values())
        finally:
            await database.close()

    asyncio.run(run())


async def test_e36_a_run_is_due_after_seven_days_and_then_every_thirty_and_says_when_it_was_and_by_which_settings(
    base: Base,
) -> None:
    rank = Rank(base.database)
    made_ms = (await rank.standing(base.tenant)).due_ms - due.FIRST_AFTER_MS
    first_ms = made_ms + due.FIRST_AFTER_MS

    assert await rank.due(first_ms - 1) == []
    assert await rank.due(first_ms) == [base.tenant]
    await rank.run(base.tenant, first_ms)
    assert await rank.due(first_ms) == []
    await rank.set(base.tenant, Asked(least=3))

    found = await rank.standing(base.tenant)
    assert found.last is not None
    assert (found.last.at_ms, found.last.asked, found.asked.least) == (first_ms, asked.USUAL, 3)
    assert found.due_ms == first_ms + due.EVERY_MS


async def test_e35_settings_that_cannot_be_followed_are_not_set(base: Base) -> None:
    rank = Rank(base.database)

    faults = await rank.set(base.tenant, Asked(least=0))

    assert [fault.at for fault in faults] == ["$.least"]
    assert (await rank.standing(base.tenant)).asked == asked.USUAL


async def test_e37_a_note_stays_until_the_next_run_and_a_new_contact_has_none(base: Base) -> None:
    rank = Rank(base.database)
    await note(base, [Did(1, 5, 6, 1)])
    await rank.run(base.tenant, NOW_MS)

    async with base.database.connection() as sql:
        await sql.execute("DELETE FROM behaviours")
    await base.run(await base.new_import(), b"Email\nnew@x.fr\n")

    assert await given_notes(base) == await told_notes(base) == {1: 10}
    await rank.run(base.tenant, NOW_MS + 1)
    assert await given_notes(base) == await told_notes(base) == {}


async def test_e39_who_is_hard_or_unsubscribed_is_not_addressable_before_any_band(base: Base) -> None:
    rank = Rank(base.database)
    await note(base, [Did(contact, 5, 6, 1) for contact in range(1, 11)])
    async with base.database.connection() as sql:
        rows = await sql.fetch("SELECT contact, key FROM contacts WHERE tenant = $1", base.tenant)
    keys = {row["contact"]: row["key"] for row in rows}
    file = f"Email;Opt-In Email;Statut Email\n{keys[10]};Non;\n{keys[1]};Oui;Hard\n{keys[21]};Non;\n"
    await base.run(await base.new_import(), file.encode())

    await rank.run(base.tenant, NOW_MS)

    found = await rank.histogram(base.tenant)
    assert found.notes == {0: CONTACTS - 10} | dict.fromkeys(range(1, 11), 1)
    assert found.bands == {"not_addressable": 3, "none": CONTACTS - 10 - 1, "low": 2, "medium": 4, "high": 2}
    assert sum(found.bands.values()) == sum(found.notes.values()) == CONTACTS


async def test_a_run_of_one_tenant_leaves_the_notes_of_another(base: Base) -> None:
    other = await new_rank_base(base.database)
    await note(base, [Did(1, 5, 6, 1)])
    await note(other, [Did(2, 5, 6, 1)])
    rank = Rank(base.database)
    await rank.run(other.tenant, NOW_MS)

    await rank.run(base.tenant, NOW_MS)

    assert (await given_notes(base), await given_notes(other)) == ({1: 10}, {2: 10})


async def test_two_runs_at_once_give_each_contact_one_note(base: Base) -> None:
    await note(base, [Did(contact, 5, 6, 1) for contact in range(1, 21)])
    rank = Rank(base.database)

    await asyncio.gather(*(rank.run(base.tenant, NOW_MS) for _ in range(4)))

    assert len(await given_notes(base)) == 20


async def test_a_run_that_is_due_may_take_longer_than_other_statements(base: Base, postgres_url: str) -> None:
    """Another run has the tenant for longer than any statement may take."""
    impatient = Database(postgres_url, 2, 1)
    rank = Rank(impatient)
    try:
        async with base.database.transaction() as sql:
            await sql.fetchrow("SELECT 1 FROM tenants WHERE tenant = $1 FOR UPDATE", base.tenant)
            with pytest.raises(DatabaseAway, match="statement timeout"):
                await rank.run(base.tenant, NOW_MS)
            patient = asyncio.create_task(rank.run(base.tenant, NOW_MS, 60))
            await asyncio.sleep(1.5)
            assert not patient.done()
        assert (await patient).at_ms == NOW_MS
    finally:
        await impatient.close()

"""What an operator is told of imports that stand still and of ranks that are overdue."""

from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from services.contacts import migrating, watching
from services.contacts.base.database import Database
from services.contacts.base.store import tenant as tenant_of
from services.contacts.imports.columns import COLUMNS
from services.contacts.imports.importing import Importing
from services.contacts.imports.reading import Asked
from services.contacts.imports.store import Imports
from services.contacts.imports.writing import Writer
from services.contacts.outbox import noting
from services.contacts.outbox.telling import Telling
from services.contacts.rank.due import DAY_MS
from services.contacts.rank.run import Rank
from services.contacts.risk.asked import EVERY_MS
from services.contacts.risk.run import Risk
from shared.words import events


async def made(database: Database) -> int:
    """A tenant that came seven days ago, whose rank is due now."""
    await migrating.migrate(database, migrating.steps())
    async with database.transaction() as sql:
        return (await tenant_of(sql, "acme")).number


async def due_ms(database: Database, tenant: int) -> int:
    return (await Rank(database).standing(tenant)).due_ms


class Nowhere:
    """Streams that nothing goes to."""

    async def publish(self, facts: Sequence[events.Fact], patience_s: float = 0, batch: str = "") -> None:
        raise AssertionError("nobody tells here")


async def look(database: Database, now_ms: int) -> None:
    rank, risk, telling = Rank(database), Risk(database), Telling(database, Nowhere())
    await watching.look(database, Imports(database), rank, risk, telling, now_ms)


def figures() -> tuple[float, float]:
    names = ("estafette_contacts_import_moved_timestamp_seconds", "estafette_contacts_rank_overdue_seconds")
    moved, overdue = (REGISTRY.get_sample_value(name) for name in names)
    assert moved is not None
    assert overdue is not None
    return moved, overdue


async def test_an_import_moves_while_it_waits_and_is_none_once_it_has_ended(empty: Database) -> None:
    tenant, imports = await made(empty), Imports(empty)
    await look(empty, 0)
    before = figures()
    number = await imports.create(tenant, Asked("email", list(COLUMNS)))
    await imports.receive(tenant, number, 0, b"email\nana@exemple.fr\n")
    await look(empty, 0)
    receiving = figures()
    await imports.is_there(tenant, number)

    await look(empty, 0)
    waiting = figures()
    taken = await imports.take()
    assert taken is not None
    await Importing(imports, Writer(empty)).run(taken)
    await look(empty, 0)

    async with empty.connection() as sql:
        now_s = float(await sql.fetchval("SELECT extract(epoch FROM now())::float8"))
    assert [before, receiving, figures()] == [(0, 0)] * 3
    assert now_s - 60 < waiting[0] <= now_s


async def test_a_rank_is_overdue_from_when_it_was_due_until_it_has_run(empty: Database) -> None:
    tenant, rank = await made(empty), Rank(empty)
    due = await due_ms(empty, tenant)

    await look(empty, due - 1)
    early = figures()[1]
    await look(empty, due + DAY_MS)
    late = figures()[1]
    await rank.run(tenant, due + DAY_MS)
    await look(empty, due + DAY_MS)

    assert (early, late, figures()[1]) == (0, DAY_MS / 1000, 0)


async def test_a_look_for_who_is_at_risk_is_overdue_from_a_day_after_the_last_one(empty: Database) -> None:
    tenant = await made(empty)
    async with empty.connection() as sql:
        made_ms = round(await sql.fetchval("SELECT extract(epoch FROM created_at)::float8 * 1000 FROM tenants"))
    seen = []
    for now_ms in (made_ms - 1_000, made_ms + 60_000):
        await look(empty, now_ms)
        seen.append(REGISTRY.get_sample_value("estafette_contacts_risk_overdue_seconds"))
    await Risk(empty).look(tenant, made_ms)

    for now_ms in (made_ms + EVERY_MS, made_ms + EVERY_MS + 5_000):
        await look(empty, now_ms)
        seen.append(REGISTRY.get_sample_value("estafette_contacts_risk_overdue_seconds"))

    assert seen == [0, pytest.approx(60, abs=0.01), 0, 5]


async def test_what_is_to_be_told_is_counted_with_the_age_of_the_oldest(empty: Database) -> None:
    tenant = await made(empty)
    await look(empty, 0)
    before = untold()
    async with empty.connection() as sql:
        for ago in (7, 90, 3):
            at = await sql.fetchval("SELECT now() - make_interval(secs => $1)", float(ago))
            await noting.one(sql, tenant, at, "ActivityRanked", {})

    await look(empty, 0)

    rows, age_s = untold()
    assert before == [0, 0]
    assert rows == 3
    assert 7 <= age_s < 90, "the one that was written first is told first"


def untold() -> list[float]:
    names = ("estafette_contacts_untold_rows", "estafette_contacts_untold_seconds")
    return [float(REGISTRY.get_sample_value(name) or 0) for name in names]

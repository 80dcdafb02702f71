"""What an operator is told of imports that stand still and of ranks that are overdue."""

from prometheus_client import REGISTRY

from services.contacts import migrating, watching
from services.contacts.base.database import Database
from services.contacts.base.store import tenant as tenant_of
from services.contacts.imports.columns import COLUMNS
from services.contacts.imports.importing import Importing
from services.contacts.imports.reading import Asked
from services.contacts.imports.store import Imports
from services.contacts.imports.writing import Writer
from services.contacts.rank.due import DAY_MS
from services.contacts.rank.run import Rank


async def made(database: Database) -> int:
    """A tenant that came seven days ago, whose rank is due now."""
    await migrating.migrate(database, migrating.steps())
    async with database.transaction() as sql:
        return (await tenant_of(sql, "acme")).number


async def due_ms(database: Database, tenant: int) -> int:
    return (await Rank(database).standing(tenant)).due_ms


def figures() -> tuple[float, float]:
    names = ("estafette_contacts_import_moved_timestamp_seconds", "estafette_contacts_rank_overdue_seconds")
    moved, overdue = (REGISTRY.get_sample_value(name) for name in names)
    assert moved is not None
    assert overdue is not None
    return moved, overdue


async def test_an_import_moves_while_it_waits_and_is_none_once_it_has_ended(empty: Database) -> None:
    tenant, imports, rank = await made(empty), Imports(empty), Rank(empty)
    await watching.look(empty, imports, rank, 0)
    before = figures()
    number = await imports.create(tenant, Asked("email", list(COLUMNS)))
    await imports.receive(tenant, number, 0, b"email\nana@exemple.fr\n")
    await watching.look(empty, imports, rank, 0)
    receiving = figures()
    await imports.is_there(tenant, number)

    await watching.look(empty, imports, rank, 0)
    waiting = figures()
    taken = await imports.take()
    assert taken is not None
    await Importing(imports, Writer(empty)).run(taken)
    await watching.look(empty, imports, rank, 0)

    async with empty.connection() as sql:
        now_s = float(await sql.fetchval("SELECT extract(epoch FROM now())::float8"))
    assert [before, receiving, figures()] == [(0, 0)] * 3
    assert now_s - 60 < waiting[0] <= now_s


async def test_a_rank_is_overdue_from_when_it_was_due_until_it_has_run(empty: Database) -> None:
    tenant, imports, rank = await made(empty), Imports(empty), Rank(empty)
    due = await due_ms(empty, tenant)

    await watching.look(empty, imports, rank, due - 1)
    early = figures()[1]
    await watching.look(empty, imports, rank, due + DAY_MS)
    late = figures()[1]
    await rank.run(tenant, due + DAY_MS)
    await watching.look(empty, imports, rank, due + DAY_MS)

    assert (early, late, figures()[1]) == (0, DAY_MS / 1000, 0)

"""Starts what goes on beside the requests: the tables are made, and PostgreSQL is watched. The routes are mounted by
the process of all routes."""

from services.contacts import migrating
from services.contacts import settings as own
from services.contacts.database import Database, DatabaseAway
from services.contacts.imports.importing import Importing
from services.contacts.imports.store import Imports
from services.contacts.imports.writing import Writer
from services.contacts.rank.run import Rank
from services.settings import read
from shared.process import logs
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, pause, run
from shared.process.settings import SettingsError
from shared.redis import start

#: Between two looks for a database that is away.
RETRY_SECONDS = 0.5
#: And at one that answers.
WATCH_SECONDS = 5.0
#: And for tenants whose contacts are to be ranked anew.
RANK_SECONDS = 60.0


async def main(life: Lifecycle) -> None:
    mine = life.settings.of(own.Contacts)
    if not mine.url:
        raise SettingsError(["contacts.url: there are no contacts as long as it is empty"])
    client = start.connect(life)
    database = Database(mine.url, mine.connections, mine.statement_seconds)
    life.push_close(database.close)

    async def watch() -> None:
        while not life.stopping.is_set():
            await _answers(life, database)
            await pause(life.stopping, WATCH_SECONDS)

    async def ranked() -> None:
        rank = Rank(database)
        while not life.stopping.is_set():
            try:
                for tenant in await rank.run_due(now_ms()):
                    logs.get_logger().info("activity_ranked", tenant_number=tenant)
            except DatabaseAway:
                pass  # what is due stays so
            await pause(life.stopping, RANK_SECONDS)

    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client) or not await _is_made(life, database):
            return
        life.spawn(watch(), "watching postgresql")
        life.spawn(Importing(Imports(database), Writer(database)).work(life.stopping), "importing contacts")
        life.spawn(ranked(), "ranking contacts")
        await life.stopping.wait()


async def _is_made(life: Lifecycle, database: Database) -> bool:
    """True once PostgreSQL answers and every table is there; False if the process is to stop before that. TooOld,
    NewerDatabase, ChangedStep."""
    steps = migrating.steps()
    while not life.stopping.is_set():
        try:
            await database.check()
            for number in await migrating.migrate(database, steps):
                logs.get_logger().info("migrated", step=number)
        except DatabaseAway as away:
            life.not_ready(f"postgresql: {away}")
            await pause(life.stopping, RETRY_SECONDS)
            continue
        life.ready()
        return True
    return False


async def _answers(life: Lifecycle, database: Database) -> None:
    try:
        await database.check()
    except DatabaseAway as away:
        life.not_ready(f"postgresql: {away}")
    else:
        life.ready()


if __name__ == "__main__":
    run(main, "contacts", read)

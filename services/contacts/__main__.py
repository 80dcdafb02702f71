"""Starts what goes on beside the requests: the tables are made, facts are followed, and PostgreSQL is watched. The
routes are mounted by the process of all routes."""

import socket
from contextlib import suppress

from prometheus_client import Gauge

from services.contacts import migrating, watching
from services.contacts import settings as own
from services.contacts.base.database import Database, DatabaseAway
from services.contacts.behaviour.jobs import JobsInRedis
from services.contacts.behaviour.late import Rule
from services.contacts.behaviour.writing import Behaviour
from services.contacts.following import BATCH, GATHER_MS, NAMES, Following
from services.contacts.imports.importing import Importing
from services.contacts.imports.store import Imports
from services.contacts.imports.writing import Writer
from services.contacts.outbox.telling import Telling
from services.contacts.rank import ranking
from services.contacts.rank.run import Rank
from services.contacts.risk import looking
from services.contacts.risk.run import Risk
from services.contacts.stating import Stating
from services.contacts.targeting.targeting import Targeting
from services.settings import read
from shared.process import logs, master_secret
from shared.process.clock import now_ms
from shared.process.lifecycle import Lifecycle, pause, run, settle
from shared.process.settings import SettingsError
from shared.redis import bus, keys, known_secret, start
from shared.redis.recipients import Recipients
from shared.redis.redis import RedisAway
from shared.redis.suppression import SuppressionList
from shared.redis.targets import Targets
from shared.words import events
from shared.words.erased import ErasureKeys

ANSWERS = Gauge("estafette_contacts_database_answers", "1 while PostgreSQL answers and has its tables, else 0")

#: Between two looks for a database that is away.
RETRY_SECONDS = 0.5
#: And at one that answers.
WATCH_SECONDS = 5.0
#: And before it is said again that there are contacts, which counts for an hour.
HERE_SECONDS = 60.0


async def main(life: Lifecycle) -> None:
    mine = life.settings.of(own.Contacts)
    if not mine.url:
        raise SettingsError(["contacts.url: there are no contacts as long as it is empty"])
    secret = master_secret.load(life.settings)
    client = start.connect(life)
    database = Database(mine.url, mine.connections, mine.statement_seconds)
    life.push_close(database.close)
    partitions = life.settings.redis.partitions
    keys_of_erasures = ErasureKeys(secret.current, secret.previous)
    behaviour = Behaviour(database, JobsInRedis(client, partitions), _rule(mine))
    following = Following(database, Recipients(client, partitions), keys_of_erasures, behaviour)
    # Named by the host: after a crash the process finds at once what it had in hand.
    consumer = bus.Consumer(
        client,
        partitions,
        keys.events,
        keys.GROUP_CONTACTS,
        socket.gethostname(),
        following.apply,
        batch=BATCH,
        gather_ms=GATHER_MS,
        passes=events.MESSAGES.keys() - NAMES,
    )

    imports, rank, risk = Imports(database), Rank(database), Risk(database)
    telling = Telling(database, start.publisher(client, life.settings))

    async def watch() -> None:
        while not life.stopping.is_set():
            await _answers(life, database)
            with suppress(DatabaseAway):  # `_answers` tells of it
                await watching.look(database, imports, rank, risk, telling, now_ms())
            await pause(life.stopping, WATCH_SECONDS)

    targets = Targets(client, partitions)
    stating = Stating(database, start.publisher(client, life.settings), SuppressionList(client, partitions, now_ms))
    async with life.serving(mine.metrics_port):
        if not await start.is_ours(life, client) or not await known_secret.is_known(life, client, secret):
            return
        # Before all else: what happens from now on waits, for as long as PostgreSQL is away.
        await consumer.create_groups()
        life.spawn(_tell_here(life, targets), "telling that there are contacts")
        if not await _is_made(life, database):
            return
        life.spawn(consumer.run(life.stopping), "following")
        life.spawn(watch(), "watching postgresql")
        life.spawn(Targeting(database, targets, partitions, now_ms).work(life.stopping), "handing contacts over")
        life.spawn(Importing(imports, Writer(database)).work(life.stopping), "importing contacts")
        life.spawn(stating.work(life.stopping), "telling suppression what contacts say")
        life.spawn(telling.work(life.stopping), "telling of contacts")
        life.spawn(looking.work(risk, now_ms, life.stopping), "looking for contacts at risk")
        life.spawn(ranking.work(rank, now_ms, life.stopping), "ranking contacts")
        settle()
        await life.stopping.wait()


async def _tell_here(life: Lifecycle, targets: Targets) -> None:
    """Jobs may be sent to contacts, and wait for them while PostgreSQL is away."""
    while not life.stopping.is_set():
        with suppress(RedisAway):
            await targets.tell_here()
        await pause(life.stopping, HERE_SECONDS)


def _rule(mine: own.Contacts) -> Rule:
    return Rule(mine.soon_ms, mine.burst_links, mine.burst_ms)


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
        ANSWERS.set(1)
        life.ready()
        return True
    return False


async def _answers(life: Lifecycle, database: Database) -> None:
    try:
        await database.check()
    except DatabaseAway as away:
        ANSWERS.set(0)
        life.not_ready(f"postgresql: {away}")
    else:
        ANSWERS.set(1)
        life.ready()


if __name__ == "__main__":
    run(main, "contacts", read)

"""A copy of a base, put back into an empty database, is the base: it is read, written to, and followed again."""

import subprocess
from pathlib import Path

from services.contacts import migrating
from services.contacts.base.database import Database
from services.contacts.contacts import Contacts, Given
from services.contacts.person import Person
from services.local import postgres_server
from shared.words import events
from tests.postgres.test_following import ANA, BO, House, entry
from tests.servers import PostgresServer


def ran(program: str, *words: str) -> None:
    programs = postgres_server.find(Path("nowhere")).programs
    subprocess.run([programs / program, *words], check=True, capture_output=True, timeout=120)


async def test_a_copy_is_put_back_and_what_happened_since_is_followed_once(
    empty: Database, postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    await migrating.migrate(empty, migrating.steps())
    house = House(empty)
    await house.add(ANA, BO)
    before = [
        entry(events.Delivered, 1, job="j", ordinal=0),
        entry(events.Bounced, 2, kind="soft", reply="452 full", email=BO),
    ]
    since = entry(events.Unsubscribed, 3, email=ANA)
    await house.apply(*before)
    dump = str(tmp_path / "contacts.dump")
    again = await postgres_server.new()

    ran("pg_dump", "--format=custom", "--no-owner", f"--file={dump}", postgres_url)
    ran("pg_restore", "--no-owner", "--single-transaction", "--exit-on-error", f"--dbname={again}", dump)

    database = Database(again, 4, 30)
    assert await migrating.migrate(database, migrating.steps()) == []
    back = House(database)
    assert [await back.state(one) for one in (ANA, BO)] == [await house.state(one) for one in (ANA, BO)]
    await back.apply(*before, since)  # the readers were set back
    (ana,) = await Person(database).kept("acme", ANA)
    assert (ana.channels["email"].left, [one.what for one in ana.moments]) == (True, ["unsubscribed", "delivered"])
    assert (await back.state(BO)).softs == 1
    outcome = await Contacts(database).put("acme", Given("cy@exemple.fr"), "api")
    assert (outcome.result, outcome.contact and outcome.contact.number) == ("added", 3)
    await database.close()
    await postgres_server.drop(again)

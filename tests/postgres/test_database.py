"""The pool, against a real PostgreSQL that is stopped, killed, full of connections, and not for us."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from services.contacts.base.database import Conflict, Database, DatabaseAway, NotLetIn
from tests.servers import PostgresServer, free_port


async def test_what_was_asked_in_a_transaction_that_fails_did_not_happen(empty: Database) -> None:
    async with empty.connection() as sql:
        await sql.execute("CREATE TABLE seen (word text PRIMARY KEY)")

    async def twice() -> None:
        async with empty.transaction() as sql:
            await sql.execute("INSERT INTO seen VALUES ($1)", "one")
            await sql.execute("INSERT INTO seen VALUES ($1)", "one")

    with pytest.raises(Conflict):
        await twice()

    async with empty.connection() as sql:
        assert await sql.fetchval("SELECT count(*) FROM seen") == 0


async def test_a_server_that_is_not_there_is_away() -> None:
    database = Database(f"postgresql://estafette:x@127.0.0.1:{free_port()}/estafette", 2, 30)

    with pytest.raises(DatabaseAway) as told:
        await database.check()

    assert told.value.why == "connection"


async def test_a_wrong_password_and_a_missing_database_are_told_as_they_are(postgres_server: PostgresServer) -> None:
    server, _, _ = postgres_server.url.rpartition("/")
    host = server.rpartition("@")[2]

    with pytest.raises(NotLetIn, match="not let in: password authentication failed"):
        await Database(f"postgresql://estafette:wrong@{host}/estafette", 2, 30).check()
    with pytest.raises(NotLetIn, match="no such database"):
        await Database(f"{server}/nowhere", 2, 30).check()


async def test_a_server_that_is_killed_is_away_and_the_pool_goes_on_when_it_is_back(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path)
    server.start()
    database = Database(server.url, 2, 30)

    async def killed() -> None:
        async with database.connection() as sql:
            server.kill()
            await sql.fetchval("SELECT pg_sleep(60)")

    try:
        async with database.connection() as sql:
            await sql.execute("CREATE TABLE kept (word text)")
            await sql.execute("INSERT INTO kept VALUES ($1)", "was answered")
        with pytest.raises(DatabaseAway):
            await killed()
        with pytest.raises(DatabaseAway):
            await database.check()

        server.start()

        async with database.connection() as sql:
            assert await sql.fetchval("SELECT word FROM kept") == "was answered"
    finally:
        await database.close()
        server.stop()


async def test_a_statement_that_takes_too_long_is_given_up_by_the_server(postgres_url: str) -> None:
    database = Database(postgres_url, 2, 0.1)

    with pytest.raises(DatabaseAway) as told:
        async with database.connection() as sql:
            await sql.fetchval("SELECT pg_sleep(60)")

    assert told.value.why == "stopping"
    await database.close()


async def test_more_at_a_time_than_there_are_connections_wait_for_their_turn(postgres_url: str) -> None:
    database = Database(postgres_url, 2, 30)

    async def one() -> int:
        async with database.connection() as sql:
            return int(await sql.fetchval("SELECT pg_backend_pid() FROM pg_sleep(0.01)"))

    pids = await asyncio.gather(*(one() for _ in range(20)))

    assert len(set(pids)) == 2
    await database.close()


async def test_our_own_faults_stay_what_they_are(empty: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with empty.connection() as sql:
            await sql.fetchval("SELECT 1 FROM nowhere")

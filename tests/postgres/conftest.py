"""Fixtures of tests against a real PostgreSQL: an empty database each."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from services.contacts import migrating
from services.contacts.base.database import Database
from tests.servers import PostgresServer


@pytest.fixture
async def empty(postgres_url: str) -> AsyncIterator[Database]:
    """A pool of a database with nothing in it."""
    database = Database(postgres_url, 8, 30)
    yield database
    await database.close()


@pytest.fixture
def made_url(postgres_server: PostgresServer) -> Iterator[str]:
    """`postgresql://…` of a database with all tables, for examples that each have a loop of their own."""

    async def make() -> str:
        url = await postgres_server.new()
        database = Database(url, 2, 30)
        await migrating.migrate(database, migrating.steps())
        await database.close()
        return url

    url = asyncio.run(make())
    yield url
    asyncio.run(postgres_server.drop(url))

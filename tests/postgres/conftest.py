"""Fixtures of tests against a real PostgreSQL: an empty database each."""

from collections.abc import AsyncIterator

import pytest

from services.contacts.database import Database


@pytest.fixture
async def empty(postgres_url: str) -> AsyncIterator[Database]:
    """A pool of a database with nothing in it."""
    database = Database(postgres_url, 8, 30)
    yield database
    await database.close()

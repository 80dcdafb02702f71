"""What the tests of this folder share."""

from collections.abc import AsyncIterator

import pytest

from shared.redis import redis


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[redis.Client]:
    """A client of an empty Redis; the test runs against one server, then against the cluster."""
    client = redis.connect(any_redis_url)
    yield client
    await redis.close(client)

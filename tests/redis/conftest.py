"""What the tests of this folder share."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.redis import redis
from tests.servers import RedisServer


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[redis.Client]:
    """A client of an empty Redis; the test runs against one server, then against the cluster."""
    client = redis.connect(any_redis_url)
    yield client
    await redis.close(client)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone, that it may stop and kill."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGCONT)
        server.stop()

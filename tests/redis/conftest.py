"""What the tests of this folder share."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.tracking import abouts, tracking
from shared.redis import redis
from tests.servers import RedisServer

# The product's limits on what somebody waits for; those inside of the tests are longer, like that of the client. A test
# of what a page says waits for a disk that takes a second; what it says without a Redis is asked of one that is killed.
abouts.LOOK_UP_S = abouts.LEAVING_S = tracking.LOAD_S = tracking.UNMARKED_S = redis.SOCKET_TIMEOUT_S


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

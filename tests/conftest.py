"""Fixtures that all tests share: a real Redis, and a real cluster of three, empty at each test's start."""

from collections.abc import Iterator

import pytest
import structlog

from tests.servers import RedisCluster, RedisServer

# What a failing test shows of the logs is lines, not pages of rendered tracebacks.
structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests of this process. A test that kills its server makes its own `RedisServer`."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """`redis://…` of a server with nothing in it."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def cluster_url(redis_cluster: RedisCluster) -> str:
    """`redis+cluster://…` of a cluster with nothing in it."""
    redis_cluster.flush()
    return redis_cluster.url


@pytest.fixture(params=["single", "cluster"])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """The test runs against one server, then against the cluster."""
    url: str = request.getfixturevalue("redis_url" if request.param == "single" else "cluster_url")
    return url

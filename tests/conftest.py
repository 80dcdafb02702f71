"""Fixtures that all tests share: a real Redis, and a real cluster of three, empty at each test's start. And a reader of
all that any test logs, which fails the run where a secret stands in it."""

import logging
import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from shared.redis import redis
from tests import secrets_in_logs
from tests.servers import PostgresServer, RedisCluster, RedisServer

#: The product's; that of clients inside of the tests is longer. Where a disk takes six seconds for an fsync, a test of
#: what was written waits for it; what a service does with a Redis that is away is asked of one that is killed, stopped
#: or full.
SOCKET_TIMEOUT_S = redis.SOCKET_TIMEOUT_S
redis.SOCKET_TIMEOUT_S = 60.0

#: Folders of tests by how long one of their files takes.
_LONGEST_FIRST = ("flows", "peers", "redis", "edges")
#: On Linux a disk in memory, and what all tests together may need of it.
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 2 << 30

# How long an example takes is the machine's, and no test is about that.
settings.register_profile("estafette", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("estafette")

_in_process = secrets_in_logs.InProcess()

# What a failing test shows of the logs is lines, as a process writes them, not pages of rendered tracebacks.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        secrets_in_logs.rendered,
    ],
    wrapper_class=_in_process.structlog_wrapper(),
)


def pytest_configure(config: pytest.Config) -> None:
    """What tests write is in memory where there is room for it, unless `--basetemp` names a place: Redis waits for its
    disk at every write, so on a slow one each lease and time-out of a test would be measured against the disk."""
    if _memory_has_room():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    # Else pytest-xdist begins with the files that have the most tests: those that take a minute for each come last.
    config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole instances first, small tests last: so no worker is left alone with a long file in the end."""
    here = Path(__file__).parent
    folders = {folder: place for place, folder in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: folders.get(item.path.relative_to(here).parts[0], len(folders)))


def _memory_has_room() -> bool:
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return False
    may_run_programs = not found.f_flag & os.ST_NOEXEC
    return may_run_programs and found.f_bavail * found.f_frsize >= _ROOM_BYTES and os.access(_MEMORY, os.W_OK)


@pytest.fixture(scope="session", autouse=True)
def no_log_of_any_test_has_a_secret_in_it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In every worker: what was logged in its process, and what the processes logged that its tests started."""
    handler = secrets_in_logs.OfLibraries(_in_process)
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    assert _in_process.places == []
    assert secrets_in_logs.found(tmp_path_factory.getbasetemp()) == []


@pytest.fixture(autouse=True)
def what_is_written_next_is_as_open_as_before() -> Iterator[None]:
    """A command that is run in the test's own process closes what is written from then on to others (`umask`)."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What went to stderr in a test: there write the processes beside a service that it starts in its own."""
    report = yield
    if report.when == "teardown":
        for name, text in report.sections:
            if name.startswith("Captured stderr"):
                for line in text.encode("utf-8", "replace").splitlines():
                    _in_process.line(line, "stderr")
    return report


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


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for all tests of this process. A test that kills its server makes its own `PostgresServer`."""
    server = PostgresServer(tmp_path_factory.mktemp("postgresql"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """`postgresql://…` of a database with nothing in it."""
    url = await postgres_server.new()
    yield url
    await postgres_server.drop(url)


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

"""A Redis that is several servers: the master that Sentinels name, also after a fail-over, and a cluster behind TLS."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as library

from shared.redis import redis
from tests.fakes.certificates import Authority
from tests.servers import RedisServer, free_port, missing, need, stop

PASSWORD = "p@ss/word"
ENCODED = "p%40ss%2Fword"
#: Of a Sentinel.
OTHER = "another"
ECHO = redis.Script("return {redis.call('SET', KEYS[1], ARGV[1]), redis.call('GET', KEYS[1])}")
#: A sentinel takes a master that is silent for so long for dead.
DOWN_MS = 500
PATIENCE_S = 60.0


@contextmanager
def sentinel(directory: Path, master: RedisServer, *options: str, password: str = "") -> Iterator[int]:
    """One that alone decides; its port. It has found the replica. `options`: more lines of its file; `password`: its
    own, if it has one."""
    port = free_port()
    file = directory / "sentinel.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
        f"sentinel monitor main 127.0.0.1 {master.port} 1\nsentinel down-after-milliseconds main {DOWN_MS}\n"
        "sentinel failover-timeout main 3000\n" + "".join(f"{line}\n" for line in options)
    )
    process = subprocess.Popen(
        [need("redis-server"), str(file), "--sentinel"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        with library.Redis(port=port, password=password or None) as asked:
            client: Any = asked
            until(lambda: client.sentinel_master("main")["num-slaves"] == 1)
        yield port
    finally:
        stop(process)


def until(is_so: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if is_so():
                return
        except (library.RedisError, KeyError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica, which has all that it has."""
    master = RedisServer(tmp_path / "master")
    master.start()
    replica = RedisServer(tmp_path / "replica", "--replicaof", "127.0.0.1", str(master.port))
    replica.start()
    with replica.client() as client:
        until(lambda: client.info("replication")["master_link_status"] == "up")
    yield master, replica
    master.stop()
    replica.stop()


async def test_the_master_that_sentinels_name_is_found_again_after_a_failover(
    pair: tuple[RedisServer, RedisServer], tmp_path: Path
) -> None:
    master, replica = pair
    with sentinel(tmp_path, master) as port:
        # The first one asked is not there.
        client = redis.connect(f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/main/0")
        try:
            assert await ECHO(client, ["{a}k"], ["before"]) == [b"OK", b"before"]
            with replica.client() as other:
                until(lambda: other.get("{a}k") == b"before")

            master.kill()
            with pytest.raises(redis.RedisAway):
                await client.get("{a}k")

            async with asyncio.timeout(PATIENCE_S):
                while True:
                    try:
                        # The new master does not know the script yet.
                        assert await ECHO(client, ["{a}l"], ["after"]) == [b"OK", b"after"]
                        break
                    except redis.RedisAway:
                        await asyncio.sleep(0.05)
            assert await client.get("{a}k") == b"before"
            assert (await redis.durability(client))[0] is True
        finally:
            await redis.close(client)


async def test_a_master_that_no_sentinel_knows_is_away(pair: tuple[RedisServer, RedisServer], tmp_path: Path) -> None:
    with sentinel(tmp_path, pair[0]) as port:
        client = redis.connect(f"redis+sentinel://127.0.0.1:{port}/another")
        try:
            with pytest.raises(redis.RedisAway, match="another"):
                await client.get("{a}k")
        finally:
            await redis.close(client)


@contextmanager
def guarded_pair(pair: tuple[RedisServer, RedisServer], directory: Path) -> Iterator[str]:
    """A master and a Sentinel, each with a password of its own: what stands between `redis+sentinel://:…@` and the
    end."""
    with sentinel(directory, pair[0], f"requirepass {OTHER}", password=OTHER) as port:
        with library.Redis(port=port, password=OTHER) as asked:
            asked.execute_command("SENTINEL", "SET", "main", "auth-pass", PASSWORD)
        for server in pair:
            with server.client() as client:
                client.config_set("masterauth", PASSWORD)
                client.config_set("requirepass", PASSWORD)
        yield f"127.0.0.1:{port}/main"


async def test_sentinels_and_servers_have_each_their_password(
    pair: tuple[RedisServer, RedisServer], tmp_path: Path
) -> None:
    with guarded_pair(pair, tmp_path) as place:
        client = redis.connect(f"redis+sentinel://:{ENCODED}@{place}?sentinel_password={OTHER}")
        try:
            assert await ECHO(client, ["{a}k"], ["here"]) == [b"OK", b"here"]
        finally:
            await redis.close(client)


@pytest.mark.parametrize(
    ("userinfo", "behind", "said"),
    [
        (f":{ENCODED}@", "", "the Sentinels let nobody in so: see sentinel_user and sentinel_password"),
        (f":{ENCODED}@", "?sentinel_password=no", "the Sentinels let nobody in so"),
        (":no@", f"?sentinel_password={OTHER}", "Redis takes no such user or password"),
        ("", f"?sentinel_password={OTHER}", "Redis wants a password"),
    ],
    ids=["none for the Sentinels", "a wrong one for the Sentinels", "a wrong one for the master", "none for it"],
)
async def test_it_is_said_which_of_the_two_passwords_is_wrong(
    pair: tuple[RedisServer, RedisServer], tmp_path: Path, userinfo: str, behind: str, said: str
) -> None:
    with guarded_pair(pair, tmp_path) as place:
        client = redis.connect(f"redis+sentinel://{userinfo}{place}{behind}")
        try:
            with pytest.raises(redis.NotLetIn, match=said):
                await client.get("{a}k")
        finally:
            await redis.close(client)


async def test_sentinels_are_reached_over_tls_and_the_master_without(
    pair: tuple[RedisServer, RedisServer], tmp_path: Path
) -> None:
    authority = Authority()
    certificate, key = authority.issue("localhost", addresses=("127.0.0.1",)).write(tmp_path)
    tls_port, ca_file = free_port(), authority.write(tmp_path)
    tls = (f"tls-port {tls_port}", f"tls-cert-file {certificate}", f"tls-key-file {key}", "tls-auth-clients no")
    with sentinel(tmp_path, pair[0], *tls, f"tls-ca-cert-file {ca_file}"):
        place = f"127.0.0.1:{tls_port}/main?sentinel_tls=yes&ssl_ca_certs={ca_file}"
        client = redis.connect(f"redis+sentinel://{place}")
        try:
            assert await ECHO(client, ["{a}k"], ["here"]) == [b"OK", b"here"]
        finally:
            await redis.close(client)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """The port of a cluster of one node that speaks TLS alone and wants a password, and the file of its authority."""
    authority = Authority()
    certificate, key = authority.issue("localhost", addresses=("127.0.0.1",)).write(tmp_path)
    port = free_port(also_plus=10_000)
    command = [
        need("redis-server"), "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path),
        "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", authority.write(tmp_path),
        "--tls-auth-clients", "no", "--tls-cluster", "yes", "--cluster-enabled", "yes", "--requirepass", PASSWORD,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        ca_file = str(tmp_path / "authority.pem")
        with library.Redis(port=port, password=PASSWORD, ssl=True, ssl_ca_certs=ca_file) as client:
            deadline = time.monotonic() + PATIENCE_S
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    client.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
                    until(lambda: b"cluster_state:ok" in raw(client.execute_command("CLUSTER INFO")))
                    break
                except library.ConnectionError:
                    time.sleep(0.05)
        if process.poll() is not None:
            missing("a redis-server with TLS")
        yield port, ca_file
    finally:
        stop(process)


def raw(info: Any) -> bytes:
    return f"cluster_state:{info['cluster_state']}".encode() if isinstance(info, dict) else bytes(info)


async def test_a_cluster_is_reached_over_tls_with_a_password(guarded: tuple[int, str]) -> None:
    port, ca_file = guarded
    client = redis.connect(f"rediss+cluster://:{ENCODED}@127.0.0.1:{port}?ssl_ca_certs={ca_file}")
    try:
        assert await ECHO(client, ["{a}k"], ["here"]) == [b"OK", b"here"]
        assert await client.get("{a}k") == b"here"
    finally:
        await redis.close(client)


@pytest.mark.parametrize(
    ("userinfo", "behind", "is_let_in"),
    [(":no@", "?ssl_ca_certs={ca_file}", False), (f":{ENCODED}@", "", True)],
    ids=["another password", "an authority that is not believed"],
)
async def test_who_is_not_let_in_and_who_does_not_believe_it_has_no_redis(
    guarded: tuple[int, str], userinfo: str, behind: str, is_let_in: bool
) -> None:
    port, ca_file = guarded
    client = redis.connect(f"rediss+cluster://{userinfo}127.0.0.1:{port}{behind.format(ca_file=ca_file)}")
    try:
        with pytest.raises(redis.RedisAway) as raised:
            await client.get("{a}k")
    finally:
        await redis.close(client)

    assert isinstance(raised.value, redis.NotLetIn) is not is_let_in, raised.value

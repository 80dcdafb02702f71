"""The servers that tests stand on are what they claim to be."""

from pathlib import Path

import pytest

from shared.redis import redis
from tests.servers import RedisServer, need


async def test_a_client_reaches_one_server_and_a_cluster(any_redis_url: str) -> None:
    client = redis.connect(any_redis_url)
    try:
        assert await client.get("{a}") is None  # flushed, for each of the two
        await client.set("{a}", "1")
        await client.set("{b}", "2")
        assert (await client.get("{a}"), await client.get("{b}")) == (b"1", b"2")
    finally:
        await redis.close(client)


def test_a_killed_server_comes_back_on_its_port_with_what_it_acknowledged(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        with server.client() as client:
            client.set("a", "1")
        server.kill()
        server.start()

        with server.client() as client:
            assert client.get("a") == b"1"
    finally:
        server.stop()


def test_a_missing_program_skips_on_a_laptop_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception):
        need("no-such-program")

    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        need("no-such-program")

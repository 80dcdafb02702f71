"""A running instance whose data is gone, or another's, says so, and goes on when an operator accepts it."""

import shutil
from pathlib import Path

import aiohttp
import pytest
import redis

from tests.flows.stack import Stack
from tests.servers import RedisServer


async def reason(stack: Stack) -> str:
    status, body = await stack.call("GET", "/readyz")
    return f"{status} {body.decode() if isinstance(body, bytes) else body}"


@pytest.mark.parametrize("command", ["flushall", "flushdb"])
async def test_data_that_is_gone_stays_gone_when_services_start_again(tmp_path: Path, command: str) -> None:
    async with Stack.running(tmp_path) as stack:
        with redis.Redis.from_url((tmp_path / "redis.url").read_text().strip()) as client:
            getattr(client, command)()

            async def told() -> bool:
                return "is gone from redis" in await reason(stack)

            await stack.until(told)
            for name in ("suppression", "queueing", "http"):
                old = stack.kill(name)

                async def back(name: str = name, old: int = old) -> bool:
                    try:
                        return stack.pid_of(name) != old and (await told())
                    except (LookupError, OSError):
                        return False

                await stack.until(back)
            assert not client.exists("est:{meta}:installation")
        assert "accepted" in await stack.console("installation", "accept")
        await stack.until(stack.is_ready)


async def test_the_redis_of_another_installation_is_not_worked_on(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    environ = {"ESTAFETTE_REDIS_URL": server.url}
    try:
        async with Stack.running(tmp_path / "a", environ):
            pass
        with server.client() as client:
            client.flushall()
        (tmp_path / "b").mkdir(mode=0o700)
        # The master secret is another matter (`test_known_secret`).
        shutil.copy(tmp_path / "a" / "secret.key", tmp_path / "b" / "secret.key")
        async with Stack.running(tmp_path / "b", environ) as other:
            assert (await other.console("installation", "show")).strip()

        stack = Stack(tmp_path / "a", environ)
        stack._process = stack._spawn()
        stack._session = aiohttp.ClientSession()
        try:

            async def told() -> bool:
                try:
                    return "data of another installation" in await reason(stack)
                except aiohttp.ClientError:
                    return False

            await stack.until(told)
            assert "data of another installation" in (tmp_path / "a" / "run.log").read_text()
            await stack.console("installation", "accept")
            await stack.until(stack.is_ready)
        finally:
            await stack.stop()
    finally:
        server.stop()

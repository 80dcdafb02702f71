"""Commands reach a server whole however large they are, and one that does not read is away after the time-out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from redis.asyncio.connection import Connection

from shared.redis import redis
from shared.redis.redis import RedisAway, answer

RUNNERS = [asyncio.run, uvloop.run]


async def serving(read: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> asyncio.Server:
    return await asyncio.start_server(read, "127.0.0.1", 0)


@pytest.mark.parametrize("run", RUNNERS)
def test_a_command_is_what_the_library_would_write(run: Callable[..., None]) -> None:
    async def test() -> None:
        client: Any = redis.connect("redis://127.0.0.1:1/0")
        connection = client.connection_pool.make_connection()
        command = ("CONFIG GET", b"\x00\xff", "caf\u00e9", 7, -1, 2.5, "", b"x" * 100_000)

        packed = b"".join(connection.pack_command(*command))

        assert packed == b"".join(Connection().pack_command(*command))
        await redis.close(client)

    run(test())


@pytest.mark.parametrize("run", RUNNERS)
def test_a_server_that_does_not_read_is_away(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "SOCKET_TIMEOUT_S", 0.3)

    async def test() -> None:
        ended = asyncio.Event()

        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\n")
            while b"SET" not in head:  # it answers to what a client says of itself at first, and then sleeps
                writer.write(b"+OK\r\n" if head.startswith(b"*") else b"")
                head = await reader.readuntil(b"\n")
            await ended.wait()
            writer.close()

        server = await serving(read)
        client: Any = redis.connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        try:
            with pytest.raises(RedisAway):
                await answer(client.set("key", b"x" * 50_000_000))
        finally:
            ended.set()
            await redis.close(client)
            server.close()

    run(test())


@pytest.mark.parametrize("run", RUNNERS)
def test_a_server_that_is_gone_is_away(run: Callable[..., None]) -> None:
    async def test() -> None:
        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await serving(read)
        client: Any = redis.connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        for _ in range(3):
            with pytest.raises(RedisAway):
                await answer(client.set("key", b"x"))
        await redis.close(client)
        server.close()

    run(test())


@pytest.mark.parametrize("run", RUNNERS)
def test_a_connection_that_is_closed_while_it_is_used_is_a_server_that_is_away(run: Callable[..., None]) -> None:
    async def test() -> None:
        with pytest.raises(RedisAway):
            await answer(Connection()._send_packed_command([b"PING"]))

    run(test())


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize("how", ["abort", "close"])
def test_what_is_closed_before_it_is_written_to_is_a_server_that_is_away(run: Callable[..., None], how: str) -> None:
    async def test() -> None:
        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readline():
                writer.write(b"+OK\r\n")
            writer.close()

        server = await serving(read)
        client: Any = redis.connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        for pause_s in (0, 0.01):  # closing, and closed
            connection = await client.connection_pool.get_connection()
            getattr(connection._writer.transport, how)()
            await asyncio.sleep(pause_s)
            with pytest.raises(RedisAway):
                await answer(connection.send_command("PING"))
            await client.connection_pool.release(connection)
        await redis.close(client)
        server.close()

    run(test())


def test_a_fault_of_ours_is_told_as_it_is() -> None:
    async def fault() -> None:
        asyncio.nothing_of_the_kind  # type: ignore[attr-defined]  # noqa: B018

    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        asyncio.run(answer(fault()))

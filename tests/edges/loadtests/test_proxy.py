"""The proxy that makes a host far away changes nothing of what goes over it."""

import asyncio
import random
from contextlib import suppress

from loadtests.proxy import serve
from tests.servers import free_port

SIZE_BYTES = 3_000_000


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Once the proxy listens."""
    async with asyncio.timeout(60):
        while True:
            with suppress(ConnectionRefusedError):
                return await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(0.01)


async def test_every_byte_arrives_in_order_both_ways_and_so_does_the_end() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(10_000):
            writer.write(chunk)
        writer.close()

    host = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = free_port()
    proxy = asyncio.create_task(serve(port, host.sockets[0].getsockname()[1], 0.001))
    sent = random.Random(1).randbytes(SIZE_BYTES)
    reader, writer = await connected(port)

    writer.write(sent)
    received = await reader.readexactly(SIZE_BYTES)
    writer.close()
    await writer.wait_closed()

    assert received == sent
    proxy.cancel()
    await asyncio.gather(proxy, return_exceptions=True)
    host.close()
    await asyncio.sleep(0.05)  # until both ends have seen it


async def test_a_host_that_hangs_up_is_seen_to() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 not today\r\n")
        writer.close()

    host = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = free_port()
    proxy = asyncio.create_task(serve(port, host.sockets[0].getsockname()[1], 0.001))
    reader, writer = await connected(port)

    assert await reader.read() == b"554 not today\r\n"
    writer.close()
    await writer.wait_closed()
    proxy.cancel()
    await asyncio.gather(proxy, return_exceptions=True)
    host.close()
    await asyncio.sleep(0.05)  # until both ends have seen it

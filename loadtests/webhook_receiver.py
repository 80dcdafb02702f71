"""A receiver of webhooks that costs as little as one in Python can: it answers 204 to `/taken`, and to `/hangs` never.

    python -m loadtests.webhook_receiver      prints its port

`GET /count` tells how many requests and bytes of bodies it has taken. Verifying is for tests: here it would be measured
with the sender.
"""

import asyncio
from typing import cast

import uvloop

_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


class Counts:
    requests = 0
    body_bytes = 0


class Receiver(asyncio.Protocol):
    """One connection."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._got = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._got += data
        while (head_ends := self._got.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._got[:head_ends]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
            if len(self._got) < head_ends + 4 + length:
                return
            del self._got[: head_ends + 4 + length]
            self._answer(head, length)

    def _answer(self, head: bytes, length: int) -> None:
        counts = self._counts
        if head.startswith(b"get"):
            said = b"%d %d" % (counts.requests, counts.body_bytes)
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        elif head.startswith(b"post /taken"):
            counts.requests += 1
            counts.body_bytes += length
            self._transport.write(_TAKEN)


async def main() -> None:
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(counts), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())

"""A TCP proxy that makes a host far away: what goes in comes out, in order, a fixed time later.

    python -m loadtests.proxy --listen 2600 --to 2601 [--each-way-ms 25]

It delays and does nothing else: it reads on at once and keeps as many bytes on their way as there are, so the distance
does not limit how much goes over it. Opening a connection costs no time, which is less than a real distance would; what
is measured through it is what goes over connections that are open.
"""

import argparse
import asyncio
from collections import deque
from typing import cast

import uvloop


class Way(asyncio.Protocol):
    """One direction: takes what comes from its own transport, and writes it to `to` when its time has come."""

    def __init__(self, delay_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay_s = delay_s
        #: When each piece is due, and the piece; None is the end.
        self._underway: deque[tuple[float, bytes | None]] = deque()
        self.transport: asyncio.Transport | None = None
        self.to: Way | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.to is not None:
            self.to.arrive()

    def data_received(self, data: bytes) -> None:
        self._send(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._send(None)

    def _send(self, piece: bytes | None) -> None:
        self._underway.append((self._loop.time() + self._delay_s, piece))
        if len(self._underway) == 1:
            self._loop.call_later(self._delay_s, self.arrive)

    def arrive(self) -> None:
        """Writes what is due, and looks again when the next piece is."""
        peer = self.to.transport if self.to is not None else None
        if peer is None:  # still being dialled; it asks when it is there
            return
        now = self._loop.time()
        while self._underway and self._underway[0][0] <= now:
            _, piece = self._underway.popleft()
            if piece is None:
                peer.close()
            else:
                peer.write(piece)
        if self._underway:
            self._loop.call_at(self._underway[0][0], self.arrive)


async def serve(listen: int, to: int, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    ways: list[Way] = []
    dials: set[asyncio.Task[None]] = set()

    async def dial(near: Way) -> None:
        far = Way(delay_s)
        far.to, near.to = near, far
        ways.append(far)
        try:
            await loop.create_connection(lambda: far, "127.0.0.1", to)
        except OSError:
            if near.transport is not None:
                near.transport.abort()

    def accepted() -> Way:
        near = Way(delay_s)
        ways.append(near)
        dialling = loop.create_task(dial(near))
        dials.add(dialling)
        dialling.add_done_callback(dials.discard)
        return near

    server = await loop.create_server(accepted, "127.0.0.1", listen)
    try:
        await server.serve_forever()
    finally:
        for way in ways:
            if way.transport is not None:
                way.transport.abort()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--each-way-ms", type=float, default=25.0)
    options = parser.parse_args()
    uvloop.run(serve(options.listen, options.to, options.each_way_ms / 1000))


if __name__ == "__main__":
    main()

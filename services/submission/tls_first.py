"""Listens where TLS comes first (RFC 8314): a handshake, then a session that is encrypted from its greeting on.

The loop's own server would tell nobody of a handshake that is under way: a peer that begins many and ends none would be
bounded by the open files of the process. Here as many as there may be sessions are under way, and each newcomer beyond
ends the oldest one. The certificate is asked for at each, so that a new one is shown at once.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable

from shared.net.smtp_in import HANDSHAKE_S, Tls


class Door:
    """Listens from `open` to `close`; `port` is the real one where 0 was asked for. `session` makes the protocol of one
    connection, and `failed` is told of each handshake that came to nothing."""

    def __init__(
        self,
        host: str,
        port: int,
        session: Callable[[], asyncio.Protocol],
        tls: Tls,
        failed: Callable[[], None],
        most: int,
    ) -> None:
        self._host = host
        self.port = port
        self._session = session
        self._tls = tls
        self._failed = failed
        self._most = most
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: dict[asyncio.Task[None], None] = {}

    async def open(self) -> None:
        """OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host or None, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        listening = self._listening = socket.socket(family, kind)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
        listening.listen(100)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._accepting = loop.create_task(self._accept(listening), name="accepting")

    async def close(self) -> None:
        """Of what is under way too; sessions are their listener's."""
        tasks = [*self._handshakes, *([self._accepting] if self._accepting is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError:  # the peer is gone already, or files are used up
                await asyncio.sleep(0.1)
                continue
            if len(self._handshakes) >= self._most:
                next(iter(self._handshakes)).cancel()
            task = loop.create_task(self._shake(connection), name="handshake")
            self._handshakes[task] = None
            task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    async def _shake(self, connection: socket.socket) -> None:
        context: ssl.SSLContext | None = self._tls()
        if context is None:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._session, connection, ssl=context, ssl_handshake_timeout=HANDSHAKE_S
            )
        except (OSError, EOFError):
            self._failed()
        except asyncio.CancelledError:
            self._failed()
            raise

"""How mail is taken in by LMTP (RFC 2033): from a mail server in front of us, which has a queue of its own.

The same protocol as `smtp_in`, with the differences that make it LMTP: LHLO greets, and the final dot is answered once
for each recipient that was taken. Every reply has an enhanced status code (RFC 2034), which RFC 2033 section 4.2 asks
for.

Who speaks LMTP to us is one of ours, so that one peer may hold all sessions, and is believed when it says whose
connection it was that brought it the mail (Postfix' XFORWARD, of which ADDR is heeded, for one mail).

It is listened to at a port, or at a socket in a folder of this machine, whose rights say who may reach it.
"""

import asyncio
import re
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, AnyStr

from aiosmtpd.smtp import syntax

from shared.net import smtp_in
from shared.net.peers import is_address
from shared.net.smtp_in import Bounds, Watch

_STATUS = re.compile(rb"([245])[0-9]{2}([ -])(?![245]\.[0-9]{1,3}\.[0-9]{1,3} )")


class Listener(smtp_in.Listener):
    """Listens from `open` to `close` at that place (`places.place_of`)."""

    def __init__(
        self, hooks: Any, place: tuple[str, int] | Path, *, hostname: str, ident: str, bounds: Bounds, watch: Watch
    ) -> None:
        host, port = ("", 0) if isinstance(place, Path) else place
        super().__init__(hooks, host, port, hostname=hostname, ident=ident, bounds=bounds, watch=watch)
        self._path = place if isinstance(place, Path) else None
        self._inode = 0

    async def open(self) -> None:
        """OSError when the port or the path is taken."""
        loop = asyncio.get_running_loop()
        if self._path is None:
            self._server = await loop.create_server(lambda: self._session(Connection, loop), self._host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]
            return
        _clear(self._path)
        self._server = await loop.create_unix_server(lambda: self._session(Connection, loop), str(self._path))
        self._path.chmod(0o666)  # the folder says who may reach it
        self._inode = self._path.stat().st_ino

    async def close(self, *, finish_data: bool = False) -> None:
        await super().close(finish_data=finish_data)
        if self._path is not None:
            with suppress(OSError):
                if self._path.stat().st_ino == self._inode:  # not that of a process that came after us
                    self._path.unlink()


def _clear(path: Path) -> None:
    """Away with the socket of a process that has died. OSError if somebody listens there, or it is no socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} is there, and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(f"{path}: another process listens there")


class Connection(smtp_in.Connection):
    """One session."""

    also_says = ("ENHANCEDSTATUSCODES", "XFORWARD ADDR")
    _is_greeting = False

    async def push(self, status: AnyStr) -> None:
        reply = status.encode() if isinstance(status, str) else bytes(status)
        # Neither the first reply nor that to LHLO has a status code (RFC 2034 section 4).
        if self._replies and not self._is_greeting:
            reply = _STATUS.sub(rb"\g<0>\g<1>.0.0 ", reply, count=1) if _STATUS.match(reply) else reply
        await super().push(reply)

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, arg: str) -> None:
        self._is_greeting = True
        try:
            await super().smtp_EHLO(arg)
        finally:
            self._is_greeting = False

    async def smtp_HELO(self, arg: str) -> None:
        await self.push("500 5.5.1 Error: this is LMTP, say LHLO")

    async def smtp_EHLO(self, arg: str) -> None:
        await self.push("500 5.5.1 Error: this is LMTP, say LHLO")

    async def smtp_XFORWARD(self, arg: str | None) -> None:
        """`ADDR=192.0.2.7`, `ADDR=IPV6:2001:db8::7` or `ADDR=[UNAVAILABLE]`, among others, until the next mail ends."""
        told = dict(word.partition("=")[::2] for word in (arg or "").upper().split())
        address = told.get("ADDR", "").removeprefix("IPV6:").lower()
        if not told or "" in told.values():
            await self.push("501 5.5.4 Syntax: XFORWARD attribute=value")
            return
        if self.session is not None and "ADDR" in told:
            peer: Any = (address if is_address(address) else "", 0)  # as of a socket with an address
            self.session.peer = peer
        await self.push("250 2.0.0 OK")

    async def _answer(self, reply: str, recipients: int) -> None:
        for _ in range(recipients):
            await self.push(reply)
        if self.session is not None and self.transport is not None:
            self.session.peer = self.transport.get_extra_info("peername")

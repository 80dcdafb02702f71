"""The hosts of thousands of sites, in one process: one listener answers for every address of this machine's loopback.

    python -m loadtests.many_hosts <port> <record.json>

Each site has an address of its own (`address`), so to a relay it is a host of its own. All take every mail at once.
What is recorded, when the process is told to stop (SIGTERM): how many connections there were, how many were open at
once, how many addresses were dialled, and when (monotonic seconds) each mail began, with its MAIL FROM, and was taken
whose recipient begins with `MARK`.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import cast

import uvloop

#: The first site's address; the others follow. 127.0.0.0/8 is this machine's own, so nothing has to be set up.
FIRST = IPv4Address("127.64.0.1")
#: Addresses, and so sites, that there can be.
MOST_SITES = 1_000_000
#: What the recipients begin with that are waited for.
MARK = "reset"
#: Connections that have come and wait to be accepted: a relay opens hundreds in an instant.
BACKLOG = 4_096

_EHLO = b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 52428800\r\n"
_REPLIES = {
    b"EHLO": _EHLO,
    b"MAIL": b"250 2.1.0 ok\r\n",
    b"RCPT": b"250 2.1.5 ok\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}
_OTHER = b"250 2.0.0 ok\r\n"
_RECIPIENT = b"RCPT TO:<" + MARK.encode()


def address(site: int) -> str:
    """Of the host of this site, counted from 0. ValueError beyond the last."""
    if not 0 <= site < MOST_SITES:
        raise ValueError(f"site {site}: there are addresses for {MOST_SITES:,}")
    return str(FIRST + site)


class Record:
    """What all hosts saw together."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.dialled: set[str] = set()
        self.begun: dict[str, float] = {}
        self.taken: dict[str, float] = {}

    def took(self, name: str) -> None:
        """A mail to a recipient of that name, which begins with `MARK`."""
        self.taken[name] = time.monotonic()

    def written(self) -> str:
        return json.dumps(
            {
                "connections": self.connections,
                "most_open": self.most_open,
                "hosts": len(self.dialled),
                "begun": self.begun,
                "taken": self.taken,
            }
        )


class Session(asyncio.Protocol):
    """One connection: commands may come many at a time, and are answered together."""

    def __init__(self, record: Record, loop: asyncio.AbstractEventLoop) -> None:
        self._record = record
        self._loop = loop
        self._buffer = b""
        self._in_data = False
        self._marked = ""
        self._mail_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        record = self._record
        record.connections += 1
        record.open += 1
        record.most_open = max(record.most_open, record.open)
        record.dialled.add(transport.get_extra_info("sockname")[0])
        self._transport.write(b"220 sink.example\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._record.open -= 1

    def data_received(self, data: bytes) -> None:
        buffer, replies = self._buffer + data, []
        while True:
            end = buffer.find(b"\r\n.\r\n" if self._in_data else b"\r\n")
            if end < 0:
                break
            if self._in_data:
                buffer = buffer[end + 5 :]
                replies.append(self._taken())
            else:
                line, buffer = buffer[:end], buffer[end + 2 :]
                replies.append(self._said(line))
        self._buffer = buffer
        self._transport.write(b"".join(replies))
        if replies and replies[-1] == _REPLIES[b"QUIT"]:
            self._transport.close()

    def _said(self, line: bytes) -> bytes:
        word = line[:4].upper()
        if word == b"DATA":
            self._in_data = True
        elif word == b"MAIL":
            self._mail_at = time.monotonic()
        elif line.startswith(_RECIPIENT):
            self._marked = line[9 : line.index(b"@")].decode("ascii")
            self._record.begun[self._marked] = self._mail_at
        return _REPLIES.get(word, _OTHER)

    def _taken(self) -> bytes:
        self._in_data = False
        if self._marked:
            self._record.took(self._marked)
            self._marked = ""
        return b"250 2.0.0 taken\r\n"


async def serve(port: int, record: Record, begun: Callable[[], None]) -> None:
    """Until the process is told to stop."""
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told_to_stop.set)
    # Every address that a site may have, and so all that this machine has: for as long as a measurement takes.
    await loop.create_server(lambda: Session(record, loop), "0.0.0.0", port, backlog=BACKLOG)
    begun()
    await told_to_stop.wait()


def main() -> None:
    with suppress(PermissionError):
        os.nice(-10)  # a host is another machine: it does not wait for the processor of ours
    record = Record()
    into = Path(sys.argv[2])
    uvloop.run(serve(int(sys.argv[1]), record, into.with_suffix(".ready").touch))
    into.write_text(record.written(), "ascii")


if __name__ == "__main__":
    main()

"""Jobs of one recipient each through the front door, as fast as they are answered or at a pace; how long each took.

    python -m loadtests.posting <port> <key> <jobs> <connections> <pace> <answers.json>

Bytes out, answers in, over connections that are kept: a process of its own, of which one request takes less of a
processor than of those that are measured. A pace of 0 is as fast as may be: each connection has one request under way.
Otherwise requests are due at even times, whatever became of those before, and their time counts from then.
"""

import asyncio
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, cast

import uvloop

#: Without an answer for so long something is broken.
PATIENCE_S = 120.0
#: Requests that are due within this are sent together: a timer is no finer.
TICK_S = 0.001
_LENGTH = b"content-length: "


def request(key: str, body: bytes) -> bytes:
    """A POST of a job as it stands on the wire."""
    head = (
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def job(address: str) -> dict[str, Any]:
    """A mail that somebody waits for, as a shop sends it: 1 kB of HTML, a link, and three variables."""
    words = "Nous avons bien reçu votre commande et nous la préparons avec soin. " * 12
    return {
        "from": "Chouette <news@exemple.fr>",
        "stream": "transactional",
        "subject": "Votre commande {{ numero }}",
        "html": f'<html><body><p>Bonjour {{{{ prenom }}}},</p><p>{words}</p><p><a href="https://www.exemple.fr/suivi">'
        "Suivre la commande {{ numero }}</a>, {{ montant }}</p></body></html>",
        "recipients": [{"email": address, "variables": {"prenom": "Ana", "numero": "F-2041", "montant": "40 €"}}],
    }


class Asked:
    """All requests: what is still to be sent, and when each was sent and answered (monotonic seconds)."""

    def __init__(self, requests: list[bytes], pace: float) -> None:
        self.requests = requests
        self.pace = pace
        self.sent: list[float] = []
        self.took: list[float] = []
        self.wrong: list[str] = []
        self.idle: deque[Connection] = deque()
        self.done = asyncio.Event()
        self.began = 0.0

    def next(self, connection: "Connection") -> None:
        """It is free: it sends what is due, or waits for that."""
        number = len(self.sent)
        if number >= len(self.requests) or (self.pace and self._due(number) > time.monotonic()):
            self.idle.append(connection)
            return
        self.sent.append(self._due(number) if self.pace else time.monotonic())
        connection.ask(number, self.requests[number])

    def answered(self, number: int, status: bytes) -> None:
        self.took.append(time.monotonic() - self.sent[number])
        if status != b"202":
            self.wrong.append(status.decode("ascii", "replace"))
        if len(self.took) == len(self.requests):
            self.done.set()

    def _due(self, number: int) -> float:
        return self.began + number / self.pace

    async def run(self) -> None:
        self.began = time.monotonic()
        for connection in [self.idle.popleft() for _ in range(len(self.idle))]:
            self.next(connection)
        while self.pace and len(self.sent) < len(self.requests):
            await asyncio.sleep(TICK_S)
            while self.idle and len(self.sent) < len(self.requests) and self._due(len(self.sent)) <= time.monotonic():
                self.next(self.idle.popleft())
        async with asyncio.timeout(PATIENCE_S):
            await self.done.wait()


class Connection(asyncio.Protocol):
    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._buffer = b""
        self._number = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._asked.done.is_set():
            self._asked.wrong.append("a connection was closed")
            self._asked.done.set()

    def ask(self, number: int, packed: bytes) -> None:
        self._number = number
        self._transport.write(packed)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower() + b"\r\n"
        at = head.index(_LENGTH) + len(_LENGTH)
        if len(self._buffer) < end + 4 + int(head[at : head.index(b"\r\n", at)]):
            return
        self._buffer = b""
        self._asked.answered(self._number, head[9:12])
        self._asked.next(self)


async def posted(port: int, key: str, addresses: list[str], connections: int, pace: float) -> dict[str, Any]:
    asked = Asked([request(key, json.dumps(job(address)).encode()) for address in addresses], pace)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(asked), "127.0.0.1", port)
        asked.idle.append(connection)
    await asked.run()
    return {
        "began": asked.began,
        "ended": time.monotonic(),
        "sent": asked.sent,
        "took": asked.took,
        "wrong": asked.wrong,
    }


def main() -> None:
    port, key, jobs, connections, pace, into = sys.argv[1:]
    addresses = [f"reset{number}@domain.example" for number in range(int(jobs))]
    found = uvloop.run(posted(int(port), key, addresses, int(connections), float(pace)))
    Path(into).write_text(json.dumps(found), "ascii")


if __name__ == "__main__":
    main()

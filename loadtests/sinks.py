"""The hosts of many sites, in one process: each on addresses of its own, behaving as it is told, and keeping a record.

    python -m loadtests.sinks <plan.json> <record.json>

What it records is what a provider sees of us: how many connections are open at once, when each MAIL FROM came, and when
each mail was taken. It is written when the process is told to stop (SIGTERM). Times are those of the system's monotonic
clock, which all processes of a machine share.
"""

import asyncio
import heapq
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop

from loadtests.traffic import Manner

#: A second, over which a host counts what it lets in when it caps its pace.
WINDOW_S = 1.0


class Plan(msgspec.Struct, frozen=True):
    """One site's host. `busy` mails are worked on at a time, `answer_s` each. Above `cap_per_s` it answers 421."""

    name: str
    addresses: tuple[str, ...]
    port: int
    manner: Manner
    busy: int
    answer_s: float
    cap_per_s: float = 0.0


class Host:
    """One site: what it is doing, and its record."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.open = 0
        self.most_open = 0
        self.connections = 0
        self.mails: list[float] = []
        self.taken: list[float] = []
        self.deferred: list[float] = []
        #: When each place in which a mail is worked on is free again.
        self._free_at = [0.0] * plan.busy
        self._let_in: deque[float] = deque()

    def came(self) -> None:
        """Counted after all that came with it: what the system reports at once, a close among it, has no order."""
        self.connections += 1
        self.loop.call_soon(self._count)

    def _count(self) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def left(self) -> None:
        self.loop.call_soon(self._discount)

    def _discount(self) -> None:
        self.open -= 1

    def lets_in(self, now: float) -> bool:
        """Whether another message is within its pace; one that is not does not count."""
        cap = self.plan.cap_per_s
        if not cap:
            return True
        while self._let_in and self._let_in[0] <= now - WINDOW_S:
            self._let_in.popleft()
        if len(self._let_in) >= cap * WINDOW_S:
            return False
        self._let_in.append(now)
        return True

    def answers_in(self, now: float) -> float:
        """Seconds until a mail that has just come is taken: one after the other in as many places as there are."""
        done = max(now, heapq.heappop(self._free_at)) + self.plan.answer_s
        heapq.heappush(self._free_at, done)
        return done - now

    def record(self) -> dict[str, Any]:
        return {
            "name": self.plan.name,
            "connections": self.connections,
            "most_open": self.most_open,
            "mails": self.mails,
            "taken": self.taken,
            "deferred": self.deferred,
        }


class Session(asyncio.Protocol):
    def __init__(self, host: Host) -> None:
        self._host = host
        self._manner = host.plan.manner
        self._loop = host.loop
        self._buffer = bytearray()
        self._in_data = False
        self._is_open = True
        #: Replies leave in order: none before the one that was due last.
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._host.came()
        if self._manner.closes == "connect":
            self._hang_up()
            return
        self._say(self._manner.greeting, self._manner.greeting_s)
        if not self._manner.greeting.startswith("220"):
            self._hang_up()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._is_open and (self._take_body() if self._in_data else self._take_line()):
            pass

    def eof_received(self) -> None:
        self._gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()

    def _gone(self) -> None:
        if self._is_open:
            self._is_open = False
            self._host.left()

    def _hang_up(self) -> None:
        self._transport.close()
        self._gone()

    def _take_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._command(line[:4].upper())
        return True

    def _take_body(self) -> bool:
        end = self._buffer.find(b"\r\n.\r\n")
        if end < 0:
            return False
        del self._buffer[: end + 5]
        self._in_data = False
        if self._manner.closes == "dot":
            self._hang_up()
            return False
        self._say("250 2.0.0 taken", self._host.answers_in(self._loop.time()), self._host.taken)
        return True

    def _command(self, word: bytes) -> None:
        now = self._loop.time()
        match word:
            case b"EHLO":
                self._say("250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 52428800")
            case b"MAIL":
                self._host.mails.append(now)
                if self._host.lets_in(now):
                    self._say("250 2.1.0 ok")
                else:
                    self._host.deferred.append(now)
                    self._say("421 4.7.0 Messages from your address are temporarily deferred, too many")
                    self._hang_up()
            case b"RCPT":
                if not self._manner.rcpt.startswith("250"):
                    self._host.deferred.append(now)
                self._say(self._manner.rcpt)
            case b"DATA":
                if self._manner.rcpt.startswith("250"):
                    self._in_data = True
                    self._say("354 go on")
                else:
                    self._say("503 5.5.1 no valid recipients")
            case b"QUIT":
                self._say("221 2.0.0 bye")
                self._hang_up()
            case _:
                self._say("250 2.0.0 ok")

    def _say(self, reply: str, after_s: float | None = None, times: list[float] | None = None) -> None:
        now = self._loop.time()
        due = max(self._due, now + (self._manner.reply_s if after_s is None else after_s))
        if due <= now:
            self._write(reply, times)
        else:
            self._due = due
            self._loop.call_at(due, self._write, reply, times)

    def _write(self, reply: str, times: list[float] | None) -> None:
        if self._is_open:
            self._transport.write(reply.encode("ascii") + b"\r\n")
            if times is not None:
                times.append(self._loop.time())


def full(address: str, port: int) -> list[socket.socket]:
    """A listener that nobody can reach: its queue is filled, so further connections get no answer at all."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(0)
    held = [listener]
    for _ in range(3):
        caller = socket.socket()
        caller.setblocking(False)
        caller.connect_ex((address, port))
        held.append(caller)
    return held


async def serve(plans: list[Plan], begun: Callable[[], None]) -> list[dict[str, Any]]:
    """Until the process is told to stop; what was seen."""
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told_to_stop.set)
    hosts = [Host(plan) for plan in plans]
    held = []
    for host in hosts:
        for address in host.plan.addresses:
            match host.plan.manner.listens:
                case "yes":
                    await loop.create_server(lambda host=host: Session(host), address, host.plan.port, backlog=512)  # type: ignore[misc]
                case "full":
                    held += full(address, host.plan.port)
    begun()
    await told_to_stop.wait()
    return [host.record() for host in hosts]


def main() -> None:
    with suppress(PermissionError):
        os.nice(-10)  # a host is another machine: it does not wait for the processor of ours
    plan, record = (Path(name) for name in sys.argv[1:3])
    plans = msgspec.json.decode(plan.read_bytes(), type=list[Plan])
    seen = uvloop.run(serve(plans, record.with_suffix(".ready").touch))
    record.write_text(json.dumps(seen), "ascii")


if __name__ == "__main__":
    main()

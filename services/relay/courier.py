"""One worker's way to a host: keeps a connection while it is good, and takes the next host when one cannot be had.

A message goes out over the connection that is open if that leads to one of the hosts of its domain; a kept connection
that turns out to be dead costs nothing but another connection, as long as the final dot was not written. A host that
cannot be reached is left out for a while by all workers of the process, so that a thousand messages do not each wait
for the same time-out.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.relay.reply import ConnectFailed, ConnectionLost, Reply
from services.relay.route import Hop, NoRoute

#: A host that could not be reached is not tried again by this process for so long.
SHUNNED_S = 5.0
#: Messages over one connection. Providers close it themselves at 20 to 1,000, Postfix never; a new one costs 1 ms here.
MAILS_PER_CONNECTION = 500

Answer = Reply | ConnectFailed | ConnectionLost | NoRoute


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended: a reply or a failure, from which host, over which TLS version, in words."""

    answer: Answer
    host: str
    tls: str | None
    text: str


class Connection(Protocol):
    """What the courier needs of `smtp.Connection`."""

    host: str
    tls: str | None
    sent_count: int

    @property
    def usable(self) -> bool: ...
    async def send(self, mail_from: str, rcpt_to: str, message: bytes) -> Reply: ...
    async def close(self) -> None: ...


class Routes(Protocol):
    async def hops(self, domain: str) -> Sequence[Hop] | NoRoute:
        """The hosts for a domain's mail, in the order in which they are to be tried."""


class Shunned:
    """Hosts that could not be reached a moment ago, with what happened. One for all workers of a process."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until: dict[Hop, tuple[float, ConnectFailed]] = {}

    def add(self, hop: Hop, failed: ConnectFailed) -> None:
        self._until[hop] = (self._monotonic() + SHUNNED_S, failed)

    def reason(self, hop: Hop) -> ConnectFailed | None:
        found = self._until.get(hop)
        if found is None:
            return None
        if self._monotonic() >= found[0]:
            del self._until[hop]
            return None
        return found[1]


class Courier:
    """Belongs to one worker; `open_connection` is `smtp.Connection.open` with this process's settings."""

    def __init__(
        self, routes: Routes, open_connection: Callable[[Hop], Awaitable[Connection]], shunned: Shunned
    ) -> None:
        self._routes = routes
        self._open_connection = open_connection
        self._shunned = shunned
        self._connection: Connection | None = None
        self._hop: Hop | None = None

    async def deliver(self, domain: str, mail_from: str, rcpt_to: str, message: bytes) -> Result:
        """Sends one message, over as many hosts as it takes to get an answer about it."""
        hops = await self._routes.hops(domain)
        if isinstance(hops, NoRoute):
            return Result(hops, "", None, hops.text)
        tried: set[Hop] = set()
        last: Result | None = None
        while True:
            kept = self._connection is not None and self._hop in hops and self._hop not in tried
            connection = await self._connected(hops, tried)
            if isinstance(connection, ConnectFailed):
                return last or _failed(connection)
            try:
                reply = await connection.send(mail_from, rcpt_to, message)
            except ConnectionLost as lost:
                last = Result(lost, connection.host, connection.tls, str(lost))
                if lost.sent_final_dot:
                    return last
            else:
                last = Result(reply, connection.host, connection.tls, reply.line)
                if reply.code != 421 or reply.stage == "dot":
                    return last
            # 421, or silence before the final dot: the host did not take it. A kept connection that had served its
            # time says nothing of the host; a fresh one does, and the next host is tried.
            if not kept and self._hop is not None:
                tried.add(self._hop)
            await self.close()

    async def _connected(self, hops: Sequence[Hop], tried: set[Hop]) -> Connection | ConnectFailed:
        """The kept connection if it is good for these hosts, else a new one to the first that can be had."""
        kept = self._connection
        fits = self._hop in hops and self._hop not in tried
        if kept is not None and fits and kept.usable and kept.sent_count < MAILS_PER_CONNECTION:
            return kept
        await self.close()
        failed: ConnectFailed | None = None
        for hop in hops:
            if hop in tried:
                continue
            known = self._shunned.reason(hop)
            if known is not None:
                failed = failed or known
                continue
            try:
                self._connection = await self._open_connection(hop)
            except ConnectFailed as now_failed:
                self._shunned.add(hop, now_failed)
                failed = now_failed
            else:
                self._hop = hop
                return self._connection
        return failed or ConnectFailed("connect", "", "no host is left to try")

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _failed(failed: ConnectFailed) -> Result:
    return Result(failed, failed.host, None, failed.reply.line if failed.reply else str(failed))

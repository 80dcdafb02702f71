"""One worker's way to a host: keeps a connection while it is good, and takes the next host when one cannot be had.

A message goes out over the connection that is open if that leads to one of the hosts of its domain, else over a new
one to the first host that can be had. A connection that fails before the final dot was written has not taken the
message, and the next is tried: after a kept connection, which may have served its time, all the hosts; after a fresh
one the hosts that follow. So each host is dialled at most once a message, and each message comes to an end.

A host that cannot be reached is left out for a while by all workers of the process, so that a thousand messages do not
each wait for the same time-out.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from services.relay.reply import ConnectFailed, ConnectionLost, Reply
from services.relay.route import Hop, NoRoute

#: A host that could not be reached is not tried again by this process for so long.
SHUNNED_S = 5.0
#: Hosts shunned at most; beyond, the one that has been longest is forgotten first. About 1 kB each.
SHUNNED_HOSTS = 10_000
#: Messages over one connection. Providers close it themselves at 20 to 1,000, Postfix never; a new one costs 1 ms here.
MAILS_PER_CONNECTION = 500

Answer = Reply | ConnectFailed | ConnectionLost | NoRoute
T = TypeVar("T")


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
        # All are shunned for the same time: the first is the first whose time is over.
        self._until: dict[Hop, tuple[float, ConnectFailed]] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, hop: Hop, failed: ConnectFailed) -> None:
        now = self._monotonic()
        self._until.pop(hop, None)
        # A new one, because what was raised holds on to everything on its way.
        kept = ConnectFailed(failed.stage, failed.host, failed.reason, failed.reply, failed.tls_failure)
        self._until[hop] = (now + SHUNNED_S, kept)
        while self._until[first := next(iter(self._until))][0] <= now or len(self._until) > SHUNNED_HOSTS:
            del self._until[first]

    def reason(self, hop: Hop) -> ConnectFailed | None:
        """Why the host is left out; None if it may be tried."""
        found = self._until.get(hop)
        return found[1] if found is not None and self._monotonic() < found[0] else None


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

    async def deliver(
        self, domain: str, mail_from: str, rcpt_to: str, message: bytes, withheld: Callable[[], Awaitable[T | None]]
    ) -> Result | T:
        """Sends one message, over as many hosts as it takes to get an answer about it; if none gives one, what the
        first of them did. `withheld` is asked right before each MAIL FROM, because it can take minutes to get there:
        whatever it answers but None is the end."""
        hops = await self._routes.hops(domain)
        if isinstance(hops, NoRoute):
            return Result(hops, "", None, hops.text)
        if (kept := await self._kept(hops)) is not None:
            result, is_over = await self._offer(kept, mail_from, rcpt_to, message, withheld)
            if is_over:
                return result
        first: Result | T | None = None
        for hop in hops:
            fresh = await self._connect(hop)
            if isinstance(fresh, ConnectFailed):
                result = _failed(fresh)
            else:
                result, is_over = await self._offer(fresh, mail_from, rcpt_to, message, withheld)
                if is_over:
                    return result
            first = first or result
        return first or _failed(ConnectFailed("connect", domain, "no host is known"))

    async def _kept(self, hops: Sequence[Hop]) -> Connection | None:
        """The open connection if it is good for these hosts; otherwise it is closed."""
        kept = self._connection
        if kept is not None and self._hop in hops and kept.usable and kept.sent_count < MAILS_PER_CONNECTION:
            return kept
        await self.close()
        return None

    async def _connect(self, hop: Hop) -> Connection | ConnectFailed:
        if (known := self._shunned.reason(hop)) is not None:
            return known
        try:
            self._connection = await self._open_connection(hop)
        except ConnectFailed as failed:
            self._shunned.add(hop, failed)
            return failed
        self._hop = hop
        return self._connection

    async def _offer(
        self,
        connection: Connection,
        mail_from: str,
        rcpt_to: str,
        message: bytes,
        withheld: Callable[[], Awaitable[T | None]],
    ) -> tuple[Result | T, bool]:
        """What came of the message over this connection, and whether that is its end. It is not after 421, or silence,
        before the final dot: then the host has not taken it, and the connection is of no more use."""
        if (end := await withheld()) is not None:
            return end, True
        try:
            reply = await connection.send(mail_from, rcpt_to, message)
        except ConnectionLost as lost:
            result, is_over = Result(lost, connection.host, connection.tls, str(lost)), lost.sent_final_dot
        else:
            result = Result(reply, connection.host, connection.tls, reply.line)
            is_over = not _has_enough(reply)
        if not is_over:
            await self.close()
        return result, is_over

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _has_enough(reply: Reply) -> bool:
    """The host takes no more over this connection, and has said nothing about the message. Most say 421; OpenSMTPD says
    "452 4.5.3 Too many recipients: Too many messages sent" to each further MAIL, and keeps the connection open."""
    too_many = reply.stage == "mail" and reply.enhanced == "4.5.3"
    return (reply.code == 421 or too_many) and reply.stage != "dot"


def _failed(failed: ConnectFailed) -> Result:
    return Result(failed, failed.host, None, failed.reply.line if failed.reply else str(failed))

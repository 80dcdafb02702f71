"""One worker's way to a host: keeps a connection while it is good, and takes the next host when one cannot be had.

A message goes out over the connection that is open if that leads to one of the hosts of its domain, else over a new
one to the first host that can be had. A connection that fails before the final dot was written has not taken the
message, and the next is tried: after a kept connection, which may have served its time, all the hosts; after a fresh
one the hosts that follow. So each host is dialled at most once a message, and each message comes to an end.

Each connection leaves by a source address and has a slot in the limits of its site (`Passage`): there is none without,
and a slot is given up only when the connection is closed.

A host that cannot be reached from a source is left out for a while by all workers of the process, so that a thousand
messages do not each wait for the same time-out.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

from services.relay.egress import Source
from services.relay.notnow import NotNow
from services.relay.reply import ConnectFailed, ConnectionLost, Reply
from services.relay.route import Hop, NoRoute
from services.relay.shaping import Rule
from services.relay.tls import TlsFailure, TlsPolicy

#: A host that could not be reached is not tried again by this process for so long.
SHUNNED_S = 5.0
#: Hosts shunned at most; beyond, the one that has been longest is forgotten first. About 1 kB each.
SHUNNED_HOSTS = 10_000

Answer = Reply | ConnectFailed | ConnectionLost | NoRoute
T = TypeVar("T")


class Result(msgspec.Struct, frozen=True):
    """How an attempt ended: a reply or a failure, in words; from which host, by which source, over which TLS version
    and cipher, and what asked for that. `rule` is the shaping rule that knows the reply."""

    answer: Answer
    text: str
    host: str = ""
    source: str = ""
    tls: str | None = None
    tls_cipher: str = ""
    tls_policy: str = ""
    rule: Rule | None = None


class Parcel(msgspec.Struct, frozen=True):
    """What one message needs on its way. `utf8`: its header has addresses beyond ASCII (RFC 6531). `before_body` is
    awaited when the host waits for the body. `wire_ready`: as in `transaction.is_wire_ready`."""

    domain: str
    mail_from: str
    rcpt_to: str
    message: bytes
    utf8: bool = False
    before_body: Callable[[], Awaitable[None]] | None = None
    wire_ready: bool = False


class Connection(Protocol):
    """What the courier needs of `smtp.Connection`."""

    host: str
    tls: str | None
    tls_cipher: str
    tls_policy: str
    tls_failure: TlsFailure | Literal[""]
    tls_reason: str
    source_ip: str
    sent_count: int

    @property
    def usable(self) -> bool: ...
    async def send(
        self,
        mail_from: str,
        rcpt_to: str,
        message: bytes,
        *,
        utf8: bool = False,
        before_body: Callable[[], Awaitable[None]] | None = None,
        wire_ready: bool = False,
    ) -> Reply: ...
    async def close(self) -> None: ...


class Routes(Protocol):
    async def hops(self, domain: str) -> Sequence[Hop] | NoRoute:
        """The hosts for a domain's mail, in the order in which they are to be tried."""


class Passage(Protocol):
    """The right to a connection to this worker's site (`gate`)."""

    def source(self, address: str | None) -> Source | NotNow:
        """Our address that the next connection, to this one, leaves by."""

    async def enter(self, source: Source) -> NotNow | None:
        """Takes a slot; None: the connection may be opened. RedisAway."""

    def is_good(self, mails: int, *, idle: bool) -> bool:
        """Whether the connection that is open may take another message after so many, or stay open without one."""

    def heard(self, source: str, reply: Reply) -> Rule | None:
        """The rule for this reply, once what it asks for is under way."""

    async def leave(self) -> None:
        """Gives the slot up, if there is one: the connection is closed."""


class Sessions(Protocol):
    def note(
        self,
        domain: str,
        policy: TlsPolicy,
        hop: Hop,
        failure: TlsFailure | Literal[""],
        source_ip: str = "",
        reason: str = "",
    ) -> None:
        """A connection was opened (`failure` is "") or was not, because of its encryption; `reason`: in words."""


class Shunned:
    """Hosts that could not be reached a moment ago, with what happened. One for all workers of a process."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # All are shunned for the same time: the first is the first whose time is over.
        self._until: dict[tuple[Hop, str], tuple[float, ConnectFailed]] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, hop: Hop, source: str, failed: ConnectFailed) -> None:
        now = self._monotonic()
        self._until.pop((hop, source), None)
        # A new one, because what was raised holds on to everything on its way.
        kept = ConnectFailed(failed.stage, failed.host, failed.reason, failed.reply, failed.tls_failure)
        self._until[hop, source] = (now + SHUNNED_S, kept)
        while self._until[first := next(iter(self._until))][0] <= now or len(self._until) > SHUNNED_HOSTS:
            del self._until[first]

    def reason(self, hop: Hop, source: str) -> ConnectFailed | None:
        """Why the host is left out; None if it may be tried."""
        found = self._until.get((hop, source))
        return found[1] if found is not None and self._monotonic() < found[0] else None


class Courier:
    """Belongs to one worker; `open_connection` is `smtp.Connection.open` with this process's settings."""

    def __init__(
        self,
        routes: Routes,
        passage: Passage,
        open_connection: Callable[[Hop, Source], Awaitable[Connection]],
        shunned: Shunned,
        sessions: Sessions | None = None,
    ) -> None:
        self._routes = routes
        self._passage = passage
        self._open_connection = open_connection
        self._shunned = shunned
        self._sessions = sessions
        self._connection: Connection | None = None
        self._hop: Hop | None = None
        self._source = ""

    async def deliver(self, parcel: Parcel, withheld: Callable[[str], Awaitable[T | None]]) -> "Result | NotNow | T":
        """Sends one message, over as many hosts as it takes to get an answer about it; if none gives one, what the
        first of them did. NotNow if no connection may be opened now. `withheld` is asked right before each MAIL FROM,
        with the name of the source, because it can take minutes to get there: whatever it answers but None is the
        end."""
        hops = await self._routes.hops(parcel.domain)
        if isinstance(hops, NoRoute):
            return Result(hops, hops.text)
        result: Result | T
        if (kept := await self._kept(hops)) is not None:
            result, is_over = await self._offer(kept, parcel, withheld)
            if is_over:
                return result
        first: Result | T | None = None
        for hop in hops:
            fresh = await self._connect(parcel.domain, hop)
            if isinstance(fresh, NotNow):
                return fresh
            if isinstance(fresh, ConnectFailed):
                result = self._failed(fresh)
            else:
                result, is_over = await self._offer(fresh, parcel, withheld)
                if is_over:
                    return result
            first = first or result
        return first or self._failed(ConnectFailed("connect", parcel.domain, "no host is known"))

    @property
    def is_open(self) -> bool:
        """There is a connection, good or not."""
        return self._connection is not None

    def is_good(self, *, idle: bool) -> bool:
        """The open connection may be kept for another message, or (`idle`) while there is none."""
        kept = self._connection
        return kept is not None and kept.usable and self._passage.is_good(kept.sent_count, idle=idle)

    async def _kept(self, hops: Sequence[Hop]) -> Connection | None:
        """The open connection if it is good for these hosts; otherwise it is closed."""
        if self.is_good(idle=False) and any(self._leads_to(hop) for hop in hops):
            return self._connection
        await self.close()
        return None

    def _leads_to(self, hop: Hop) -> bool:
        here = self._hop
        if here is None or hop == here:
            return hop == here
        is_there = (hop.host, hop.port, hop.address) == (here.host, here.port, here.address)
        return is_there and here.tls.good_for(hop.tls)

    async def _connect(self, domain: str, hop: Hop) -> Connection | ConnectFailed | NotNow:
        source = self._passage.source(hop.address)
        if isinstance(source, NotNow):
            return source
        self._source = source.name
        if (known := self._shunned.reason(hop, source.name)) is not None:
            return known
        if (not_now := await self._passage.enter(source)) is not None:
            # By another source, if there is one: this one is not offered again before its time.
            return await self._connect(domain, hop) if not_now.scope == "source" else not_now
        try:
            self._connection = await self._open_connection(hop, source)
        except ConnectFailed as failed:
            self._shunned.add(hop, source.name, failed)
            if failed.tls_failure and self._sessions is not None:
                reason = failed.reply.codes if failed.reply else failed.reason
                self._sessions.note(domain, hop.tls, hop, failed.tls_failure, source.address, reason)
            return failed
        finally:
            if self._connection is None:
                await self._passage.leave()
        self._hop, opened = hop, self._connection
        if self._sessions is not None:
            self._sessions.note(domain, hop.tls, hop, opened.tls_failure, opened.source_ip, opened.tls_reason)
        return opened

    async def _offer(
        self, connection: Connection, parcel: Parcel, withheld: Callable[[str], Awaitable[T | None]]
    ) -> tuple[Result | T, bool]:
        """What came of the message over this connection, and whether that is its end. It is not after 421, or silence,
        before the final dot: then the host has not taken it, and the connection is of no more use."""
        if (end := await withheld(self._source)) is not None:
            return end, True
        answer: Reply | ConnectionLost
        rule: Rule | None = None
        try:
            reply = answer = await connection.send(
                parcel.mail_from,
                parcel.rcpt_to,
                parcel.message,
                utf8=parcel.utf8,
                before_body=parcel.before_body,
                wire_ready=parcel.wire_ready,
            )
        except ConnectionLost as lost:
            answer, text, is_over = lost, str(lost), lost.sent_final_dot
        else:
            text, is_over = reply.line, not _has_enough(reply)
            if reply.code >= 400:
                rule = self._passage.heard(self._source, reply)
        result = Result(
            answer,
            text,
            connection.host,
            self._source,
            connection.tls,
            connection.tls_cipher,
            connection.tls_policy,
            rule,
        )
        if not is_over:
            await self.close()
        return result, is_over

    def _failed(self, failed: ConnectFailed) -> Result:
        if failed.reply is None:
            return Result(failed, str(failed), failed.host, self._source)
        rule = self._passage.heard(self._source, failed.reply)
        return Result(failed, failed.reply.line, failed.host, self._source, rule=rule)

    async def close(self) -> None:
        """The connection, then its slot: whoever takes that next may dial at once."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                await connection.close()
        finally:
            await self._passage.leave()


def _has_enough(reply: Reply) -> bool:
    """The host takes no more over this connection, and has said nothing about the message. Most say 421; OpenSMTPD says
    "452 4.5.3 Too many recipients: Too many messages sent" to each further MAIL, and keeps the connection open."""
    too_many = reply.stage == "mail" and reply.enhanced == "4.5.3"
    return (reply.code == 421 or too_many) and reply.stage != "dot"

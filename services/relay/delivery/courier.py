"""One worker's way to a host: keeps a connection while it is good, and takes the next host when one cannot be had.

A message goes out over the connection that is open if that leads to one of the hosts of its domain, else over a new
one to the first host that can be had. A connection that fails before the final dot was written has not taken the
message, and the next is tried: after a kept connection, which may have served its time, all the hosts; after a fresh
one the hosts that follow. So each host is dialled at most once a message, and each message comes to an end.

Each connection leaves by a source address and has a slot in the limits of its site (`Passage`): there is none without,
and a slot is given up only when the connection is closed.

A host that refuses connections, or ends them with 421, is dialled by all workers of the process only as `hosts` says.
What could not be tried for that reason, or found one connection too many, is NotNow: no attempt, and nobody's words.

From the third attempt on, what the first host refuses for now is offered to the next one too (RFC 5321 section 5.1
wants all hosts tried): a greylisting host takes it by then, and one whose own filter or disk is broken never would.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

from services.relay.traffic.egress import Source
from services.relay.traffic.hosts import FULL_S, Hosts, Shut
from services.relay.traffic.shaping import Rule
from services.relay.words.hop import Hop, NoRoute
from services.relay.words.notnow import NotNow
from services.relay.words.reply import ConnectFailed, ConnectionLost, Reply
from services.relay.words.tls import TlsFailure, TlsPolicy

#: From this attempt on the next host is asked where one refuses for now. Not earlier: most such refusals are greylists,
#: which each host has to itself.
ASKS_NEXT_FROM = 3

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
    awaited when the host waits for the body. `wire_ready`: as in `wire.is_wire_ready`. `attempt`: the first is
    1."""

    domain: str
    mail_from: str
    rcpt_to: str
    message: bytes
    utf8: bool = False
    before_body: Callable[[], Awaitable[None]] | None = None
    wire_ready: bool = False
    attempt: int = 1


class Connection(Protocol):
    """What the courier needs of `connection.Connection`."""

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

    def refused(self, source: str) -> None:
        """A host that takes mail refused a connection, or ended one with 421, in words that no rule knows."""

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


class Courier:
    """Belongs to one worker; `open_connection` is `connection.Connection.open` with this process's settings."""

    def __init__(
        self,
        routes: Routes,
        passage: Passage,
        open_connection: Callable[[Hop, Source], Awaitable[Connection]],
        hosts: Hosts,
        sessions: Sessions | None = None,
    ) -> None:
        self._routes = routes
        self._passage = passage
        self._open_connection = open_connection
        self._hosts = hosts
        self._sessions = sessions
        self._connection: Connection | None = None
        self._hop: Hop | None = None
        self._source = ""

    async def deliver(self, parcel: Parcel, withheld: Callable[[str], Awaitable[T | None]]) -> "Result | NotNow | T":
        """Sends one message, over as many hosts as it takes to get an answer about it; if none gives one, what the
        first of them did. NotNow if no connection may be opened now, or all that was found is that no more of them may
        be. `withheld` is asked right before each MAIL FROM, with the name of the source, because it can take minutes to
        get there: whatever it answers but None is the end."""
        hops = await self._routes.hops(parcel.domain)
        if isinstance(hops, NoRoute):
            return Result(hops, hops.text)
        result: Result | T
        first: Result | T | None = None
        asked = ""
        if (kept := await self._kept(hops)) is not None:
            result, is_over = await self._offer(kept, parcel, withheld, hops)
            if is_over:
                return result
            if asked := _asked(result):
                first = result
        shut: Shut | None = None
        for hop in hops:
            if hop.host == asked:
                continue
            fresh = await self._connect(parcel.domain, hop)
            if isinstance(fresh, NotNow):
                return fresh
            if isinstance(fresh, Shut):
                shut = _sooner(shut, fresh)
                continue
            if isinstance(fresh, ConnectFailed):
                if self._hosts.is_in_use(hop, self._source):
                    self._failed(fresh)
                    shut = _sooner(shut, Shut(FULL_S, fresh, is_busy=True))
                    continue
                result = self._failed(fresh)
            else:
                result, is_over = await self._offer(fresh, parcel, withheld, hops)
                if is_over:
                    return result
                asked = asked or _asked(result)
            first = first or result
        if shut is not None and (first is None or (shut.is_busy and _is_unheard(first))):
            return _not_now(shut)
        return first or self._failed(ConnectFailed("connect", parcel.domain, "no host is known"))

    async def shut(self, domain: str) -> NotNow | None:
        """Why a message to this domain would not get anywhere now, as far as one can tell without trying; for who
        has no connection (`is_open`). With one it mostly would, and `deliver` sees the rest."""
        if isinstance(hops := await self._routes.hops(domain), NoRoute):
            return None
        shut: Shut | None = None
        for hop in hops:
            source = self._passage.source(hop.address)
            if isinstance(source, NotNow) or (found := self._hosts.shut(hop, source.name)) is None:
                return None
            shut = _sooner(shut, found)
        return None if shut is None else _not_now(shut)

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
        if self.is_good(idle=False):
            for hop in hops:
                if self._leads_to(hop):
                    return self._connection
        await self.close()
        return None

    def _leads_to(self, hop: Hop) -> bool:
        here = self._hop
        if here is None or hop is here or hop == here:
            return here is not None
        place = (here.host, here.port, here.address, here.route)
        is_there = (hop.host, hop.port, hop.address, hop.route) == place
        return is_there and here.tls.good_for(hop.tls)

    async def _connect(self, domain: str, hop: Hop) -> Connection | ConnectFailed | Shut | NotNow:
        source = self._passage.source(hop.address)
        if isinstance(source, NotNow):
            return source
        self._source = source.name
        if (shut := self._hosts.shut(hop, source.name)) is not None:
            return shut
        if (not_now := await self._passage.enter(source)) is not None:
            # By another source, if there is one: this one is not offered again before its time.
            return await self._connect(domain, hop) if not_now.scope == "source" else not_now
        if (shut := self._hosts.shut(hop, source.name)) is not None:  # somebody has found out meanwhile
            await self._passage.leave()
            return shut
        self._hosts.dialling(hop, source.name)
        answer: Connection | ConnectFailed | None = None
        try:
            answer = self._connection = await self._open_connection(hop, source)
        except ConnectFailed as failed:
            answer = failed
            return self._not_opened(domain, hop, source, failed)
        finally:
            if self._connection is None:
                if answer is None:
                    self._hosts.gave_up(hop, source.name)
                await self._passage.leave()
        self._hosts.opened(hop, source.name)
        self._hop, opened = hop, self._connection
        if self._sessions is not None:
            self._sessions.note(domain, hop.tls, hop, opened.tls_failure, opened.source_ip, opened.tls_reason)
        return opened

    def _not_opened(self, domain: str, hop: Hop, source: Source, failed: ConnectFailed) -> ConnectFailed:
        is_of_ours = failed.tls_failure or failed.stage == "auth"  # our login, and not our pace
        if self._hosts.failed(hop, source.name, failed) and not is_of_ours:
            self._passage.refused(source.name)
        if failed.tls_failure and self._sessions is not None:
            reason = failed.reply.codes if failed.reply else failed.reason
            self._sessions.note(domain, hop.tls, hop, failed.tls_failure, source.address, reason)
        return failed

    async def _offer(
        self,
        connection: Connection,
        parcel: Parcel,
        withheld: Callable[[str], Awaitable[T | None]],
        hops: Sequence[Hop],
    ) -> tuple[Result | T, bool]:
        """What came of the message over this connection, and whether that is its end. It is not after 421, or silence,
        before the final dot: then the host has not taken it, and the connection is of no more use."""
        if (end := await withheld(self._source)) is not None:
            return end, True
        is_fresh = connection.sent_count == 0
        reply: Reply | None = None
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
                is_over = is_over and not _is_for_the_next(reply, rule, parcel, hops)
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
        if not is_over or (reply is not None and reply.code == 421):
            await self.close()
        self._learn(reply, rule, is_fresh)
        return result, is_over

    def _learn(self, reply: Reply | None, rule: Rule | None, is_fresh: bool) -> None:
        """What the answer to a message tells of the host. 421 over a connection that has carried mail is how many end
        one that has served its time."""
        if self._hop is None or reply is None:
            return
        if reply.code < 300 and reply.stage == "dot":
            self._hosts.took(self._hop, self._source)
        elif reply.code == 421 and is_fresh and rule is None:
            failed = ConnectFailed(reply.stage, reply.host, reply.line, reply)
            if self._hosts.refused(self._hop, self._source, failed):
                self._passage.refused(self._source)

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
            if connection is not None and self._hop is not None:
                self._hosts.closed(self._hop, self._source)
            await self._passage.leave()


def _has_enough(reply: Reply) -> bool:
    """The host takes no more over this connection, and has said nothing about the message. Most say 421; OpenSMTPD says
    "452 4.5.3 Too many recipients: Too many messages sent" to each further MAIL, and keeps the connection open."""
    too_many = reply.stage == "mail" and reply.enhanced == "4.5.3"
    return (reply.code == 421 or too_many) and reply.stage != "dot"


def _is_for_the_next(reply: Reply, rule: Rule | None, parcel: Parcel, hops: Sequence[Hop]) -> bool:
    """The host refuses this message for now, again and again, and there is another one. Where it speaks of us or of our
    pace, the next would have to listen to the same."""
    about_us = rule is not None and rule.about_us
    is_again = 400 <= reply.code < 500 and parcel.attempt >= ASKS_NEXT_FROM and not about_us
    return is_again and any(hop.host != reply.host for hop in hops)


def _asked(result: object) -> str:
    """The host that was offered the message and refused it for now, where the next is to be asked; "" if none was."""
    answer = result.answer if isinstance(result, Result) else None
    return answer.host if isinstance(answer, Reply) and not _has_enough(answer) else ""


def _is_unheard(first: object) -> bool:
    """No host has been offered the message."""
    return isinstance(first, Result) and isinstance(first.answer, ConnectFailed)


def _sooner(one: Shut | None, other: Shut) -> Shut:
    """Of two hosts that may take a message the one that is to be asked first."""
    if one is None or (one.is_busy, -one.wait_s) < (other.is_busy, -other.wait_s):
        return other
    return one


def _not_now(shut: Shut) -> NotNow:
    why = shut.why
    reply = str(why) if why.reply is None else why.reply.line
    return NotNow(math.ceil(shut.wait_s * 1000), "host", f"host:{why.host}", reply=reply, is_busy=shut.is_busy)

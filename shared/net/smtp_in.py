"""How mail is taken in by SMTP, wherever we listen: what a mail costs, who may hold a session, and for how long.

It is aiosmtpd's protocol with the parts replaced that strangers can make expensive:

- DATA is read in large pieces up to CR LF . CR LF, and nothing else ends it (a server that takes a bare LF for a line
  end lets mails be smuggled in). aiosmtpd keeps a list of lines: 10 MB of empty ones took 0.9 GB. What is beyond the
  size is not kept, and a peer that goes on to twice the size is hung up on.
- Sessions are bounded, in all and by peer (an IPv4 address, or the /64 that one IPv6 host has at its disposal). While
  all are taken, a newcomer gets the place of the session (of its peer, if that has too many) that has earned its own
  least: each has `spare_s` from the greeting and from each mail that was taken, and a second more for each
  `MIN_BYTES_PER_S` of data. So a peer that says nothing, or drips, keeps nobody out, and one that brings mail is left
  alone.
- All mails that are being read together are bounded too; small ones are always let through.
- A peer whose commands come in bulk gives the loop back between them. The length of a command stays what it was,
  however often a peer says EHLO (aiosmtpd adds to it each time).
- STARTTLS (RFC 3207) is the loop's own, not aiosmtpd's: what came before the handshake is not read as if it had come
  under it, what was said before is forgotten, and a handshake that fails, or takes too long, ends the session.
"""

import asyncio
import re
import ssl
import time
from collections import Counter as Tally
from collections.abc import Callable
from typing import Any, AnyStr, Literal, Protocol, cast

import msgspec
from aiosmtpd.smtp import SMTP, Envelope, syntax
from aiosmtpd.smtp import Session as Said

from shared.net.peers import peer_of

#: Of a mail's data while others wait for a session: slower than that is not a mail host of today.
MIN_BYTES_PER_S = 8 * 1024
#: How much of the data is read at a time; also aiosmtpd's buffer. Commands have limits of their own.
PIECE_BYTES = 64 * 1024
#: Mails under way together, as a multiple of the largest; a mail of up to SMALL_BYTES is read in any case.
MAX_LARGE_MAILS = 8
SMALL_BYTES = 256 * 1024
#: Replies after which the loop is given back: a buffer holds 20,000 commands.
REPLIES_IN_A_ROW = 20
#: For a handshake. It is three packets.
HANDSHAKE_S = 30.0

_END = b"\r\n.\r\n"
#: `<local@domain>` of plain atoms, and what follows it. aiosmtpd's full parser of RFC 5322 is a third of a mail's cost.
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_PLAIN_PATH = re.compile(rf"<({_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9.-]+)>(.*)", re.ASCII)


class Bounds(msgspec.Struct, frozen=True):
    """`command_timeout_s` is for a command, and for all of a mail's data; `spare_s` see above."""

    max_mail_bytes: int
    max_sessions: int
    max_sessions_per_peer: int
    command_timeout_s: float
    spare_s: float = 10.0


class Watch(Protocol):
    """Who counts: so many `sessions` are open now; one was `refused`, or closed, for a reason: `peer` (which has too
    many), `full`, or `slow` (it gave its place to another); one was `encrypted`, or failed at it."""

    def sessions(self, count: int) -> None: ...
    def refused(self, reason: str) -> None: ...
    def encrypted(self, outcome: Literal["done", "failed"]) -> None: ...


#: What a server shows to those who say STARTTLS, asked for at each; None: it is not offered.
Tls = Callable[[], ssl.SSLContext | None]


def no_tls() -> None:
    """Where STARTTLS is not offered."""


class Sessions:
    """All sessions of a listener, and who is let in."""

    def __init__(self, bounds: Bounds, watch: Watch, now_s: Callable[[], float] = time.monotonic) -> None:
        self.bounds = bounds
        self.now_s = now_s
        self.held_bytes = 0
        self.open: dict[Connection, None] = {}
        self._of_peer: Tally[str] = Tally()
        self._watch = watch
        self.encrypted = watch.encrypted

    def admit(self, session: "Connection") -> bool:
        """Whether there is a place, if need be that of another."""
        is_too_many = self._of_peer[session.peer] >= self.bounds.max_sessions_per_peer
        if is_too_many and not self._make_room(session.peer):
            self._watch.refused("peer")
            return False
        if len(self.open) >= self.bounds.max_sessions and not self._make_room():
            self._watch.refused("full")
            return False
        self.open[session] = None
        self._of_peer[session.peer] += 1
        self._watch.sessions(len(self.open))
        return True

    def remove(self, session: "Connection") -> None:
        if session not in self.open:
            return
        del self.open[session]
        self._of_peer[session.peer] -= 1
        if not self._of_peer[session.peer]:
            del self._of_peer[session.peer]
        self._watch.sessions(len(self.open))

    def _make_room(self, peer: str | None = None) -> bool:
        """Among all sessions, or those of a peer."""
        idle = [one for one in self.open if not one.is_storing and peer in (None, one.peer)]
        slowest = min(idle, key=lambda session: session.spared_until_s, default=None)
        if slowest is None or slowest.spared_until_s > self.now_s():
            return False
        self._watch.refused("slow")
        self.remove(slowest)
        slowest.turn_out("421 4.3.2 Others are waiting, please try again later")
        return True


class Listener:
    """Listens from `open` to `close`; `port` is the real one where 0 was asked for. `hostname` is its own name. `hooks`
    is aiosmtpd's handler: it takes the names of its methods from there, and a MISSING one means its own behaviour.
    `tls` is what STARTTLS shows."""

    def __init__(
        self,
        hooks: Any,
        host: str,
        port: int,
        *,
        hostname: str,
        ident: str,
        bounds: Bounds,
        watch: Watch,
        tls: Tls = no_tls,
    ) -> None:
        self._tls = tls
        self._hooks = hooks
        self._host = host
        self.port = port
        self._hostname = hostname
        self._ident = ident
        self._bounds = bounds
        self._sessions = Sessions(bounds, watch)
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self._session(self.kind(), loop), self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def kind(self) -> "type[Connection]":
        """What its sessions are."""
        return Connection

    def _session(self, kind: "type[Connection]", loop: asyncio.AbstractEventLoop) -> "Connection":
        return kind(self._hooks, self._sessions, loop, self._hostname, self._ident, self._tls)

    async def close(self, *, finish_data: bool = False) -> None:
        """Stops listening and hangs up. A mail that has come whole is still stored and answered; with `finish_data` one
        that is on its way in is, too. Peers repeat what had no answer."""
        if self._server is not None:
            self._server.close()
        leaving = list(self._sessions.open)
        for session in leaving:
            session.leave(finish_data)
        await asyncio.gather(*(session.gone.wait() for session in leaving))


class CommandSizes(dict[str, int]):
    """RFC 5321 section 4.5.3.1.4, with what SIZE and SMTPUTF8 add to MAIL, and `more` by command; nothing changes."""

    def __init__(self, **more: int) -> None:
        super().__init__()
        self._more = more

    def __missing__(self, command: str) -> int:
        return (548 if command == "MAIL" else 512) + self._more.get(command, 0)

    def __setitem__(self, command: str, size: int) -> None:
        pass


class Connection(SMTP):
    """One session."""

    line_length_limit = PIECE_BYTES
    command_size_limits = CommandSizes()
    #: Extensions beside those of `extensions`.
    also_says: tuple[str, ...] = ()

    def __init__(
        self,
        hooks: Any,
        sessions: Sessions,
        loop: asyncio.AbstractEventLoop,
        hostname: str,
        ident: str,
        tls: Tls = no_tls,
    ) -> None:
        super().__init__(
            hooks,
            data_size_limit=sessions.bounds.max_mail_bytes,
            enable_SMTPUTF8=True,
            hostname=hostname,
            ident=ident,
            timeout=sessions.bounds.command_timeout_s,
            loop=loop,
        )
        self._sessions = sessions
        self._tls = tls
        self._is_encrypted = self._is_in_handshake = False
        self._is_admitted = False
        self._is_in_data = False
        self._is_leaving = False
        self._replies = 0
        self._held_bytes = 0
        self.is_storing = False
        self.peer = ""
        self.spared_until_s = 0.0
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = transport.get_extra_info("peername")
        self.peer = peer_of(str(address[0])) if isinstance(address, tuple) else ""
        self.spared_until_s = self._sessions.now_s() + self._sessions.bounds.spare_s
        self._is_admitted = self._sessions.admit(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._sessions.remove(self)
        super().connection_lost(error)
        self.gone.set()

    async def _handle_client(self) -> None:
        if not self._is_admitted:
            self.turn_out("421 4.3.2 Too many connections, please try again later")
            return
        await super()._handle_client()

    def _timeout_cb(self) -> None:
        self.turn_out("421 4.4.2 Too slow, goodbye")

    async def push(self, status: AnyStr) -> None:
        await super().push(status)
        self._replies += 1
        if self._replies % REPLIES_IN_A_ROW == 0:
            await asyncio.sleep(0)

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        plain = _PLAIN_PATH.fullmatch(arg)
        return (plain[1], plain[2]) if plain else super()._getaddr(arg)

    async def smtp_DATA(self, arg: str | None) -> None:
        assert self.envelope is not None
        if await self.check_helo_needed():
            return
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Error: need RCPT command")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        self._is_in_data = True
        recipients = len(self.envelope.rcpt_tos)
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        try:
            reply = await self._receive(self.envelope)
        finally:
            self.envelope = self._create_envelope()
            self._is_in_data = self.is_storing = False
        await self._answer(reply, recipients)
        if self._is_leaving:
            self.hang_up()

    async def _answer(self, reply: str, recipients: int) -> None:
        """To the final dot of a mail that has so many."""
        await self.push(reply)

    @property
    def offers_tls(self) -> bool:
        """Whether STARTTLS may be said now."""
        return not self._is_encrypted and self._tls() is not None

    @syntax("STARTTLS", when="offers_tls")
    async def smtp_STARTTLS(self, arg: str | None) -> None:
        context = self._tls()
        if arg:
            await self.push("501 5.5.4 Syntax: STARTTLS")
        elif self._is_encrypted:
            await self.push("503 5.5.1 Error: it is encrypted already")
        elif context is None:
            await self.push("454 4.7.0 TLS not available")
        else:
            await self._encrypt(context)

    async def _encrypt(self, context: ssl.SSLContext) -> None:
        # From here on nothing is read but by the handshake: what a peer, or somebody on its way, has put behind
        # STARTTLS in clear is not taken for what it says under encryption (RFC 3207 section 5, CVE-2011-0411).
        plain = cast(asyncio.Transport, self.transport)
        plain.pause_reading()
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        self._reader._paused = False  # type: ignore[attr-defined]
        plain.write(b"220 2.0.0 Ready to start TLS\r\n")
        self._is_in_handshake = True
        try:
            encrypted = await self.loop.start_tls(
                plain, self, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
            )
        except (OSError, EOFError) as error:
            self._not_encrypted(plain, error)
            return
        finally:
            self._is_in_handshake = False
        if encrypted is None or encrypted.is_closing():
            self._not_encrypted(plain, None)
            return
        self._is_encrypted = True
        self._sessions.encrypted("done")
        self._over_ssl = True
        self._reader._transport = self._writer._transport = self.transport = encrypted  # type: ignore[attr-defined]
        # RFC 3207 section 4.2: what was known of the peer is forgotten, but for its address.
        peer = self.session.peer if self.session is not None else None
        self._set_rset_state()  # type: ignore[no-untyped-call]
        self.session = self._create_session()
        self.session.peer = peer
        self.session.ssl = {"ssl_object": encrypted.get_extra_info("ssl_object")}

    def _not_encrypted(self, plain: asyncio.Transport, error: Exception | None) -> None:
        """The end of the session: a handshake that broke off leaves nothing that could be talked over."""
        self._sessions.encrypted("failed")
        plain.abort()
        if not self.gone.is_set():  # whoever held the connection in the handshake tells nobody
            self.connection_lost(error)

    async def _receive(self, envelope: Envelope) -> str:
        pieces: list[bytes] = []
        try:
            refusal = await self._read_data(pieces)
            if refusal:
                return refusal
            raw = b"".join(pieces)
            pieces.clear()
            # Behind the line end that was put in front, and before the final dot.
            raw = raw[: -len(_END) + 2].replace(b"\r\n.", b"\r\n")
            envelope.original_content = raw[2:]
            del raw
            self.is_storing = True
            reply = str(await self._call_handler_hook("DATA"))
            if reply.startswith("2"):
                self.spared_until_s = self._sessions.now_s() + self._sessions.bounds.spare_s
            return reply
        finally:
            self._let_go()

    async def _read_data(self, pieces: list[bytes]) -> str:
        """The data as it comes, from the line end before it to its final dot; a reply if it is refused, and then
        nothing is kept."""
        max_bytes = self._sessions.bounds.max_mail_bytes
        # So that the first line is like all others. What a peer sent too early is behind it.
        self._reader._buffer[:0] = b"\r\n"  # type: ignore[attr-defined]
        size_bytes = 0
        refusal = ""
        is_whole = False
        while not is_whole:
            try:
                piece = await self._reader.readuntil(_END)
                is_whole = True
            except asyncio.LimitOverrunError as far:
                piece = await self._reader.readexactly(far.consumed)
            size_bytes += len(piece)
            self.spared_until_s += len(piece) / MIN_BYTES_PER_S
            refusal = refusal or self._refusal(size_bytes)
            if refusal:
                pieces.clear()
                self._let_go()
                if size_bytes > 2 * max_bytes:
                    self._is_leaving = True
                    return refusal
            else:
                pieces.append(piece)
                self._held_bytes += len(piece)
                self._sessions.held_bytes += len(piece)
        return refusal

    def _let_go(self) -> None:
        self._sessions.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def _refusal(self, size_bytes: int) -> str:
        max_bytes = self._sessions.bounds.max_mail_bytes
        if size_bytes > max_bytes + len(_END):
            return "552 5.3.4 Message too big"
        if size_bytes > SMALL_BYTES and self._sessions.held_bytes > MAX_LARGE_MAILS * max_bytes:
            return "452 4.3.1 Too many large mails at once, please try again later"
        return ""

    def leave(self, finish_data: bool) -> None:
        """Hangs up, after the answer to a mail that is being stored, or that is on its way in."""
        self._is_leaving = True
        if not (self.is_storing or (finish_data and self._is_in_data)):
            self.hang_up()

    def turn_out(self, reply: str) -> None:
        """Says why and hangs up; on a peer that does not even read its replies, at once."""
        if self.transport is None:
            return
        transport = cast(asyncio.Transport, self.transport)  # by name alone: uvloop's is not a subclass
        if self._is_in_handshake or transport.get_write_buffer_size():
            transport.abort()
            return
        if not transport.is_closing():
            transport.write(f"{reply}\r\n".encode("ascii"))
        self.hang_up()

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()


def extensions(server: SMTP, session: Said, hostname: str, responses: list[str]) -> list[str]:
    """The reply to EHLO with PIPELINING (aiosmtpd reads command by command from a buffer, so it can, but does not say
    so), and with STARTTLS while it can be said."""
    session.host_name = hostname
    offered = ["PIPELINING"]
    if isinstance(server, Connection):
        offered += [*(["STARTTLS"] if server.offers_tls else []), *server.also_says]
    return [*responses[:-1], *(f"250-{one}" for one in offered), responses[-1]]

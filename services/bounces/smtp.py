"""The SMTP edge: aiosmtpd's protocol on the loop of this process. It decides nothing but when to say which reply.

250 to the final dot means that the facts are stored, or the mail is kept. While the bus or Redis is away it is 451, and
the peer brings the mail again. Whoever talks garbage gets an error reply, and nobody gets a traceback.
"""

import asyncio
from typing import Protocol

from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client import Counter, Gauge

from services.bounces.bounces import Received
from shared import logs
from shared.bus import BusUnavailable
from shared.redis import RedisAway

RECIPIENTS = Counter("estafette_bounces_recipients_total", "RCPT TO commands answered, by reply code", ["code"])
MAILS = Counter("estafette_bounces_mails_total", "Mails received, by reply code to the final dot", ["code"])
SESSIONS = Gauge("estafette_bounces_sessions", "Open SMTP sessions")
REFUSED = Counter("estafette_bounces_refused_sessions_total", "Sessions refused because there were too many")

#: Recipients of one mail (RFC 5321 section 4.5.3.1.8 asks for 100). A report has one.
MAX_RECIPIENTS = 100

_log = logs.get_logger()


class Bounces(Protocol):
    """The two questions of SMTP. `receive` may raise RedisAway or BusUnavailable."""

    def accepts(self, address: str) -> bool: ...

    async def receive(self, received: Received) -> None: ...


class Listener:
    """Listens from `open` to `close`; `port` is the real one where 0 was asked for. `hostname` is its own name.
    `command_timeout_s` is for a command, and for all of a mail's data."""

    def __init__(
        self,
        bounces: Bounces,
        host: str,
        port: int,
        hostname: str,
        *,
        max_sessions: int = 50,
        max_mail_bytes: int = 10 * 1024 * 1024,
        command_timeout_s: float = 300.0,
    ) -> None:
        self._hooks = _Hooks(bounces)
        self._host = host
        self.port = port
        self._hostname = hostname
        self._max_sessions = max_sessions
        self._max_mail_bytes = max_mail_bytes
        self._command_timeout_s = command_timeout_s
        self._server: asyncio.Server | None = None
        self._sessions: set[_Connection] = set()

    async def open(self) -> None:
        """OSError when the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(self._connection, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Takes nothing new, stores what has come whole, then hangs up. Peers repeat what had no answer."""
        if self._server is not None:
            self._server.close()
        await self._hooks.idle()
        for session in list(self._sessions):
            session.hang_up()

    def _connection(self) -> "_Connection":
        return _Connection(
            self._hooks,
            self._sessions,
            self._max_sessions,
            self._max_mail_bytes,
            self._command_timeout_s,
            self._hostname,
        )


class _Hooks:
    """What aiosmtpd calls; the names are its own."""

    def __init__(self, bounces: Bounces) -> None:
        self._bounces = bounces
        self._storing: set[SMTP] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def idle(self) -> None:
        """Returns when no session is between the end of a mail and the reply to it."""
        await self._is_idle.wait()

    def answered(self, server: SMTP) -> None:
        self._storing.discard(server)
        if not self._storing:
            self._is_idle.set()

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Adds PIPELINING: aiosmtpd reads command by command from a buffer, so it can, but does not say so."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            reply = "452 4.5.3 Too many recipients"
        elif self._bounces.accepts(address):
            envelope.rcpt_tos.append(address)
            reply = "250 2.1.5 OK"
        else:
            reply = "550 5.1.1 No such address here"
        RECIPIENTS.labels(reply[:3]).inc()
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        sender = envelope.mail_from or ""
        peer = session.peer[0] if isinstance(session.peer, tuple) else ""
        received = Received(
            "" if sender == "<>" else sender, tuple(envelope.rcpt_tos), envelope.original_content or b"", str(peer)
        )
        self._storing.add(server)
        self._is_idle.clear()
        reply = await self._store(received)
        MAILS.labels(reply[:3]).inc()
        return reply

    async def _store(self, received: Received) -> str:
        try:
            await self._bounces.receive(received)
        except (BusUnavailable, RedisAway) as away:
            _log.warning("mail_deferred", reason=str(away), peer=received.peer)
            return "451 4.3.0 Cannot store this now, please try again later"
        except Exception:
            _log.exception("mail_failed", peer=received.peer, recipients=list(received.recipients))
            return "451 4.3.0 Local error"
        return "250 2.0.0 OK"

    async def handle_exception(self, error: Exception) -> str:
        """What aiosmtpd stumbles over is no reason to tell the peer about our code."""
        _log.warning("smtp_failed", error=f"{type(error).__name__}: {error}")
        return "451 4.3.0 Local error"


class _Connection(SMTP):
    """One session; counted, so that there is a bound."""

    #: RFC 5321 has 1,000 for a line. Reports with longer ones are real, and better read than refused.
    line_length_limit = 64 * 1024

    def __init__(
        self,
        hooks: _Hooks,
        sessions: "set[_Connection]",
        max_sessions: int,
        max_mail_bytes: int,
        timeout_s: float,
        hostname: str,
    ) -> None:
        super().__init__(
            hooks,
            data_size_limit=max_mail_bytes,
            enable_SMTPUTF8=True,
            hostname=hostname,
            ident="ESMTP Estafette",
            timeout=timeout_s,
            loop=asyncio.get_running_loop(),
        )
        self._hooks = hooks
        self._sessions = sessions
        self._max_sessions = max_sessions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._sessions.add(self)
        SESSIONS.set(len(self._sessions))
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._sessions.discard(self)
        SESSIONS.set(len(self._sessions))
        super().connection_lost(error)

    async def _handle_client(self) -> None:
        if len(self._sessions) > self._max_sessions:
            REFUSED.inc()
            await self.push("421 4.3.2 Too many connections, please try again later")
            self.hang_up()
            return
        await super()._handle_client()

    async def smtp_DATA(self, arg: str | None) -> None:
        try:
            await super().smtp_DATA(arg)
        finally:
            self._hooks.answered(self)

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()

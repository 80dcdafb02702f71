"""The SMTP edge: aiosmtpd on the loop of this process. It decodes, asks `mailbox.py`, answers."""

import asyncio
import re
from typing import Protocol

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client import Counter, Gauge

from services.mailbox.mailbox import Mail
from services.mailbox.notices import HOST

RECIPIENTS = Counter("estafette_mailbox_recipients_total", "RCPT TO commands answered, by reply code", ["code"])
MESSAGES = Counter("estafette_mailbox_messages_total", "Messages received, by reply code to the final dot", ["code"])
CONNECTIONS = Gauge("estafette_mailbox_connections", "Open SMTP connections")

#: More than the relays of a test open; each may hold one message in memory.
MAX_CONNECTIONS = 500
#: Announced by SIZE. Of what mail providers take, the smaller ones.
MAX_MESSAGE_BYTES = 10 * 1024 * 1024
#: RFC 5321 section 4.5.3.2.7: a server waits at least five minutes for the next command.
IDLE_SECONDS = 300.0
#: `<local@domain>` of plain atoms, and what follows it.
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_PLAIN_PATH = re.compile(rf"<({_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9.-]+)>(.*)", re.ASCII)
#: The codes there are: others would be labels without bound.
_CODES = ("250", "451", "452", "550")
_recipients = {code: RECIPIENTS.labels(code) for code in _CODES}
_messages = {code: MESSAGES.labels(code) for code in ("250", "451")}


class Mailbox(Protocol):
    """The two questions of SMTP; each answer is a reply with its code."""

    def recipient(self, address: str) -> str: ...
    async def message(self, mail: Mail) -> str: ...


class Hooks:
    """What aiosmtpd calls. It takes their names from its documentation, and a MISSING hook means its own behaviour."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Adds PIPELINING: aiosmtpd reads command by command from a buffer, so it can, but does not say so."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self._mailbox.recipient(address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        _recipients[reply[:3]].inc()
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        return_path = envelope.mail_from or ""
        raw = envelope.original_content or b""
        reply = await self._mailbox.message(
            Mail("" if return_path == "<>" else return_path, tuple(envelope.rcpt_tos), raw)
        )
        _messages[reply[:3]].inc()
        return reply

    async def handle_exception(self, error: Exception) -> str:
        """A command that aiosmtpd stumbles over is no reason to tell its sender about our code."""
        structlog.get_logger("mailbox").warning("smtp_failed", error=f"{type(error).__name__}: {error}")
        return "451 4.3.0 Local error"


class Listener:
    """Listens from `open` to `close`; `port` is the real one where 0 was asked for."""

    def __init__(self, mailbox: Mailbox, host: str, port: int) -> None:
        self._hooks = Hooks(mailbox)
        self._host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    async def open(self) -> None:
        """OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._hooks, self._open, loop), self._host, self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stops listening and hangs up; a message that is on its way in is still taken and answered, so that its sender
        need not repeat it."""
        if self._server is not None:
            self._server.close()
        leaving = list(self._open)
        for connection in leaving:
            connection.leave()
        await asyncio.gather(*(connection.gone.wait() for connection in leaving))


class _Connection(SMTP):
    """One connection; counted, so that there is a bound.

    DATA is ours: aiosmtpd reads it line by line with 2 kB in hand, half of its time for a mail of 10 kB. So are plain
    addresses: its full parser of RFC 5322 is a third of the rest.
    """

    #: aiosmtpd makes its buffer this large; commands have their own limit of 512 bytes.
    line_length_limit = 64 * 1024

    def __init__(self, hooks: Hooks, connections: "set[_Connection]", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            hooks,
            data_size_limit=MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            hostname=HOST,
            ident="ESMTP Estafette mailbox",
            timeout=IDLE_SECONDS,
            loop=loop,
        )
        self._connections = connections
        self._is_in_data = False
        self._is_leaving = False
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        CONNECTIONS.set(len(self._connections))
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        CONNECTIONS.set(len(self._connections))
        super().connection_lost(error)
        self.gone.set()

    async def _handle_client(self) -> None:
        if len(self._connections) > MAX_CONNECTIONS:
            await self.push("421 4.3.2 Too many connections, please try again later")
            self._hang_up()
            return
        await super()._handle_client()

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
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        raw = await self._read_data()
        if raw is None:
            await self.push("552 5.3.4 Message too big")
        else:
            self.envelope.original_content = raw
            await self.push(await self._call_handler_hook("DATA"))
        self.envelope = self._create_envelope()
        self._is_in_data = False
        if self._is_leaving:
            self._hang_up()

    async def _read_data(self) -> bytes | None:
        """What comes before the final dot, without the dots that RFC 5321 section 4.5.2 adds; None if too much.

        Only CR LF ends a line: a server that takes a bare LF for one lets mails be smuggled in.
        """
        raw = bytearray()
        is_too_much = False
        while not (raw.endswith(b"\r\n.\r\n") or raw == b".\r\n"):
            try:
                raw += await self._reader.readuntil(b".\r\n")
            except asyncio.LimitOverrunError as far:
                raw += await self._reader.readexactly(far.consumed)
            if is_too_much or len(raw) > MAX_MESSAGE_BYTES:
                is_too_much = True
                del raw[:-5]  # the end is still to be found
        if is_too_much:
            return None
        del raw[-3:]
        if raw.startswith(b"."):
            del raw[:1]
        return bytes(raw.replace(b"\r\n.", b"\r\n"))

    def leave(self) -> None:
        """Hangs up, after the answer to the message that is on its way in if there is one."""
        self._is_leaving = True
        if not self._is_in_data:
            self._hang_up()

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()

"""The SMTP edge: aiosmtpd on the loop of this process. It decodes, asks `mailbox.py`, answers."""

from typing import Protocol

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client import Counter, Gauge

from services.local.mailbox.mailbox import Mail
from services.local.mailbox.notices import HOST
from shared.net import smtp_in

RECIPIENTS = Counter("estafette_mailbox_recipients_total", "RCPT TO commands answered, by reply code", ["code"])
MESSAGES = Counter("estafette_mailbox_messages_total", "Messages received, by reply code to the final dot", ["code"])
CONNECTIONS = Gauge("estafette_mailbox_connections", "Open SMTP connections")
REFUSED = Counter("estafette_mailbox_refused_connections_total", "Connections refused or closed for others", ["reason"])

#: More than the relays of a test open; each may hold one message in memory.
MAX_CONNECTIONS = 500
#: All relays of a machine are one peer here.
MAX_CONNECTIONS_PER_PEER = 400
#: Announced by SIZE. Of what mail providers take, the smaller ones.
MAX_MESSAGE_BYTES = 10 * 1024 * 1024
#: Of one mail (RFC 5321 section 4.5.3.1.8 asks for 100).
MAX_RECIPIENTS = 1_000
#: RFC 5321 section 4.5.3.2.7: a server waits at least five minutes for the next command.
IDLE_SECONDS = 300.0
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
        return smtp_in.say_pipelining(session, hostname, responses)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        is_full = len(envelope.rcpt_tos) >= MAX_RECIPIENTS
        reply = "452 4.5.3 Too many recipients" if is_full else self._mailbox.recipient(address)
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


class Listener(smtp_in.Listener):
    """Listens from `open` to `close`; `port` is the real one where 0 was asked for."""

    def __init__(self, mailbox: Mailbox, host: str, port: int) -> None:
        super().__init__(
            Hooks(mailbox),
            host,
            port,
            hostname=HOST,
            ident="ESMTP Estafette mailbox",
            bounds=smtp_in.Bounds(MAX_MESSAGE_BYTES, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_PEER, IDLE_SECONDS),
            watch=_Watch(),
        )

    async def close(self, *, finish_data: bool = True) -> None:
        """A message that is on its way in is still taken and answered, so that its sender need not repeat it."""
        await super().close(finish_data=finish_data)


class _Watch:
    def sessions(self, count: int) -> None:
        CONNECTIONS.set(count)

    def refused(self, reason: str) -> None:
        REFUSED.labels(reason).inc()

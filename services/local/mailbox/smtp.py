"""The SMTP edge: aiosmtpd on the loop of this process. It decodes, asks `mailbox.py`, answers."""

from typing import Protocol

from prometheus_client import Counter, Gauge

from services.local.mailbox.mailbox import Mail
from services.local.mailbox.notices import HOST
from shared.net import smtp_hooks, smtp_in

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
_counted = smtp_hooks.Counted(RECIPIENTS, MESSAGES, CONNECTIONS, REFUSED)


class Mailbox(Protocol):
    """The two questions of SMTP; each answer is a reply with its code."""

    def recipient(self, address: str) -> str: ...
    async def message(self, mail: Mail) -> str: ...


class _Answers:
    """See `smtp_hooks.Answers`."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def recipient(self, peer: str, address: str) -> str:
        return self._mailbox.recipient(address)

    async def mail(self, arrived: smtp_hooks.Arrived) -> str:
        return await self._mailbox.message(Mail(arrived.sender, arrived.recipients, arrived.raw))


class Listener(smtp_in.Listener):
    """Listens from `open` to `close`; `port` is the real one where 0 was asked for."""

    def __init__(self, mailbox: Mailbox, host: str, port: int) -> None:
        super().__init__(
            smtp_hooks.Hooks(_Answers(mailbox), _counted, MAX_RECIPIENTS),
            host,
            port,
            hostname=HOST,
            ident="ESMTP Estafette mailbox",
            bounds=smtp_in.Bounds(MAX_MESSAGE_BYTES, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_PEER, IDLE_SECONDS),
            watch=_counted,
        )

    async def close(self, *, finish_data: bool = True) -> None:
        """A message that is on its way in is still taken and answered, so that its sender need not repeat it."""
        await super().close(finish_data=finish_data)

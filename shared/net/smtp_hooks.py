"""What a service of ours says to a mail that comes by SMTP: one reply to each recipient, one to the whole mail.

A service answers two questions (`Answers`) and declares what is counted (`Counted`). What aiosmtpd wants of it besides
is the same wherever we listen: which extensions are said, how many recipients a mail may have, that the null sender is
"", and that nobody outside is told about a fault of ours.
"""

from typing import Literal, NamedTuple, Protocol

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client import Counter, Gauge

from shared.net.smtp_in import extensions

_log = structlog.get_logger()


class Arrived(NamedTuple):
    """A mail as it came: `sender` is "" for the null reverse-path, `peer` the address of the host that brought it."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    peer: str


class Answers(Protocol):
    """The two questions of SMTP; each answer is a reply with its code. A recipient is taken by 250."""

    def recipient(self, peer: str, address: str) -> str: ...

    async def mail(self, arrived: Arrived) -> str: ...


class Counted:
    """Where a service counts: `recipients` and `mails` by the code of the reply, open `sessions`, `refused` ones by the
    reason, `encrypted` ones by whether they were. It is the listener's `Watch`."""

    def __init__(
        self,
        recipients: Counter,
        mails: Counter,
        sessions: Gauge,
        refused: Counter,
        encrypted: Counter | None = None,
    ) -> None:
        self.recipients = recipients
        self.mails = mails
        self._sessions = sessions
        self._refused = refused
        self._encrypted = encrypted

    def sessions(self, count: int) -> None:
        self._sessions.set(count)

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def encrypted(self, outcome: Literal["done", "failed"]) -> None:
        if self._encrypted is not None:
            self._encrypted.labels(outcome).inc()


class Hooks:
    """What aiosmtpd calls: it takes the names from its documentation, and a MISSING one means its own behaviour."""

    def __init__(self, answers: Answers, counted: Counted, max_recipients: int) -> None:
        self._answers = answers
        self._counted = counted
        self._max_recipients = max_recipients

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        return extensions(server, session, hostname, responses)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= self._max_recipients:
            reply = "452 4.5.3 Too many recipients"
        else:
            reply = self._answers.recipient(_peer(session), address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        self._counted.recipients.labels(reply[:3]).inc()
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        sender = envelope.mail_from or ""
        arrived = Arrived(
            "" if sender == "<>" else sender,
            tuple(envelope.rcpt_tos),
            envelope.original_content or b"",
            _peer(session),
        )
        reply = await self._answers.mail(arrived)
        self._counted.mails.labels(reply[:3]).inc()
        return reply

    async def handle_exception(self, error: Exception) -> str:
        """A command that aiosmtpd stumbles over is no reason to tell its sender about our code."""
        _log.warning("smtp_failed", error=type(error).__name__, exc_info=error)
        return "451 4.3.0 Local error"


def _peer(session: Session) -> str:
    return str(session.peer[0]) if isinstance(session.peer, tuple) else ""

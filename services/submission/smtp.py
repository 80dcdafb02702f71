"""The SMTP edge: aiosmtpd's protocol, with a key that has to be shown first, and only under TLS.

250 to the final dot means that the job is stored. While Redis or the API is away it is 451, and the client brings the
mail again. Whoever talks garbage gets an error reply, after some of them 421, and nobody gets a traceback.
"""

import asyncio
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from ipaddress import ip_address
from typing import Any, AnyStr, cast

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session, syntax
from prometheus_client import Counter, Gauge

from services.submission import dsn, tls_first
from services.submission.submission import Caller, Mail, Submission
from shared.net import smtp_hooks, smtp_in

RECIPIENTS = Counter("estafette_submission_recipients_total", "RCPT TO commands answered, by reply code", ["code"])
MAILS = Counter("estafette_submission_mails_total", "Mails received, by reply code to the final dot", ["code"])
SESSIONS = Gauge("estafette_submission_sessions", "Open SMTP sessions, by how they are encrypted", ["port"])
REFUSED = Counter("estafette_submission_refused_sessions_total", "Sessions refused or closed for others", ["reason"])
TLS = Counter(
    "estafette_submission_tls_total",
    "Sessions that were to be encrypted: done, or failed in the handshake",
    ["outcome"],
)

#: Error replies, and wrong keys, after which a session is over.
MAX_ERRORS, MAX_FAILURES = 20, 3
#: Of commands that no client says. What is wrong with an address or a mail is none.
_ERRORS = frozenset(("500", "501", "502", "503", "504", "530", "538", "555"))
#: Of a line in AUTH (RFC 4954 section 4).
MAX_AUTH_CHARS = 12_288
MECHANISMS = ("PLAIN", "LOGIN")
#: RFC 2034: what the library says without one has this code.
_ENHANCED = {
    "500": "5.5.2", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1", "552": "5.3.4", "553": "5.1.3", "555": "5.5.4",
    "250": "2.0.0", "221": "2.0.0", "252": "2.5.0", "451": "4.3.0", "421": "4.3.2",
}  # fmt: skip
_WITHOUT_CODE = re.compile(r"(\d{3}) (?!\d\.\d{1,3}\.\d{1,3}(?: |$))(.*)", re.DOTALL)
#: RFC 4954 section 5: a client that is itself a server may say whose mail it is. Whose key it is counts.
_ON_BEHALF = re.compile(r" +AUTH=\S*", re.IGNORECASE)

_log = structlog.get_logger()


class Listener(smtp_in.Listener):
    """Listens from `open` to `close`; `port` is the real one where 0 was asked for. `implicit`: TLS comes first.
    `plain_on_loopback`: keys are taken in clear from this machine."""

    def __init__(
        self,
        submission: Submission,
        host: str,
        port: int,
        *,
        hostname: str,
        bounds: smtp_in.Bounds,
        tls: smtp_in.Tls,
        max_recipients: int = 1_000,
        implicit: bool = False,
        plain_on_loopback: bool = False,
    ) -> None:
        sessions = SESSIONS.labels("tls" if implicit else "starttls")
        counted = smtp_hooks.Counted(RECIPIENTS, MAILS, sessions, REFUSED, TLS)
        super().__init__(
            Hooks(submission, counted, max_recipients, plain_on_loopback=plain_on_loopback),
            host,
            port,
            hostname=hostname,
            ident="ESMTP Estafette",
            bounds=bounds,
            watch=counted,
            tls=tls,
        )
        self._door: tls_first.Door | None = None
        if implicit:
            self._door = tls_first.Door(
                host, port, self._encrypted_session, tls, lambda: counted.encrypted("failed"), bounds.max_sessions
            )

    async def open(self) -> None:
        if self._door is None:
            await super().open()
            return
        await self._door.open()
        self.port = self._door.port

    async def close(self, *, finish_data: bool = False) -> None:
        if self._door is not None:
            await self._door.close()
        await super().close(finish_data=finish_data)

    def _encrypted_session(self) -> "smtp_in.Connection":
        return self._session(Connection, asyncio.get_running_loop())

    def kind(self) -> "type[smtp_in.Connection]":
        return Connection


class Hooks:
    """What aiosmtpd calls, and what a session asks."""

    def __init__(
        self,
        submission: Submission,
        counted: smtp_hooks.Counted,
        max_recipients: int,
        *,
        plain_on_loopback: bool,
    ) -> None:
        self.submission = submission
        self._counted = counted
        self._max_recipients = max_recipients
        self.plain_on_loopback = plain_on_loopback

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        return smtp_in.extensions(server, session, hostname, responses)

    async def handle_MAIL(
        self, server: "Connection", session: Session, envelope: "Asking", address: str, options: list[str]
    ) -> str:
        if server.caller is None:
            is_possible = server.offers_auth
            return (
                "530 5.7.0 Authentication required" if is_possible else "530 5.7.0 Must issue a STARTTLS command first"
            )
        envelope.mail_from = address
        envelope.of_mail = server.of_mail
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: "Connection", session: Session, envelope: "Asking", address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= self._max_recipients:
            reply = "452 4.5.3 Too many recipients"
        else:
            reply = self.submission.recipient(address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
            envelope.of_recipients.append(server.of_recipient)
        self._counted.recipients.labels(reply[:3]).inc()
        return reply

    async def handle_DATA(self, server: "Connection", session: Session, envelope: "Asking") -> str:
        if server.caller is None:
            return "530 5.7.0 Authentication required"
        sender = "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)
        content = bytes(envelope.original_content or b"")
        mail = Mail(tuple(envelope.rcpt_tos), content, sender, envelope.of_mail, tuple(envelope.of_recipients))
        reply = await self.submission.mail(server.caller, mail)
        self._counted.mails.labels(reply[:3]).inc()
        return reply

    async def handle_exception(self, error: Exception) -> str:
        """A command that aiosmtpd stumbles over is no reason to tell its sender about our code."""
        _log.warning("smtp_failed", error=type(error).__name__, exc_info=error)
        return "451 4.3.0 Local error"


class Asking(Envelope):
    """With what was said of reports, of its mail and of each of its recipients."""

    def __init__(self) -> None:
        super().__init__()
        self.of_mail = dsn.OfMail()
        self.of_recipients: list[dsn.OfRecipient] = []


class Connection(smtp_in.Connection):
    """One session. `of_mail` and `of_recipient` are what the command that is being read says of reports."""

    event_handler: Hooks
    command_size_limits = smtp_in.CommandSizes(MAIL=dsn.MAIL_CHARS, RCPT=dsn.RCPT_CHARS)
    of_mail, of_recipient = dsn.OfMail(), dsn.OfRecipient()
    _errors = _failures = 0
    _is_greeting = False

    @property
    def caller(self) -> Caller | None:
        """Whose key was shown; forgotten with all else when the session is encrypted."""
        known = getattr(self.session, "auth_data", None)
        return known if isinstance(known, Caller) else None

    @property
    def offers_auth(self) -> bool:
        """Whether a key may be shown now."""
        if self.caller is not None:
            return False
        return self._is_encrypted or (self.event_handler.plain_on_loopback and _is_loopback(self.session))

    @property
    def also_says(self) -> tuple[str, ...]:  # type: ignore[override]
        offered = (f"AUTH {' '.join(MECHANISMS)}",) if self.offers_auth else ()
        return ("ENHANCEDSTATUSCODES", "DSN", *offered)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if transport.get_extra_info("sslcontext") is not None:
            self._is_encrypted = True
            self._sessions.encrypted("done")
        super().connection_made(transport)

    async def push(self, status: AnyStr) -> None:
        text = status if isinstance(status, str) else status.decode("ascii", "replace")
        found = None if self._is_greeting else _WITHOUT_CODE.fullmatch(text)
        if found is not None and found[1] in _ENHANCED:
            text = f"{found[1]} {_ENHANCED[found[1]]} {found[2]}"
        await super().push(text)
        self._errors += text[:3] in _ERRORS
        if self._errors > MAX_ERRORS:
            self.turn_out("421 4.7.0 Too many errors, goodbye")

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, hostname: str) -> None:
        self._is_greeting = True
        try:
            await super().smtp_EHLO(hostname)
        finally:
            self._is_greeting = False

    @syntax("HELO hostname")
    async def smtp_HELO(self, hostname: str) -> None:
        self._is_greeting = True
        try:
            await super().smtp_HELO(hostname)
        finally:
            self._is_greeting = False

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:
        rest, self.of_mail = arg and _ON_BEHALF.sub("", arg), dsn.OfMail()
        if rest and self.session is not None and self.session.extended_smtp:
            try:
                rest, self.of_mail = dsn.of_mail(rest)
            except dsn.Refused as why:
                await self.push(str(why))
                return
        await super().smtp_MAIL(rest)

    @syntax("RCPT TO: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_RCPT(self, arg: str | None) -> None:
        rest, self.of_recipient = arg, dsn.OfRecipient()
        if rest and self.session is not None and self.session.extended_smtp:
            try:
                rest, self.of_recipient = dsn.of_recipient(rest)
            except dsn.Refused as why:
                await self.push(str(why))
                return
        await super().smtp_RCPT(rest)

    def _create_envelope(self) -> Envelope:
        return Asking()

    @syntax("AUTH <mechanism>", when="offers_auth")
    async def smtp_AUTH(self, arg: str) -> None:
        if await self.check_helo_needed("EHLO"):
            return
        if self.caller is not None or (self.envelope is not None and self.envelope.mail_from):
            await self.push("503 5.5.1 Error: not now")
            return
        if not self.offers_auth:
            await self.push("538 5.7.11 Encryption required for requested authentication mechanism")
            return
        mechanism, _, initial = (arg or "").strip().partition(" ")
        if mechanism.upper() not in MECHANISMS:
            await self.push("504 5.5.4 Unrecognized authentication type")
            return
        try:
            user, password = await self._credentials(mechanism.upper(), initial.strip())
        except _NoCredentials as why:
            await self.push(str(why))
            return
        caller = await self.event_handler.submission.login(user, password, self._failures)
        if isinstance(caller, Caller):
            cast(Any, self.session).auth_data = caller
            await self.push("235 2.7.0 Authentication successful")
            return
        self._failures += caller.startswith("5")
        await self.push(caller)
        if self._failures >= MAX_FAILURES:
            self.turn_out("421 4.7.0 Too many wrong keys, goodbye")

    async def _credentials(self, mechanism: str, initial: str) -> tuple[str, str]:
        if mechanism == "PLAIN":
            said = _decoded(initial) if initial else await self._asked("")
            parts = said.split("\0")
            if len(parts) != 3 or parts[0] not in ("", parts[1]):
                raise _NoCredentials("501 5.5.2 Not credentials of PLAIN")
            return parts[1], parts[2]
        user = _decoded(initial) if initial else await self._asked("Username:")
        return user, await self._asked("Password:")

    async def _asked(self, what: str) -> str:
        await self.push(f"334 {b64encode(what.encode()).decode()}")
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            self._is_leaving = True
            self.turn_out("500 5.5.6 Line too long, goodbye")
            raise _NoCredentials("500 5.5.6 Line too long") from None
        text = line.rstrip(b"\r\n").decode("ascii", "replace")
        if text == "*":
            raise _NoCredentials("501 5.7.0 Authentication cancelled")
        return _decoded(text)


class _NoCredentials(Exception):
    """The message is the reply."""


def _decoded(text: str) -> str:
    if text == "=":
        return ""
    if len(text) > MAX_AUTH_CHARS:
        raise _NoCredentials("500 5.5.6 Line too long")
    try:
        return b64decode(text, validate=True).decode()
    except (NotBase64, ValueError):
        raise _NoCredentials("501 5.5.2 Not base64 of UTF-8") from None


def _is_loopback(session: Session | None) -> bool:
    peer: Any = session.peer if session is not None else None
    try:
        return isinstance(peer, tuple) and ip_address(str(peer[0])).is_loopback
    except ValueError:
        return False

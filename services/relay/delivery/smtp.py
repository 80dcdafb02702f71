"""A connection to a mail host: aiosmtplib opens it, our transactions use it.

Theory of operation. aiosmtplib greets, upgrades and authenticates. Then `Connection` takes the transport over as its
protocol, and a message is a `Transaction` whose replies drive its writes from `data_received`: the task that sends is
woken once a message, and a message costs two writes. One timer a connection watches the deadline of the current phase;
it is looked at when it fires and not moved with every command.

Encryption is as the `TlsPolicy` asks (`tls.py`). An opportunistic one (RFC 7435) keeps out who listens: certificates
are not verified, and a host that fails at it gets the mail in clear, as it would without offering it. Any other that
cannot be had is ConnectFailed at stage `tls`, before anything of a mail was said. A password leaves only under a
verified certificate, or with the level `never`.
"""

import asyncio
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, Self, cast

import aiosmtplib

from services.relay.delivery.client import Client
from services.relay.delivery.transaction import Transaction
from services.relay.encryption import certificates
from services.relay.words.reply import (
    ConnectFailed,
    ConnectionLost,
    Garbled,
    Reply,
    ReplyReader,
    Stage,
    make_reply,
)
from services.relay.words.tls import (
    Level,
    TlsFailure,
    TlsPolicy,
    failure_of,
)
from services.relay.words.wire import END, wire_body

#: Written at a time, so that a slow reader is seen to read: the transport pauses above 64 KiB.
CHUNK_BYTES = 262_144
#: EHLO is not understood: HELO then (RFC 5321 section 4.1.1.1). Others refuse us, whatever the greeting.
_NO_EHLO = (500, 502, 504)

#: What may stand between < and >: `local@domain`, the local part quoted where it has to be. Anything else could end the
#: command and begin another.
_ADDRESS = re.compile(
    r"""(?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"|[^\x00-\x20\x7f<>"]+)@[^\x00-\x20\x7f<>"@]+""", re.VERBOSE
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each phase: RFC 5321 section 4.5.3.2, but `connect` (ours: a host that does not answer within 30 s
    will not), `tls` and `quit`. `block` is for each CHUNK_BYTES of a body that has to wait for the host to read."""

    connect: float = 30
    greeting: float = 300
    ehlo: float = 300
    tls: float = 60
    auth: float = 120
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    block: float = 180
    dot: float = 600
    quit: float = 5

    @property
    def shortest(self) -> float:
        """Of the phases of a message."""
        return min(self.mail, self.rcpt, self.data, self.block, self.dot)


class Connection(asyncio.Protocol):
    """An open connection, ready for one message at a time.

    `tls` is the protocol's version, or None in clear, `tls_cipher` the suite, `tls_policy` the word for what asked for
    it. `tls_failure` is the result type (RFC 8460) of encryption that was tried and did without, `tls_reason` in words.
    `source_ip` is the address that it leaves from.
    """

    def __init__(self, host: str, smtp: aiosmtplib.SMTP, policy: TlsPolicy, timeouts: Timeouts) -> None:
        """Takes over the transport of a client that has greeted: use `open`."""
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, smtp.transport)
        self._timeouts = timeouts
        self._shortest = timeouts.shortest
        self._phase_s: dict[Stage, float] = {
            "mail": timeouts.mail,
            "rcpt": timeouts.rcpt,
            "data": timeouts.data,
            "dot": timeouts.dot,
        }
        offered = smtp.esmtp_extensions
        self._pipelining = "pipelining" in offered
        self._eight_bit = "8bitmime" in offered
        self._utf8 = "smtputf8" in offered
        self._size = "size" in offered
        self._size_limit = _number(offered.get("size", ""))
        tls_object = self._transport.get_extra_info("ssl_object")
        self.host = host
        self.tls: str | None = tls_object.version() if tls_object else None
        self.tls_cipher: str = tls_object.cipher()[0] if tls_object else ""
        self.tls_policy = policy.word
        local = self._transport.get_extra_info("sockname")
        self.source_ip: str = local[0] if local else ""
        self.tls_failure: TlsFailure | Literal[""] = policy.failure
        self.tls_reason = ""
        self.sent_count = 0
        self._usable = not self._transport.is_closing()
        self._reset_next = False
        self._reader = ReplyReader()
        self._transaction: Transaction | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._unsent = memoryview(b"")
        #: What is asked before the body is; done once the host waits for the body. None: nothing is.
        self._held: asyncio.Future[None] | None = None
        self._paused = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._transport.set_protocol(self)

    # Open and close

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        *,
        helo: str,
        tls: TlsPolicy,
        address: str | None = None,
        source_ip: str | None = None,
        login: tuple[str, str] | None = None,
        timeouts: Timeouts = Timeouts(),
        client_certificate: tuple[str, str] | None = None,
        ca_file: str = "",
    ) -> Self:
        """A connection to `address` (else to what the system finds for `host`), greeted and encrypted as `tls` says.
        `client_certificate` are the files of the certificate and its key (PEM), shown to hosts that ask for one;
        `ca_file` has authorities that are believed beside the system's. ConnectFailed if that cannot be had."""
        dial = _Dial(host, port, address or host, helo, source_ip, login, timeouts, client_certificate, ca_file)
        lost: _TlsFailed | None = None
        for level in _levels(tls, login is not None):
            try:
                smtp, missing = await dial.smtp(level, tls)
                break
            except _TlsFailed as failed:
                lost = lost or failed
        else:
            assert lost is not None
            raise ConnectFailed("tls", host, lost.reason, lost.reply, lost.failure) from None
        connection = cls(host, smtp, tls, timeouts)
        if lost := lost or missing:
            connection.tls_failure, connection.tls_reason = lost.failure, lost.reason
        if not connection.usable:
            raise ConnectFailed("ehlo", host, "closed by the host")
        return connection

    async def close(self) -> None:
        """Says goodbye and waits for the host to close, for a bounded time; what is being sent is given up."""
        if self._transaction is not None:
            self._lose("closed here")
        if self.usable:
            self._usable = False
            self._transport.write(b"QUIT\r\n")
            await asyncio.wait({self._closed}, timeout=self._timeouts.quit)
        self._transport.abort()
        await asyncio.wait({self._closed}, timeout=self._timeouts.quit)

    @property
    def usable(self) -> bool:
        """Another message may be sent, as far as we know."""
        return self._usable and not self._transport.is_closing()

    # Send

    async def send(
        self,
        mail_from: str,
        rcpt_to: str,
        message: bytes,
        before_body: Callable[[], Awaitable[None]] | None = None,
        *,
        utf8: bool = False,
        wire_ready: bool = False,
    ) -> Reply:
        """The reply that counts for this message: headers and body, with any line ends. `mail_from` may be empty (the
        null sender); `utf8`: its headers have addresses beyond ASCII (RFC 6531). `wire_ready`: its lines are known to
        be as SMTP has them (`wire.is_wire_ready`), and nobody looks again. ConnectionLost if there is no reply;
        ValueError if `mail_from` is no address.

        `before_body` is awaited when the host has said that it takes the message, and before any of it is written. What
        it raises is raised here; nothing of the message was sent then, nor if the connection is lost meanwhile."""
        if self._transaction is not None:
            raise RuntimeError("one message at a time")
        if not self.usable:
            raise ConnectionLost("mail", self.host, "the connection was closed before", sent_final_dot=False)
        body = message + END if wire_ready else wire_body(message)
        eight_bit = not message.isascii()
        utf8 = utf8 or not (mail_from.isascii() and rcpt_to.isascii())
        if refusal := self._refusal(mail_from, rcpt_to, len(body), eight_bit, utf8):
            return refusal
        mail = self._mail_command(mail_from, len(body), eight_bit, utf8)
        rcpt = f"RCPT TO:<{rcpt_to}>\r\n".encode()
        transaction = self._transaction = Transaction(
            self.host, mail, rcpt, body, pipelining=self._pipelining, reset=self._reset_next
        )
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        self._waiter = waiter
        self._held = self._loop.create_future() if before_body is not None else None
        self._begin_phase(self._phase_s["mail"])
        self._transport.write(transaction.begin())
        try:
            if self._held is not None and before_body is not None:
                await asyncio.wait((waiter, self._held), return_when=asyncio.FIRST_COMPLETED)
                if self._held.done() and not waiter.done():
                    await before_body()
                    self._held = None
                    self._write_body()
            return await waiter
        except BaseException:
            if self._transaction is transaction:
                waiter.cancel()
                self._lose("given up")
            elif not waiter.cancelled():
                waiter.exception()  # looked at, so that nobody misses it: this reason is the one that is told
            raise

    def _refusal(self, mail_from: str, rcpt_to: str, size: int, eight_bit: bool, utf8: bool) -> Reply | None:
        """What the host would say, where we know it beforehand; in the words of RFC 3463, 1870, 6152 and 6531."""
        if mail_from and not _ADDRESS.fullmatch(mail_from):
            raise ValueError(f"not an envelope sender: {mail_from!r:.200}")
        if not _ADDRESS.fullmatch(rcpt_to):
            return Reply(553, "5.1.3", "Bad recipient address syntax", "rcpt", self.host)
        if utf8 and not self._utf8:
            # About the recipient only if it is his address: else at MAIL, where a refusal is about the sender.
            stage: Stage = "mail" if rcpt_to.isascii() else "rcpt"
            return Reply(553, "5.6.7", "The host does not take addresses with letters beyond ASCII", stage, self.host)
        if eight_bit and not self._eight_bit:
            return Reply(554, "5.6.3", "The host does not take 8-bit messages", "mail", self.host)
        if self._size_limit and size > self._size_limit:
            text = f"Message size of {size} bytes exceeds the host's limit of {self._size_limit}"
            return Reply(552, "5.3.4", text, "mail", self.host)
        return None

    def _mail_command(self, mail_from: str, size: int, eight_bit: bool, utf8: bool) -> bytes:
        parameters = f" SIZE={size}" if self._size else ""
        if eight_bit:
            parameters += " BODY=8BITMIME"
        if utf8:
            parameters += " SMTPUTF8"
        return f"MAIL FROM:<{mail_from}>{parameters}\r\n".encode()

    # What the transport tells

    def data_received(self, data: bytes) -> None:
        heard = False
        try:
            for code, lines in self._reader.feed(data):
                heard = True
                self._receive(code, lines)
        except Garbled as garbled:
            self._lose(str(garbled))
            return
        if self._transaction is not None and heard and not self._unsent:
            self._begin_phase(self._phase_s[self._transaction.stage])

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(_reason(exc) if exc else "closed by the host")
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write_body()

    # Inside

    def _receive(self, code: int, lines: list[bytes]) -> None:
        transaction = self._transaction
        if transaction is None:
            # Unasked: mostly 421 before it closes, or the answer to QUIT. Nothing may be paired with it.
            self._hang_up()
            return
        if transaction.body_is_out and self._unsent and code < 400:
            raise Garbled(f"{code} before the message was sent")
        if (to_write := transaction.receive(code, lines)) is not None:
            if transaction.body_is_out:
                self._unsent = memoryview(to_write)
                if self._held is not None:
                    self._begin_phase(self._timeouts.block)
                    self._held.set_result(None)
                else:
                    self._write_body()
            else:
                self._transport.write(to_write)
        if transaction.result is not None:
            self._finish(transaction, transaction.result, in_step=code != 421 and not self._unsent)

    def _write_body(self) -> None:
        while self._unsent and not self._paused and self._held is None:
            chunk, self._unsent = self._unsent[:CHUNK_BYTES], self._unsent[CHUNK_BYTES:]
            self._transport.write(chunk)
            self._begin_phase(self._timeouts.block if self._unsent else self._timeouts.dot)

    def _finish(self, transaction: Transaction, result: Reply, *, in_step: bool) -> None:
        """The message has its reply. `in_step`: we and the host still agree on what comes next."""
        self._transaction = None
        self._unsent = memoryview(b"")
        self._reset_next = not transaction.accepted
        if not in_step:
            self._hang_up()
        if self._waiter is not None and not self._waiter.done():
            self.sent_count += 1
            self._waiter.set_result(result)

    def _hang_up(self) -> None:
        """Once: asyncio (3.11) forgets what an encrypted transport stands on when it is closed a second time, as where
        more replies follow 421, and then neither closes nor aborts it."""
        self._usable = False
        if not self._transport.is_closing():
            self._transport.close()

    def _lose(self, reason: str) -> None:
        """Nothing more comes. A refusal that was heard before still counts, and so does what was begun to be said of a
        message that is out: to send it again because of a missing last line would be to send it twice."""
        self._usable = False
        transaction, unsent = self._transaction, bool(self._unsent)
        if transaction is not None and transaction.body_is_out and not unsent and (begun := self._reader.begun):
            with suppress(Garbled):
                transaction.receive(*begun)
            if transaction.result is not None:
                self._finish(transaction, transaction.result, in_step=False)
                self._transport.abort()
                return
        if transaction is not None and transaction.refused is not None:
            self._finish(transaction, transaction.refused, in_step=False)
        elif transaction is not None:
            self._transaction = None
            self._unsent = memoryview(b"")
            lost = ConnectionLost(transaction.stage, self.host, reason, transaction.body_is_out and not unsent)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(lost)
        self._transport.abort()

    def _begin_phase(self, seconds: float) -> None:
        """Within this time something has to come. The timer fires at least every shortest phase, so never too late."""
        now = self._loop.time()
        self._deadline = now + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._shortest, self._watch)

    def _watch(self) -> None:
        self._timer = None
        if self._transaction is None:
            return
        now = self._loop.time()
        if now >= self._deadline:
            held = self._held is not None and self._held.done()
            self._lose(
                "the body was withheld too long" if held else f"no answer to {self._transaction.stage.upper()} in time"
            )
        else:
            self._timer = self._loop.call_at(min(self._deadline, now + self._shortest), self._watch)


class _TlsFailed(Exception):
    """The host cannot be encrypted to as it has to be."""

    def __init__(self, failure: TlsFailure, reason: str, reply: Reply | None = None) -> None:
        self.failure, self.reason, self.reply = failure, reason, reply


def _levels(policy: TlsPolicy, with_login: bool) -> tuple[Level, ...]:
    """What is tried, each over a connection of its own, until one holds."""
    if with_login and policy.level not in ("never", "dane"):
        return ("verified",)
    tried: tuple[Level, ...] = ("verified", policy.level) if policy.testing and not policy.failure else (policy.level,)
    return (*tried, "never") if policy.level == "opportunistic" else tried


@dataclass(frozen=True, slots=True)
class _Dial:
    """How to reach a host, to be tried with and without TLS."""

    host: str
    port: int
    address: str
    helo: str
    source_ip: str | None
    login: tuple[str, str] | None
    timeouts: Timeouts
    client_certificate: tuple[str, str] | None
    ca_file: str

    async def smtp(self, level: Level, policy: TlsPolicy) -> tuple[aiosmtplib.SMTP, _TlsFailed | None]:
        """A client that has greeted, encrypted and authenticated; and why it is in clear, where it might have been
        encrypted. ConnectFailed or _TlsFailed."""
        smtp = Client(hostname=self.host, local_hostname=self.helo, start_tls=False, timeout=self.timeouts.greeting)
        connected = await self._connect()
        stage: Stage = "greeting"
        missing: _TlsFailed | None = None
        try:
            await smtp.connect(sock=connected)
            stage = "ehlo"
            await self._greet(smtp)
            if level != "never":
                stage = "tls"
                missing = await self._encrypt(smtp, level, policy)
            if self.login is not None:
                stage = "auth"
                await smtp.login(*self.login, timeout=self.timeouts.auth)
        except BaseException as error:
            smtp.close()
            if isinstance(error, (aiosmtplib.SMTPException, OSError, ValueError)):
                raise self._failed(stage, error) from None
            raise
        return smtp, missing

    async def _connect(self) -> socket.socket:
        try:
            async with asyncio.timeout(self.timeouts.connect):
                return await _connected(self.address, self.port, self.source_ip)
        except TimeoutError:
            raise ConnectFailed("connect", self.host, f"no answer from {self.address} in time") from None
        except OSError as error:
            raise ConnectFailed("connect", self.host, f"{_reason(error)} ({self.address})") from None

    async def _greet(self, smtp: aiosmtplib.SMTP) -> None:
        try:
            await smtp.ehlo(timeout=self.timeouts.ehlo)
        except aiosmtplib.SMTPHeloError as refused:
            if refused.code not in _NO_EHLO:
                raise
            await smtp.helo(timeout=self.timeouts.ehlo)

    async def _encrypt(self, smtp: aiosmtplib.SMTP, level: Level, policy: TlsPolicy) -> _TlsFailed | None:
        """_TlsFailed if it fails at the handshake or may not do without; returned, if the conversation goes on in
        clear."""
        if (refusal := await self._start_tls(smtp, level, policy)) is not None:
            if level == "opportunistic":
                return refusal
            raise refusal
        if level == "dane":
            # Before EHLO: to somebody else nothing is said.
            wrong = certificates.mismatch(_chain(smtp), policy.tlsa, policy.names or (self.host,), datetime.now(UTC))
            if wrong is not None:
                raise _TlsFailed(*wrong)
        try:
            await self._greet(smtp)
        except aiosmtplib.SMTPHeloError as refused:
            # It has forgotten the conversation, or cannot have one over TLS: in clear it may.
            if refused.code == 421:
                raise
            reply = make_reply(refused.code, refused.message.encode().split(b"\n"), "tls", self.host)
            raise _TlsFailed("validation-failure", reply.codes, reply) from None
        except (aiosmtplib.SMTPServerDisconnected, OSError) as error:
            # In TLS 1.3 a host that refuses the handshake, or the certificate shown to it, says so only now.
            raise _TlsFailed("validation-failure", _reason(error)) from None
        return None

    async def _start_tls(self, smtp: aiosmtplib.SMTP, level: Level, policy: TlsPolicy) -> _TlsFailed | None:
        """A refusal after which the connection is still good."""
        if not smtp.supports_extension("starttls"):
            return _TlsFailed("starttls-not-supported", "the host does not offer STARTTLS")
        name = self.address if self.host.startswith("[") else self.host
        if level == "dane" and policy.names:
            name = policy.names[0]  # RFC 7672 section 8.1: the name below which the records are
        context = _tls_context(level == "verified", self.ca_file, self.client_certificate)
        try:
            await smtp.starttls(server_hostname=name, tls_context=context, timeout=self.timeouts.tls)
        except aiosmtplib.SMTPResponseException as refused:
            if refused.code == 421:
                raise
            reply = make_reply(refused.code, refused.message.encode().split(b"\n"), "tls", self.host)
            return _TlsFailed("validation-failure", reply.codes, reply)
        except ssl.SSLCertVerificationError as error:
            raise _TlsFailed(failure_of(error.verify_code), f"its certificate: {error.verify_message}") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise _TlsFailed("validation-failure", _reason(error)) from None
        return None

    def _failed(self, stage: Stage, error: Exception) -> ConnectFailed:
        tls_failure: TlsFailure | Literal[""] = "validation-failure" if stage == "tls" else ""
        if not isinstance(error, aiosmtplib.SMTPResponseException) or error.code < 0:
            return ConnectFailed(stage, self.host, _reason(error), None, tls_failure)
        reply = make_reply(error.code, error.message.encode().split(b"\n"), stage, self.host)
        return ConnectFailed(stage, self.host, reply.line, reply, tls_failure)


def load_certificates(ca_file: str, client_certificate: tuple[str, str] | None) -> None:
    """Reads what every connection is opened with. ValueError in words for the operator if a file is missing or bad."""
    try:
        _tls_context(True, ca_file, None)
    except (OSError, ValueError) as error:
        raise ValueError(f"tls.ca_file: {_reason(error)}") from None
    try:
        _tls_context(True, ca_file, client_certificate)
        _tls_context(False, ca_file, client_certificate)
    except (OSError, ValueError) as error:
        raise ValueError(f"tls.client_certificate, tls.client_key: {_reason(error)}") from None


def routed_versions() -> tuple[int, ...]:
    """The versions of IP for which this machine has a route to the world: (4, 6) or less; both if it seems to have
    none. Connecting a datagram socket sends nothing."""
    found = []
    for version, family, place in ((4, socket.AF_INET, "192.0.2.1"), (6, socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((place, 25))
            found.append(version)
    return tuple(found) or (4, 6)


def is_own(address: str) -> bool:
    """This machine has the address: mail that goes there comes back. Only what is ours can be bound to, unless the
    system lets one bind to anything (`ip_nonlocal_bind`), which says nothing."""
    return _can_bind(address) and not _can_bind("2001:db8::1" if ":" in address else "192.0.2.1")


def _can_bind(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True


async def _connected(address: str, port: int, source_ip: str | None) -> socket.socket:
    """A socket connected to the first of the address's meanings that answers. OSError if none does."""
    loop = asyncio.get_running_loop()
    failure = OSError(f"no address for {address}")
    for family, end in await _endpoints(address, port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if source_ip is not None:
                sock.bind((source_ip, 0))
            await loop.sock_connect(sock, end)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _endpoints(address: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    try:
        family = socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(address, port, type=socket.SOCK_STREAM)
        return [(family, (str(end[0]), port)) for family, _, _, _, end in found]
    return [(family, (address, port))]


@cache
def _tls_context(
    verified: bool, ca_file: str = "", client_certificate: tuple[str, str] | None = None
) -> ssl.SSLContext:
    """One a process: reading the system's certificates takes longer than a handshake. A client certificate that is
    renewed is read at the next start."""
    if verified:
        context = ssl.create_default_context()
        # RFC 8461 section 4.2: the name is a DNS-ID; a common name is none.
        context.hostname_checks_common_name = False
        if ca_file:
            context.load_verify_locations(cafile=ca_file)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_certificate is not None:
        context.load_cert_chain(*client_certificate)
    return context


def _chain(smtp: aiosmtplib.SMTP) -> list[bytes]:
    """The certificates that the host showed (DER), its own first."""
    tls_object: Any = smtp.get_transport_info("ssl_object")
    if hasattr(tls_object, "get_unverified_chain"):  # Python 3.13
        return list(tls_object.get_unverified_chain())
    shown = tls_object._sslobj.get_unverified_chain() or []
    return [certificate.public_bytes(ssl._ssl.ENCODING_DER) for certificate in shown]  # type: ignore[attr-defined]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _reason(error: BaseException) -> str:
    """A failure in words: those of its cause where it has one, without the numbers that are put around them."""
    if isinstance(error.__cause__, OSError) and str(error.__cause__):
        return _reason(error.__cause__)
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return " ".join(str(error).split()) or type(error).__name__

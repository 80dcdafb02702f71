"""Reaches a mail host: a connection, greeted and encrypted as is asked, with which the conversation begins.

Theory of operation. aiosmtplib greets, upgrades and authenticates; `connection` takes over from there.

Encryption is as the `TlsPolicy` asks (`tls.py`). An opportunistic one (RFC 7435) keeps out who listens: certificates
are not verified, and a host that fails at it gets the mail in clear, as it would without offering it. Any other that
cannot be had is ConnectFailed at stage `tls`, before anything of a mail was said. A password leaves only under a
verified certificate, or with the level `never`.
"""

import asyncio
import ipaddress
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

import aiosmtplib

from services.relay.delivery.client import Client
from services.relay.delivery.overheard import Dialogue
from services.relay.encryption import certificates
from services.relay.words.reply import ConnectFailed, Reply, Stage, make_reply
from services.relay.words.tls import Level, TlsFailure, TlsPolicy, failure_of

#: EHLO is not understood: HELO then (RFC 5321 section 4.1.1.1). Others refuse us, whatever the greeting.
_NO_EHLO = (500, 502, 504)


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


RFC_TIMEOUTS = Timeouts()


class TlsFailed(Exception):
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
class Dial:
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
    dialogue: Dialogue | None = None
    #: Encrypted from the first byte (RFC 8314) and not by STARTTLS.
    implicit: bool = False

    async def greeted(self, policy: TlsPolicy) -> tuple[Client, TlsFailed | None]:
        """A client that has greeted, encrypted and authenticated; and what failed where it does without encryption, or
        with less than was tried. ConnectFailed."""
        lost: TlsFailed | None = None
        for level in _levels(policy, self.login is not None):
            try:
                smtp, missing = await self._greeted(level, policy)
            except TlsFailed as failed:
                lost = lost or failed
            else:
                return smtp, lost or missing
        assert lost is not None
        raise ConnectFailed("tls", self.host, lost.reason, lost.reply, lost.failure)

    async def _greeted(self, level: Level, policy: TlsPolicy) -> tuple[Client, TlsFailed | None]:
        """The same at one level; and why it is in clear, where it might have been encrypted. ConnectFailed or
        TlsFailed."""
        smtp = Client(hostname=self.host, local_hostname=self.helo, start_tls=False, timeout=self.timeouts.greeting)
        smtp.dialogue = self.dialogue
        self._note(f"connects to {self.address}:{self.port}; TLS: {level}")
        connected = await self._connect()
        stage: Stage = "greeting"
        missing: TlsFailed | None = None
        try:
            await self._begin(smtp, connected, level)
            stage = "ehlo"
            await self._greet(smtp)
            if level != "never" and not self.implicit:
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

    async def _begin(self, smtp: Client, connected: socket.socket, level: Level) -> None:
        """The greeting, through TLS where that comes first. TlsFailed if there is none to be had."""
        if not self.implicit:
            await smtp.connect(sock=connected)
            return
        smtp.implicit = (
            _tls_context(level == "verified", self.ca_file, self.client_certificate),
            self.host,
            self.timeouts.tls,
        )
        try:
            await smtp.connect(sock=connected)
        except ssl.SSLCertVerificationError as error:
            connected.close()
            raise TlsFailed(failure_of(error.verify_code), f"its certificate: {error.verify_message}") from None
        except (ssl.SSLError, ConnectionError) as error:
            connected.close()
            raise TlsFailed("validation-failure", in_words(error)) from None
        self._note(_encryption_of(smtp))

    def _note(self, text: str) -> None:
        if self.dialogue is not None:
            self.dialogue.note(text)

    async def _connect(self) -> socket.socket:
        try:
            async with asyncio.timeout(self.timeouts.connect):
                return await _connected(self.address, self.port, self.source_ip)
        except TimeoutError:
            raise ConnectFailed("connect", self.host, f"no answer from {self.address} in time") from None
        except OSError as error:
            raise ConnectFailed("connect", self.host, f"{in_words(error)} ({self.address})") from None

    async def _greet(self, smtp: Client) -> None:
        try:
            await smtp.ehlo(timeout=self.timeouts.ehlo)
        except aiosmtplib.SMTPHeloError as refused:
            if refused.code not in _NO_EHLO:
                raise
            await smtp.helo(timeout=self.timeouts.ehlo)

    async def _encrypt(self, smtp: Client, level: Level, policy: TlsPolicy) -> TlsFailed | None:
        """TlsFailed if it fails at the handshake or may not do without; returned, if the conversation goes on in
        clear."""
        if (refusal := await self._start_tls(smtp, level, policy)) is not None:
            if level == "opportunistic":
                return refusal
            raise refusal
        if self.dialogue is not None:
            self._note(_encryption_of(smtp))
        if level == "dane":
            # Before EHLO: to somebody else nothing is said.
            wrong = certificates.mismatch(_chain(smtp), policy.tlsa, policy.names or (self.host,), datetime.now(UTC))
            if wrong is not None:
                raise TlsFailed(*wrong)
        try:
            await self._greet(smtp)
        except aiosmtplib.SMTPHeloError as refused:
            # It has forgotten the conversation, or cannot have one over TLS: in clear it may.
            if refused.code == 421:
                raise
            reply = make_reply(refused.code, refused.message.encode().split(b"\n"), "tls", self.host)
            raise TlsFailed("validation-failure", reply.codes, reply) from None
        except (aiosmtplib.SMTPServerDisconnected, OSError) as error:
            # In TLS 1.3 a host that refuses the handshake, or the certificate shown to it, says so only now.
            raise TlsFailed("validation-failure", in_words(error)) from None
        return None

    async def _start_tls(self, smtp: Client, level: Level, policy: TlsPolicy) -> TlsFailed | None:
        """A refusal after which the connection is still good."""
        if not smtp.supports_extension("starttls"):
            return TlsFailed("starttls-not-supported", "the host does not offer STARTTLS")
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
            return TlsFailed("validation-failure", reply.codes, reply)
        except ssl.SSLCertVerificationError as error:
            raise TlsFailed(failure_of(error.verify_code), f"its certificate: {error.verify_message}") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise TlsFailed("validation-failure", in_words(error)) from None
        return None

    def _failed(self, stage: Stage, error: Exception) -> ConnectFailed:
        tls_failure: TlsFailure | Literal[""] = "validation-failure" if stage == "tls" else ""
        if not isinstance(error, aiosmtplib.SMTPResponseException) or error.code < 0:
            return ConnectFailed(stage, self.host, in_words(error), None, tls_failure)
        reply = make_reply(error.code, error.message.encode().split(b"\n"), stage, self.host)
        return ConnectFailed(stage, self.host, reply.line, reply, tls_failure)


def _encryption_of(smtp: Client) -> str:
    tls_object: Any = smtp.get_transport_info("ssl_object")
    return f"encrypted: {tls_object.version()} {tls_object.cipher()[0]}"


def load_certificates(ca_file: str, client_certificate: tuple[str, str] | None) -> None:
    """Reads what every connection is opened with. ValueError in words for the operator if a file is missing or bad."""
    try:
        _tls_context(True, ca_file, None)
    except (OSError, ValueError) as error:
        raise ValueError(f"tls.ca_file: {in_words(error)}") from None
    try:
        _tls_context(True, ca_file, client_certificate)
        _tls_context(False, ca_file, client_certificate)
    except (OSError, ValueError) as error:
        raise ValueError(f"tls.client_certificate, tls.client_key: {in_words(error)}") from None


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


def _chain(smtp: Client) -> list[bytes]:
    """The certificates that the host showed (DER), its own first."""
    tls_object: Any = smtp.get_transport_info("ssl_object")
    if hasattr(tls_object, "get_unverified_chain"):  # Python 3.13
        return list(tls_object.get_unverified_chain())
    shown = tls_object._sslobj.get_unverified_chain() or []
    return [certificate.public_bytes(ssl._ssl.ENCODING_DER) for certificate in shown]  # type: ignore[attr-defined]


def in_words(error: BaseException) -> str:
    """A failure in words: those of its cause where it has one, without the numbers that are put around them."""
    if isinstance(error.__cause__, OSError) and str(error.__cause__):
        return in_words(error.__cause__)
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return " ".join(str(error).split()) or type(error).__name__

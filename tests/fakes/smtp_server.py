"""A real SMTP server on a free loopback port that does what a script says, and remembers what it got.

As in a test:

    async with SmtpServer({"RCPT": ["550 5.1.1 User unknown", "250 ok"], "DOT": (0.2, CLOSE)}) as server:
        server.port
        server.envelopes[0].message       # bytes of the accepted message, dots as the sender had them
        server.batches                    # commands as they came: ["EHLO …"], ["MAIL …", "RCPT …", "DATA"], …

The script has an entry for each of CONNECT EHLO HELO STARTTLS AUTH MAIL RCPT DATA DOT RSET QUIT that is not answered as
usual: a step, or a list of them, of which each is for one occasion and the last for all that follow. A step is

    "250 ok"        a reply; lines after the first as usual in SMTP: "550-one\\n550 two"
    b"\\xff"         bytes as they are
    0.2             a delay in seconds
    CLOSE RESET     the connection is closed in silence, or reset
    SILENT          nothing, and nothing more
    DEAF            nothing, and nothing more is read either
    (step, …)       several, in order
    a function      of the command's argument, to a step
"""

import asyncio
import datetime
import ssl
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

EXTENSIONS = ("PIPELINING", "SIZE 10485760", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


class Act(Enum):
    CLOSE = "close"
    RESET = "reset"
    SILENT = "silent"
    DEAF = "deaf"


CLOSE, RESET, SILENT, DEAF = Act

Step = str | bytes | float | Act | tuple["Step", ...] | Callable[[str], "Step"]
Script = Mapping[str, Step | list[Step]]


@dataclass
class Envelope:
    """`mail` and `rcpts` are the arguments of MAIL FROM and RCPT TO; `wire` is what came after DATA, `message` what it
    means (without doubled dots and the final one); `peer` and `helo` are who brought it."""

    mail: str
    rcpts: list[str] = field(default_factory=list)
    wire: bytes = b""
    peer: str = ""
    helo: str = ""

    @property
    def message(self) -> bytes:
        body = self.wire.removesuffix(b".\r\n")
        return (b"\r\n" + body).replace(b"\r\n..", b"\r\n.")[2:]


class SmtpServer:
    """`port` is known once it has been entered; `host` is one of the loopback's. With `encrypted`, STARTTLS is offered
    and works; with `tls` too, under that context, and if it is `implicit` from the first byte. `peer` is who is
    answered just now, for a step that is a function."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        extensions: Sequence[str] = EXTENSIONS,
        encrypted: bool = False,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        implicit: bool = False,
    ) -> None:
        self.host = host
        self.implicit = implicit
        self.peer = ""
        self.script = {
            word: list(steps) if isinstance(steps, list) else [steps] for word, steps in (script or {}).items()
        }
        self.encrypted = (encrypted or tls is not None) and not implicit
        self.extensions = (*extensions, "STARTTLS") if self.encrypted else tuple(extensions)
        self.tls = tls
        self.port = port
        self.envelopes: list[Envelope] = []
        self.batches: list[list[str]] = []
        self.connections = 0
        self.open_connections = 0
        self.encryptions = 0
        #: What had come of bodies whose connections ended before their final dot.
        self.unfinished: list[bytes] = []
        self.client_certificates: list[bytes | None] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def commands(self) -> list[str]:
        """All commands in the order they came."""
        return [command for batch in self.batches for command in batch]

    @property
    def messages(self) -> list[bytes]:
        return [envelope.message for envelope in self.envelopes]

    async def __aenter__(self) -> Self:
        context = self.tls if self.implicit else None
        self._server = await asyncio.start_server(self._connected, self.host, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for _ in range(3):  # who was let in a moment ago has no task yet
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def step(self, word: str, argument: str) -> Step | None:
        """What the script says for this occasion."""
        steps = self.script.get(word)
        if not steps:
            return None
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        return step(argument) if callable(step) else step

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Not a coroutine: a task that is cancelled before it has begun would leave its connection open."""
        self.connections += 1
        self.open_connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._disconnect(done, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(self, reader, writer)
        try:
            with suppress(ConnectionError, ssl.SSLError, _Hangup):
                await session.run()
        finally:
            if session.in_data:
                self.unfinished.append(session.buffer)

    def _disconnect(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._tasks.discard(task)
        self.open_connections -= 1
        writer.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


class _Hangup(Exception):
    pass


class _Session:
    def __init__(self, server: SmtpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.buffer = b""
        self.envelope: Envelope | None = None
        self.in_data = False
        self.peer = str((writer.get_extra_info("peername") or ("",))[0])
        self.helo = ""

    async def run(self) -> None:
        await self.do(self.server.step("CONNECT", "") or "220 fake.example ESMTP")
        while chunk := await self.reader.read(65536):
            self.buffer += chunk
            batch: list[str] = []
            while await self.take(batch):
                pass

    async def take(self, batch: list[str]) -> bool:
        """Takes one command, or the body, from the buffer, if it is there as a whole."""
        if self.in_data:
            body, end, rest = (b"\r\n" + self.buffer).partition(b"\r\n.\r\n")
            if end:
                self.in_data, self.buffer = False, rest
                await self.dot(body[2:] + (b"\r\n" if len(body) > 2 else b"") + b".\r\n")
        else:
            line, end, rest = self.buffer.partition(b"\r\n")
            if end:
                self.buffer = rest
                command = line.decode("utf-8", "replace")
                if not batch:
                    self.server.batches.append(batch)
                batch.append(command)
                await self.command(command)
        return bool(end)

    async def command(self, command: str) -> None:
        word, _, argument = command.partition(" ")
        word = word.upper()
        self.server.peer = self.peer
        step = self.server.step(word, argument)
        if step is None:
            step = self.usual(word, argument)
        code = await self.do(step)
        if word == "MAIL" and code == 250:
            self.envelope = Envelope(argument, peer=self.peer, helo=self.helo)
        elif word == "EHLO":
            self.helo = argument
        elif word == "RCPT" and code in (250, 251) and self.envelope:
            self.envelope.rcpts.append(argument)
        elif word == "RSET":
            self.envelope = None
        elif word == "DATA" and code == 354:
            self.in_data = True
        elif word == "STARTTLS" and code == 220 and self.server.encrypted:
            self.buffer, self.envelope = b"", None
            await self.writer.start_tls(self.server.tls or server_certificate()[0])
            self.server.encryptions += 1
            self.server.client_certificates.append(self.writer.get_extra_info("ssl_object").getpeercert(True))
        elif word == "QUIT":
            raise _Hangup

    def usual(self, word: str, argument: str) -> Step:
        match word:
            case "EHLO":
                lines = ["fake.example greets you", *self.server.extensions]
                return "\n".join(f"250{' ' if line is lines[-1] else '-'}{line}" for line in lines)
            case "HELO" | "RSET" | "NOOP":
                return "250 ok"
            case "STARTTLS":
                return "220 2.0.0 go ahead"
            case "AUTH":
                return "235 2.7.0 welcome"
            case "MAIL":
                return "503 5.5.1 nested MAIL" if self.envelope else "250 2.1.0 ok"
            case "RCPT":
                return "250 2.1.5 ok" if self.envelope else "503 5.5.1 need MAIL first"
            case "DATA":
                return "354 go on" if self.envelope and self.envelope.rcpts else "554 5.5.1 no valid recipients"
            case "QUIT":
                return "221 2.0.0 bye"
            case _:
                return f"500 5.5.2 {word[:20]} is no command"

    async def dot(self, wire: bytes) -> None:
        envelope, self.envelope = self.envelope, None
        step = self.server.step("DOT", "")
        code = await self.do("250 2.0.0 queued" if step is None else step)
        if envelope and envelope.rcpts and code == 250:
            envelope.wire = wire
            self.server.envelopes.append(envelope)

    async def do(self, step: Step) -> int:
        """Does the step; its reply code, 0 if it had none."""
        match step:
            case str():
                self.writer.write(step.replace("\n", "\r\n").encode() + b"\r\n")
                await self.writer.drain()
                return int(step.splitlines()[-1][:3])
            case bytes():
                self.writer.write(step)
                return int(step[:3]) if step[:3].isdigit() else 0
            case float() | int():
                await asyncio.sleep(step)
            case Act.CLOSE:
                raise _Hangup
            case Act.RESET:
                self.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                self.writer.transport.abort()
                raise _Hangup
            case Act.SILENT:
                while await self.reader.read(65536):
                    pass
                raise _Hangup
            case Act.DEAF:
                self.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.Event().wait()
            case tuple():
                return [await self.do(each) for each in step][-1]
        return 0


@cache
def server_certificate() -> tuple[ssl.SSLContext, bytes]:
    """A server's context with a self-signed certificate for `localhost`, and that certificate (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        both = Path(folder, "both.pem")
        both.write_bytes(pem + private)
        context.load_cert_chain(both)
    return context, pem

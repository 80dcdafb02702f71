"""The conversation with a mail host that has greeted, message by message.

Theory of operation. `dial` reaches the host. Then `Connection` takes the transport over as its protocol, and a message
is a `Transaction` whose replies drive its writes from `data_received`: the task that sends is woken once a message, and
a message costs two writes. One timer a connection watches the deadline of the current phase; it is looked at when it
fires and not moved with every command.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal, Self, cast

from services.relay.delivery.client import Client
from services.relay.delivery.dial import RFC_TIMEOUTS, Dial, Timeouts, in_words
from services.relay.delivery.overheard import Dialogue, overheard
from services.relay.delivery.transaction import Transaction
from services.relay.words.reply import (
    ConnectFailed,
    ConnectionLost,
    Garbled,
    Reply,
    ReplyReader,
    Stage,
)
from services.relay.words.tls import (
    TlsFailure,
    TlsPolicy,
)
from shared.mail.wire import END, wire_body

#: Written at a time, so that a slow reader is seen to read: the transport pauses above 64 KiB.
CHUNK_BYTES = 262_144

#: What may stand between < and >: `local@domain`, the local part quoted where it has to be. Anything else could end the
#: command and begin another.
_ADDRESS = re.compile(
    r"""(?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"|[^\x00-\x20\x7f<>"]+)@[^\x00-\x20\x7f<>"@]+""", re.VERBOSE
)


class Connection(asyncio.Protocol):
    """An open connection, ready for one message at a time.

    `tls` is the protocol's version, or None in clear, `tls_cipher` the suite, `tls_policy` the word for what asked for
    it. `tls_failure` is the result type (RFC 8460) of encryption that was tried and did without, `tls_reason` in words.
    `source_ip` is the address that it leaves from.
    """

    def __init__(self, host: str, smtp: Client, policy: TlsPolicy, timeouts: Timeouts) -> None:
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
        self._dialogue: Dialogue | None = None
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
        timeouts: Timeouts = RFC_TIMEOUTS,
        client_certificate: tuple[str, str] | None = None,
        ca_file: str = "",
        dialogue: Dialogue | None = None,
        implicit: bool = False,
    ) -> Self:
        """A connection to `address` (else to what the system finds for `host`), greeted and encrypted as `tls` says.
        `client_certificate` are the files of the certificate and its key (PEM), shown to hosts that ask for one;
        `ca_file` has authorities that are believed beside the system's; `dialogue` overhears it; `implicit`: it is
        encrypted from the first byte. ConnectFailed if that cannot be had."""
        place = host, port, address or host, helo, source_ip
        dial = Dial(*place, login, timeouts, client_certificate, ca_file, dialogue, implicit)
        smtp, lost = await dial.greeted(tls)
        connection = cls(host, smtp, tls, timeouts)
        if dialogue is not None:
            connection._dialogue = dialogue
            connection._transport, connection._reader = overheard(connection._transport, dialogue)
        if lost is not None:
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
        ValueError if `mail_from` is not an address.

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
            # About the recipient only if it is their address: else at MAIL, where a refusal is about the sender.
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
        self._lose(in_words(exc) if exc else "closed by the host")
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
        if self._dialogue is not None:
            self._dialogue.ended(reason)
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


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0

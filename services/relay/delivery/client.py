"""aiosmtplib's client, hearing greetings and answers to EHLO as we hear replies to mail.

Its own reader takes a blank line, or a line without a code inside of a reply, for the end of the conversation: a host
that answers so would never get a mail. `ReplyReader` reads what came, and hands on each reply as aiosmtplib knows it.
"""

import asyncio
import ssl

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from services.relay.delivery.overheard import Dialogue
from services.relay.words.reply import Garbled, ReplyReader

_READY = 220


class Client(aiosmtplib.SMTP):
    """Over a socket that is connected already (`connect(sock=…)`); `dialogue` overhears what is said."""

    dialogue: Dialogue | None = None
    #: Encrypts from the first byte (RFC 8314): with what, to whom, and in how many seconds; None: not.
    implicit: tuple[ssl.SSLContext, str, float] | None = None

    async def _create_connection(self, timeout: float | None) -> aiosmtplib.SMTPResponse:
        assert self.loop is not None
        assert self.sock is not None
        protocol = _Replies(loop=self.loop, connection_lost_callback=self._on_connection_lost)
        protocol.dialogue = self.dialogue
        context, name, seconds = self.implicit or (None, None, None)
        connected = self.loop.create_connection(
            lambda: protocol, sock=self.sock, ssl=context, server_hostname=name, ssl_handshake_timeout=seconds
        )
        self.transport, self.protocol = (await connected)[0], protocol
        try:
            response = await protocol.read_response(timeout=timeout)
        except aiosmtplib.SMTPTimeoutError:
            raise aiosmtplib.SMTPConnectTimeoutError("Timed out waiting for server ready message") from None
        except aiosmtplib.SMTPServerDisconnected as gone:
            raise aiosmtplib.SMTPConnectError(str(gone)) from None
        if response.code != _READY:
            raise aiosmtplib.SMTPConnectResponseError(response.code, response.message)
        return response


class _Replies(SMTPProtocol):
    dialogue: Dialogue | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._replies = ReplyReader()
        super().connection_made(transport)

    def write(self, data: bytes) -> None:
        # One command at a time: what came before it, in clear before STARTTLS above all, is no part of its answer.
        self._replies = ReplyReader()
        if self.dialogue is not None:
            self.dialogue.sent(data)
        super().write(data)

    def data_received(self, data: bytes) -> None:
        try:
            for code, lines in self._replies.feed(data):
                if self.dialogue is not None:
                    self.dialogue.received(code, lines)
                last = len(lines) - 1
                texts = [
                    b"%d%b%b\r\n" % (code, b" " if at == last else b"-", text)
                    for at, text in enumerate(map(_one_line, lines))
                ]
                super().data_received(b"".join(texts) or b"%d \r\n" % code)
        except Garbled as garbled:
            super().data_received(b"%b\r\n" % str(garbled).encode())


def _one_line(text: bytes) -> bytes:
    return text.strip().replace(b"\r", b" ")

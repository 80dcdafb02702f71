"""What a host answered, or how it failed to: the words that `smtp.py` brings back and `outcome.py` decides on."""

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from services.relay.tls import TlsFailure

#: Where in the conversation: `mail` to `dot` are the commands of one message.
Stage = Literal["connect", "greeting", "ehlo", "tls", "auth", "mail", "rcpt", "data", "dot"]

#: RFC 5321 section 4.5.3.1.5 says 512 bytes a line; what is out there is longer, what is endless is an attack.
MAX_REPLY_BYTES = 32_768
#: What is kept of a reply, in events and logs.
MAX_TEXT_CHARS = 2_000

#: RFC 3463, at the beginning of each line of a reply (RFC 2034).
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])[ \t]*")
#: More lines follow a hyphen; the code may also end the line.
_AFTER_CODE = (b" ", b"-", b"\r", b"")


class Reply(msgspec.Struct, frozen=True):
    """`text` is all lines in one, without codes. `enhanced` is like `5.1.1`, or empty."""

    code: int
    enhanced: str
    text: str
    stage: Stage
    host: str

    @property
    def line(self) -> str:
        """The reply as people read it: `550 5.1.1 User unknown`."""
        return " ".join(filter(None, (self.codes, self.text)))

    @property
    def codes(self) -> str:
        """`550 5.1.1`, which is the same each time, where the text may name a session."""
        return " ".join(filter(None, (str(self.code), self.enhanced)))


class ConnectFailed(Exception):
    """No mail could be offered to this host: `reply` is what it said, if it said something; `tls_failure` is the result
    type of RFC 8460 section 4.3 where it failed at the encryption that was asked for, else empty."""

    def __init__(
        self,
        stage: Stage,
        host: str,
        reason: str,
        reply: Reply | None = None,
        tls_failure: TlsFailure | Literal[""] = "",
    ) -> None:
        super().__init__(f"{host}: {stage}: {reason}")
        self.stage, self.host, self.reason, self.reply = stage, host, reason, reply
        self.tls_failure = tls_failure


class ConnectionLost(Exception):
    """The host fell silent, went away or said nonsense during a message. Unless `sent_final_dot`, it cannot have taken
    the message, and another connection may repeat it; otherwise nobody knows."""

    def __init__(self, stage: Stage, host: str, reason: str, sent_final_dot: bool) -> None:
        super().__init__(f"{host}: {stage}: {reason}")
        self.stage, self.host, self.reason, self.sent_final_dot = stage, host, reason, sent_final_dot


class Garbled(ValueError):
    """What came is not SMTP, or not here."""


class ReplyReader:
    """Bytes in, whole replies out: (code, lines), however they were cut on the way. A bare LF ends a line too."""

    __slots__ = ("_lines", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, received: bytes) -> list[tuple[int, list[bytes]]]:
        """The replies that these bytes complete. Garbled if one is no reply or has no end."""
        self._size += len(received)
        if self._size > MAX_REPLY_BYTES:
            raise Garbled(f"a reply of more than {MAX_REPLY_BYTES} bytes")
        *lines, self._rest = (self._rest + received).split(b"\n")
        replies = []
        for line in lines:
            code, more = line[:3], line[3:4]
            if not (code.isdigit() and b"200" <= code < b"600" and more in _AFTER_CODE):
                raise Garbled(f"not an SMTP reply: {line[:100]!r}")
            self._lines.append(line[4:])
            if more != b"-":
                replies.append((int(code), self._lines))
                self._lines = []
                self._size = len(self._rest)
        return replies


def make_reply(code: int, lines: Iterable[bytes], stage: Stage, host: str) -> Reply:
    """The reply with its lines in one, readable, and its enhanced status code taken out."""
    enhanced = ""
    texts = []
    for raw in lines:
        text = raw.decode("utf-8", "replace")
        if status := _ENHANCED.match(text):
            enhanced = enhanced or status[1]
            text = text[status.end() :]
        texts.append(text.strip())
    text = " ".join(filter(None, texts))[:MAX_TEXT_CHARS]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return Reply(code, enhanced, text, stage, host)

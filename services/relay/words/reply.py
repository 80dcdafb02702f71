"""What a host answered, or how it failed to: the words that `connection` brings back and `outcome` decides on."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from services.relay.words.tls import TlsFailure
from shared.words import replies

#: Where in the conversation: `mail` to `dot` are the commands of one message.
Stage = Literal["connect", "greeting", "ehlo", "tls", "auth", "mail", "rcpt", "data", "dot"]

#: RFC 5321 section 4.5.3.1.5 says 512 bytes a line; what is out there is longer. So much is kept of a line and of a
#: reply; the rest is read and dropped, for a verdict that comes with a long story is a verdict.
MAX_LINE_BYTES = 2_048
MAX_KEPT_BYTES = 16_384
#: What is endless is an attack.
MAX_REPLY_BYTES = 1_048_576
#: What is kept of a reply, in events and logs.
MAX_TEXT_CHARS = 2_000

#: RFC 3463, at the beginning of each line of a reply (RFC 2034).
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])[ \t]*")
#: More lines follow a hyphen; the code may also end the line.
_AFTER_CODE = (b" ", b"-", b"\r", b"")
_CODES = {b"%d" % code: code for code in range(200, 600)}


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
    """Bytes in, whole replies out: (code, lines), however they were cut on the way.

    Hosts are not read more strictly than their verdict needs: a bare LF ends a line, blank lines around replies are
    passed over, and a line without a code inside of a reply of several lines is text of it. Lines of one reply have one
    code (RFC 5321 section 4.2.1): where they have not, the worse counts, and nothing after it.
    """

    __slots__ = ("_code", "_is_mixed", "_kept", "_lines", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._is_mixed = False
        self._lines: list[bytes] = []
        self._kept = 0
        self._size = 0

    def feed(self, received: bytes) -> Iterator[tuple[int, list[bytes]]]:
        """The replies that these bytes complete, one by one. Garbled where what follows is no reply or has no end: what
        was complete before has been handed out by then, and counts."""
        *lines, rest = (self._rest + received).split(b"\n")
        self._rest = rest[:MAX_LINE_BYTES]
        self._size += len(received)
        for line in lines:
            if not self._code and line[3:4] == b" " and (code := _CODES.get(line[:3])):  # most replies have one line
                self._size = len(self._rest)
                yield code, [line[4 : 4 + MAX_LINE_BYTES]]
            elif self._is_last(line):
                yield self._code, self._lines
                if self._is_mixed:
                    raise Garbled(f"a reply with other codes beside {self._code}")
                self._begin()
        if self._size > MAX_REPLY_BYTES:
            raise Garbled(f"a reply of more than {MAX_REPLY_BYTES} bytes")

    @property
    def begun(self) -> tuple[int, list[bytes]] | None:
        """The reply that has begun and has no end yet: its code is as good as that of a whole one."""
        return (self._code, self._lines) if self._code else None

    def _is_last(self, line: bytes) -> bool:
        """Takes a line in: whether it ends the reply."""
        digits, more = line[:3], line[3:4]
        if not (digits.isdigit() and b"200" <= digits < b"600" and more in _AFTER_CODE):
            if self._code:
                self._keep(line)
            elif line.strip():
                raise Garbled(f"not an SMTP reply: {line[:100]!r}")
            return False
        code = int(digits)
        self._is_mixed = self._is_mixed or self._code not in (0, code)
        self._code = max(self._code, code)
        self._keep(line[4:])
        return more != b"-"

    def _keep(self, text: bytes) -> None:
        text = text[: min(MAX_LINE_BYTES, max(0, MAX_KEPT_BYTES - self._kept))]
        self._kept += len(text)
        if self._kept < MAX_KEPT_BYTES:
            self._lines.append(text)

    def _begin(self) -> None:
        self._code, self._is_mixed, self._lines, self._kept = 0, False, [], 0
        self._size = len(self._rest)


def make_reply(code: int, lines: Iterable[bytes], stage: Stage, host: str) -> Reply:
    """The reply with its lines in one, readable, and its enhanced status code taken out."""
    enhanced = ""
    texts = []
    for raw in lines:
        text = raw.decode("utf-8", "replace") if raw.isascii() else replies.decoded(raw)
        if status := _ENHANCED.match(text):
            enhanced = enhanced or status[1]
            text = text[status.end() :]
        texts.append(text.strip())
    text = " ".join(filter(None, texts))[:MAX_TEXT_CHARS]
    if not text.isprintable():
        text = replies.readable(text)  # ISO-2022-JP comes as escapes
        text = "".join(char if char.isprintable() else " " for char in text)
    return Reply(code, enhanced, text, stage, host)

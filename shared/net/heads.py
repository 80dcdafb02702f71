"""Reads the head of a request that came whole and in one piece, and is plain; of anything else it says nothing.

Plain is what two readers cannot read differently: GET or HEAD of HTTP/1.1, no body and nothing that frames one, each
field once, no wish for another protocol, coding or end of the connection. The parser is llhttp, as in aiohttp, with
none of its leniencies. Nothing is kept from one piece to the next.
"""

import re
from functools import lru_cache
from typing import Literal

import httptools
import msgspec

#: Longer ones are read by whoever knows every limit.
MAX_HEAD_BYTES = 8190
#: RFC 9112 section 3.2: anything else is answered with 400. Empty where the target has no authority.
HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
#: Fields that ask for more than an answer.
_ODD = frozenset(
    (b"content-length", b"transfer-encoding", b"content-encoding", b"trailer", b"te", b"expect", b"upgrade")
)
_METHODS: dict[bytes, Literal["GET", "HEAD"]] = {b"GET": "GET", b"HEAD": "HEAD"}


class Head(msgspec.Struct, frozen=True, gc=False):
    """`target` as it came; the names of `fields` in lower case."""

    method: Literal["GET", "HEAD"]
    target: bytes
    fields: dict[bytes, bytes]


class Reader:
    """Reads one piece after the other, of any connection: each is a request of its own, or nothing."""

    def __init__(self) -> None:
        self._parser: httptools.HttpRequestParser | None = None
        self._target = b""
        self._fields: dict[bytes, bytes] = {}
        self._whole = 0
        self._is_odd = False

    def read(self, piece: bytes) -> Head | None:
        """The head that the piece is; None if it is not exactly one, or not plain."""
        if len(piece) > MAX_HEAD_BYTES or not piece.endswith(b"\r\n\r\n"):
            return None
        # Kept for the next piece only if this one has left nothing in it.
        parser, self._parser = self._parser or httptools.HttpRequestParser(self), None
        self._target, self._fields, self._whole, self._is_odd = b"", {}, 0, False
        try:
            parser.feed_data(piece)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        if self._whole != 1:
            return None
        self._parser = parser
        fields = self._fields
        method = _METHODS.get(parser.get_method())
        if self._is_odd or method is None or parser.get_http_version() != "1.1":
            return None
        if fields.get(b"connection", b"keep-alive").lower() != b"keep-alive":
            self._parser = None  # to it the connection is over
            return None
        if not _names_host(fields.get(b"host")):
            return None
        return Head(method, self._target, fields)

    # What the parser calls

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self._fields or name in _ODD:
            self._is_odd = True
        self._fields[name] = value

    def on_message_complete(self) -> None:
        self._whole += 1


@lru_cache(maxsize=1024)
def _names_host(host: bytes | None) -> bool:
    return host is not None and host.isascii() and HOST.fullmatch(host.decode()) is not None

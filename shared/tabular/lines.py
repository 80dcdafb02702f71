"""A stream of bytes, cut anywhere, as whole lines with their numbers. Pure."""

from collections.abc import Iterator

from shared.tabular.encodings import Encoding
from shared.words.errors import Fault

_UTF8_MARK = b"\xef\xbb\xbf"
_NO_CHARACTER = "\ufffd".encode()


class Lines:
    """Bytes in, whole lines of UTF-8 out, numbered from 1. They end in LF, CRLF or CR, each as it likes. A line that is
    too long is a Fault."""

    def __init__(self, charset: str, max_bytes: int) -> None:
        self.encoding = Encoding(charset)
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._number = 0
        #: The last byte was a CR: a LF that follows belongs to it.
        self._after_cr = False

    def feed(self, received: bytes, *, last: bool = False) -> Iterator[tuple[int, bytes | Fault]]:
        received = self._with_lf(self.encoding.feed(received, last=last))
        lines: list[bytes] = []
        if b"\n" in received:
            *lines, rest = bytes(self._rest + received).split(b"\n")
            self._rest = bytearray(rest)
        else:
            self._rest += received  # a long line comes in hundreds of pieces, and is looked through once
        if last and self._rest:
            lines.append(bytes(self._rest))
            self._rest = bytearray()
        for line in lines:
            self._number += 1
            if len(line) > self._max_bytes:
                yield self._number, Fault(f"line {self._number}", f"longer than {self._max_bytes} bytes")
            elif self.encoding.is_converted and _NO_CHARACTER in line:
                what = f"has bytes that are no character of {self.encoding.name}"
                yield self._number, Fault(f"line {self._number}", what)
            else:
                yield self._number, line.removeprefix(_UTF8_MARK)  # files are put together, each with its own
        if len(self._rest) > self._max_bytes:
            # Keep only that it is too long: what follows up to the line's end belongs to it.
            del self._rest[self._max_bytes + 1 :]

    def _with_lf(self, received: bytes) -> bytes:
        if not received:
            return b""
        if self._after_cr and received.startswith(b"\n"):
            received = received[1:]
        self._after_cr = received.endswith(b"\r") if received else False
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in received else received

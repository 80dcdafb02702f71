"""Text in quoted-printable (RFC 2045 section 6.7), so that DKIM's relaxed form of the body is the body itself.

Relaxing a body (RFC 6376 section 3.4.4) makes a run of blanks and tabs one blank and drops it at line ends. Here
there is none: every second blank of a run, a blank at a line's end and every tab are written `=20` and `=09`.
The signer then hashes bodies as they are.

No encoded line begins with a dot: that is written `=2E`. So SMTP has none to double (RFC 5321 section 4.5.2), and the
relay writes bodies as they are.

A text may be encoded in pieces, static ones once for all mails: each begins on a new line of the encoded text, that is,
after a line end or a soft break, and leaves room for a soft break at its end.
"""

import re
from binascii import b2a_qp

#: An encoded line, without its CRLF (RFC 2045 section 6.7, rule 5).
MAX_LINE_CHARS = 76
#: What ends a line of the encoded text but not of the text.
SOFT_BREAK = b"=\r\n"

_PLAIN = re.compile(r"[!-<>-~]+(?: [!-<>-~]+)*")
# Bytes that are in no UTF-8 text. b2a_qp would leave blanks, tabs and dots as they are; these it encodes, and counts.
_BLANK, _TAB, _DOT = b"\xff", b"\xfe", b"\xfd"


def encode(text: str) -> bytes:
    """The text, whose line ends may be LF, CR or CRLF, from the beginning of a line on; the last line is not ended."""
    if len(text) < MAX_LINE_CHARS and _PLAIN.fullmatch(text) and text[0] != ".":
        return text.encode("ascii")
    raw = text.encode("utf-8", "replace")
    if b"\r" in raw:
        # b2a_qp would pass a lone CR.
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    raw = raw.replace(b"  ", b" " + _BLANK).replace(b" \n", _BLANK + b"\n").replace(b"\t", _TAB)
    raw = raw.replace(b"\n.", b"\n" + _DOT)
    if raw.endswith(b" "):
        raw = raw[:-1] + _BLANK
    if raw.startswith(b"."):
        raw = _DOT + raw[1:]
    encoded = b2a_qp(raw, istext=True).replace(b"=FF", b"=20").replace(b"=FE", b"=09").replace(b"=FD", b"=2E")
    encoded = _with_room(encoded)
    if b"\n." in encoded:  # after a soft break
        encoded = b"\n".join([_without_dot(line, b"=\n") for line in encoded.split(b"\n")])
    return encoded.replace(b"\n", b"\r\n")


def between_slots(text: str, *, is_first: bool, is_last: bool) -> bytes:
    """The text with soft breaks where a slot is next to it: before it, unless it is the first of all, and after."""
    before = b"" if is_first or text.startswith("\n") else SOFT_BREAK
    after = b"" if is_last or text.endswith("\n") else SOFT_BREAK
    return before + encode(text) + after


def wrap(encoded: bytes, column: int) -> tuple[bytes, int]:
    """Encoded text without escapes and line ends, broken softly as if it began at `column`; and where it ends."""
    width = MAX_LINE_CHARS - 1
    lines = [encoded[: width - column]]
    lines += [encoded[at : at + width] for at in range(width - column, len(encoded), width)]
    whole = SOFT_BREAK.join(lines)
    if b"\n." in whole or (column == 0 and whole.startswith(b".")):
        begun = column > 0  # the first line goes on
        whole = SOFT_BREAK.join(lines[:begun] + [_without_dot(line, SOFT_BREAK) for line in lines[begun:]])
    return whole, (column if len(lines) == 1 else 0) + len(whole) - whole.rfind(b"\n") - 1


def _without_dot(line: bytes, soft_break: bytes) -> bytes:
    """An encoded line that does not begin with a dot; broken where it would become too long for the `=` of a break."""
    before = b""
    while line.startswith(b"."):
        if len(line) + 2 < MAX_LINE_CHARS:
            return before + b"=2E" + line[1:]
        before += b"=2E" + soft_break
        line = line[1:]
    return before + line


def _with_room(encoded: bytes) -> bytes:
    """With the last line short enough for the `=` of a soft break."""
    if len(encoded) - encoded.rfind(b"\n") - 1 < MAX_LINE_CHARS:
        return encoded
    cut = len(encoded) - 3
    escape = encoded.find(b"=", cut - 2, cut)
    if escape >= 0:
        cut = escape
    return encoded[:cut] + b"=\n" + encoded[cut:]

"""In which encoding a list comes, and its bytes as UTF-8, cut anywhere. Pure.

What its first bytes say counts most (a byte order mark, or the zeros that UTF-16 has in plain words), then what the
request says, and UTF-8 else. UTF-8 is handed on as it is, so that one wrong byte is the fault of its line alone.
"""

import codecs
import re

#: How Python calls the encodings that lists are saved in. Its other codecs are none of text, or take the time that
#: somebody chooses.
KNOWN = frozenset(
    (
        "utf-8", "utf-8-sig", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be",
        *(f"cp{number}" for number in (437, 850, 852, 855, 857, 858, 862, 866, 869, 874, 932, 949, 950)),
        *(f"cp{number}" for number in range(1250, 1259)),
        *(f"iso8859-{number}" for number in range(1, 17)),
        "koi8-r", "koi8-u", "mac-roman", "mac-latin2", "mac-cyrillic", "mac-greek", "mac-turkish", "tis-620",
        "shift_jis", "euc_jp", "iso2022_jp", "gb2312", "gbk", "gb18030", "big5", "euc_kr",
    )
)  # fmt: skip
#: What is said by habit, and what is meant (WHATWG Encoding, section 4.2); UTF-16 without a mark is Windows'.
_MEANT = {
    "ascii": "utf-8", "utf-8-sig": "utf-8", "iso8859-1": "cp1252", "utf-16": "utf-16-le", "utf-32": "utf-32-le",
    "shift_jis": "cp932",
}  # fmt: skip
#: Byte order marks, the longer ones first: that of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Two letters of plain words, as UTF-16 has them.
_ZEROS = ((re.compile(rb"[^\0]\0[^\0]\0"), "utf-16-le"), (re.compile(rb"\0[^\0]\0[^\0]"), "utf-16-be"))
#: Bytes that have to be there to tell.
_SIGN_BYTES = 4
_NAME = re.compile(r"[A-Za-z0-9][\w.:+-]{0,39}", re.ASCII)


class UnknownCharset(ValueError):
    """No encoding that a list may be in. The message quotes it."""


def charset(said: str | None) -> str:
    """The encoding that a request says its body is in, UTF-8 where it says nothing. UnknownCharset."""
    if not said:
        return "utf-8"
    try:
        name = codecs.lookup(said).name if _NAME.fullmatch(said) else ""
    except (LookupError, ValueError):
        name = ""
    if name not in KNOWN:
        raise UnknownCharset(f"the charset {said[:40]!r} is not known; UTF-8, UTF-16 and windows-1252 are, for example")
    return _MEANT.get(name, name)


class Encoding:
    """Bytes in, UTF-8 out. `name` is the encoding, as far as it is known yet."""

    def __init__(self, said: str = "utf-8") -> None:
        self.name = said
        self._first: bytes | None = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    @property
    def is_converted(self) -> bool:
        """What was none of its characters is U+FFFD in what came out."""
        return self._decoder is not None

    def feed(self, received: bytes, *, last: bool = False) -> bytes:
        if self._first is not None:
            self._first += received
            if len(self._first) < _SIGN_BYTES and not last:
                return b""
            received, self._first = self._begin(self._first), None
        if self._decoder is None:
            return received
        return self._decoder.decode(received, last).encode("utf-8", "replace")

    def _begin(self, first: bytes) -> bytes:
        mark, self.name = next(((mark, name) for mark, name in _MARKS if first.startswith(mark)), (b"", self.name))
        if not mark:
            self.name = next((name for zeros, name in _ZEROS if zeros.match(first)), self.name)
        if self.name != "utf-8":
            self._decoder = codecs.getincrementaldecoder(self.name)("replace")
        return first[len(mark) :]

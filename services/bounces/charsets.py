"""What bytes say as text in a report. Pure.

Programs name a charset out of habit, leave it out, or put raw bytes where only ASCII may stand, so what the bytes are
counts before what they are called: ISO-2022-JP has its escapes, UTF-16 its mark or its zeros, UTF-8 its form. Nothing
raises, and all is linear.
"""

from shared.mail import encoded_words

#: Names as mail has them, and the codec that reads all that is written under them (a GB2312 text has GBK letters, a
#: Latin-1 one the quotes of Windows).
CODECS = {
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "cp936": "gb18030", "euc-cn": "gb18030",
    "hz-gb-2312": "hz", "big5": "cp950", "x-big5": "cp950",
    "iso-8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "iso8859-1": "cp1252",
    "ks_c_5601-1987": "cp949", "ks_c_5601": "cp949", "euc-kr": "cp949", "ksc5601": "cp949",
    "shift_jis": "cp932", "shift-jis": "cp932", "x-sjis": "cp932", "sjis": "cp932", "windows-31j": "cp932",
    "iso-8859-8-i": "iso-8859-8", "iso-8859-8-e": "iso-8859-8", "iso-8859-6-i": "iso-8859-6",
    "unicode-1-1-utf-7": "utf-7", "unicode": "utf-16", "ucs-2": "utf-16", "x-mac-roman": "mac-roman",
    "tis-620": "cp874", "windows-874": "cp874", "cp-850": "cp850", "cp-1252": "cp1252",
}  # fmt: skip
#: Names that say nothing: what the bytes are is seen.
_SAY_NOTHING = frozenset(
    ("", "us-ascii", "ascii", "utf-8", "utf8", "ansi_x3.4-1968", "unknown-8bit", "x-unknown", "8bit", "binary", "none")
)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
#: The last resort: every byte is a letter in it.
_LAST = "cp1252"


def text(content: bytes, charset: str) -> str:
    """What it says. `charset`: what it is said to be written in, "" if nothing is said."""
    name = charset.strip().strip("\"'").lower()
    for mark, codec in _MARKS:
        if content.startswith(mark):
            return encoded_words.text(content, codec)
    if content.isascii():
        if b"\x1b$" not in content:
            return _sixteen(content, name) if b"\0" in content else _seven(content, name)
        return encoded_words.text(content, "iso2022_kr" if b"\x1b$)C" in content else "iso2022_jp_ext")
    if name in _SAY_NOTHING or name.startswith(("utf-16", "iso-2022")) or not encoded_words.is_charset(name):
        if b"\0" in content[:2_000] and name.startswith("utf-16"):
            return _sixteen(content, name)
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as fault:
            cut = fault.start >= max(len(content) - 3, 1_000)  # the end of what is read may cut a letter in two
            return encoded_words.text(content, "utf-8" if cut or name in ("utf-8", "utf8") else _LAST)
    return encoded_words.text(content, CODECS.get(name, name), _LAST)


def _seven(content: bytes, name: str) -> str:
    """ASCII; or what is written in ASCII bytes and means other letters."""
    if CODECS.get(name, name) in ("utf-7", "hz"):
        return encoded_words.text(content, CODECS.get(name, name))
    return content.decode("ascii")


def _sixteen(content: bytes, name: str) -> str:
    """Of two bytes a letter, without a mark: every other byte is zero; else the zeros mean nothing."""
    if not name.startswith("utf-16"):
        return content.decode("latin-1")
    codec = "utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be"
    return encoded_words.text(content[: len(content) // 2 * 2], codec)

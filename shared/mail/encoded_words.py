"""What a mail's bytes and header fields say as text: charsets that mail is written in, and encoded words (RFC 2047).

The library's decode_header takes time with the square of its words, and Python knows codecs by name that are no
charsets or take time with the square of their input. Here all is linear, bounded, and nothing raises.
"""

import binascii
import codecs
import re

#: Of one field. RFC 5322 has 998 for a line; a To with hundreds of names is longer.
MAX_FIELD_CHARS = 16 * 1024
#: Codecs that Python knows by name as it does charsets, and that no mail is written in.
_NO_CHARSETS = frozenset(("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"))
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bq])\?([^?]*)\?=", re.IGNORECASE)
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def is_charset(name: str) -> bool:
    """Whether mail may be written in it, as far as is known here."""
    try:
        return codecs.lookup(name).name not in _NO_CHARSETS
    except (LookupError, ValueError):
        return False


def text(content: bytes, charset: str, otherwise: str = "utf-8") -> str:
    """Without lone surrogates, whatever the charset is called; where it is none, or does not fit, in another."""
    try:
        decoded = content.decode(charset if is_charset(charset) else otherwise, "replace")
    except (LookupError, ValueError):  # a codec that is none of text, or one that does not know "replace"
        decoded = content.decode(otherwise, "replace")
    return decoded.encode("utf-8", "replace").decode("utf-8")


def field(value: str, *, strict: bool = False) -> str:
    """A field's value unfolded, its encoded words decoded; what cannot be decoded stays as it is. No more than
    MAX_FIELD_CHARS are looked at, and none beyond are given. `strict`: a word in a charset that nobody knows stays as
    it is, too; else it is read as UTF-8."""
    unfolded = _FOLD.sub("", value[:MAX_FIELD_CHARS])
    if "=?" not in unfolded:
        return unfolded
    said: list[str] = []
    word = b""
    word_charset = ""
    end = 0
    for found in _WORD.finditer(unfolded):
        content = _content(found[2], found[3])
        charset = found[1].partition("*")[0].lower()  # RFC 2231 section 5 adds a language
        if content is None or (strict and not is_charset(charset)):
            continue
        between = unfolded[end : found.start()]
        # Blanks between two words mean nothing, and a character may be cut in two.
        if word_charset and not between.strip() and charset == word_charset:
            word += content
        else:
            said += (text(word, word_charset or "utf-8"), between if between.strip() or not word_charset else "")
            word, word_charset = content, charset
        end = found.end()
    return "".join((*said, text(word, word_charset or "utf-8"), unfolded[end:]))


def _content(encoding: str, encoded: str) -> bytes | None:
    raw = encoded.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(raw, header=True)
    try:
        return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
    except binascii.Error:
        return None

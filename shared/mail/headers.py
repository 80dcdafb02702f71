"""How text stands in a header field: folded (RFC 5322 section 2.2.3) and, where needed, in encoded words (RFC 2047).

Whatever the text is, the value that comes out has no control character but the CRLF of a fold, which a blank follows,
and no line over 76 characters unless a word of plain ASCII is longer. Folds are `CRLF SP` and no other run of white
space is left, so that a value is almost in the relaxed form of DKIM already.
"""

import re
from binascii import b2a_base64

#: RFC 2047 section 2: a line that holds an encoded word, and RFC 5322 section 2.1.1 recommends 78 for any.
MAX_LINE_CHARS = 76
#: An ASCII word longer than this is cut by encoding it: RFC 5322 forbids lines over 998.
_MAX_WORD_CHARS = 200
_PREFIX, _SUFFIX = "=?utf-8?B?", "?="
_WRAPPING_CHARS = len(_PREFIX) + len(_SUFFIX)

_BLANKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_LONG_WORD = re.compile(rf"[^ ]{{{_MAX_WORD_CHARS + 1}}}")


def one_line(text: str) -> str:
    """The text with each run of blanks and control characters, line ends among them, made one blank."""
    if text.isprintable() and "  " not in text:
        return text.strip(" ")
    return _BLANKS.sub(" ", text).strip(" ")


def unstructured(text: str, name_chars: int) -> str:
    """The value of a field of free text, such as Subject, whose name has `name_chars` characters."""
    line = one_line(text)
    column = name_chars + 2
    if not (line.isascii() and line.isprintable()) or "=?" in line:
        return encoded_words(line, column)
    if column + len(line) <= MAX_LINE_CHARS:
        return line
    return encoded_words(line, column) if _LONG_WORD.search(line) else fold(line, column)


def fold(line: str, column: int) -> str:
    """A line of words, broken before the blanks where it would be too long; it starts at `column`."""
    lines: list[str] = []
    words = line.split(" ")
    current = words[0]
    for word in words[1:]:
        if column + len(current) + 1 + len(word) > MAX_LINE_CHARS:
            lines.append(current)
            current, column = word, 1
        else:
            current += " " + word
    return "\r\n ".join([*lines, current])


def encoded_words(text: str, column: int) -> str:
    """The text in encoded words, each on its own line and of whole characters; the first starts at `column`."""
    raw = text.encode("utf-8", "replace")
    words: list[str] = []
    at = 0
    while at < len(raw):
        room = (MAX_LINE_CHARS - column - _WRAPPING_CHARS) // 4 * 3
        end = at + max(room, 4)
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        words.append(_PREFIX + b2a_base64(raw[at:end], newline=False).decode("ascii") + _SUFFIX)
        at, column = end, 1
    return "\r\n ".join(words)

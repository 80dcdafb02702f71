"""Which code points are no text: refused in whatever a job or a recipient brings.

Noncharacters (Unicode, section 23.7) are for a program's own use, and the marks of compiled content are some of them
(`shared.words.content`); lone surrogates cannot be written as UTF-8. Nor are controls, but for ends of lines and tabs
in values. They are refused and not taken out: whoever sends them has a fault in their data, and a name that is silently
another one is worse than an answer that says where it is.
"""

import re
from collections.abc import Iterator

import msgspec

NOT_TEXT = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Of a value, which may have more than one line.
_CONTROL_OF_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
#: What a value or a name that has one of them, or of the noncharacters, has as JSON in UTF-8, and little else.
_SIGN = re.compile(rb"\\u00|\\[bfnrt]|\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef\xb7|\xbf[\xbe\xbf]")
#: Bytes that none of them has in UTF-8: no controls, and no byte that those begin with which have more than one.
_PLAIN = bytes(set(range(0x20, 0xF5)) - {0x7F, 0xC2, 0xE2, 0xEF, *range(0xF0, 0xF5)})


def fault(text: str) -> str | None:
    """What is wrong with the text, None if nothing is."""
    found = None if text.isascii() else NOT_TEXT.search(text)
    return f"has U+{ord(found[0]):04X} at {found.start()}, which is no character" if found else None


def word_fault(word: str) -> str | None:
    """What is wrong with a name or a word, which have one line, None if nothing is."""
    if word.isprintable() and word.isascii():
        return None
    if (what := fault(word)) is not None:
        return what
    found = _CONTROL.search(word)
    return (
        f"has U+{ord(found[0]):04X} at {found.start()}: a control character, such as an end of line" if found else None
    )


def value_fault(text: str) -> str | None:
    """What is wrong with a value, which may have several lines, None if nothing is."""
    if (what := fault(text)) is not None:
        return what
    found = _CONTROL_OF_TEXT.search(text)
    return f"has U+{ord(found[0]):04X} at {found.start()}, a control character" if found else None


def fault_inside(value: object, packed: bytes) -> tuple[str, str] | None:
    """Where in a value of JSON, as `.a[0]`, there is such a text or name, and what is wrong with it. `packed` is the
    value in msgpack, where texts stand in UTF-8."""
    if not packed.translate(None, _PLAIN) or _SIGN.search(msgspec.json.encode(value)) is None:
        return None
    for at, text, is_name in _texts(value, ""):
        if (what := word_fault(text) if is_name else value_fault(text)) is not None:
            return at, what
    return None


def _texts(value: object, at: str) -> Iterator[tuple[str, str, bool]]:
    """All texts, and whether they are names. Without recursion: nesting is bounded elsewhere, and told there."""
    left = [(at, value)]
    while left:
        at, value = left.pop()
        if isinstance(value, str):
            yield at, value, False
        elif isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(name, str):
                    yield at, name, True
                left.append((f"{at}.{name}" if len(at) < 200 else at, inner))
        elif isinstance(value, list):
            left += [(f"{at}[{index}]" if len(at) < 200 else at, inner) for index, inner in enumerate(value)]

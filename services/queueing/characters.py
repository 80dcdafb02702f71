"""Which code points are no text: refused in whatever a job or a recipient brings.

Noncharacters (Unicode, section 23.7) are for a program's own use, and the marks of compiled content are some of them
(`shared.content`); lone surrogates cannot be written as UTF-8. They are refused and not taken out: who sends them has a
fault in his data, and a name that is silently another one is worse than an answer that says where it is.
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
#: What one of them has in UTF-8, and little else: looked for first, for it costs next to nothing.
_SIGNS = (b"\xef\xb7", b"\xbf\xbe", b"\xbf\xbf")


def fault(text: str) -> str | None:
    """What is wrong with the text, None if nothing is."""
    found = None if text.isascii() else NOT_TEXT.search(text)
    return f"has U+{ord(found[0]):04X} at {found.start()}, which is no character" if found else None


def control_fault(word: str) -> str | None:
    """What is wrong with a word of one line, None if nothing is."""
    return "has control characters, such as an end of line" if _CONTROL.search(word) else None


def fault_inside(packed: bytes) -> tuple[str, str] | None:
    """Where in a msgpack value, as `.a[0]`, there is such a text or name, and what is wrong with it."""
    if _SIGNS[0] not in packed and _SIGNS[1] not in packed and _SIGNS[2] not in packed:
        return None
    for at, text in _texts(msgspec.msgpack.decode(packed), ""):
        if (what := fault(text)) is not None:
            return at, what
    return None


def _texts(value: object, at: str) -> Iterator[tuple[str, str]]:
    """All texts, names among them. Without recursion: nesting is bounded elsewhere, and told there."""
    left = [(at, value)]
    while left:
        at, value = left.pop()
        if isinstance(value, str):
            yield at, value
        elif isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(name, str):
                    yield at, name
                left.append((f"{at}.{name}" if len(at) < 200 else at, inner))
        elif isinstance(value, list):
            left += [(f"{at}[{index}]" if len(at) < 200 else at, inner) for index, inner in enumerate(value)]

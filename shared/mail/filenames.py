"""Names of attached files: which are taken, and how they stand in the header of a part.

A plain name stands as it is (RFC 2183). Any other stands whole in RFC 2231's form, cut into continuations where one
line is too short for it; beside it, for programs that read neither, a name of ASCII that looks like it, which is also
the `name` of the Content-Type, where older programs look. What is whole comes first: programs that take the first they
understand have it then. Nowhere do two blanks follow each other: these lines are part of a body that is signed in
DKIM's relaxed form as it stands.
"""

import re
import unicodedata
from urllib.parse import quote

from shared.mail import headers

MAX_NAME_BYTES = 255
#: Controls, line ends, lone surrogates; what separates directories; and what changes the direction of what follows, so
#: that `gpj.exe` looks like a picture, or cannot be seen at all. Joiners stay: letters and emoji need them.
_REFUSED = re.compile(
    "[\x00-\x1f\x7f-\x9f/\\\\\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
#: Of a line with one parameter: `␠filename*10*=` and `;` go off.
_MAX_VALUE_CHARS = headers.MAX_LINE_CHARS - 16
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 !#$&'()+,.;=@\[\]^_`{}~-]+")
_LATIN = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "ð": "d",
     "þ": "th", "ı": "i", "’": "'", "‘": "'", "“": "'", "”": "'", "–": "-", "—": "-", '"': "'"}
)  # fmt: skip
_BLANKS = re.compile(r"  +")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}$")
_HAS_NAME = re.compile(r";\s*name\*?\d*\*?\s*=", re.IGNORECASE)


def fault(name: str) -> str | None:
    """What is wrong with a name, None if nothing is."""
    size = len(name.encode("utf-8", "replace"))
    if not 0 < size <= MAX_NAME_BYTES or not name.strip(" ."):
        return f"not a file's name: 1 to {MAX_NAME_BYTES} bytes, and more than dots and blanks"
    if (found := _REFUSED.search(name)) is not None:
        return f"not a file's name: U+{ord(found[0]):04X} at {found.start()}; no controls, slashes and invisible signs"
    return None


def disposition(name: str, *, inline: bool = False) -> str:
    """The value of Content-Disposition, folded."""
    return ";\r\n ".join(["inline" if inline else "attachment", *_parameters("filename", name)])


def content_type(media_type: str, name: str) -> str:
    """The value of Content-Type, folded, with a `name` unless it has one."""
    folded = headers.fold(_BLANKS.sub(" ", media_type), len("Content-Type: "))
    return folded if _HAS_NAME.search(media_type) else f'{folded};\r\n name="{ascii_name(name)}"'


def ascii_name(name: str) -> str:
    """One that every program reads, as like it as may be: without accents, and short enough for a line."""
    if _is_plain(name):
        return name
    plain = unicodedata.normalize("NFKD", name.translate(_LATIN))
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    plain = _BLANKS.sub(" ", _NOT_PLAIN.sub("_", plain)).strip(" ")
    found = _EXTENSION.search(plain)
    extension = found[0] if found else ""
    stem = plain[: len(plain) - len(extension)]
    if not re.search(r"[A-Za-z0-9]", stem):
        stem = "attachment"
    return stem[: _MAX_VALUE_CHARS - 2 - len(extension)].rstrip(" ") + extension


def _is_plain(name: str) -> bool:
    return name.isascii() and "  " not in name and not set('"\\') & set(name) and len(name) <= _MAX_VALUE_CHARS - 2


def _parameters(attribute: str, name: str) -> list[str]:
    if _is_plain(name):
        return [f'{attribute}="{name}"']
    pieces = _pieces(name)
    if len(pieces) == 1:
        whole = [f"{attribute}*={pieces[0]}"]
    else:
        whole = [f"{attribute}*{number}*={piece}" for number, piece in enumerate(pieces)]
    return [*whole, f'{attribute}="{ascii_name(name)}"']


def _pieces(name: str) -> list[str]:
    """The name in RFC 2231's form, cut between characters."""
    pieces = ["utf-8''"]
    for char in name:
        encoded = quote(char, safe="", errors="replace")
        if len(pieces[-1]) + len(encoded) > _MAX_VALUE_CHARS:
            pieces.append("")
        pieces[-1] += encoded
    return pieces

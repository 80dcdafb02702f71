"""How a file stands in a mail: a part with a name, in base64 (RFC 2045, RFC 2183).

Of a job's files queueing makes such parts, once; of those of one recipient the relay, once a mail.
"""

from binascii import b2a_base64

import msgspec

from shared.mail import filenames

#: Of a line of base64 (RFC 2045 section 6.8).
_LINE_CHARS = 76


class File(msgspec.Struct, frozen=True):
    """A file, checked: a media type without CR and LF, a name without control characters, a content id that may stand
    in angle brackets, or ""."""

    filename: str
    content_type: str
    content: bytes
    content_id: str = ""


def fields(file: File, *, inline: bool = False) -> list[tuple[str, str]]:
    """The header of the part, folded."""
    found = [
        ("Content-Type", filenames.content_type(file.content_type, file.filename)),
        ("Content-Transfer-Encoding", "base64"),
        ("Content-Disposition", filenames.disposition(file.filename, inline=inline)),
    ]
    return [*found, ("Content-ID", f"<{file.content_id}>")] if file.content_id else found


def body(content: bytes) -> bytes:
    """The lines of the part, one at least."""
    encoded = b2a_base64(content, newline=False)
    lines = [encoded[at : at + _LINE_CHARS] for at in range(0, len(encoded), _LINE_CHARS)] or [b""]
    return b"\r\n".join([*lines, b""])

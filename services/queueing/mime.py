"""MIME, once per content: parts become segments and slots, attachments base64, and framing goes around them.

    text and HTML           multipart/alternative
    one of the two          that part alone
    with attachments        multipart/mixed around it

A boundary begins with `=_`, which neither quoted-printable nor base64 can hold (RFC 2045 section 6.7), and goes on
with a digest of the content and of chance, so that nobody who writes the content or fills its slots can know it.
"""

from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

from services.queueing import filenames
from services.queueing.rewrite import Piece
from shared.mail.quoted_printable import SOFT_BREAK, between_slots
from shared.words.content import Part, Segment

#: Bytes of an attachment in one line of base64: 76 characters (RFC 2045 section 6.8).
_LINE_BYTES = 57
_CONTENT_TYPES = {"text": "text/plain; charset=utf-8", "html": "text/html; charset=utf-8"}


class File(msgspec.Struct, frozen=True):
    """An attachment, checked: a media type without CR and LF, a name without control characters."""

    filename: str
    content_type: str
    content: bytes


class Entity(msgspec.Struct, frozen=True):
    """A body and the header fields that describe it (RFC 2045 section 2.4)."""

    fields: list[tuple[str, str]]
    body: list[bytes | Part]


def segments(pieces: Iterable[Piece]) -> list[Segment]:
    """Static text encoded, with soft breaks wherever a slot is next to something; all begins on a new line."""
    merged = _merged(pieces)
    cut: list[Segment] = []
    for at, piece in enumerate(merged):
        if not isinstance(piece, str):
            if cut and not isinstance(cut[-1], bytes):
                cut.append(SOFT_BREAK)
            cut.append(piece)
            continue
        cut.append(between_slots(piece, is_first=not at, is_last=at + 1 == len(merged)))
    return cut


def assemble(text: Part | None, html: Part | None, files: Sequence[File], digest: bytes) -> Entity:
    """The body of a mail that has a text, an HTML or both; `digest` is the content's,
    and chance's."""
    parts = [_part(part) for part in (text, html) if part is not None]
    inner = parts[0] if len(parts) == 1 else _multipart("alternative", parts, digest)
    return _multipart("mixed", [inner, *map(_attached, files)], digest) if files else inner


def _part(part: Part) -> Entity:
    return Entity(_fields(_CONTENT_TYPES[part.kind], "quoted-printable"), [part])


def _merged(pieces: Iterable[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        elif piece != "":
            merged.append(piece)
    return merged


def _multipart(subtype: str, inner: Sequence[Entity], digest: bytes) -> Entity:
    boundary = "=_" + blake2b(digest, digest_size=12, person=subtype.encode("ascii")).hexdigest()
    body: list[bytes | Part] = []
    for one in inner:
        fields = "".join(f"{name}: {value}\r\n" for name, value in one.fields)
        # Each entity ends in a CRLF, which belongs to the delimiter that follows (RFC 2046 section 5.1.1).
        body += [f"--{boundary}\r\n{fields}\r\n".encode("ascii"), *one.body]
    body.append(f"--{boundary}--\r\n".encode("ascii"))
    return Entity([("Content-Type", f'multipart/{subtype};\r\n boundary="{boundary}"')], body)


def _attached(file: File) -> Entity:
    starts = range(0, len(file.content), _LINE_BYTES) or range(1)
    lines = [b2a_base64(file.content[at : at + _LINE_BYTES], newline=False) for at in starts]
    fields = _fields(filenames.content_type(file.content_type, file.filename), "base64")
    fields.append(("Content-Disposition", filenames.disposition(file.filename)))
    return Entity(fields, [b"\r\n".join([*lines, b""])])


def _fields(content_type: str, transfer_encoding: str) -> list[tuple[str, str]]:
    return [("Content-Type", content_type), ("Content-Transfer-Encoding", transfer_encoding)]

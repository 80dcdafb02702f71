"""MIME, once per content: parts become segments and slots, attachments base64, and framing goes around them.

    text, AMP and HTML      multipart/alternative, what shows most last (RFC 2046 section 5.1.4)
    one of them             that part alone
    pictures of the HTML    multipart/related around the HTML, which comes first (RFC 2387)
    with attachments        multipart/mixed around it

A boundary begins with `=_`, which neither quoted-printable nor base64 can hold (RFC 2045 section 6.7), and goes on
with a digest of the content and of chance, so that nobody who writes the content or fills its slots can know it.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

from services.queueing.rewrite import Piece
from shared.mail import attached
from shared.mail.attached import File
from shared.mail.quoted_printable import SOFT_BREAK, between_slots
from shared.words.content import Part, Picture, Segment

_CONTENT_TYPES = {
    "text": "text/plain; charset=utf-8",
    "amp": "text/x-amp-html; charset=utf-8",
    "html": "text/html; charset=utf-8",
}


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


def assemble(
    text: Part | None,
    html: Part | None,
    files: Sequence[File],
    digest: bytes,
    *,
    amp: Part | None = None,
    pictures: Sequence[File] = (),
) -> Entity:
    """The body of a mail that has a text, an HTML or both; `pictures` are those of the files that the HTML shows;
    `digest` is the content's, and chance's."""
    parts = [_part(part) for part in (text, amp, html) if part is not None]
    if html is not None and pictures:
        parts[-1] = _multipart("related", [parts[-1], *(_attached(file, inline=True) for file in pictures)], digest)
    inner = parts[0] if len(parts) == 1 else _multipart("alternative", parts, digest)
    others = [file for file in files if html is None or file not in pictures]
    return _multipart("mixed", [inner, *map(_attached, others)], digest) if others else inner


def places(body: Sequence[bytes | Part], pictures: Sequence[File]) -> list[Picture]:
    """Where in a body each of these pictures stands."""
    ends = {_id_field(file): file for file in pictures}
    found = []
    for at, piece in enumerate(body):
        if isinstance(piece, bytes) and (file := ends.get(piece[piece.rfind(b"Content-ID: ") :])) is not None:
            found.append(Picture(file.content_id, file.content_type.partition(";")[0].strip().lower(), at + 1))
    return found


def _id_field(file: File) -> bytes:
    """As it stands at the end of a part's header."""
    return f"Content-ID: <{file.content_id}>\r\n\r\n".encode("ascii")


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
    # Of a related body the type of its root is required (RFC 2387 section 3.1).
    root = ';\r\n type="text/html"' if subtype == "related" else ""
    return Entity([("Content-Type", f'multipart/{subtype}{root};\r\n boundary="{boundary}"')], body)


def _attached(file: File, *, inline: bool = False) -> Entity:
    return Entity(attached.fields(file, inline=inline), [attached.body(file.content)])


def _fields(content_type: str, transfer_encoding: str) -> list[tuple[str, str]]:
    return [("Content-Type", content_type), ("Content-Transfer-Encoding", transfer_encoding)]

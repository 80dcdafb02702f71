"""The body of a mail that came whole: its structure and its bytes stay, but for what has to be another.

    the first text/html    its tracked links and the pixel, in quoted-printable and UTF-8; the rest of its text stays
    8-bit, and long lines  in quoted-printable or base64: hosts on the way may take neither (RFC 6152, RFC 5321 4.5.3.1)
    signed, or a message   as it stands: a signature of its sender's would break

A part that cannot be read, as one in a charset that nobody knows, stays as it stands, and its links are not tracked.
"""

import re
from binascii import Error as NotBase64
from binascii import a2b_base64, a2b_qp, b2a_base64, b2a_qp
from dataclasses import dataclass, field

import msgspec

from services.queueing import mime, rewrite
from shared.mail import encoded_words
from shared.words import content
from shared.words.content import Part
from shared.words.errors import Fault

#: Parts inside of parts, and parts in all, that are looked into.
MAX_DEPTH, MAX_PARTS = 10, 200
#: Of HTML whose links are tracked; what is longer stays as it is.
MAX_HTML_BYTES = 1_000_000
#: RFC 5321 section 4.5.3.1.6, without the line's end.
MAX_LINE_BYTES = 998
#: Bytes of a line of base64: 76 characters.
_LINE_BYTES = 57

_LONG_LINE = re.compile(rb"[^\n]{%d}" % (MAX_LINE_BYTES + 2))
_FOLD = re.compile(r"\r\n(?=[ \t])")
_PARAMETER = re.compile(r""";\s*(boundary|charset)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))""", re.IGNORECASE)
#: What of it is no ASCII is nearly always UTF-8.
_ASCII = re.compile(r"^(us-)?ascii$")
_FIELD = re.compile(rb"([!-9;-~]{1,76}):[ \t]?((?:[^\r\n]|\r\n[ \t])*)\r\n")

#: A header field: its name, and its value as it stands, folded.
Field = tuple[str, bytes]


@dataclass
class Body:
    """What was found in it, and what of it is to be tracked."""

    opens: bool
    clicks: bool
    html: str = ""
    links: list[content.TrackedLink] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    parts: int = 0


class Kind(msgspec.Struct, frozen=True):
    """What a part's header says of its body."""

    media: str
    charset: str
    boundary: bytes
    encoding: str
    is_attachment: bool


def fields_of(header: bytes) -> list[Field] | int:
    """The fields of a header, whose lines all end in CRLF; or the number of the line, from 1, that is of none."""
    found: list[Field] = []
    at = 0
    while at < len(header):
        one = _FIELD.match(header, at)
        if one is None:
            return header.count(b"\n", 0, at) + 1
        found.append((one[1].decode("ascii"), one[2]))
        at = one.end()
    return found


def compiled(fields: list[Field], body: bytes, found: Body, depth: int = 0) -> tuple[list[Field], list[bytes | Part]]:
    """The fields and the body of an entity as they are sent. What is wrong goes to `found`."""
    kind = _kind(fields)
    found.parts += 1
    is_looked_into = depth < MAX_DEPTH and found.parts < MAX_PARTS
    if kind.media.startswith("multipart/") and kind.media != "multipart/signed" and kind.boundary and is_looked_into:
        return _with_encoding(fields, "7bit", kind), _multipart(kind.boundary, body, found, depth)
    if kind.media == "text/html" and not kind.is_attachment and not found.html:
        part = _tracked(kind, body, found)
        if part is not None:
            end = b"" if depth or found.html.endswith("\n") else b"\r\n"
            described = _described(fields, "text/html; charset=utf-8", "quoted-printable")
            return described, [part, end] if end else [part]
    if _is_plain(body):
        return fields, [body]
    if kind.media.startswith(("multipart/", "message/")) or kind.encoding in ("quoted-printable", "base64"):
        what = f"a part {kind.media[:80]} has 8-bit bytes, or lines of more than {MAX_LINE_BYTES}, and stays as it is"
        found.faults.append(Fault("body", what))
        return fields, [body]
    return _encoded(fields, body, kind)


def _multipart(boundary: bytes, body: bytes, found: Body, depth: int) -> list[bytes | Part]:
    delimiters = list(re.finditer(rb"(?:\A|\r\n)--" + re.escape(boundary) + rb"(?P<last>--)?[ \t]*(?=\r\n|\Z)", body))
    if not delimiters:
        return compiled([], body, found, MAX_DEPTH)[1]
    made: list[bytes | Part] = [_plain_or_none(body[: delimiters[0].start()])]
    for at, delimiter in enumerate(delimiters):
        made.append(delimiter[0])
        if delimiter["last"]:
            made.append(_plain_or_none(body[delimiter.end() :]))
            break
        end = delimiters[at + 1].start() if at + 1 < len(delimiters) else len(body)
        inside = body[delimiter.end() : end]
        made.append(inside[:2])
        made += _part(inside[2:], found, depth + 1)
    return made


def _part(entity: bytes, found: Body, depth: int) -> list[bytes | Part]:
    if entity.startswith(b"\r\n"):
        header, body = b"", entity[2:]
    else:
        header, _, body = entity.partition(b"\r\n\r\n")
        header += b"\r\n"
    fields = fields_of(header)
    if isinstance(fields, int) or not header.isascii():
        found.faults.append(Fault("body", "the header of a part has a line that is no field, or 8-bit bytes"))
        return [entity]
    if len(header) == len(entity) + 2:  # a header alone
        return [entity]
    described, made = compiled(fields, body, found, depth)
    if described == fields:
        return [header, b"\r\n", *made]
    return [b"".join([b"%b: %b\r\n" % (name.encode("ascii"), value) for name, value in described]), b"\r\n", *made]


def _tracked(kind: Kind, body: bytes, found: Body) -> Part | None:
    """The HTML with slots for its links and the pixel; None where there is nothing to track."""
    source = _text(kind, body) if found.opens or found.clicks else None
    if source is None:
        return None
    found.html = source
    document = rewrite.read(source, clicks=found.clicks, is_template=False)
    found.links += document.links()
    found.faults += (
        Fault("html", f"line {line}: leads to javascript: or the like") for line in document.dangerous_lines
    )
    if not found.opens and not document.hrefs:
        return None
    return Part("html", segments=mime.segments(rewrite.pieces(document, opens=found.opens)), needs=[])


def _text(kind: Kind, body: bytes) -> str | None:
    """The body as text with LF at line ends; None if that is not certain."""
    if len(body) > 2 * MAX_HTML_BYTES:
        return None
    try:
        match kind.encoding:
            case "quoted-printable":
                body = a2b_qp(body)
            case "base64":
                body = a2b_base64(body)
            case "" | "7bit" | "8bit" | "binary":
                pass
            case _:
                return None
        text = body.decode(kind.charset if encoded_words.is_charset(kind.charset) else "utf-8")
    except (NotBase64, UnicodeDecodeError, LookupError, ValueError):
        return None
    if len(text) > MAX_HTML_BYTES or "\x00" in text or content_marks(text):
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def content_marks(text: str) -> bool:
    """Whether it has what no text may have (`shared.words.content`)."""
    return not text.isascii() and any(mark in text for mark in content.MARKS)


def _encoded(fields: list[Field], body: bytes, kind: Kind) -> tuple[list[Field], list[bytes | Part]]:
    if kind.media.startswith("text/") and b"\x00" not in body:
        quoted = b2a_qp(body.replace(b"\r\n", b"\n"), istext=True).replace(b"\n", b"\r\n")
        return _with_encoding(fields, "quoted-printable", kind, always=True), [quoted]
    lines = [b2a_base64(body[at : at + _LINE_BYTES], newline=False) for at in range(0, len(body), _LINE_BYTES)]
    return _with_encoding(fields, "base64", kind, always=True), [b"\r\n".join(lines)]


def _is_plain(body: bytes) -> bool:
    return body.isascii() and b"\x00" not in body and _LONG_LINE.search(body) is None


def _plain_or_none(text: bytes) -> bytes:
    """What stands around parts, which nobody reads."""
    return text if _is_plain(text) else b""


def _kind(fields: list[Field]) -> Kind:
    said = {name.lower(): _FOLD.sub("", value.decode("utf-8", "replace")).strip() for name, value in fields}
    type_ = said.get("content-type", "text/plain")
    parameters = {
        found[1].lower(): re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else found[3]
        for found in _PARAMETER.finditer(type_)
    }
    return Kind(
        media=type_.partition(";")[0].strip().lower(),
        charset=_ASCII.sub("utf-8", parameters.get("charset", "utf-8").lower()),
        boundary=parameters.get("boundary", "").rstrip(" ").encode("ascii", "replace"),
        encoding=said.get("content-transfer-encoding", "").lower(),
        is_attachment=said.get("content-disposition", "").lower().startswith("attachment"),
    )


def _with_encoding(fields: list[Field], encoding: str, kind: Kind, *, always: bool = False) -> list[Field]:
    """The fields with that Content-Transfer-Encoding, where they have another that says 8-bit, or `always`."""
    if not always and kind.encoding in ("", "7bit"):
        return fields
    return [*_without(fields, "content-transfer-encoding"), ("Content-Transfer-Encoding", encoding.encode("ascii"))]


def _described(fields: list[Field], type_: str, encoding: str) -> list[Field]:
    rest = _without(fields, "content-type", "content-transfer-encoding", "content-md5", "content-length")
    return [*rest, ("Content-Type", type_.encode("ascii")), ("Content-Transfer-Encoding", encoding.encode("ascii"))]


def _without(fields: list[Field], *names: str) -> list[Field]:
    return [one for one in fields if one[0].lower() not in names]

"""What a person sees of a message: headers decoded, the text and the HTML, attachments, signatures, ways to leave.

A message is hostile input: nothing in it makes these functions raise, whatever its MIME structure, charset or encoding,
and all that they do is bounded: header bytes, fields, parameters, parts, depth. The tree of parts is found by searching
the bytes for boundaries: the library's parser looks at every line, at each of them once for every multipart around it.
"""

import binascii
import re
from collections.abc import Iterator
from email.message import Message as Mime
from email.parser import BytesHeaderParser
from email.policy import Compat32
from email.utils import collapse_rfc2231_value
from itertools import islice
from typing import Any

import msgspec
import turbohtml

from shared.mail import encoded_words

#: Of a message without end, parts beyond this one are not listed.
MAX_PARTS = 200
#: Multiparts around a part. Each is a search through the bytes.
MAX_DEPTH = 10
#: Lines and bytes of a message's header, and of a part's: the library takes a microsecond or two a line.
MAX_HEADER_LINES = 5_000
MAX_HEADER_BYTES = 64 * 1024
MAX_PART_HEADER_LINES = 60
MAX_PART_HEADER_BYTES = 4 * 1024
#: Fields of a header that are shown.
MAX_FIELDS = 1_000
#: Of a field with parameters: the library takes time with their square, each time it is asked.
MAX_PARAMETERS_CHARS = 1_000
#: Of the HTML, what is searched for links.
MAX_LINKED_CHARS = 512 * 1024
#: The library undoes it line by line, and hardly anybody has used it for thirty years.
MAX_UUENCODED_BYTES = 64 * 1024
#: A line that is a field or goes on with one: such lines are the header, as the library sees it.
_LINE = rb"(?>(?:[^:\s][^:\r\n]*+:|[\t ]|From )[^\n]*+(?:\n|\Z))"
_NEXT_LINE = re.compile(_LINE)
_HEADER = re.compile(_LINE + rb"{0,%d}+" % MAX_HEADER_LINES)
_PART_HEADER = re.compile(_LINE + rb"{0,%d}+" % MAX_PART_HEADER_LINES)
_BLANK = re.compile(rb"\r?\n")
_URIS = re.compile(r"<\s*([^<>\s]+)\s*>")
_DOCTYPE = re.compile(r"\s*<!doctype[^<>]*>", re.IGNORECASE)
_CONTENT_ID = re.compile(r"cid:([^\s\"'()<>]+)", re.IGNORECASE)


class _Raw(Compat32):
    """compat32 (five times faster than `policy.default`), with headers as UTF-8 text where they have 8-bit bytes."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_POLICY = _Raw()


class Summary(msgspec.Struct, frozen=True):
    """What a list shows: the decoded fields of the header."""

    subject: str
    sender: str
    message_id: str


class Part(msgspec.Struct, frozen=True):
    """A leaf of the MIME tree that is neither the text nor the HTML; `number` counts all leaves from 0."""

    number: int
    media_type: str
    filename: str
    content_id: str
    content: bytes


class Signature(msgspec.Struct, frozen=True):
    """What a DKIM-Signature says of itself. Whether it is true says `dkim`."""

    domain: str
    selector: str


class Message(msgspec.Struct, frozen=True):
    """`html` and `text` are None where the message has no such part."""

    headers: list[tuple[str, str]]
    html: str | None
    text: str | None
    attachments: list[Part]
    signatures: list[Signature]
    #: The URIs of List-Unsubscribe, in its order.
    unsubscribe: list[str]
    #: Where a mail program posts `List-Unsubscribe=One-Click` (RFC 8058); None when the message offers that not.
    one_click: str | None

    def header(self, name: str) -> str:
        """The first field of that name, "" without one."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), "")


def summary(head: bytes) -> Summary:
    """Reads the header alone; it may be cut off anywhere."""
    fields = BytesHeaderParser(policy=_POLICY).parsebytes(head[:MAX_HEADER_BYTES])
    return Summary(
        subject=encoded_words.field(fields.get("Subject", "")),
        sender=encoded_words.field(fields.get("From", "")),
        message_id=encoded_words.field(fields.get("Message-ID", "")),
    )


def read(raw: bytes) -> Message:
    """Reads the whole message."""
    whole = _opened(raw)
    html = text = None
    attachments = []
    for number, leaf in enumerate(islice(_leaves(whole, 0), MAX_PARTS)):
        media_type = leaf.header.get_content_type()
        shown = leaf.header.get_content_disposition() != "attachment"
        if shown and html is None and media_type == "text/html":
            html = _content_text(leaf)
        elif shown and text is None and media_type == "text/plain":
            text = _content_text(leaf)
        else:
            attachments.append(_part(number, leaf))
    headers = [(name, encoded_words.field(value)) for name, value in islice(whole.header.items(), MAX_FIELDS)]
    unsubscribe = _URIS.findall(" ".join(value for name, value in headers if name.lower() == "list-unsubscribe"))
    return Message(
        headers=headers,
        html=html,
        text=text,
        attachments=attachments,
        signatures=[_signature(value) for name, value in headers if name.lower() == "dkim-signature"],
        unsubscribe=unsubscribe,
        one_click=_one_click(headers, unsubscribe),
    )


def links(html: str) -> list[str]:
    """The targets of all links, in source order, as a browser understands them."""
    return [
        str(link.attrs.get("href") or "")
        for link in turbohtml.parse(html[:MAX_LINKED_CHARS]).select("a[href], area[href]")
    ]


def framed(html: str, parts_url: str, attachments: list[Part]) -> str:
    """The HTML for the frame: links open in a new tab, images of the message itself come from `parts_url`/<number>.

    The base element goes behind the doctype, because in front of it the page would be shown in quirks mode.
    """
    numbers = {part.content_id: part.number for part in attachments if part.content_id}

    def located(found: re.Match[str]) -> str:
        number = numbers.get(found[1])
        return found[0] if number is None else f"{parts_url}/{number}"

    doctype = _DOCTYPE.match(html)
    start = doctype.end() if doctype else 0
    body = _CONTENT_ID.sub(located, html[start:]) if numbers else html[start:]
    return f'{html[:start]}<base target="_blank">{body}'


class _Entity(msgspec.Struct, frozen=True):
    """A header of the library's kind, without a payload, and the bytes behind it."""

    header: Mime
    body: bytes


def _opened(raw: bytes, default_type: str = "") -> _Entity:
    """The header, as much of it as is looked at, and the body. A part's has a default type, the message's has none."""
    pattern, max_bytes = (_PART_HEADER, MAX_PART_HEADER_BYTES) if default_type else (_HEADER, MAX_HEADER_BYTES)
    found = pattern.match(raw, 0, max_bytes)
    end = found.end() if found else 0
    header: Mime = BytesHeaderParser(policy=_POLICY).parsebytes(raw[:end] + b"\n")
    header.set_default_type(default_type or "text/plain")
    for name in ("Content-Type", "Content-Disposition"):
        if len(value := header.get(name, "")) > MAX_PARAMETERS_CHARS:
            header.replace_header(name, value[:MAX_PARAMETERS_CHARS])
    if end == max_bytes or _NEXT_LINE.match(raw, end):
        end = min((at for at in (raw.find(b"\n\r\n", end), raw.find(b"\n\n", end)) if at >= 0), default=len(raw)) + 1
    blank = _BLANK.match(raw, end)
    return _Entity(header, raw[blank.end() if blank else end :])


def _leaves(entity: _Entity, depth: int) -> Iterator[_Entity]:
    """Parts that have no parts, in order; a message inside the message is one leaf."""
    parts = _parts(entity) if depth < MAX_DEPTH and entity.header.get_content_maintype() == "multipart" else []
    if not parts:
        yield entity
    default_type = "message/rfc822" if entity.header.get_content_subtype() == "digest" else "text/plain"
    for part in parts:
        yield from _leaves(_opened(part, default_type), depth + 1)


def _parts(entity: _Entity) -> list[bytes]:
    """What stands between the delimiters (RFC 2046 section 5.1.1); the last may lack its own. Empty without any."""
    try:
        boundary = entity.header.get_boundary()
    except (LookupError, ValueError, TypeError):  # RFC 2231 in pieces that do not fit together
        return []
    if not boundary:
        return []
    body = entity.body
    literal = re.escape(b"--" + boundary.encode("utf-8", "surrogateescape"))
    # With the line end in front the search is one for a text, at the speed of memory.
    delimiter = re.compile(rb"\n" + literal + rb"(--)?[ \t]*+(?=\r?\n|\r?\Z)")
    first = re.compile(literal + rb"(--)?[ \t]*+(?=\r?\n|\r?\Z)").match(body)
    found = islice(delimiter.finditer(body), MAX_PARTS + 1)
    parts = []
    start = _behind(body, first) if first else -1
    for one in found:
        if start >= 0:
            parts.append(body[start : one.start()].removesuffix(b"\r"))
        start = _behind(body, one)
        if one[1]:
            return parts
    if start >= 0 and len(parts) < MAX_PARTS:
        parts.append(body[start:])
    return parts


def _behind(body: bytes, delimiter: re.Match[bytes]) -> int:
    """Where the line after it begins."""
    line_end = body.find(b"\n", delimiter.end())
    return line_end + 1 if line_end >= 0 else len(body)


def _part(number: int, leaf: _Entity) -> Part:
    return Part(
        number=number,
        media_type=leaf.header.get_content_type(),
        filename=_filename(leaf.header),
        content_id=str(leaf.header.get("Content-ID", "")).strip().strip("<>"),
        content=_content(leaf),
    )


def _filename(header: Mime) -> str:
    try:
        parameters: Any = header.get_params([], "content-disposition")  # of RFC 2231 they are tuples
        whole = [value for name, value in parameters if name.lower() == "filename" and isinstance(value, tuple)]
        # Where there are both, the other one is for programs that do not know RFC 2231.
        return collapse_rfc2231_value(whole[0]) if whole else encoded_words.field(header.get_filename() or "")
    except (LookupError, ValueError, TypeError):  # parameters of RFC 2231 in pieces that do not fit together
        return ""


def _content(leaf: _Entity) -> bytes:
    """The body with its transfer encoding undone; as it is if that cannot be."""
    encoding = str(leaf.header.get("Content-Transfer-Encoding", "")).strip().lower()
    if encoding == "quoted-printable":
        return binascii.a2b_qp(leaf.body)
    if encoding == "base64":
        return _base64(leaf.body)
    if encoding in ("x-uuencode", "uuencode", "uue", "x-uue") and len(leaf.body) <= MAX_UUENCODED_BYTES:
        whole = Mime()
        whole["Content-Transfer-Encoding"] = encoding
        whole.set_payload(leaf.body.decode("ascii", "surrogateescape"))
        content = whole.get_payload(decode=True)
        return content if isinstance(content, bytes) else b""
    return leaf.body


def _base64(body: bytes) -> bytes:
    for padding in (b"", b"=="):
        try:
            return binascii.a2b_base64(body + padding)
        except binascii.Error:
            continue
    return body


def _content_text(leaf: _Entity) -> str:
    try:
        charset = leaf.header.get_content_charset() or "utf-8"
    except (LookupError, ValueError, TypeError):
        charset = "utf-8"
    return encoded_words.text(_content(leaf), charset).replace("\r\n", "\n")


def _signature(value: str) -> Signature:
    tags = {name.strip(): "".join(text.split()) for name, _, text in (tag.partition("=") for tag in value.split(";"))}
    return Signature(domain=tags.get("d", ""), selector=tags.get("s", ""))


def _one_click(headers: list[tuple[str, str]], unsubscribe: list[str]) -> str | None:
    offers = any(
        name.lower() == "list-unsubscribe-post" and value.strip().lower() == "list-unsubscribe=one-click"
        for name, value in headers
    )
    urls = (uri for uri in unsubscribe if uri.lower().startswith(("https://", "http://")))
    return next(urls, None) if offers else None

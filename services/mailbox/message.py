"""What a person sees of a message: headers decoded, the text and the HTML, attachments, signatures, ways to leave.

A message is hostile input: nothing in it makes these functions raise, whatever its MIME structure, charset or encoding.
"""

import binascii
import codecs
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message as Mime
from email.parser import BytesHeaderParser, BytesParser
from email.policy import Compat32

import msgspec
import turbohtml

#: Of a message without end, parts beyond this one are not listed.
MAX_PARTS = 200
#: Codecs that Python knows by name as it does charsets, and that no mail is written in.
_NO_CHARSETS = frozenset(("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"))
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
    """What a DKIM-Signature says of itself. Whether it is true is for a verifier."""

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
    fields = BytesHeaderParser(policy=_POLICY).parsebytes(head)
    return Summary(
        subject=decoded(fields.get("Subject", "")),
        sender=decoded(fields.get("From", "")),
        message_id=decoded(fields.get("Message-ID", "")),
    )


def read(raw: bytes) -> Message:
    """Reads the whole message."""
    try:
        mime = BytesParser(policy=_POLICY).parsebytes(raw)
    except RecursionError:  # parts nested in parts without end: the header alone, and the source is there to look at
        mime = BytesHeaderParser(policy=_POLICY).parsebytes(raw)
    html = text = None
    attachments = []
    for number, leaf in enumerate(_leaves(mime)):
        media_type = leaf.get_content_type()
        shown = leaf.get_content_disposition() != "attachment"
        if shown and html is None and media_type == "text/html":
            html = _content_text(leaf)
        elif shown and text is None and media_type == "text/plain":
            text = _content_text(leaf)
        else:
            attachments.append(_part(number, leaf))
    headers = [(name, decoded(value)) for name, value in mime.items()]
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
    return [str(link.attrs.get("href") or "") for link in turbohtml.parse(html).select("a[href], area[href]")]


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


def decoded(value: str) -> str:
    """A header's value unfolded, its encoded words (RFC 2047) decoded; what cannot be decoded stays as it is."""
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", value)
    if "=?" not in unfolded:
        return unfolded
    try:
        words = decode_header(unfolded)
    except (HeaderParseError, binascii.Error, ValueError):
        return unfolded
    return "".join(word if isinstance(word, str) else _decode(word, charset or "utf-8") for word, charset in words)


def _leaves(mime: Mime) -> Iterator[Mime]:
    """Parts that have no parts, in order; a message inside the message is one leaf."""
    waiting = [mime]
    for _ in range(MAX_PARTS):
        while waiting and waiting[-1].get_content_maintype() == "multipart" and waiting[-1].is_multipart():
            waiting += reversed(_children(waiting.pop()))
        if not waiting:
            return
        yield waiting.pop()


def _children(mime: Mime) -> list[Mime]:
    children = mime.get_payload()
    return [child for child in children if isinstance(child, Mime)] if isinstance(children, list) else []


def _part(number: int, leaf: Mime) -> Part:
    return Part(
        number=number,
        media_type=leaf.get_content_type(),
        filename=_filename(leaf),
        content_id=str(leaf.get("Content-ID", "")).strip().strip("<>"),
        content=_content(leaf),
    )


def _filename(leaf: Mime) -> str:
    try:
        return decoded(leaf.get_filename() or "")
    except (LookupError, ValueError, TypeError):  # parameters of RFC 2231 in pieces that do not fit together
        return ""


def _content(leaf: Mime) -> bytes:
    if leaf.is_multipart():
        return _written(leaf)
    content = leaf.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _written(leaf: Mime) -> bytes:
    """A message inside the message: the library has parsed it, so it has to be written again."""
    try:
        return b"".join(child.as_bytes() for child in _children(leaf))
    except (ValueError, LookupError, TypeError, RecursionError):  # malformed where the parser did not mind
        return b""


def _content_text(leaf: Mime) -> str:
    try:
        charset = leaf.get_content_charset() or "utf-8"
    except (LookupError, ValueError, TypeError):
        charset = "utf-8"
    return _decode(_content(leaf), charset)


def _decode(content: bytes, charset: str) -> str:
    """Text without lone surrogates, whatever the charset is called; `\\r\\n` becomes `\\n`."""
    try:
        charset = "utf-8" if codecs.lookup(charset).name in _NO_CHARSETS else charset
        text = content.decode(charset, "replace")
    except (LookupError, ValueError):
        text = content.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n")


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

"""A received mail, opened: header fields decoded, parts in order. Whatever the bytes are, nothing here raises.

The standard library parses (policy compat32: five times faster than the modern one, and it takes anything). What it may
still raise on garbage stops in this module: a mail that cannot be opened is one without fields and without parts.

Anybody can write to us, and what takes long holds up every other session. So all is bounded: bytes, delimiters, fields,
parts, text. Beyond the bounds nothing is read, which costs a report nothing: what it says stands at its beginning.
"""

import re
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterator
from email import policy
from email.message import Message
from email.parser import BytesParser
from hashlib import blake2b
from itertools import islice

import msgspec

from shared.mail import encoded_words

#: Bytes of a mail that are read. What a report says comes before the message that it returns, whose header is enough.
READ_BYTES = 256 * 1024
#: Lines that begin with two dashes and may delimit parts. The library's time grows with their square.
MAX_DELIMITERS = 200
#: Parts of a mail that are looked at; a report has three.
MAX_PARTS = 50
#: Characters of a text part that are looked at: bounces in prose come to the point on their first page.
MAX_TEXT_CHARS = 30_000
#: Blocks of a delivery report, one per recipient. Ours have one recipient; an alias may have made some more.
MAX_BLOCKS = 10
#: Fields of a header or block, and characters of a field.
MAX_FIELDS = 300
MAX_FIELD_CHARS = 4_000

#: Parts that hold the returned message, or its header alone.
RETURNED = ("message/rfc822", "message/global")
HEADERS = ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers")

_parser = BytesParser(policy=policy.compat32)
_FOLD = re.compile(r"\r?\n[ \t]+|[\r\n]+")
#: What a person sees of HTML, for bounces that have nothing else: tags away, ends of blocks are ends of lines.
_BREAK = re.compile(r"<(br|/p|/div|/tr|/h\d|/li)\b[^>]{0,200}>", re.IGNORECASE)
#: A Content-Type beyond reason: the library's time grows with the square of its parameters.
_ENDLESS_TYPE = re.compile(rb"^content-type:(?:[^\n]|\n[ \t]){2000}", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(r"(?:\"[^\s\"\\]{1,64}\"|[^\s<>()\[\],;:\"@]{1,64})@[^\s<>()\[\],;:\"@]{1,255}")
_UNSEEN = re.compile(r"<(?:style|script)\b", re.IGNORECASE)
_TAG = re.compile(r"<[a-zA-Z!/][^<>]{0,2000}>")


class Fields(msgspec.Struct, frozen=True):
    """Header fields, or the fields of a report, in their order; names in lower case, values decoded and unfolded."""

    pairs: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The first value, or "" if there is none."""
        return next((value for field, value in self.pairs if field == name), "")

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.pairs if field == name]

    def __bool__(self) -> bool:
        return bool(self.pairs)


class Part(msgspec.Struct, frozen=True):
    """A part that has no parts. `blocks` are the groups of fields of a report (`message/delivery-status` and its like),
    and of a returned message or its header the one block of its header fields."""

    content_type: str
    text: str = ""
    blocks: tuple[Fields, ...] = ()


class Mail(msgspec.Struct, frozen=True):
    """`report_type` is that of multipart/report, else ""; `digest` names the mail: the same mail, the same digest."""

    fields: Fields
    content_type: str
    report_type: str
    parts: tuple[Part, ...]
    digest: str

    def part(self, *content_types: str) -> Part | None:
        """The first part of one of these types."""
        return next((part for part in self.parts if part.content_type in content_types), None)

    @property
    def text(self) -> str:
        """What a person reads: the first plain text, else the first HTML without its tags."""
        plain = self.part("text/plain")
        if plain is not None and plain.text.strip():
            return plain.text
        html = self.part("text/html")
        return _seen(html.text) if html is not None else ""


def read(raw: bytes) -> Mail:
    """The mail in these bytes."""
    try:
        message = _parser.parsebytes(_readable(raw))
        fields = _fields(message)
        report_type = _parameter(message, "report-type")
        return Mail(fields, message.get_content_type(), report_type, _parts(message), digest(raw, fields))
    except Exception:  # the library's parser and its accessors, on bytes that an attacker chose: RecursionError, too
        return Mail(Fields(), "text/plain", "", (), digest(raw, Fields()))


def _readable(raw: bytes) -> bytes:
    """The beginning of the mail, up to READ_BYTES and MAX_DELIMITERS. ValueError if it cannot be honest."""
    if _ENDLESS_TYPE.search(raw, 0, READ_BYTES):
        raise ValueError("a Content-Type of thousands of characters")
    end = -1
    for _ in range(MAX_DELIMITERS):
        end = raw.find(b"\n--", end + 1, READ_BYTES)
        if end < 0:
            return raw[:READ_BYTES]
    return raw[:end]


def addresses(value: str) -> list[str]:
    """The mail addresses in a field, in lower case, the real one last: a display name may hold one too. (The library's
    own reader recurses into comments, as deep as they are nested.)"""
    return [unquoted(found) for found in _ADDRESS.findall(value)]


def unquoted(address: str) -> str:
    """In lower case, and without quotes: hosts repeat `"a..b"@example.org` with them or without."""
    return address.lower().replace('"', "")


def digest(raw: bytes, fields: Fields) -> str:
    """Of what stays the same when a host sends the mail once more: the Message-ID and all after the header."""
    body = raw.partition(b"\r\n\r\n")[2] or raw.partition(b"\n\n")[2] or raw
    hashed = blake2b(fields.get("message-id").encode("utf-8", "replace"), digest_size=16)
    hashed.update(b"\0" + body)
    return hashed.hexdigest()


def _parts(message: Message) -> tuple[Part, ...]:
    return tuple(_part(leaf) for leaf in islice(_leaves(message), MAX_PARTS))


def _leaves(message: Message) -> Iterator[Message]:
    payload = message.get_payload()
    if message.get_content_maintype() == "multipart" and isinstance(payload, list):
        for child in payload:
            if isinstance(child, Message):
                yield from _leaves(child)
    else:
        yield message


def _part(leaf: Message) -> Part:
    content_type = leaf.get_content_type()
    payload = leaf.get_payload()
    if isinstance(payload, list):
        blocks = _blocks(content_type, leaf, [one for one in payload if isinstance(one, Message)])
        return Part(content_type, blocks=blocks[:1] if content_type in (*RETURNED, *HEADERS) else blocks)
    text = _text(leaf)
    if content_type in HEADERS:
        return Part(content_type, text, _parse_blocks(text.lstrip())[:1])
    return Part(content_type, text, _parse_blocks(text) if content_type.startswith("message/") else ())


def _blocks(content_type: str, leaf: Message, nested: list[Message]) -> tuple[Fields, ...]:
    """The library reads message/delivery-status as one message per block. Of any other message/* the first block is the
    header of one message and what follows is its body; encoded (RFC 6533 section 3 allows it), all is body."""
    blocks = tuple(fields for one in nested[:MAX_BLOCKS] if (fields := _fields(one)))
    if content_type in (*RETURNED, "message/delivery-status") and blocks:
        return blocks
    raw = nested[0].get_payload(decode=True) if nested else None
    if not isinstance(raw, bytes):
        return blocks
    encoding = str(leaf.get("content-transfer-encoding", "")).strip().lower()
    if not blocks and encoding in ("base64", "quoted-printable"):
        raw = a2b_base64(raw) if encoding == "base64" else a2b_qp(raw)
    return blocks + _parse_blocks(raw[:MAX_TEXT_CHARS].decode("utf-8", "replace"))


def _parse_blocks(text: str) -> tuple[Fields, ...]:
    """Groups of fields between blank lines; lines that are no fields are not looked at."""
    blocks = re.split(r"(?:\r?\n){2,}", text, maxsplit=MAX_BLOCKS)
    return tuple(fields for block in blocks if (fields := _field_block(block)))


def _field_block(block: str) -> Fields:
    lines = re.sub(r"\r?\n[ \t]+", " ", block).splitlines()
    pairs = (line.partition(":") for line in lines[:MAX_FIELDS])
    return Fields(
        tuple(
            (name.strip().lower(), value[:MAX_FIELD_CHARS].strip())
            for name, colon, value in pairs
            if colon and name.strip() and not re.search(r"\s", name.strip())
        )
    )


def _fields(message: Message) -> Fields:
    return Fields(tuple((name.lower(), _decoded(value)) for name, value in islice(message.raw_items(), MAX_FIELDS)))


def _decoded(value: object) -> str:
    text = _FOLD.sub(" ", str(value)[:MAX_FIELD_CHARS]).strip()
    if text.isascii() and "=?" not in text:
        return text
    return encoded_words.field(text.encode("ascii", "surrogateescape").decode("utf-8", "replace"), strict=True)


def _text(leaf: Message) -> str:
    payload = leaf.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    charset = leaf.get_content_charset("utf-8")
    return encoded_words.text(payload[: 4 * MAX_TEXT_CHARS], charset, "latin-1")[:MAX_TEXT_CHARS]


def _seen(html: str) -> str:
    """What a browser shows: without tags, and without what stands between those of styles and scripts."""
    first, *others = _UNSEEN.split(html)
    shown = first + "".join(other.partition("</")[2].partition(">")[2] for other in others)
    return _TAG.sub("", _BREAK.sub("\n", shown))


def _parameter(message: Message, name: str) -> str:
    value = message.get_param(name)
    return value.strip().lower() if isinstance(value, str) else ""

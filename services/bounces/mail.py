"""A received mail, opened: header fields decoded, parts in order. Whatever the bytes are, nothing here raises.

The standard library parses (policy compat32: five times faster than the modern one, and it takes anything). What it may
still raise on garbage stops in this module: a mail that cannot be opened is one without fields and without parts.

Anybody can write to us, and what takes long holds up every other session. So all is bounded: bytes, delimiters, fields,
parts, text. Beyond the bounds nothing is read, which costs a report nothing: what it says stands at its beginning.
"""

import re
from binascii import Error, a2b_base64, a2b_qp
from collections.abc import Container, Iterable, Iterator
from email import policy
from email.message import Message
from email.parser import BytesParser
from hashlib import blake2b
from html import unescape
from itertools import islice

import msgspec

from services.bounces import charsets
from shared.mail import encoded_words

#: Bytes of a mail that are read. What a report says comes before the message that it returns, whose header is enough.
READ_BYTES = 256 * 1024
#: Lines that begin with two dashes and may delimit parts. The library's time grows with their square.
MAX_DELIMITERS = 200
#: Parts of a mail that are looked at; a report has three.
MAX_PARTS = 50
#: Characters of a text part that are looked at: bounces in prose come to the point on their first page.
MAX_TEXT_CHARS = 30_000
#: Text parts before the returned message that are read: a notice, and the details that some programs put beside it.
MAX_TEXTS = 4
#: Blocks of a delivery report, one per recipient. Ours have one recipient; an alias may have made some more, and what
#: the console classifies is anybody's.
MAX_BLOCKS = 100
#: Fields of a header or block, and characters of a field.
MAX_FIELDS = 300
MAX_FIELD_CHARS = 4_000

#: Parts that hold the returned message, or its header alone.
RETURNED = ("message/rfc822", "message/global")
HEADERS = ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers")

_parser = BytesParser(policy=policy.compat32)
_FOLD = re.compile(r"\r?\n[ \t]+|[\r\n]+")
#: What a person sees of HTML, for bounces that have nothing else: tags away, ends of blocks are ends of lines.
_BREAK = re.compile(r"<(?:br|hr|/?p|/?div|/tr|/td|/h\d|/?ul|/li|/table|/title|/pre)\b[^>]{0,200}>", re.IGNORECASE)
#: A Content-Type beyond reason: the library's time grows with the square of its parameters.
_ENDLESS_TYPE = re.compile(rb"^content-type:(?:[^\n]|\n[ \t]){2000}", re.IGNORECASE | re.MULTILINE)
#: Blank lines, each of which the library makes a message of where it reads a delivery status.
_BLANKS = re.compile(rb"(\r?\n)(?:[ \t]{0,80}\r?\n){3,}")
_ADDRESS = re.compile(r"(?:\"[^\s\"\\]{1,64}\"|[^\s<>()\[\],;:\"@]{1,64})@[^\s<>()\[\],;:\"@]{1,255}")
_UNSEEN = re.compile(r"<(?:style|script)\b", re.IGNORECASE)
#: An address in angle brackets is none, though it should not stand in HTML like that.
_TAG = re.compile(r"<(?![^\s<>@\"'=/]{1,100}@[^\s<>@\"'=]{1,255}>)[a-zA-Z!/][^<>]{0,2000}>")
_PRE = re.compile(r"<pre\b", re.IGNORECASE)
#: A line that begins a part, whatever the header calls the delimiter.
_DELIMITER = re.compile(
    rb"^--([^\s\"\\][^\r\n\"\\]{0,200}?)[ \t]*\r?\n(?=content-[a-z-]{1,30}:)", re.IGNORECASE | re.MULTILINE
)
_STATUS_INSIDE = re.compile(
    rb"^content-type:[ \t]*message/(?:delivery-status|feedback-report)", re.IGNORECASE | re.MULTILINE
)


class Fields(msgspec.Struct, frozen=True):
    """Header fields, or the fields of a report, in their order; names in lower case, values decoded and unfolded."""

    pairs: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The first value, or "" if there is none."""
        return next((value for field, value in self.pairs if field == name), "")

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.pairs if field == name]

    def has(self, names: Container[str]) -> bool:
        """Whether one of these fields is there and not empty; one look at each, however many names there are."""
        return any(field in names and value != "" for field, value in self.pairs)

    def __bool__(self) -> bool:
        return bool(self.pairs)


class Part(msgspec.Struct, frozen=True):
    """A part that has no parts. `blocks` are the groups of fields of a report (`message/delivery-status` and its like),
    and of a returned message or its header the one block of its header fields."""

    content_type: str
    text: str = ""
    blocks: tuple[Fields, ...] = ()


class Mail(msgspec.Struct, frozen=True):
    """`report_type` is that of multipart/report, else ""; `digest` names the mail: the same mail, the same digest.
    `nested` is a report that came whole inside of this mail, as some gateways pass it on; it has none itself."""

    fields: Fields
    content_type: str
    report_type: str
    parts: tuple[Part, ...]
    digest: str
    nested: "Mail | None" = None

    def part(self, *content_types: str) -> Part | None:
        """The first part of one of these types."""
        return next((part for part in self.parts if part.content_type in content_types), None)

    @property
    def text(self) -> str:
        """What a person reads: the first plain text, else the first HTML without its tags."""
        plain = next((part.text for part in self.parts if _is_plain(part)), "")
        if plain:
            return plain
        html = self.part("text/html")
        return _seen(html.text) if html is not None else ""

    @property
    def texts(self) -> str:
        """All that a person reads before the returned message, LF line ends: a notice has several parts at times."""
        said = []
        for part in self.parts:
            if part.content_type in (*RETURNED, *HEADERS):
                break
            if _is_plain(part):
                said.append(part.text)
        text = "\n\n".join(said[:MAX_TEXTS]) if said else self.text
        return text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")[:MAX_TEXT_CHARS]


def _is_plain(part: Part) -> bool:
    return part.content_type == "text/plain" and bool(part.text.strip())


def read(raw: bytes) -> Mail:
    """The mail in these bytes."""
    try:
        message = _parser.parsebytes(_readable(raw))
        fields, content_type, nested = _fields(message), message.get_content_type(), None
        leaves = list(islice(_leaves(message, content_type), MAX_PARTS))
        if _is_torn(message, content_type, raw) and (again := _put_together(raw)) is not None:
            leaves = list(islice(_leaves(again, "multipart/mixed"), MAX_PARTS))
        elif content_type != "multipart/report" and (inner := _inner_report(leaves)) is not None:
            inner_parts = _parts(islice(_leaves(inner, "multipart/report"), MAX_PARTS))
            nested = Mail(_fields(inner), "multipart/report", _report_type(inner, "multipart/report"), inner_parts, "")
        report_type = _report_type(message, content_type)
        return Mail(fields, content_type, report_type, _parts(leaves), digest(raw, fields), nested)
    except Exception:  # the library's parser and its accessors, on bytes that an attacker chose: RecursionError, too
        return Mail(Fields(), "text/plain", "", (), digest(raw, Fields()))


def _is_torn(message: Message, content_type: str, raw: bytes) -> bool:
    """Whether there are parts in it that the header does not lead to: its delimiter is another one, or its Content-Type
    went missing on the way."""
    if isinstance(message.get_payload(), list):
        return False
    return content_type.startswith("multipart/") or _STATUS_INSIDE.search(raw, 0, READ_BYTES) is not None


def _put_together(raw: bytes) -> Message | None:
    """The same body under the first delimiter that stands in it."""
    _, blank, body = _readable(raw).replace(b"\r\n", b"\n").partition(b"\n\n")
    found = _DELIMITER.search(body) if blank else None
    if found is None:
        return None
    return _parser.parsebytes(b'Content-Type: multipart/mixed; boundary="%b"\n\n%b' % (found[1], body))


def _inner_report(leaves: list[tuple[Message, str]]) -> Message | None:
    """A report as a whole message inside, where the mail is none itself."""
    for leaf, content_type in leaves:
        payload = leaf.get_payload()
        if content_type in RETURNED and isinstance(payload, list) and payload:
            inner = payload[0]
            if isinstance(inner, Message) and inner.get_content_type() == "multipart/report":
                return inner
    return None


def _report_type(message: Message, content_type: str) -> str:
    """The library looks at parameters slowly, and only reports have this one."""
    return _parameter(message, "report-type") if content_type == "multipart/report" else ""


def _readable(raw: bytes) -> bytes:
    """The beginning of the mail, up to READ_BYTES and MAX_DELIMITERS. ValueError if it cannot be honest."""
    if _ENDLESS_TYPE.search(raw, 0, READ_BYTES):
        raise ValueError("a Content-Type of thousands of characters")
    raw = _BLANKS.sub(rb"\1\1\1", raw[:READ_BYTES])
    end = -1
    for _ in range(MAX_DELIMITERS):
        end = raw.find(b"\n--", end + 1)
        if end < 0:
            return raw
    return raw[:end]


def addresses(value: str) -> list[str]:
    """The mail addresses in a field, in lower case, the real one last: a display name may hold one too. (The library's
    own reader recurses into comments, as deep as they are nested.)"""
    return [unquoted(found).strip("'") for found in _ADDRESS.findall(value)]


def unquoted(address: str) -> str:
    """In lower case, and without quotes: hosts repeat `"a..b"@example.org` with them or without."""
    return address.lower().replace('"', "")


def digest(raw: bytes, fields: Fields) -> str:
    """Of what stays the same when a host sends the mail once more: the Message-ID and all after the header."""
    body = raw.partition(b"\r\n\r\n")[2] or raw.partition(b"\n\n")[2] or raw
    hashed = blake2b(fields.get("message-id").encode("utf-8", "replace"), digest_size=16)
    hashed.update(b"\0" + body)
    return hashed.hexdigest()


def _parts(leaves: Iterable[tuple[Message, str]]) -> tuple[Part, ...]:
    return tuple(_part(leaf, content_type) for leaf, content_type in leaves)


def _leaves(message: Message, content_type: str) -> Iterator[tuple[Message, str]]:
    """What has no parts, with its content type: the library works each out anew."""
    payload = message.get_payload()
    if content_type.startswith("multipart/") and isinstance(payload, list):
        for child in payload:
            if isinstance(child, Message):
                yield from _leaves(child, child.get_content_type())
    else:
        yield message, content_type


def _part(leaf: Message, content_type: str) -> Part:
    payload = leaf.get_payload()
    if isinstance(payload, list):
        nested = [one for one in payload if isinstance(one, Message)]
        if content_type in RETURNED and nested and (header := _fields(nested[0])):
            return Part(content_type, blocks=(header,))
        blocks = parse_blocks(_unnested(leaf, nested)[:MAX_TEXT_CHARS])
        return Part(content_type, blocks=blocks[:1] if content_type in (*RETURNED, *HEADERS) else blocks)
    if content_type.startswith("multipart/"):  # without any part: what is there is read as it stands
        return Part("text/plain", _text(leaf))
    text = _text(leaf)
    if content_type in HEADERS:
        return Part(content_type, text, parse_blocks(text.lstrip())[:1])
    return Part(content_type, text, parse_blocks(text) if content_type.startswith("message/") else ())


def _unnested(leaf: Message, nested: list[Message]) -> str:
    """The text of a message/* part, which the library has read as messages: message/delivery-status as one for each
    block, any other as one. It may be encoded (RFC 6533 section 3, and who does so without being asked)."""
    pieces = []
    for one in nested[:MAX_BLOCKS]:
        head = "".join(f"{name}: {value}\n" for name, value in islice(one.raw_items(), MAX_FIELDS))
        body = one.get_payload(decode=True) if isinstance(one.get_payload(), str) else b""
        pieces.append(head.encode("utf-8", "surrogateescape") + b"\n" + (body if isinstance(body, bytes) else b""))
    content = b"\n\n".join(piece.strip(b"\r\n") for piece in pieces)
    encoding = str(leaf.get("content-transfer-encoding", "")).strip().lower()
    try:
        if encoding == "base64":
            content = a2b_base64(content)
        elif encoding == "quoted-printable":
            content = a2b_qp(content)
    except Error:  # it is not what it says
        pass
    return charsets.text(content, str(leaf.get_content_charset("")))


def parse_blocks(text: str) -> tuple[Fields, ...]:
    """Groups of fields between blank lines. A line that is no field goes on with the one before it: long replies are
    broken without an indent, too."""
    blocks = re.split(r"(?:\r?\n[ \t]*){2,}", text, maxsplit=MAX_BLOCKS)
    return tuple(fields for block in blocks if (fields := _field_block(block)))


def _field_block(block: str) -> Fields:
    pairs: list[tuple[str, str]] = []
    for line in re.sub(r"\r?\n[ \t]+", " ", block).splitlines()[:MAX_FIELDS]:
        name, colon, value = line.partition(":")
        name = name.strip()
        if colon and name and not re.search(r"\s", name):
            pairs.append((name.lower(), _raw(value[:MAX_FIELD_CHARS].strip())))
        elif pairs and line.strip():
            last, said = pairs[-1]
            pairs[-1] = (last, f"{said} {line.strip()}"[:MAX_FIELD_CHARS])
    return Fields(tuple(pairs))


def _fields(message: Message) -> Fields:
    return Fields(tuple((name.lower(), _decoded(value)) for name, value in islice(message.raw_items(), MAX_FIELDS)))


def _decoded(value: object) -> str:
    text = _FOLD.sub(" ", str(value)[:MAX_FIELD_CHARS]).strip()
    if text.isascii() and "=?" not in text and "\x1b" not in text:
        return text
    return encoded_words.field(charsets.text(text.encode("utf-8", "surrogateescape"), ""), strict=True)


def _raw(value: str) -> str:
    """A field of a block; some programs put encoded words into it."""
    return encoded_words.field(value, strict=True) if "=?" in value else value


def _text(leaf: Message) -> str:
    payload = leaf.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    # Only a text says its charset, and the library works it out slowly.
    charset = leaf.get_content_charset("") if "content-type" in leaf else ""
    return charsets.text(payload[: 4 * MAX_TEXT_CHARS], str(charset))[:MAX_TEXT_CHARS]


def _seen(html: str) -> str:
    """What a browser shows: without tags, and without what stands between those of styles and scripts. A line's end in
    the source is a blank, but where all of it is preformatted."""
    first, *others = _UNSEEN.split(html)
    shown = first + "".join(other.partition("</")[2].partition(">")[2] for other in others)
    if _BREAK.search(shown) and not _PRE.search(shown):
        shown = " ".join(shown.split())
    return unescape(_TAG.sub("", _BREAK.sub("\n", shown)))


def _parameter(message: Message, name: str) -> str:
    value = message.get_param(name)
    return value.strip().lower() if isinstance(value, str) else ""

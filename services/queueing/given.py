"""A mail that came whole (`POST /v1/mails`, SMTP): what its header says to the engine, and what is sent of it. Pure.

    X-Estafette-*     what a job's JSON says: stream, list, tags, category, once, metadata, track, times, the job's key
    dropped           those, and what no mail that leaves shows: Bcc, Received and others of inside
    the rest          stays as it stands; the engine adds what it writes on every mail (`shared.making.render`)

No template is in it: `{{` is text. Every fault is found before anything is stored.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.queueing import characters, given_body
from services.queueing.given_body import Body, Field
from services.queueing.jobs import JobRequest, Moment, Word
from services.queueing.recipients import MAX_METADATA, Recipient
from services.queueing.track import Track
from shared.mail import addresses, encoded_words
from shared.words import content
from shared.words.content import CompiledContent, Subject
from shared.words.errors import Fault

#: Of a header with all its fields.
MAX_HEADER_BYTES = 128 * 1024
MAX_KEY_CHARS = 200
OURS = "x-estafette-"
#: What a mail says of itself when it goes to many (RFC 2369, RFC 2919, RFC 3834).
_OF_BULK = frozenset(("list-unsubscribe", "list-id"))
_BULK_PRECEDENCE = frozenset(("bulk", "list", "junk"))
#: Not sent: whom it must not name, where it was inside, what only hosts on the way may say, and what the engine writes.
_DROPPED = frozenset(
    (
        "bcc", "resent-bcc", "return-path", "received", "received-spf", "delivered-to", "x-original-to", "envelope-to",
        "authentication-results", "feedback-id", "cfbl-address", "cfbl-feedback-id",
    )
)  # fmt: skip
_DROPPED_FAMILIES = (OURS, "arc-")
#: Written by the engine on bulk mail, whose recipients leave by it.
_WAYS_OUT = frozenset(("list-unsubscribe", "list-unsubscribe-post"))
#: What a mail has once (RFC 5322 section 3.6, and all that our signature covers).
ONCE = frozenset(
    (
        "from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references",
        "mime-version", "content-type", "content-transfer-encoding", "content-id", "content-description",
        "list-unsubscribe", "list-unsubscribe-post", "list-id", "list-help", "list-subscribe", "list-post",
        "list-owner", "list-archive", "auto-submitted", "tls-report-domain", "tls-report-submitter",
    )
)  # fmt: skip

_Tags = Annotated[list[Word], Meta(max_length=20)]
_Metadata = dict[str, str]
#: What each field of ours may be, by the end of its name; as the API has it.
_SAID: Mapping[str, Any] = {
    "stream": content.Stream,
    "list": Word,
    "tags": _Tags,
    "category": Word,
    "once": Word,
    "metadata": _Metadata,
    "track": str,
    "send-at": Moment,
    "expires-at": Moment,
    "job-key": str,
}
_TRACKS: Mapping[str, Track] = {
    "all": Track(),
    "opens": Track(clicks=False),
    "clicks": Track(opens=False),
    "none": Track(opens=False, clicks=False),
}
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_LONG = re.compile(rb"[^\n]{1000}")


@dataclass(frozen=True)
class Given:
    """`job` has no recipients yet. `key` is the job's own, "" where it has none; `is_named`: it has a Message-ID, so
    that it is known again."""

    job: JobRequest
    compiled: CompiledContent
    metadata: dict[str, str] | None
    key: str
    is_named: bool


def read(raw: bytes) -> Given | list[Fault]:
    """The mail, whose lines end in CRLF or all in LF; or all that is wrong with it."""
    if b"\r" not in raw:
        raw = raw.replace(b"\n", b"\r\n")
    if _BARE.search(raw) is not None:
        return [Fault("mail", "has a CR or an LF alone, which hosts understand in different ways")]
    header, blank, body = raw.partition(b"\r\n\r\n")
    header += b"\r\n" if blank or (header and not header.endswith(b"\r\n")) else b""
    if (what := _header_fault(header)) is not None:
        return [Fault("header", what)]
    fields = given_body.fields_of(header)
    if isinstance(fields, int):
        return [Fault("header", f"line {fields} is no header field")]
    faults: list[Fault] = []
    said = _said(fields, faults)
    faults += _twice(fields)
    first = {name.lower(): text_of(value) for name, value in reversed(fields)}
    sender = _sender(first, faults)
    stream: content.Stream = said.get("stream") or _stream_of(first)
    track: Track = said.get("track", Track())
    found = Body(opens=track.opens, clicks=track.clicks)
    kept, made = given_body.compiled(_kept(fields, stream), body, found)
    faults += found.faults
    if faults or sender is None:
        return faults
    job = JobRequest(
        from_=str(sender.address) if not sender.name else f"{sender.name} <{sender.address}>",
        subject=first.get("subject", ""),
        stream=stream,
        html=found.html or None,
        list_=said.get("list"),
        tags=said.get("tags", []),
        category=said.get("category"),
        once=said.get("once"),
        track=track,
        send_at=said.get("send-at"),
        expires_at=said.get("expires-at"),
    )
    given = CompiledContent(
        stream=stream,
        from_value=str(sender.address),
        from_domain=sender.address.domain,
        subject=Subject((job.subject,)),
        body_fields=[],
        body=made,
        links=found.links,
        category=job.category or "",
        given=kept,
    )
    return Given(job, given, said.get("metadata"), said.get("job-key", ""), bool(first.get("message-id")))


def text_of(value: bytes) -> str:
    """The value of a field as people read it, in one line."""
    return " ".join(encoded_words.field(value.decode("utf-8", "replace")).split())


def recipients(emails: Sequence[str], metadata: dict[str, str] | None) -> list[Recipient]:
    return [Recipient(email=email, metadata=metadata) for email in emails]


def _header_fault(header: bytes) -> str | None:
    if len(header) > MAX_HEADER_BYTES:
        return f"has {len(header)} bytes; at most {MAX_HEADER_BYTES}"
    if b"\x00" in header:
        return "has a NUL"
    if _LONG.search(header) is not None:
        return "has a line of more than 998 bytes"
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError:
        return "has 8-bit bytes that are not UTF-8"
    return characters.fault(text)


def _said(fields: Sequence[Field], faults: list[Fault]) -> dict[str, Any]:
    """What the fields of ours say, by the end of their names."""
    said: dict[str, Any] = {}
    for name, value in fields:
        if not name.lower().startswith(OURS):
            continue
        word, at = name.lower().removeprefix(OURS), name[:80]
        if word not in _SAID:
            there = ", ".join(f"X-Estafette-{one.title()}" for one in _SAID)
            faults.append(Fault(at, f"no such field; there are {there}"))
        elif word in said:
            faults.append(Fault(at, "given twice"))
        else:
            said[word] = None
            try:
                said[word] = _value(word, text_of(value))
            except (ValueError, RecursionError) as fault:
                faults.append(Fault(at, str(fault)[:200]))
    return {word: value for word, value in said.items() if value is not None}


def _value(word: str, text: str) -> Any:
    """ValueError (msgspec's own is one) says what it may be."""
    if (what := characters.word_fault(text)) is not None:
        raise ValueError(what)
    match word:
        case "tags":
            return msgspec.convert([tag for part in text.split(",") if (tag := part.strip())][:21], _Tags)
        case "metadata":
            return _metadata(text)
        case "track":
            if text.lower() not in _TRACKS:
                raise ValueError(f"expected one of {', '.join(_TRACKS)}")
            return _TRACKS[text.lower()]
        case "job-key":
            if not 1 <= len(text) <= MAX_KEY_CHARS:
                raise ValueError(f"expected 1 to {MAX_KEY_CHARS} characters")
            return text
    return msgspec.convert(text, _SAID[word], strict=False)


def _metadata(text: str) -> dict[str, str]:
    try:
        asked = msgspec.json.decode(text)
        return msgspec.convert({"email": "", "metadata": asked}, Recipient).metadata or {}
    except msgspec.DecodeError as fault:
        what = str(fault).partition(" - at `")[0]
        raise ValueError(f"expected a JSON object of at most {MAX_METADATA} texts: {what}") from None


def _twice(fields: Sequence[Field]) -> list[Fault]:
    seen: set[str] = set()
    twice = []
    for name, _ in fields:
        lower = name.lower()
        if lower in ONCE and lower in seen and lower not in twice:
            twice.append(lower)
        seen.add(lower)
    return [Fault(name.title(), "stands there more than once") for name in twice]


def _sender(first: Mapping[str, str], faults: list[Fault]) -> addresses.Mailbox | None:
    found: dict[str, addresses.Mailbox] = {}
    for name in ("From", "Sender"):
        text = first.get(name.lower())
        if text is None:
            continue
        try:
            found[name] = addresses.parse_mailbox(text)
        except addresses.InvalidAddress as fault:
            faults.append(Fault(name, f"not one address: {fault}"))
    if "from" not in first:
        faults.append(Fault("From", "the mail has none"))
    sender, by = found.get("From"), found.get("Sender")
    if sender is not None and sender.address.domain.startswith("["):
        faults.append(Fault("From", "not an address to send from: its domain is an IP address"))
    if sender is not None and by is not None and by.address.domain != sender.address.domain:
        faults.append(Fault("Sender", "its domain is another than that of From"))
    return sender


def _stream_of(first: Mapping[str, str]) -> content.Stream:
    """Of a mail that does not say: who left a newsletter gets none because of a header that its sender forgot."""
    is_bulk = not _OF_BULK.isdisjoint(first) or first.get("precedence", "").lower() in _BULK_PRECEDENCE
    return "bulk" if is_bulk else "transactional"


def _kept(fields: Sequence[Field], stream: content.Stream) -> list[Field]:
    dropped = _DROPPED | _WAYS_OUT if stream == "bulk" else _DROPPED
    return [
        (name, value)
        for name, value in fields
        if (lower := name.lower()) not in dropped and not lower.startswith(_DROPPED_FAMILIES)
    ]

"""What becomes of a job's content: compiled once, or refused with everything that is wrong with it."""

import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from services.queueing import (
    characters,
    filenames,
    lacking,
    mime,
    personal,
    raw_text,
    rewrite,
    text_links,
    trial,
    way_out,
)
from services.queueing.jobs import Attachment, JobRequest, Track, language_of, utm_of
from services.queueing.placeholders import placeholders
from shared.mail import (
    addresses,
    headers,
    hrefs,
    templates,
)
from shared.mail.template_scan import scan
from shared.words import content, tokens, variables
from shared.words.content import (
    CompiledContent,
    Part,
    Subject,
)
from shared.words.errors import Fault
from shared.words.utm import Utm, added
from shared.words.way_out import WAY_OUT

#: A content without logic is compiled in this process if it is no longer than this, which takes 2 ms.
LIGHT_CHARS = 20_000
#: Lines that are named of a fault that many have.
MAX_LINES_NAMED = 20
#: Header fields that the relay writes, and those of other hands on the way. Names in lower case.
_OURS = frozenset(
    (
        "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "return-path",
        "received", "received-spf", "delivered-to", "dkim-signature", "authentication-results", "list-unsubscribe",
        "list-unsubscribe-post", "feedback-id", "cfbl-address", "cfbl-feedback-id",
    )
)  # fmt: skip
_OUR_FAMILIES = ("content-", "resent-", "arc-")
# RFC 5322 section 3.6.8.
_HEADER_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_WORD = r"[A-Za-z0-9!#$&^_.+-]+"
_MEDIA_TYPE = re.compile(rf'(?P<type>{_WORD})/{_WORD}(?:; *{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*')
_ORDER = {"$.subject": 1, "$.text": 2, "$.html": 3}
_BASE64_BLANKS = str.maketrans("", "", " \t\r\n")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one content may take. Gmail cuts mails off at 102 kB; most hosts refuse those over 25 MB."""

    subject_chars: int = 500
    html_bytes: int = 1_000_000
    text_bytes: int = 500_000
    headers: int = 50
    header_chars: int = 900
    attachments: int = 20
    attachments_bytes: int = 10_000_000
    variables_bytes: int = 65_536
    variables_depth: int = variables.MAX_DEPTH


class Sources(msgspec.Struct, frozen=True, array_like=True):
    """What of a content is a template, and what is needed to try it. `variables` is the msgpack map of the defaults."""

    subject: str
    html: str | None
    text: str | None
    variables: msgspec.Raw
    track_opens: bool
    track_clicks: bool
    limits: Limits
    tried: Sequence[trial.Tried] = ()
    fields: dict[str, str] = {}
    utm: Utm | None = None
    #: Whether each part has to show a way to leave.
    way_out: bool = False


class Templated(msgspec.Struct, frozen=True, array_like=True):
    """What became of it."""

    subject: Subject
    text: Part | None
    html: Part | None
    links: list[content.TrackedLink]
    faults: list[Fault]
    uses: list[str] = []
    fields: dict[str, Subject] = {}


def sources(job: JobRequest, limits: Limits, recipients: Sequence[trial.Tried] = ()) -> Sources:
    """Those of a job, and who of its recipients they are tried with."""
    faults: list[Fault] = []
    packed = _variables(job.variables, limits, faults)
    packed, tried = (variables.NONE, ()) if faults else (packed, recipients)
    fields = personal.sources(job.from_, job.reply_to or "", job.headers)
    track = job.track
    utm = _utm(track, faults)
    return Sources(
        job.subject,
        job.html,
        job.text,
        packed,
        track.opens,
        track.clicks,
        limits,
        tried,
        fields,
        utm,
        shows_way_out(job),
    )


def shows_way_out(job: JobRequest) -> bool:
    """Whether each part has to show one; where it does not, it is given one."""
    return job.stream == "bulk" and not job.own_way_out


def is_light(given: Sources) -> bool:
    """Whether it may be compiled in this process: short, and nothing in it that runs."""
    texts = [text for text in (given.subject, given.html, given.text, *given.fields.values()) if text is not None]
    if sum(map(len, texts)) > LIGHT_CHARS:
        return False
    try:
        return all(scan(raw_text.kept(text) if text is given.html else text).plain for text in texts)
    except templates.InvalidTemplate:
        return True  # the engine does not get to see it


def compile_templates(given: Sources, limit: Callable[[float], None] | None = None) -> Templated:
    """The templates, compiled and tried. `limit` bounds the processor time, in seconds, of what follows; 0: no more."""
    faults: list[Fault] = []
    tried = trial.Trial(given.variables, given.tried, limit or (lambda _: None), language_of(given.html or ""))
    fields = {name: _field(name, source, tried, faults) for name, source in given.fields.items()}
    subject = _subject(given, tried, faults)
    html, links, count = _html(given, tried, faults)
    text, text_links = _text(given, tried, faults, count)
    links += text_links
    parts = [part for part in (text, html) if part is not None]
    if parts and all(not part.template and part.needs is None for part in parts):
        faults.append(Fault(f"$.{parts[-1].kind}", "the content is empty: it shows neither text nor a picture"))
    # What holds no logic shows something, or is looked at for each recipient (`lacking`).
    in_question = [part.kind for part in parts if part.template]
    is_in_question = all(part.template or part.needs is None for part in parts)
    faults += tried.faults(in_question if is_in_question else ())
    faults.sort(key=lambda fault: _ORDER.get(fault.at, 0))
    return Templated(subject, text, html, links, faults, tried.uses, fields)


def compile_content(
    job: JobRequest, rate: str, limits: Limits, templated: Templated, *, chance: bytes = b""
) -> CompiledContent | list[Fault]:
    """The compiled content, or every fault, each with its place in the job's JSON. `rate` is the job's own, as it is
    stored; `templated` what became of its templates (`compile_templates`). `chance` makes the boundaries of its parts
    ones that nobody knows."""
    faults: list[Fault] = []
    sender = _sender(job.from_, faults)
    if sender is not None and sender.address.domain.startswith("["):
        faults.append(Fault("$.from", "not an address to send from: its domain is an IP address"))
    reply_to = _reply_to(job.reply_to or "", faults)
    fields = _headers(job.headers, limits, faults)
    defaults = _variables(job.variables, limits, faults)
    utm = _utm(job.track, faults)
    subject, text, html, links = templated.subject, templated.text, templated.html, templated.links
    faults += templated.faults
    files = _files(job.attachments, limits, faults)
    if not (job.html or "").strip() and not (job.text or "").strip():
        faults.append(Fault("$.html", "the content is empty; give html, text, or both"))
    if faults or sender is None:
        return faults
    entity = mime.assemble(text, html, files, _digest(job, files, chance))
    language = language_of(job.html or "")
    if WAY_OUT in templated.uses:
        defaults = msgspec.Raw(msgspec.msgpack.encode({**job.variables, WAY_OUT: language}))
    return CompiledContent(
        stream=job.stream,
        from_value=addresses.format_mailbox(sender.name, str(sender.address), len("From")),
        from_domain=sender.address.domain,
        subject=subject,
        body_fields=entity.fields,
        body=entity.body,
        reply_to=addresses.format_mailbox(reply_to.name, str(reply_to.address), len("Reply-To")) if reply_to else "",
        headers=fields,
        variables=defaults,
        links=links,
        category=job.category or "",
        rate=rate,
        uses=templated.uses,
        personal=personal.fields(templated.fields, job.headers),
        utm=utm,
        language=language,
    )


def _sender(text: str, faults: list[Fault]) -> addresses.Mailbox | None:
    """With placeholders in it, the address alone."""
    if not personal.is_template(text) or characters.fault(text) is not None:
        return _mailbox(text, "$.from", faults)
    what = characters.word_fault(text)
    found = Fault("$.from", what) if what is not None else personal.sender(text)
    if isinstance(found, Fault):
        faults.append(found)
        return None
    return found


def _reply_to(text: str, faults: list[Fault]) -> addresses.Mailbox | None:
    if not personal.is_template(text) or characters.fault(text) is not None:
        return _mailbox(text, "$.reply_to", faults) if text else None
    if (what := characters.word_fault(text)) is not None:
        faults.append(Fault("$.reply_to", what))
    return None


def _mailbox(text: str, at: str, faults: list[Fault]) -> addresses.Mailbox | None:
    if (what := characters.fault(text)) is not None:
        faults.append(Fault(at, what))
        return None
    try:
        return addresses.parse_mailbox(text)
    except addresses.InvalidAddress as error:
        faults.append(Fault(at, f"not an address: {error}"))
        return None


def _headers(given: dict[str, str], limits: Limits, faults: list[Fault]) -> list[tuple[str, str]]:
    if len(given) > limits.headers:
        faults.append(Fault("$.headers", f"{len(given)} header fields; at most {limits.headers}"))
        return []
    seen: set[str] = set()
    for name, value in given.items():
        lower = name.lower()
        if what := _header_fault(name, lower, value, seen, limits):
            faults.append(Fault(f"$.headers[{name[:80]!r}]", what))
        seen.add(lower)
    return [(name, headers.unstructured(value, len(name))) for name, value in given.items()]


def _header_fault(name: str, lower: str, value: str, seen: set[str], limits: Limits) -> str | None:
    if not _HEADER_NAME.fullmatch(name):
        return "not a header field's name: 1 to 76 characters of ASCII without blanks, controls and colons"
    if lower == "reply-to":
        return "given as reply_to, not among the headers"
    if lower in _OURS or lower.startswith(_OUR_FAMILIES):
        return "written by the engine; it cannot be given"
    if lower in seen:
        return "given twice"
    if (what := characters.fault(value)) is not None:
        return f"its value {what}"
    if _CONTROL.search(value):
        return "its value has control characters, such as CR or LF"
    if len(value) > limits.header_chars:
        return f"its value has {len(value)} characters; at most {limits.header_chars}"
    return None


def _variables(given: dict[str, Any], limits: Limits, faults: list[Fault]) -> msgspec.Raw:
    faults += [
        Fault(f"$.variables[{name!r}]", "set by the engine; it cannot be given")
        for name in (*content.PAGES, WAY_OUT)
        if name in given
    ]
    try:
        packed = msgspec.msgpack.encode(given)
    except (OverflowError, UnicodeEncodeError, RecursionError, TypeError) as error:
        faults.append(Fault("$.variables", f"cannot be stored: {error}"))
        return msgspec.Raw(b"\x80")
    if templates.is_deeper(given, limits.variables_depth):
        faults.append(Fault("$.variables", f"nested too deeply; at most {limits.variables_depth} levels"))
    elif (wrong := characters.fault_inside(given)) is not None:
        faults.append(Fault(f"$.variables{wrong[0]}", wrong[1]))
    if len(packed) > limits.variables_bytes:
        faults.append(Fault("$.variables", f"{len(packed)} bytes; at most {limits.variables_bytes}"))
    return msgspec.Raw(packed)


def _field(name: str, source: str, tried: trial.Trial, faults: list[Fault]) -> Subject:
    is_address = personal.is_address(name)
    if not tried.compiles(name, source, faults, personal.place(name), is_address=is_address):
        return Subject()
    found = list(placeholders(source))
    if rewrite.has_logic(found):
        return Subject(template=source)
    return Subject(pieces=tuple(rewrite.split(source, found)))


def _subject(given: Sources, tried: trial.Trial, faults: list[Fault]) -> Subject:
    limits = given.limits
    if len(given.subject) > limits.subject_chars:
        faults.append(Fault("$.subject", f"{len(given.subject)} characters; at most {limits.subject_chars}"))
        return Subject()
    if (what := characters.word_fault(given.subject)) is not None:
        faults.append(Fault("$.subject", what))
        return Subject()
    if not tried.compiles("subject", given.subject, faults):
        return Subject()
    found = list(placeholders(given.subject))
    if lacking.needs_of_text(given.subject, found) is None:
        faults.append(Fault("$.subject", "is empty: it shows nothing"))
    if rewrite.has_logic(found):
        return Subject(template=given.subject)
    return Subject(pieces=tuple(rewrite.split(given.subject, found)))


def _text(
    given: Sources, tried: trial.Trial, faults: list[Fault], first_position: int
) -> tuple[Part | None, list[content.TrackedLink]]:
    """The text, and its links, whose positions go on from there."""
    source = _source(given.text, given.limits.text_bytes, "text", tried, faults)
    if source is None:
        return None, []
    found = list(placeholders(source))
    needs = lacking.needs_of_text(source, found)
    if given.way_out and way_out.is_missing(source, found):
        source = way_out.in_text(source)
        tried.uses_also(way_out.USES)
        found = list(placeholders(source))
    hrefs_found = text_links.find(source, found, first_position) if given.track_clicks else []
    links = [content.TrackedLink(one.position, one.url or source[one.start : one.end]) for one in hrefs_found]
    _refuse_too_many(links, first_position + len(links), "$.text", faults)
    if rewrite.has_logic(found):
        return Part("text", template=text_links.marked(source, hrefs_found)), links
    pieces = (_with_utm(piece, given.utm) for piece in text_links.pieces(source, found, hrefs_found))
    return Part("text", segments=mime.segments(pieces), needs=needs), links


def _html(
    given: Sources, tried: trial.Trial, faults: list[Fault]
) -> tuple[Part | None, list[content.TrackedLink], int]:
    """The HTML, its tracked links, and how many links it has in all."""
    source = _source(given.html, given.limits.html_bytes, "html", tried, faults)
    if source is None:
        return None, [], 0
    guarded = rewrite.guarded(source)
    faults += (Fault("$.html", what) for what in guarded.faults[:MAX_LINES_NAMED])
    document = rewrite.read(guarded.source, clicks=given.track_clicks, values=guarded.values)
    needs = lacking.needs_of_html(document.source, document.placeholders)
    if given.way_out and way_out.is_missing(document.source, document.placeholders):
        source = way_out.in_html(document.source, document.pixel_at)
        tried.uses_also(way_out.USES)
        document = rewrite.read(source, clicks=given.track_clicks)
    links = document.links()
    _refuse_too_many(links, len(document.every), "$.html", faults)
    faults += (
        Fault("$.html", f"line {line}: leads to {', '.join(hrefs.DANGEROUS[:-1])} or {hrefs.DANGEROUS[-1]}")
        for line in document.dangerous_lines[:MAX_LINES_NAMED]
    )
    faults += (
        Fault("$.html", f"line {line}: the name in data-document has a variable; it is one for all recipients")
        for line in document.refused_lines[:MAX_LINES_NAMED]
    )
    if document.has_logic:
        template = raw_text.for_engine(rewrite.marked(document, opens=given.track_opens))
        return Part("html", template=template), links, len(document.every)
    pieces = (_with_utm(_given_back(piece), given.utm) for piece in rewrite.pieces(document, opens=given.track_opens))
    return Part("html", segments=mime.segments(pieces), needs=needs), links, len(document.every)


def _refuse_too_many(links: Sequence[content.TrackedLink], number: int, at: str, faults: list[Fault]) -> None:
    """The last position is that of traps."""
    if links and number > tokens.TRAP_POSITION:
        faults.append(Fault(at, f"more than {tokens.TRAP_POSITION} links"))


def _with_utm(piece: rewrite.Piece, utm: Utm | None) -> rewrite.Piece:
    if utm is not None and isinstance(piece, content.Link) and piece.url:
        return msgspec.structs.replace(piece, url=added(piece.url, utm))
    return piece


def _utm(track: Track, faults: list[Fault]) -> Utm | None:
    try:
        return utm_of(track)
    except addresses.InvalidAddress as error:
        faults.append(Fault("$.track.utm.exclude", f"not a domain: {error}"))
        return None


def _given_back(piece: rewrite.Piece) -> rewrite.Piece:
    if isinstance(piece, str):
        return raw_text.given_back(piece)
    if isinstance(piece, content.Link):
        source = (raw_text.given_back(one) if isinstance(one, str) else one for one in piece.source)
        return msgspec.structs.replace(piece, source=tuple(source))
    return piece


def _source(
    given: str | None, limit: int, name: Literal["text", "html"], tried: trial.Trial, faults: list[Fault]
) -> str | None:
    """With LF line ends, one of them at the end; None if there is none, or nothing that compiles."""
    if given is None or not given.strip():
        return None
    if (what := characters.fault(given)) is not None:
        faults.append(Fault(f"$.{name}", what))
        return None
    size = len(given.encode())
    if size > limit:
        faults.append(Fault(f"$.{name}", f"{size} bytes; at most {limit}"))
        return None
    source = given.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"
    if name == "html":
        try:
            source = raw_text.kept(source)
        except templates.InvalidTemplate as error:
            faults.append(Fault("$.html", f"the template does not compile: {error}"))
            return None
    return source if tried.compiles(name, source, faults) else None


def _files(given: Sequence[Attachment], limits: Limits, faults: list[Fault]) -> list[mime.File]:
    if len(given) > limits.attachments:
        faults.append(Fault("$.attachments", f"{len(given)} attachments; at most {limits.attachments}"))
        return []
    files = []
    size = 0
    for index, one in enumerate(given):
        at = f"$.attachments[{index}]"
        if (what := characters.word_fault(one.filename) or filenames.fault(one.filename)) is not None:
            faults.append(Fault(f"{at}.filename", what))
        media_type = _MEDIA_TYPE.fullmatch(one.content_type) if len(one.content_type) <= 200 else None
        if media_type is None or media_type["type"].lower() in ("multipart", "message"):
            faults.append(Fault(f"{at}.content_type", "not a media type that can be attached, such as application/pdf"))
        try:
            files.append(mime.File(one.filename, one.content_type, _decoded(one.content)))
            size += len(files[-1].content)
        except ValueError as error:
            faults.append(Fault(f"{at}.content", f"not base64: {error}"))
    if size > limits.attachments_bytes:
        faults.append(Fault("$.attachments", f"{size} bytes in all; at most {limits.attachments_bytes}"))
    return files


def _decoded(text: str) -> bytes:
    return b64decode(text.translate(_BASE64_BLANKS), validate=True)


def _digest(job: JobRequest, files: Sequence[mime.File], chance: bytes) -> bytes:
    digest = blake2b(digest_size=32, key=chance)
    for one in (job.subject, job.text or "", job.html or "", *(file.filename for file in files)):
        digest.update(blake2b(one.encode("utf-8", "replace")).digest())
    for file in files:
        digest.update(blake2b(file.content).digest())
    return digest.digest()

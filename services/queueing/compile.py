"""What becomes of a job's content: compiled once, or refused with everything that is wrong with it."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import msgspec

from services.queueing import (
    amp,
    attachments,
    characters,
    header_fields,
    inlining,
    lacking,
    mime,
    mjml,
    parts,
    personal,
    plain_text,
    preheader,
    raw_text,
    rewrite,
    text_links,
    trial,
    way_out,
    whom,
)
from services.queueing.jobs import JobRequest, language_of
from services.queueing.placeholders import placeholders
from services.queueing.track import Track, utm_of
from shared.mail import (
    addresses,
    attached,
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
from shared.words.utm import Utm
from shared.words.way_out import WAY_OUT

#: A content without logic is compiled in this process if it is no longer than this, which takes 2 ms.
LIGHT_CHARS = 20_000
_ORDER = {"$.subject": 1, "$.text": 2, "$.html": 3, "$.mjml": 3, "$.amp": 4}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one content may take. Gmail cuts mails off at 102 kB; most hosts refuse those over 25 MB."""

    subject_chars: int = 500
    html_bytes: int = 1_000_000
    text_bytes: int = 500_000
    amp_bytes: int = amp.MAX_BYTES
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
    preheader: str = ""
    first_position: int = 0
    #: Whether each part has to show a way to leave.
    way_out: bool = False
    mjml: str | None = None
    amp: str | None = None
    inline_css: bool = False
    text_from_html: bool = False

    @property
    def html_at(self) -> str:
        """Where in the job the HTML is, or what it is made of."""
        return "$.mjml" if self.mjml else "$.html"


class Templated(msgspec.Struct, frozen=True, array_like=True):
    """What became of it."""

    subject: Subject
    text: Part | None
    html: Part | None
    links: list[content.TrackedLink]
    faults: list[Fault]
    uses: list[str] = []
    fields: dict[str, Subject] = {}
    #: The place that the next link would have.
    next_position: int = 0
    amp: Part | None = None
    #: What the HTML shows of the files that come with it.
    shows: list[attachments.Reference] = []


def sources(
    job: JobRequest, limits: Limits, recipients: Sequence[trial.Tried] = (), first_position: int = 0
) -> Sources:
    """Those of a job, and who of its recipients they are tried with; their links' places begin there."""
    faults: list[Fault] = []
    packed = _variables(job.variables, limits, faults)
    packed, tried = (variables.NONE, ()) if faults else (packed, recipients)
    fields = personal.sources(job.from_, job.reply_to or "", job.headers)
    if job.preheader:
        # By itself, so that what is wrong with it is told where it stands.
        fields[preheader.NAME] = job.preheader
    track = job.track
    utm = _utm(track, faults)
    return Sources(
        subject=job.subject,
        html=job.html,
        text=job.text,
        variables=packed,
        track_opens=track.opens,
        track_clicks=track.clicks,
        limits=limits,
        tried=tried,
        fields=fields,
        utm=utm,
        preheader=job.preheader or "",
        first_position=first_position,
        way_out=shows_way_out(job),
        mjml=job.mjml,
        amp=job.amp,
        inline_css=job.inline_css,
        text_from_html=job.text_from_html,
    )


def shows_way_out(job: JobRequest) -> bool:
    """Whether each part has to show one; where it does not, it is given one."""
    return job.stream == "bulk" and not job.own_way_out


def is_light(given: Sources) -> bool:
    """Whether it may be compiled in this process: short, and nothing in it that runs, and nobody else's code but the
    parser's for it."""
    htmls = [text for text in (given.html, given.amp) if text is not None]
    texts = [text for text in (given.subject, given.text, *given.fields.values()) if text is not None]
    if sum(map(len, texts + htmls)) > LIGHT_CHARS or given.mjml or given.inline_css:
        return False
    try:
        return all(scan(text).plain for text in [*texts, *map(raw_text.kept, htmls)])
    except templates.InvalidTemplate:
        return True  # the engine does not get to see it


def compile_templates(given: Sources, limit: Callable[[float], None] | None = None) -> Templated:
    """The templates, compiled and tried. `limit` bounds the processor time, in seconds, of what follows; 0: no more."""
    faults: list[Fault] = []
    language = language_of(given.html or given.mjml or "")
    tried = trial.Trial(given.variables, given.tried, limit or (lambda _: None), language)
    fields = {name: _field(name, source, tried, faults) for name, source in given.fields.items()}
    subject = _subject(given, tried, faults)
    made = _html(given, tried, faults)
    text, text_links, next_position = _text(given, made, tried, faults)
    html, links, document = made.part, [*made.links, *text_links], made.document
    amp_part = _amp(given, tried, faults)
    shown = [part for part in (text, html) if part is not None]
    if shown and all(not part.template and part.needs is None for part in shown):
        at = given.html_at if shown[-1].kind == "html" else "$.text"
        faults.append(Fault(at, "the content is empty: it shows neither text nor a picture"))
    # What holds no logic shows something, or is looked at for each recipient (`lacking`).
    in_question = [part.kind for part in shown if part.template]
    is_in_question = all(part.template or part.needs is None for part in shown)
    faults += tried.faults(in_question if is_in_question else ())
    faults.sort(key=lambda fault: _ORDER.get(fault.at, 0))
    shows = attachments.references(document.source) if document is not None else []
    return Templated(subject, text, html, links, faults, tried.uses, fields, next_position, amp_part, shows)


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
    fields = header_fields.read(job.headers, most=limits.headers, most_chars=limits.header_chars, faults=faults)
    defaults = _variables(job.variables, limits, faults)
    utm = _utm(job.track, faults)
    subject, text, html, links = templated.subject, templated.text, templated.html, templated.links
    faults += templated.faults
    faults += preheader.faults(job.preheader or "", has_html=html is not None or bool(job.html or job.mjml))
    most, most_bytes = limits.attachments, limits.attachments_bytes
    files = attachments.read(job.attachments, most=most, most_bytes=most_bytes, faults=faults)
    faults += attachments.missing(job.attachments, templated.shows, "$.mjml" if job.mjml else "$.html")
    faults += _kinds_faults(job)
    if faults or sender is None:
        return faults
    pictures = attachments.shown(files, templated.shows) if html is not None else []
    digest = _digest(job, files, chance)
    entity = mime.assemble(text, html, files, digest, amp=templated.amp, pictures=pictures)
    language = language_of(job.html or job.mjml or "")
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
        pictures=mime.places(entity.body, pictures),
        to_and_cc=whom.header_fields(job.to, job.cc),
    )


def _kinds_faults(job: JobRequest) -> list[Fault]:
    """Of what the content is made of."""
    html, mjml_source, text = ((source or "").strip() for source in (job.html, job.mjml, job.text))
    if html and mjml_source:
        return [Fault("$.mjml", "either `html` or `mjml`, of which the HTML is made")]
    if not html and not mjml_source and not text:
        return [Fault("$.html", "the content is empty; give html, mjml, text, or one of these and text")]
    return []


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
    elif (wrong := characters.fault_inside(given, packed)) is not None:
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


class _Made(NamedTuple):
    """The HTML, its tracked links, what was read of it, and whether a way to leave was added to it."""

    part: Part | None = None
    links: Sequence[content.TrackedLink] = ()
    document: rewrite.Document | None = None
    adds_way_out: bool = False


def _text(
    given: Sources, html: _Made, tried: trial.Trial, faults: list[Fault]
) -> tuple[Part | None, list[content.TrackedLink], int]:
    """The text, its links, whose positions go on from those of the HTML, and where the next ones would."""
    first_position = given.first_position + (len(html.document.every) if html.document is not None else 0)
    if html.document is not None and given.text_from_html and not (given.text or "").strip():
        return _made_text(given, html, html.document), [], first_position
    source = _source(given.text, given.limits.text_bytes, "text", tried, faults)
    if source is None:
        return None, [], first_position
    found = list(placeholders(source))
    needs = lacking.needs_of_text(source, found)
    if given.way_out and way_out.is_missing(source, found):
        source = way_out.in_text(source)
        tried.uses_also(way_out.USES)
        found = list(placeholders(source))
    hrefs_found = text_links.find(source, found, first_position) if given.track_clicks else []
    links = [content.TrackedLink(one.position, one.url or source[one.start : one.end]) for one in hrefs_found]
    next_position = first_position + len(hrefs_found)
    _refuse_too_many(links, next_position, "$.text", faults)
    return parts.of_text(source, hrefs_found, given.utm, needs), links, next_position


def _made_text(given: Sources, html: _Made, document: rewrite.Document) -> Part | None:
    """That of the HTML, whose links are the HTML's. None if there is none to be made: nobody wrote it, so it refuses
    nothing; and all that it prints the HTML prints, which is tried."""
    text = plain_text.made(way_out.without(document) if html.adds_way_out else document)
    if text is None or len(text.source.encode()) > given.limits.text_bytes:
        return None
    source = way_out.in_text(text.source) if html.adds_way_out else text.source
    return parts.of_text(source, text.links, given.utm, html.part.needs if html.part is not None else [])


def _html(given: Sources, tried: trial.Trial, faults: list[Fault]) -> _Made:
    source = _html_source(given, tried, faults)
    if source is None:
        return _Made()
    shown, source = source, preheader.placed(source, given.preheader)
    guarded = rewrite.guarded(source)
    clicks, first = given.track_clicks, given.first_position
    document = rewrite.read(guarded.source, clicks=clicks, values=guarded.values, first_position=first)
    faults += parts.faults_of_html(guarded, document, given.html_at)
    # What is hidden shows nothing.
    needs = lacking.needs_of_html(shown, list(placeholders(shown)))
    plain, document = document, _with_way_out(given, document, tried, clicks=clicks)
    links = document.links()
    _refuse_too_many(links, first + len(document.every), given.html_at, faults)
    part = parts.of_html("html", document, given.utm, needs, opens=given.track_opens)
    return _Made(part, links, document, document is not plain)


def _with_way_out(given: Sources, document: rewrite.Document, tried: trial.Trial, *, clicks: bool) -> rewrite.Document:
    """With one at its end, where it has to show one and does not."""
    if not given.way_out or not way_out.is_missing(document.source, document.placeholders):
        return document
    tried.uses_also(way_out.USES)
    source = way_out.in_html(document.source, document.pixel_at)
    return rewrite.read(source, clicks=clicks, first_position=given.first_position)


def _html_source(given: Sources, tried: trial.Trial, faults: list[Fault]) -> str | None:
    """The HTML as it was given, or made of MJML, with its CSS where it is wanted."""
    limit = given.limits.html_bytes
    name: Literal["html", "mjml"] = "mjml" if given.mjml else "html"
    source = _source(given.mjml or given.html, limit, name, tried, faults)
    if source is None:
        return None
    try:
        source = mjml.to_html(source) if given.mjml else source
        source = inlining.inlined(source) if given.inline_css else source
    except mjml.InvalidMjml as error:
        faults += (Fault("$.mjml", raw_text.given_back(what)) for what in error.faults)
        return None
    except inlining.NotInlined as error:
        faults.append(Fault(given.html_at, str(error)))
        return None
    if (size := len(source.encode())) > limit:
        faults.append(Fault(given.html_at, f"becomes an HTML of {size} bytes; at most {limit}"))
        return None
    return source.rstrip("\n") + "\n"


def _amp(given: Sources, tried: trial.Trial, faults: list[Fault]) -> Part | None:
    """Nothing of it is tracked: what an AMP page fetches goes through the mail program's own servers."""
    source = _source(given.amp, given.limits.amp_bytes, "amp", tried, faults)
    if source is None:
        return None
    guarded = rewrite.guarded(source)
    document = rewrite.read(guarded.source, clicks=False, values=guarded.values)
    faults += (Fault("$.amp", what) for what in amp.faults(source))
    faults += parts.faults_of_html(guarded, document, "$.amp")
    # An AMP version is never all that a mail shows.
    return parts.of_html("amp", _with_way_out(given, document, tried, clicks=False), None, None, opens=False)


def _refuse_too_many(links: Sequence[content.TrackedLink], number: int, at: str, faults: list[Fault]) -> None:
    """The last position is that of traps."""
    if links and number > tokens.TRAP_POSITION:
        faults.append(Fault(at, f"more than {tokens.TRAP_POSITION} links"))


def _utm(track: Track, faults: list[Fault]) -> Utm | None:
    try:
        return utm_of(track)
    except addresses.InvalidAddress as error:
        faults.append(Fault("$.track.utm.exclude", f"not a domain: {error}"))
        return None


def _source(
    given: str | None, limit: int, name: Literal["text", "html", "mjml", "amp"], tried: trial.Trial, faults: list[Fault]
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
    if name != "text":
        try:
            source = raw_text.kept(source)
        except templates.InvalidTemplate as error:
            faults.append(Fault(f"$.{name}", f"the template does not compile: {error}"))
            return None
    return source if tried.compiles("html" if name == "mjml" else name, source, faults, f"$.{name}") else None


def _digest(job: JobRequest, files: Sequence[attached.File], chance: bytes) -> bytes:
    digest = blake2b(digest_size=32, key=chance)
    texts = (job.subject, job.text or "", job.html or "", job.mjml or "", job.amp or "")
    for one in (*texts, *(file.filename for file in files)):
        digest.update(blake2b(one.encode("utf-8", "replace")).digest())
    for file in files:
        digest.update(blake2b(file.content).digest())
    return digest.digest()

"""Makes the mail of one recipient from the compiled content of a job. Pure: the same arguments, the same bytes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cached_property, lru_cache, partial
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

import msgspec

from shared.mail import addresses, headers, templates
from shared.mail.wire import is_wire_ready
from shared.making import feedback, personal
from shared.making.addresses import Addresses
from shared.making.emptiness import Emptiness, Line
from shared.making.islands import cut
from shared.making.layout import Layout, Marks, nonce
from shared.making.list_id import list_id
from shared.making.rendering import Asked, Job
from shared.words import content, events, variables
from shared.words.content import UNSUBSCRIBE_URL, CompiledContent, Part
from shared.words.languages import fitting
from shared.words.tokens import TokenKeys
from shared.words.verp import UNSUBSCRIBE_SUBJECT, VerpKeys

_NO_TEXTS: Mapping[templates.Name, str] = MappingProxyType({})


class RenderFailed(Exception):
    """The mail cannot be made for this recipient, now or later. The message says why, for the job's author; `reason` in
    one word."""

    def __init__(self, what: str, reason: str = "render_failed") -> None:
        super().__init__(what)
        self.reason = reason


_EMPTY = {
    "empty_subject": "the subject is empty for this recipient",
    "empty_body": "the body is empty for this recipient: it shows neither text nor a picture",
}


class RenderedMail(msgspec.Struct, frozen=True):
    """Header fields in order, names and values, folded with CRLF SP; the body, which is in DKIM's relaxed form
    already if `is_relaxed`; whether it takes SMTPUTF8 to be sent; and whether its body is known to have the lines that
    SMTP asks for (`wire.is_wire_ready`)."""

    headers: list[tuple[bytes, bytes]]
    body: bytes
    smtputf8: bool
    body_wire_ready: bool = False
    is_relaxed: bool = True

    def assemble(self, *signatures: bytes) -> bytes:
        """The message as it is sent, its lines ended by CRLF. `signatures` are whole header fields."""
        fields = [b"%b: %b\r\n" % field for field in self.headers]
        return b"".join((*signatures, *fields, b"\r\n", self.body))

    @property
    def is_wire_ready(self) -> bool:
        """The same of the whole message. The header is looked through each time: more hands write it."""
        is_ended = self.body[-2:] in (b"\r\n", b"")
        header = b"".join([b"%b: %b\r\n" % field for field in self.headers])
        return self.body_wire_ready and is_ended and is_wire_ready(header)


class Renderer:
    """Makes the mails of one job. `base_url` is where tracking answers, `bounce_domain` where mail to the engine goes,
    `sender_id` the last part of Feedback-ID ("": there is none), `marks_key` chance of this process, for marks that no
    recipient can know, `test` a job whose links shall set nobody's consent. May be called from several threads.
    ValueError if `job` is not a job id or `base_url` cannot stand in a mail."""

    def __init__(
        self,
        compiled: CompiledContent,
        *,
        job: str,
        tenant: str,
        tokens: TokenKeys,
        verp: VerpKeys,
        base_url: str,
        bounce_domain: str,
        marks_key: bytes,
        sender_id: str = "",
        test: bool = False,
    ) -> None:
        self._compiled = compiled
        self._keys = tokens
        self._marks_key = marks_key
        self._sender_id = sender_id
        self._again = partial(
            Renderer, job=job, tenant=tenant, tokens=tokens, verp=verp, base_url=base_url, bounce_domain=bounce_domain,
            marks_key=marks_key, sender_id=sender_id, test=test,
        )  # fmt: skip
        self._translated: dict[str, Renderer] = {}
        self._job = job
        self._tenant = tenant
        self._says_list = any(name.lower() == "list-id" for name, _ in (*compiled.headers, *compiled.given))
        self._tokens = tokens.for_job(job, tenant)
        self._verp = verp
        self._bounce_domain = bounce_domain
        self._addresses = Addresses(base_url, self._tokens, compiled.uses, test=test)
        self._defaults = variables.decoded(compiled.variables)
        self._marks = Marks(nonce(marks_key, job))
        sources = _sources(compiled, self._marks)
        self._logic = Job(sources, compiled.variables, compiled.language) if sources else None
        self._digest = blake2b(msgspec.msgpack.encode(self._logic), digest_size=16).digest()
        self._line = Line("subject", compiled.subject)
        self._emptiness = Emptiness(compiled, self._line, self._marks)
        self._from = compiled.from_value.encode()
        self._to_and_cc = [(name.encode("ascii"), value.encode()) for name, value in compiled.to_and_cc]
        self._personal = personal.Fields(compiled.personal, compiled.from_value) if compiled.personal else None
        self._takes_complaints = compiled.stream in feedback.STREAMS
        self._last_fields = self._fields_of(job)

    def _fields_of(self, job: str) -> list[tuple[bytes, bytes]]:
        sender, compiled = self._sender_id, self._compiled
        return _last_fields(compiled, feedback.feedback_id(compiled, job, self._tenant, sender) if sender else "")

    def for_job(self, job: str) -> "Renderer | None":
        """What makes the mails of another job of the tenant, which has the same content: in a third of the time. None
        of one with logic or translations. The generation of the tenant's keys has to be the same still."""
        if self._logic is not None or self._compiled.variants:
            return None
        again = object.__new__(Renderer)
        again.__dict__ |= self.__dict__
        again._job = job
        again._tokens = self._keys.for_job(job, self._tenant)
        again._addresses = self._addresses.for_job(again._tokens)
        again._marks = Marks(nonce(self._marks_key, job))
        again._last_fields = self._fields_of(job)
        for name in ("_tracked", "_untracked"):
            if (layout := self.__dict__.get(name)) is not None:
                again.__dict__[name] = layout.for_job(again._tokens, again._marks)
        return again

    def of(self, recipient: events.Ready) -> "Renderer":
        """What makes the mail of this recipient: this one, or that of the content in their language."""
        variants = self._compiled.variants
        if not variants:
            return self
        language = fitting(variables.language(self._defaults, recipient.variables), variants)
        if not language:
            return self
        if language not in self._translated:
            self._translated[language] = self._again(content.in_language(self._compiled, language))
        return self._translated[language]

    def asked(self, recipient: events.Ready) -> Asked | None:
        """What has to be rendered elsewhere before `render`, because it holds logic; None if nothing does."""
        if self._logic is None:
            return None
        pages = self._addresses.pages(recipient.ordinal, recipient.email)
        return Asked(self._digest, self._logic, recipient.variables, recipient.email, recipient.name, pages)

    def render(
        self,
        recipient: events.Ready,
        now_ms: int,
        *,
        complaints: bool = False,
        texts: Mapping[templates.Name, str] = _NO_TEXTS,
        pages: dict[str, str] | None = None,
    ) -> RenderedMail:
        """The mail, dated `now_ms`. `complaints`: it will have the signature that makes a CFBL-Address valid. `texts`:
        what `asked` was answered, with its `pages`. RenderFailed if it cannot be made with these variables,
        or would have an empty subject, or show nothing."""
        ordinal = recipient.ordinal
        pages = pages or self._addresses.pages(ordinal, recipient.email)
        if self._compiled.given:
            return self._render_given(recipient, now_ms, pages, complaints=complaints)
        try:
            values = variables.merged(
                self._defaults.copy(), recipient.variables, recipient.email, recipient.name, pages
            )
            subject = self._static_subject
            if subject is None or self._emptiness.is_possible:
                text = self._line.text(values, texts)
                self._refuse_empty(text, values, texts)
                subject = subject or _subject_value(text)
            layout = self._untracked if recipient.untracked else self._tracked
            body = layout.fill(ordinal, recipient.email, values, texts)
            own = dict(self._personal.values(values, texts)) if self._personal is not None else {}
        except (templates.TemplateFailed, variables.TooDeep, personal.NoField) as error:
            raise RenderFailed(str(error)) from None
        sender = own.get(b"From") or self._from
        addressed = self._to_and_cc or [(b"To", _mailbox(recipient))]
        fields = [(b"From", sender), *addressed, (b"Subject", subject), *self._named(ordinal, now_ms)]
        fields += self._ways_back(recipient, pages, complaints=complaints)
        fields += self._last_fields
        if own:
            fields = [(name, value) for name, old in fields if (value := own.get(name, old)) is not None]
        if len(self._compiled.body) == 1:
            body = _without_empty_end(body)
        written = (sender, own.get(b"Reply-To") or b"", *(value for _, value in addressed))
        is_ascii = recipient.email.isascii() and all(value.isascii() for value in written)
        return RenderedMail(fields, body, not is_ascii, layout.is_wire_ready)

    def _render_given(
        self, recipient: events.Ready, now_ms: int, pages: dict[str, str], *, complaints: bool
    ) -> RenderedMail:
        """The mail of a content that came whole: its own header as it stands, and what is missing there."""
        layout = self._untracked if recipient.untracked else self._tracked
        body = layout.fill(recipient.ordinal, recipient.email, self._defaults, _NO_TEXTS)
        given = [(name.encode("ascii"), value) for name, value in self._compiled.given]
        known = {name.lower() for name, _ in given}
        named = [field for field in self._named(recipient.ordinal, now_ms) if field[0].lower() not in known]
        ours = self._ways_back(recipient, pages, complaints=complaints)
        is_ascii = recipient.email.isascii() and all(value.isascii() for _, value in given)
        fields = [*given, *named, *ours, *self._last_fields]
        return RenderedMail(fields, body, not is_ascii, layout.is_wire_ready, is_relaxed=False)

    def _named(self, ordinal: int, now_ms: int) -> list[tuple[bytes, bytes]]:
        """When it is from, and what it is called: copies of one mail the same, which names none of them, so that nobody
        who reads it in a complaint takes one recipient for another."""
        name = self._job if self._to_and_cc else self._verp.message_id(self._job, ordinal)
        message_id = f"<{name}@{self._compiled.from_domain}>"
        return [(b"Date", _date(now_ms // 1000)), (b"Message-ID", message_id.encode("ascii"))]

    def _ways_back(
        self, recipient: events.Ready, pages: Mapping[str, str], *, complaints: bool
    ) -> list[tuple[bytes, bytes]]:
        """By what its recipient leaves, and a provider tells of a complaint."""
        ordinal = recipient.ordinal
        fields = []
        if self._compiled.stream == "bulk":
            address = self._verp.unsubscribe_address(self._job, ordinal, self._bounce_domain)
            mailto = f"mailto:{address}?subject={UNSUBSCRIBE_SUBJECT}"
            fields.append((b"List-Unsubscribe", f"<{pages[UNSUBSCRIBE_URL]}>,\r\n <{mailto}>".encode("ascii")))
            if recipient.list and not self._says_list and (of := self._list_id(recipient.list)):
                fields.append((b"List-ID", of))
        if complaints and self._takes_complaints:
            complaint_address = self._verp.feedback_address(self._job, ordinal, self._bounce_domain).encode("ascii")
            fields.append((b"CFBL-Address", complaint_address + b"; report=arf"))
            fields.append((b"CFBL-Feedback-ID", complaint_address.partition(b"@")[0]))
        return fields

    def _refuse_empty(self, subject: str, values: Mapping[str, Any], texts: Mapping[templates.Name, str]) -> None:
        if reason := self._emptiness.reason(subject, values, texts):
            raise RenderFailed(_EMPTY[reason], reason)

    def _list_id(self, name: str) -> bytes:
        return list_id(name, self._tenant, self._compiled.from_domain)

    @cached_property
    def _tracked(self) -> Layout:
        return self._layout(tracked=True)

    @cached_property
    def _untracked(self) -> Layout:
        return self._layout(tracked=False)

    def _layout(self, *, tracked: bool) -> Layout:
        return Layout(
            self._compiled.body,
            tracked=tracked,
            tokens=self._tokens,
            urls=self._addresses.urls,
            marks=self._marks,
            utm=self._compiled.utm,
            documents=content.documents(self._compiled),
        )

    @cached_property
    def _static_subject(self) -> bytes | None:
        subject = self._compiled.subject
        if subject.template or not all(isinstance(piece, str) for piece in subject.pieces):
            return None
        return _subject_value("".join(map(str, subject.pieces)))


def _mailbox(recipient: events.Ready) -> bytes:
    return addresses.format_mailbox(recipient.name, recipient.email, len("To")).encode()


def _subject_value(text: str) -> bytes:
    return headers.unstructured(text, len("Subject")).encode("ascii")


def _sources(compiled: CompiledContent, marks: Marks) -> dict[templates.Name, str]:
    sources: dict[templates.Name, str] = {
        part.kind: marks.joined(islands)
        for part in compiled.body
        if isinstance(part, Part) and part.template and (islands := cut(part.template).sources)
    }
    if compiled.subject.template:
        sources["subject"] = compiled.subject.template
    return sources | personal.sources(compiled.personal)


def _last_fields(compiled: CompiledContent, feedback_id: str) -> list[tuple[bytes, bytes]]:
    own = [(name, value) for name, value in compiled.headers if name.lower() not in feedback.NAMES]
    fields = [] if compiled.given else [*own, ("MIME-Version", "1.0"), *compiled.body_fields]
    if feedback_id:
        fields.insert(0, ("Feedback-ID", feedback_id))
    if compiled.reply_to or any(one.field == "Reply-To" for one in compiled.personal):
        fields.insert(0, ("Reply-To", compiled.reply_to))
    known = {name.lower() for name, _ in (*own, *compiled.given)}
    if compiled.stream == "transactional" and "auto-submitted" not in known:
        # RFC 3834 section 5: no absence note comes back.
        fields.insert(0, ("Auto-Submitted", "auto-generated"))
    if compiled.stream == "bulk":
        # RFC 8058 section 3.1.
        fields.insert(0, ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    return [(name.encode("ascii"), value.encode()) for name, value in fields]


def _without_empty_end(body: bytes) -> bytes:
    """A relaxed body does not end in empty lines (RFC 6376 section 3.4.4), nor an encoded text in a soft break; empty
    slots can have left both."""
    text = body.rstrip(b"\r\n")
    while text.endswith(b"="):
        text = text[:-1].rstrip(b"\r\n")
    return text + b"\r\n" if text else b""


@lru_cache(4)
def _date(now_s: int) -> bytes:
    return format_datetime(datetime.fromtimestamp(now_s, UTC)).encode("ascii")

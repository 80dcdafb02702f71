"""A job's mail for one recipient, as a relay would make it, before anything of it is stored or sent.

    job → template, if it names one → compiled → rendered for the recipient → message → parts and checks

Nothing is tracked, counted or kept: links are plain, there is no pixel, and the links to the recipient's pages lead to
pages that do nothing. What renders logic is the sandbox that tries contents.
"""

import email
import email.header
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from math import ceil
from typing import Annotated, Protocol

import msgspec
from prometheus_client import Counter

from services.queueing import checks, jobs, reading, undefined, whom
from services.queueing.aside import Aside
from services.queueing.checks import Check
from services.queueing.compile import Limits
from services.queueing.jobs import Draft, JobRequest
from services.queueing.lacking import Lacks
from services.queueing.taking import Compiler
from services.queueing.translating import worded
from services.queueing.trial import Tried
from shared.http import api
from shared.mail.attached import File
from shared.mail.templates import Name, TemplateFailed
from shared.making.attaching import attached_to
from shared.making.render import RenderedMail, Renderer, RenderFailed
from shared.making.rendering import Asked
from shared.process.sandbox import Penalised, Unavailable
from shared.redis.own_hosts import OwnHosts
from shared.redis.recipients import Waiting
from shared.words import content, events, ids, own_files, variables
from shared.words.content import CompiledContent
from shared.words.described import says
from shared.words.errors import NOT_JSON, Fault, Problem
from shared.words.languages import fitting
from shared.words.tokens import PAGE_PATHS, TokenKeys
from shared.words.verp import VerpKeys

#: Of a body, with its recipients: a preview looks at the first of them.
MAX_BODY_BYTES = 20_000_000
#: Who gets the mail where the job names nobody.
_SOMEBODY = Tried("somebody@example.com", "Somebody")
#: In place of a token, on the recipient's pages: theirs says that it leads nowhere.
_NOWHERE = "preview"
_PARTS: Mapping[str, checks.Part] = {"$.subject": "subject", "$.html": "html", "$.mjml": "html", "$.text": "text"}
PREVIEWS = Counter("estafette_queueing_previews_total", "Previews of jobs' mails", ["result"])


class PreviewHeader(msgspec.Struct, frozen=True, kw_only=True):
    """A header field of the mail, unfolded, with its encoded words read."""

    name: Annotated[str, says("Its name.", "Reply-To")]
    value: Annotated[str, says("Its value.", "contact@exemple.fr")]


class PreviewAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the mail, shown by its HTML or not."""

    filename: Annotated[str, says("The name under which it is saved.", "facture.pdf")]
    content_type: Annotated[str, says("Its media type, without parameters.", "application/pdf")]
    size_bytes: Annotated[int, says("Its size, without what base64 adds.", 48_213)]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as it would be sent, but for its signature, its tracking and the links to the recipient's pages."""

    subject: Annotated[str, says("The subject.", "Bonjour Ana")]
    sender: Annotated[str, says("From whom.", "Chouette <news@exemple.fr>")] = msgspec.field(name="from")
    to: Annotated[str, says("To whom.", "Ana <ana@exemple.fr>")]
    language: Annotated[
        str | None, says("Which translation of a template it is; null: it has none, or none that fits.", "de")
    ]
    template: Annotated[str | None, says("The template, its version, and those of its layout.", "welcome 3 frame 7")]
    headers: Annotated[list[PreviewHeader], says("The header fields, in order.")]
    html: Annotated[str | None, says("The HTML part.", "<p>Bonjour Ana</p>")]
    text: Annotated[str | None, says("The text part.", "Bonjour Ana")]
    amp: Annotated[str | None, says("The AMP version.", None)]
    attachments: Annotated[list[PreviewAttachment], says("Its files, the recipient's own behind those of the job.")]
    size_bytes: Annotated[int, says("The size of the whole message, without its signatures.", 4_711)]
    message: Annotated[str, says("The whole message (RFC 5322).", "From: Chouette <news@exemple.fr>\r\n…")]
    warnings: Annotated[list[Fault], says("What the job's answer would warn of.")]
    checks: Annotated[list[Check], says("What is wrong with the mail, or could be; the worst first.")]


class Jobs(Protocol):
    """As jobs are taken: `taking`."""

    async def with_template(self, tenant: str, draft: Draft) -> Draft: ...

    async def check_from(self, principal: api.Principal, domain: str) -> None: ...


class Rendering(Protocol):
    async def texts(self, asked: Asked, tenant: str = "") -> Mapping[Name, str]:
        """The parts that hold logic, rendered. TemplateFailed, Unavailable."""
        ...


class Previewing:
    """`chance` gives unpredictable bytes. Every call raises Problem for what does not fit, and RedisAway."""

    def __init__(
        self,
        compiler: Compiler,
        taking: Jobs,
        rendering: Rendering,
        hosts: OwnHosts,
        tokens: TokenKeys,
        verp: VerpKeys,
        bounce_domain: str,
        max_recipients: int,
        now_ms: Callable[[], int],
        chance: Callable[[int], bytes],
        aside: Aside,
    ) -> None:
        self._compiler = compiler
        self._taking = taking
        self._rendering = rendering
        self._hosts = hosts
        self._tokens = tokens
        self._verp = verp
        self._bounce_domain = bounce_domain
        self._max_recipients = max_recipients
        self._now_ms = now_ms
        self._chance = chance
        self._aside = aside

    async def preview(self, principal: api.Principal, body: bytes, index: int) -> Preview:
        """For the recipient at that place among the first who would be mailed; for somebody made up if the job has
        none."""
        if len(body) > MAX_BODY_BYTES:
            raise Problem("body_too_large", f"the body has {len(body)} bytes; a preview takes {MAX_BODY_BYTES}")
        tenant = principal.tenant
        alone = not await self._aside.do(tenant, len(body), _names_recipients, body)
        draft = await self._aside.do(
            tenant, len(body), reading.read_draft, body, open_job=alone, now_ms=self._now_ms(),
            max_recipients=self._max_recipients,
        )  # fmt: skip
        draft = await self._taking.with_template(tenant, draft)
        compiled = await self._compiler.compile(draft, Limits(), tenant)
        job = await self._aside.do(tenant, len(body), jobs.finish, draft, compiled)
        await self._taking.check_from(principal, job.compiled.from_domain)
        who = _recipient(draft.tried, index)
        mail, language = await self._made(tenant, job.compiled, who)
        mail = await self._aside.do(tenant, len(body), attached_to, mail, _files(job, who))
        shown = await self._aside.do(tenant, len(mail.body), _shown, mail, job, _said(draft, language), who, language)
        PREVIEWS.labels("shown").inc()
        return shown

    async def _made(self, tenant: str, compiled: CompiledContent, who: Tried) -> tuple[RenderedMail, str]:
        """The mail, and the language of its content. Problem."""
        now_ms = self._now_ms()
        job = ids.new_job_id(now_ms, self._chance(6), 1, None)
        base_url = await self._hosts.of(tenant, compiled.from_domain)
        ready = events.Ready(
            tenant=tenant, job=job, ordinal=0, email=who.email, name=who.name, variables=who.own, untracked=True
        )
        renderer = Renderer(
            compiled, job=job, tenant=tenant, tokens=self._tokens, verp=self._verp, base_url=base_url,
            bounce_domain=self._bounce_domain, marks_key=self._chance(32), test=True,
        ).of(ready)  # fmt: skip
        pages = _pages(base_url)
        try:
            asked = renderer.asked(ready)
            if asked is None:
                mail = renderer.render(ready, now_ms, pages=pages)
            else:
                texts = await self._rendering.texts(msgspec.structs.replace(asked, pages=pages), tenant)
                mail = renderer.render(ready, now_ms, texts=texts, pages=pages)
        except (RenderFailed, TemplateFailed) as failed:
            PREVIEWS.labels("failed").inc()
            what = f"the mail cannot be made for this recipient: {failed}"
            raise Problem("invalid_job", what, [Fault("$.recipients", what)]) from None
        except Penalised as penalised:
            wait = {"Retry-After": str(ceil(penalised.after_s))}
            raise Problem("templates_penalised", str(penalised), headers=wait) from None
        except Unavailable as away:
            raise Problem("unavailable", f"templates cannot be rendered now: {away}") from None
        values = variables.decoded(compiled.variables)
        return mail, fitting(variables.language(values, who.own), compiled.variants)


def _names_recipients(body: bytes) -> bool:
    try:
        found = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except NOT_JSON:
        return True  # what reads the job says what is wrong
    is_addressed = any(name in found and bytes(found[name]) != b"[]" for name in whom.FIELDS)
    return is_addressed or "recipients" in found or "recipients_from" in found


def _recipient(tried: Sequence[Tried], index: int) -> Tried:
    if not tried and index == 0:
        return _SOMEBODY
    if index >= len(tried):
        what = f"there are {len(tried)} recipients to preview; the first is 0"
        raise Problem("invalid_query", "the query does not fit", [Fault("?recipient", what)])
    return tried[index]


def _files(job: jobs.Job, who: Tried) -> list[File]:
    """Those of the recipient alone."""
    packed = next((one.files for one in job.waiting if one.email == who.email and one.rejected is None), "")
    return [File(one.filename, one.content_type, job.files[one.digest]) for one in own_files.unpacked(packed)]


def _pages(base_url: str) -> dict[str, str]:
    return {
        name: f"{base_url.rstrip('/')}/{PAGE_PATHS[kind]}/{_NOWHERE}{content.PAGE_QUERIES.get(name, '')}"
        for name, kind in content.PAGES.items()
    }


def _said(draft: Draft, language: str) -> JobRequest:
    """The job, in the words of that language."""
    return worded(draft.request, draft.translations[language]) if language else draft.request


def _shown(mail: RenderedMail, job: jobs.Job, said: JobRequest, who: Tried, language: str) -> Preview:
    source = mail.assemble()
    message = email.message_from_bytes(source)
    fields = [PreviewHeader(name=name, value=_read(value)) for name, value in message.items()]
    first = {field.name.lower(): field.value for field in reversed(fields)}
    html, text = _part(message, "text/html"), _part(message, "text/plain")
    subject, sender = first.get("subject", ""), first.get("from", "")
    compiled = content.in_language(job.compiled, language)
    found = checks.found(
        checks.Mail(subject, sender, html, text, len(source), is_marketing=compiled.stream == "bulk"),
        [*_unknown(compiled, said, who), *_unused(compiled, who)],
    )
    return Preview(
        subject=subject,
        sender=sender,
        to=first.get("to", ""),
        language=language or None,
        template=job.template or None,
        headers=fields,
        html=html,
        text=text,
        amp=_part(message, "text/x-amp-html"),
        attachments=_attachments(message),
        size_bytes=len(source),
        message=source.decode("utf-8", "replace"),
        warnings=job.warnings,
        checks=found,
    )


def _read(value: object) -> str:
    unfolded = str(value).replace("\r\n", "").replace("\n", "")
    try:
        return str(email.header.make_header(email.header.decode_header(unfolded)))
    except (ValueError, LookupError):
        return unfolded


def _part(message: Message, media_type: str) -> str | None:
    """The first that is not attached."""
    for part in message.walk():
        if part.get_content_type() == media_type and part.get_content_disposition() != "attachment":
            raw = part.get_payload(decode=True)
            return raw.decode("utf-8", "replace").replace("\r\n", "\n") if isinstance(raw, bytes) else None
    return None


def _attachments(message: Message) -> list[PreviewAttachment]:
    return [
        PreviewAttachment(
            filename=name,
            content_type=part.get_content_type(),
            size_bytes=len(raw) if isinstance(raw := part.get_payload(decode=True), bytes) else 0,
        )
        for part in message.walk()
        if (name := part.get_filename())
    ]


def _unknown(compiled: CompiledContent, said: JobRequest, who: Tried) -> list[Check]:
    """Those that the content did not think of as absent, each with the line that names it first."""
    lacks = Lacks(compiled, variables.decoded(compiled.variables))
    lacks.reason(Waiting(email=who.email, name=who.name, variables=who.own))
    return [
        checks.check(
            "unknown_variable",
            f"the recipient has no `{path}`, and there is no default: it is empty",
            _PARTS.get(at),
            line,
        )
        for path, (at, line) in undefined.lines(jobs.templates_of(said), lacks.unseen()).items()
    ]


def _unused(compiled: CompiledContent, who: Tried) -> list[Check]:
    used = {path.partition(".")[0] for path in compiled.uses} | {variables.LANGUAGE}
    given = [*variables.decoded(compiled.variables), *variables.decoded(who.own)]
    return [
        checks.check("unused_variable", f"nothing in the content names `{name}`")
        for name in dict.fromkeys(given)
        if name not in used
    ]

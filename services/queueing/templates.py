"""What a stored template may look like, and what becomes of a job that names one. Pure.

    layout      a template in whose HTML and text `{{ content }}` stands: the places of another template's
    template    words in a default language, and translations; perhaps in a layout

Layout and template are put together as sources, before anything is compiled: so what the engine, the sandbox and the
rewriting of links do is what they do with any content. A layout stands in none itself.
"""

import re
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from services.queueing.attachments import Attachment
from services.queueing.jobs import Draft, JobRequest, TemplateNamed
from services.queueing.placeholders import placeholders
from services.queueing.reading import MAX_FIELD_BYTES
from services.queueing.recipients import Variables
from services.queueing.translating import MAX_BYTES, MAX_LANGUAGES, worded
from services.queueing.wording import Wording
from shared.words.described import says
from shared.words.errors import Fault
from shared.words.languages import fitting
from shared.words.variables import LANGUAGE

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
#: The variable of a layout in whose place the template stands.
SLOT = ("content",)
#: What the content is made of: a job that says one of them has none of the template's.
BODIES = ("html", "text", "mjml", "amp")
#: Of the files of a template, as base64: larger ones a job brings itself.
MAX_FILES_BYTES = 2_000_000
#: What stands in a template that is tried by itself.
_SENDER, _SUBJECT = "somebody@example.com", "-"

Language = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]{1,8}){0,2}(?!\n)$")]


class Translation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The words in another language. `html`, `text`, `mjml` and `amp` are given where the template has them; a subject
    or preheader that is not given is the template's."""

    subject: Annotated[str | None, says("The subject.", "Willkommen {{ prenom }}")] = None
    preheader: Annotated[str | None, says("The preheader.", "Schön, dass Sie da sind")] = None
    html: Annotated[str | None, says("The HTML.", "<p>Guten Tag {{ prenom }}</p>")] = None
    text: Annotated[str | None, says("The text.", "Guten Tag {{ prenom }}")] = None
    mjml: Annotated[str | None, says("The MJML, of which the HTML is made.")] = None
    amp: Annotated[str | None, says("The AMP version.")] = None


class TemplateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A template. What it says a job that names it need not say. `layout` is another template, with `{{ content }}`
    where this one is to stand; a job takes the layout as it is then."""

    from_: Annotated[str | None, says("The sender, if the template says it.", "Chouette <news@exemple.fr>")] = (
        msgspec.field(default=None, name="from")
    )
    subject: Annotated[str | None, says("The subject.", "Bienvenue {{ prenom }}")] = None
    preheader: Annotated[str | None, says("What mail programs show beside the subject.", "Ravis de vous voir")] = None
    html: Annotated[str | None, says("The HTML; this, `text`, or both.", "<p>Bonjour {{ prenom }}</p>")] = None
    text: Annotated[str | None, says("The text; this, `html`, or both.", "Bonjour {{ prenom }}")] = None
    mjml: Annotated[str | None, says("MJML, of which the HTML is made; instead of `html`.")] = None
    amp: Annotated[str | None, says("The same as AMP for e-mail, beside `html`.")] = None
    inline_css: Annotated[bool, says("Whether the CSS of `<style>` is written into the elements, too.", True)] = False
    text_from_html: Annotated[bool, says("Whether a text is made of the HTML where there is none.", True)] = True
    attachments: Annotated[
        list[Attachment], says("Files of each mail, such as pictures that the HTML shows; 2 MB of base64 at most.", [])
    ] = []
    reply_to: Annotated[str | None, says("Where answers go.", "contact@exemple.fr")] = None
    headers: Annotated[dict[str, str], says("Header fields; a job adds others.", {"X-Campaign": "welcome"})] = {}
    variables: Annotated[
        Variables, says("What they are where neither job nor recipient says.", {"prenom": "vous"})
    ] = {}
    layout: Annotated[str | None, says("The template that it stands in.", None, "frame")] = None
    language: Annotated[Language | None, says("The language of these words.", "fr")] = None
    translations: Annotated[
        Annotated[dict[Language, Translation], Meta(max_length=MAX_LANGUAGES)],
        says("The words in other languages; a recipient's is their variable `language`.", {"de": {}}),
    ] = {}


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A version, as it is stored. `variables` is a msgpack map."""

    wording: Wording
    sender: str = ""
    reply_to: str = ""
    headers: dict[str, str] = {}
    variables: msgspec.Raw = msgspec.Raw(b"\x80")
    layout: str = ""
    language: str = ""
    translations: dict[str, Wording] = {}
    inline_css: bool = False
    text_from_html: bool = True
    attachments: list[Attachment] = []

    @property
    def is_layout(self) -> bool:
        return any(_slots(source) for one in self.wordings for source in _bodies(one))

    @property
    def wordings(self) -> list[Wording]:
        return [self.wording, *self.translations.values()]

    @property
    def values(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.msgpack.decode(self.variables)
        return found


class Used(NamedTuple):
    """Which template a job was made of, and in which layout it stood, with their versions. As text it is what the job
    keeps: `welcome 3`, `welcome 3 frame 7`."""

    name: str
    version: int
    layout: str = ""
    layout_version: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.version}" + (f" {self.layout} {self.layout_version}" if self.layout else "")


def kept(body: TemplateBody) -> Kept:
    """As it is stored."""
    own = _wording(body, Wording())
    return Kept(
        wording=own,
        sender=body.from_ or "",
        reply_to=body.reply_to or "",
        headers=body.headers,
        variables=msgspec.Raw(msgspec.msgpack.encode(body.variables)),
        layout=body.layout or "",
        language=_tag(body.language or ""),
        translations={_tag(language): _wording(one, own) for language, one in body.translations.items()},
        inline_css=body.inline_css,
        text_from_html=body.text_from_html,
        attachments=body.attachments,
    )


def _wording(said: TemplateBody | Translation, own: Wording) -> Wording:
    """With the subject and the preheader of `own` where it says none."""
    return Wording(
        own.subject if said.subject is None else said.subject,
        own.preheader if said.preheader is None else said.preheader,
        said.html,
        said.text,
        said.mjml,
        said.amp,
    )


def shown(kept: Kept) -> TemplateBody:
    """As it was given."""
    return TemplateBody(
        from_=kept.sender or None,
        inline_css=kept.inline_css,
        text_from_html=kept.text_from_html,
        attachments=kept.attachments,
        reply_to=kept.reply_to or None,
        headers=kept.headers,
        variables=kept.values,
        layout=kept.layout or None,
        language=kept.language or None,
        translations={language: Translation(**_said(one)) for language, one in kept.translations.items()},
        **_said(kept.wording),
    )


def _said(one: Wording) -> dict[str, Any]:
    """By the names that a template and its translations have for it."""
    bodies = {name: getattr(one, name) for name in BODIES}
    return {"subject": one.subject or None, "preheader": one.preheader or None, **bodies}


def faults(body: TemplateBody) -> list[Fault]:
    """What is wrong with it before it is compiled."""
    found = [] if _can_be_packed(body.variables) else [Fault("$.variables", "cannot be stored")]
    found += [Fault(at, f"longer than {most} bytes") for at, size, most in _sizes(body) if size > most]
    tags = [_tag(one) for one in (body.language or "", *body.translations) if one]
    if len(set(tags)) < len(tags):
        found.append(Fault("$.translations", "a language stands there twice, or is the template's own"))
    has = {name for name in BODIES if getattr(body, name)}
    for language, one in body.translations.items():
        given = {name for name in BODIES if getattr(one, name)}
        if given != has:
            what = f"has to have what the template has, and nothing else: {' and '.join(sorted(has))}"
            found.append(Fault(f"$.translations.{language}", what))
    every: list[tuple[str, TemplateBody | Translation]] = [("$", body)]
    every += [(f"$.translations.{language}", one) for language, one in body.translations.items()]
    slots = [(f"{at}.{name}", _slots(getattr(one, name))) for at, one in every for name in BODIES]
    if body.layout is not None and not re.fullmatch(NAME, body.layout):
        found.append(Fault("$.layout", "not the name of a template"))
    if body.layout and any(number for _, number in slots):
        found.append(Fault("$.layout", "a layout, with `{{ content }}` in it, stands in none itself"))
    found += [Fault(at, "`{{ content }}` stands there once, not more often") for at, number in slots if number > 1]
    return found


def _can_be_packed(variables: dict[str, Any]) -> bool:
    try:
        msgspec.msgpack.encode(variables)
    except (OverflowError, UnicodeEncodeError, RecursionError, TypeError):
        return False
    return True


def _sizes(body: TemplateBody) -> list[tuple[str, int, int]]:
    """Of each text: its place, its size, and the most that it may have; then that of all, and of the files."""
    every: list[tuple[str, TemplateBody | Translation]] = [("$", body)]
    every += [(f"$.translations.{language}", one) for language, one in body.translations.items()]
    sizes = [
        (f"{at}.{name}", len((getattr(one, name) or "").encode("utf-8", "surrogatepass")), MAX_FIELD_BYTES[name])
        for at, one in every
        for name in ("subject", "preheader", *BODIES)
    ]
    files = sum(len(one.content) for one in body.attachments)
    every_size = ("$.translations", sum(size for _, size, _ in sizes), MAX_BYTES)
    return [*sizes, every_size, ("$.attachments", files, MAX_FILES_BYTES)]


def stands_alone(kept: Kept) -> bool:
    """Whether it can be compiled by itself: MJML in a layout is a part of a document."""
    return not kept.layout or not kept.wording.mjml


def tried(kept: Kept) -> Draft:
    """The draft that is compiled to see whether it can be: as a job of nobody's."""
    job = JobRequest(
        from_=kept.sender or _SENDER,
        inline_css=kept.inline_css,
        text_from_html=kept.text_from_html,
        attachments=kept.attachments,
        reply_to=kept.reply_to or None,
        headers=kept.headers,
        variables=kept.values,
        own_way_out=True,  # none is put into it here: the job says whether it is marketing
    )
    translations = {language: _with_subject(one) for language, one in kept.translations.items()}
    whole = worded(job, _with_subject(kept.wording))
    return Draft(whole, "", [], True, 0, 0, [], translations=translations)


def _with_subject(one: Wording) -> Wording:
    return msgspec.structs.replace(one, subject=one.subject or _SUBJECT)


def unfit(kept: Kept, layout: Kept) -> str:
    """Why it cannot stand in that layout; "" if it can."""
    own, frame = kept.wording, layout.wording
    for one, other, words in ((own.html, frame.mjml, ("MJML", "HTML")), (own.mjml, frame.html, ("HTML", "MJML"))):
        if one and other:
            return f"{kept.layout} is {words[0]}, and this is {words[1]}"
    return ""


def with_files(kept: Kept, layout: Kept) -> Kept:
    """With those that come with the layout."""
    return msgspec.structs.replace(kept, attachments=[*layout.attachments, *kept.attachments])


def in_layout(kept: Kept, layout: Kept) -> Kept:
    """The two together: the template in the layout, in each language of the template; of the rest the template's holds
    where it says something."""
    return msgspec.structs.replace(
        kept,
        wording=_framed(kept.wording, _words(layout, kept.language)),
        sender=kept.sender or layout.sender,
        reply_to=kept.reply_to or layout.reply_to,
        headers=layout.headers | kept.headers,
        variables=msgspec.Raw(msgspec.msgpack.encode(layout.values | kept.values)),
        translations={language: _framed(one, _words(layout, language)) for language, one in kept.translations.items()},
        inline_css=kept.inline_css or layout.inline_css,
        text_from_html=kept.text_from_html and layout.text_from_html,
        attachments=[*layout.attachments, *kept.attachments],
    )


def _words(layout: Kept, language: str) -> Wording:
    found = fitting(language, layout.translations)
    return layout.translations[found] if found else layout.wording


def _framed(own: Wording, frame: Wording) -> Wording:
    return Wording(
        own.subject or frame.subject,
        own.preheader or frame.preheader,
        *(_put(around, source) for around, source in zip(_bodies(frame), _bodies(own), strict=True)),
    )


def _bodies(one: Wording) -> tuple[str | None, str | None, str | None, str | None]:
    """In the order in which a wording has them."""
    return one.html, one.text, one.mjml, one.amp


def _put(frame: str | None, source: str | None) -> str | None:
    """The source in the layout's; as it is where the layout has none, or no place for it."""
    if not source or not frame:
        return source
    at = next((one for one in placeholders(frame) if one.path == SLOT), None)
    return source if at is None else frame[: at.start] + source + frame[at.end :]


def _slots(source: str | None) -> int:
    return sum(one.path == SLOT for one in placeholders(source)) if source and SLOT[0] in source else 0


def filled(draft: Draft, kept: Kept, used: Used) -> Draft:
    """The draft with what the template says and the job does not. What the content is made of belongs together: a job
    that says any of it has none of the template's."""
    job, given = draft.request, draft.given
    is_own = not given.isdisjoint(BODIES)
    request = msgspec.structs.replace(
        worded(job, _own(job, given, kept.wording)),
        inline_css=job.inline_css if is_own or "inline_css" in given else kept.inline_css,
        text_from_html=job.text_from_html if is_own or "text_from_html" in given else kept.text_from_html,
        attachments=job.attachments if is_own else [*kept.attachments, *job.attachments],
        from_=job.from_ if "from" in given else kept.sender,
        reply_to=job.reply_to if "reply_to" in given else kept.reply_to or None,
        headers=kept.headers | job.headers,
        variables=({LANGUAGE: kept.language} if kept.language else {}) | kept.values | job.variables,
    )
    translations = {language: _own(job, given, one) for language, one in kept.translations.items()}
    needed = (("from", request.from_), ("subject", request.subject))
    missing = [Fault(f"$.{name}", "required: the template does not say it") for name, value in needed if not value]
    return replace(
        draft,
        request=request,
        known_as=None,
        translations=translations,
        template=str(used),
        # Who changes it later, before it starts, changes what was made of this version.
        own=msgspec.structs.replace(job, template=TemplateNamed(used.name, used.version)),
        faults=[*draft.faults, *missing],
    )


def _own(job: JobRequest, given: frozenset[str], wording: Wording) -> Wording:
    bodies = wording if given.isdisjoint(BODIES) else job
    return Wording(
        job.subject if "subject" in given else wording.subject,
        job.preheader or "" if "preheader" in given else wording.preheader,
        bodies.html,
        bodies.text,
        bodies.mjml,
        bodies.amp,
    )


def _tag(language: str) -> str:
    return language.lower().replace("_", "-")

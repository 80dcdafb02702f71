"""Compiles contents where they can do no harm: short ones without logic here, all others in a sandbox.

The sandbox's process is this module, as `python -m services.queueing.compiling`.
"""

import secrets
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from hashlib import blake2b
from math import ceil

import msgspec

from services.queueing import personal, translating
from services.queueing.aside import Aside
from services.queueing.compile import (
    LIGHT_CHARS,
    Limits,
    Sources,
    Templated,
    compile_content,
    compile_templates,
    is_light,
    sources,
)
from services.queueing.jobs import Draft, JobRequest
from services.queueing.tested import marked, shown
from services.queueing.trial import Tried
from shared.mail.template_scan import InvalidTemplate, scan
from shared.making.rendering import Worker
from shared.net.remembered import Remembered, no_time_passes
from shared.process import sandboxed
from shared.process.sandbox import (
    Killed,
    Penalised,
    Sandbox,
    Unavailable,
)
from shared.words.content import CompiledContent, Part, Subject
from shared.words.errors import Fault, Problem
from shared.words.variables import NONE

#: What a question begins with that asks for a mail to be rendered; those that ask for a content begin with an array.
RENDER = b"R"
#: Of chance in the boundaries of a content.
CHANCE_BYTES = 16
#: Contents without logic that are remembered whole, of jobs that come in the same words but for their recipients
#: (`reading`); and for how long, since all that is made of one meanwhile has the same boundaries.
MOST_CONTENTS, CONTENT_S = 256, 60.0
#: Light templates whose result is remembered: a shop sends the same ones all day, each time to somebody else. None is
#: longer than `LIGHT_CHARS`, and so a process keeps 15 MB of them at most.
MOST_REMEMBERED = 256

_encode = msgspec.msgpack.Encoder().encode
_decode_sources = msgspec.msgpack.Decoder(Sources).decode
_decode_templated = msgspec.msgpack.Decoder(Templated).decode


class Compiler:
    """Compiles with the help of a sandbox. `chance` gives so many bytes of it; `monotonic` counts seconds."""

    def __init__(
        self,
        sandbox: Sandbox,
        chance: Callable[[int], bytes] = secrets.token_bytes,
        aside: Aside | None = None,
        monotonic: Callable[[], float] = no_time_passes,
    ) -> None:
        self._sandbox = sandbox
        self._chance = chance
        self._aside = aside or Aside()
        self._remembered = Remembered[tuple[str, bytes], Templated](MOST_REMEMBERED)
        self._contents = Remembered[tuple[str, Limits, Hashable], CompiledContent](MOST_CONTENTS, monotonic)

    async def compile(self, draft: Draft, limits: Limits, tenant: str = "") -> CompiledContent | list[Fault]:
        """See `compile_content`; tenants take turns. A test shows that it is one. Problem 503 where no process can be
        had, 429 where this tenant can have none."""
        name = tenant, limits, draft.known_as
        if draft.known_as is not None and (known := self._contents.known(name)) is not None:
            return known
        whole = await self._whole(draft, limits, tenant)
        if draft.known_as is not None and not isinstance(whole, list) and _is_untried(whole):
            self._contents.keep(name, whole, CONTENT_S)
        return whole

    async def _whole(self, draft: Draft, limits: Limits, tenant: str) -> CompiledContent | list[Fault]:
        job = draft.request
        tried = translating.tried_in("", draft) if draft.translations else draft.tried
        templated = await self._templated(job, limits, tenant, tried)
        made = await self._translated(draft, limits, tenant, templated.next_position) if draft.translations else {}
        if made:
            templated = msgspec.structs.replace(templated, shows=translating.shows(templated, made))
        chance = self._chance(CHANCE_BYTES)
        compiled = await self._aside.do(
            tenant, _size(job), compile_content, job, draft.rate, limits, templated, chance=chance
        )
        whole = translating.joined(compiled, made) if made else compiled
        return marked(whole) if job.test and not isinstance(whole, list) else whole

    async def _translated(self, draft: Draft, limits: Limits, tenant: str, position: int) -> dict[str, Templated]:
        """Its translations, one after the other: the places of their links go on."""
        made: dict[str, Templated] = {}
        for language, wording in draft.translations.items():
            job, tried = translating.worded(draft.request, wording), translating.tried_in(language, draft)
            made[language] = await self._templated(job, limits, tenant, tried, position)
            position = made[language].next_position
        return made

    async def _templated(
        self, job: JobRequest, limits: Limits, tenant: str, tried: Sequence[Tried], first_position: int = 0
    ) -> Templated:
        found = await self._made(job, limits, tenant, tried, first_position)
        if job.test and found.links:
            return await self._made(shown(job, found.links), limits, tenant, tried, first_position)
        return found

    async def _made(
        self, job: JobRequest, limits: Limits, tenant: str, tried: Sequence[Tried], first_position: int
    ) -> Templated:
        size = _size(job)
        given = await self._aside.do(tenant, size, sources, job, limits, tried, first_position)
        name = _name(given, tenant)
        templated = self._remembered.known(name) if name is not None else None
        if templated is None:
            templated = await self._compiled(given, tenant, size, name)
        return templated

    async def _compiled(self, given: Sources, tenant: str, size: int, name: tuple[str, bytes] | None) -> Templated:
        if (too_long := _too_long(given)) is not None:
            return await self._aside.do(tenant, size, compile_templates, too_long)
        if not await self._aside.do(tenant, size, is_light, given):
            return await self._elsewhere(given, tenant)
        templated = await self._aside.do(tenant, size, compile_templates, given)
        if name is not None:
            self._remembered.keep(name, templated)
        return templated

    async def _elsewhere(self, given: Sources, tenant: str) -> Templated:
        templated, killed = await self._asked(given, tenant)
        if killed and len(given.tried) > 1:
            # One recipient whose rendering takes too long is no fault of the others.
            templated, killed = await self._asked(msgspec.structs.replace(given, tried=given.tried[1:]), tenant)
        return templated

    async def _asked(self, given: Sources, tenant: str) -> tuple[Templated, bool]:
        """What became of them; and whether there is no answer, because the process was killed over it."""
        try:
            question = _encode(given)
        except UnicodeEncodeError:
            fault = Fault("$", "the content has code points that are no characters: surrogates")
            return Templated(Subject(), None, None, [], [fault]), False
        try:
            digest = blake2b(question, digest_size=16).digest()
            return _decode_templated(await self._sandbox.ask(question, source=digest, owner=tenant)), False
        except Killed as killed:
            fault = Fault(_where(given), f"the templates cannot be compiled and tried: that {killed}")
            return Templated(Subject(), None, None, [], [fault]), True
        except Penalised as penalised:
            raise Problem(
                "templates_penalised",
                f"{penalised}: templates with logic are taken again in a moment, all others now",
                headers={"Retry-After": str(ceil(penalised.after_s))},
            ) from None
        except Unavailable as away:
            raise Problem("unavailable", f"templates cannot be compiled now: {away}") from None


def _name(given: Sources, tenant: str) -> tuple[str, bytes] | None:
    """What light templates are known by: all that decides what becomes of them. They are not rendered for anybody, so
    neither recipients nor variables are in it. None of what is too long to be light, or is rendered to see whether it
    is an address."""
    texts = [text or "" for text in (given.subject, given.html, given.text, given.mjml, given.amp)]
    texts += given.fields.values()
    if sum(map(len, texts)) > LIGHT_CHARS or any(map(personal.is_address, given.fields)):
        return None
    try:
        packed = _encode(msgspec.structs.replace(given, variables=NONE, tried=()))
    except UnicodeEncodeError:
        return None
    return tenant, blake2b(packed, digest_size=16).digest()


def _is_untried(compiled: CompiledContent) -> bool:
    """Whether it is the same whoever it is tried with: nothing in it is rendered before it is sent."""
    parts = [one for one in compiled.body if isinstance(one, Part)]
    return not compiled.personal and not compiled.subject.template and not any(part.template for part in parts)


def _size(job: JobRequest) -> int:
    """About; of variables it is not known, and they are bounded."""
    texts = sum(len(text or "") for text in (job.subject, job.html, job.text, job.mjml, job.amp))
    return texts + sum(len(file.content) for file in job.attachments) + 100 * len(job.variables)


def _too_long(given: Sources) -> Sources | None:
    """Those of the sources that are refused by their lengths alone, if there are any."""
    limits = given.limits
    subject = given.subject if len(given.subject) > limits.subject_chars else ""
    html = given.html if len(given.html or "") > limits.html_bytes else None
    text = given.text if len(given.text or "") > limits.text_bytes else None
    mjml = given.mjml if len(given.mjml or "") > limits.html_bytes else None
    amp = given.amp if len(given.amp or "") > limits.amp_bytes else None
    if not subject and html is None and text is None and mjml is None and amp is None:
        return None
    return msgspec.structs.replace(given, subject=subject, html=html, text=text, mjml=mjml, amp=amp)


def _where(given: Sources) -> str:
    """The field that what went wrong is most likely about."""
    texts = {"$.html": given.html or "", "$.mjml": given.mjml or "", "$.amp": given.amp or ""}
    texts |= {"$.text": given.text or "", "$.subject": given.subject}
    for at, text in texts.items():
        with suppress(InvalidTemplate):
            if not scan(text).plain:
                return at
    return max(texts, key=lambda at: len(texts[at]))


class Rendering:
    """Has mails rendered in the same processes, for previews: what a tenant may have of them is one account."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def ask(self, full: bytes, *, source: bytes, light: bytes | None = None, owner: str = "") -> bytes:
        """As `Sandbox.ask` of what renders. Nothing is known there from one preview to the next."""
        return await self._sandbox.ask(RENDER + full, source=source, owner=owner)


def compiled(question: bytes) -> bytes:
    """What the sandbox's process answers."""
    if question[:1] == RENDER:
        return Worker().answer(question[1:])
    return _encode(compile_templates(_decode_sources(question), sandboxed.limit))


if __name__ == "__main__":
    # Answering others comes before compiling.
    sandboxed.serve(compiled, nice=10)

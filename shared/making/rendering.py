"""Renders the parts of mails that hold logic, in a sandbox: what a relay asks, what it is answered, and who answers.

The sandbox's process is this module, as `python -m shared.making.rendering`. It keeps the compiled templates of
the jobs used last, so that sources go there once a job. What comes back is text, and nothing else.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

import msgspec

from shared.mail import templates
from shared.process import sandboxed
from shared.process.sandbox import Killed
from shared.words import variables

#: Jobs whose templates are kept, and how long their sources may be together: a tree takes ten times its source.
JOBS_KEPT = 32
SOURCE_CHARS_KEPT = 4_000_000
#: Compiling the sources of a job, which were compiled before within this bound.
COMPILE_CPU_S = 0.8


class Job(msgspec.Struct, frozen=True, array_like=True):
    """What the mails of a job have in common: sources by name, the msgpack map of its defaults, and the language of
    recipients who have none."""

    sources: dict[templates.Name, str]
    defaults: msgspec.Raw
    language: str = ""


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """One mail. `job` is None where it is known by its `digest`."""

    digest: bytes
    job: Job | None
    own: msgspec.Raw
    email: str
    name: str
    pages: dict[str, str]


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """The texts by name; or why it failed."""

    texts: dict[templates.Name, str]
    failed: str = ""


class Sandbox(Protocol):
    """`shared.process.sandbox`."""

    async def ask(self, full: bytes, *, source: bytes, light: bytes | None = None, owner: str = "") -> bytes: ...


_encode = msgspec.msgpack.Encoder().encode
_decode_asked = msgspec.msgpack.Decoder(Asked).decode
_decode_answered = msgspec.msgpack.Decoder(Answered).decode


class Rendering:
    """Asks a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def texts(self, asked: Asked, tenant: str = "") -> Mapping[templates.Name, str]:
        """The rendered parts; tenants take turns. TemplateFailed; `shared.process.sandbox.Unavailable`."""
        light = _encode(msgspec.structs.replace(asked, job=None))
        try:
            answered = _decode_answered(
                await self._sandbox.ask(_encode(asked), source=asked.digest, light=light, owner=tenant)
            )
        except Killed as killed:
            raise templates.TemplateFailed(f"the template {killed}") from None
        if answered.failed:
            raise templates.TemplateFailed(answered.failed)
        return answered.texts


class Worker:
    """Answers, inside of the sandbox."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[bytes, tuple[templates.Templates, Job]] = OrderedDict()
        self._chars = 0

    def answer(self, question: bytes) -> bytes:
        """b"" if the job is not known."""
        asked = _decode_asked(question)
        known = self._jobs.get(asked.digest)
        if known is None:
            if asked.job is None:
                return b""
            sandboxed.limit(COMPILE_CPU_S)
            try:
                known = templates.Templates(asked.job.sources, language=asked.job.language), asked.job
            except templates.InvalidTemplate as error:
                return _encode(Answered({}, f"the template does not compile: {error}"))
            self._keep(asked.digest, known)
        self._jobs.move_to_end(asked.digest)
        return _encode(rendered(*known, asked))

    def _keep(self, digest: bytes, known: tuple[templates.Templates, Job]) -> None:
        self._jobs[digest] = known
        self._chars += _chars(known[1])
        while len(self._jobs) > 1 and (len(self._jobs) > JOBS_KEPT or self._chars > SOURCE_CHARS_KEPT):
            _, (_, oldest) = self._jobs.popitem(last=False)
            self._chars -= _chars(oldest)


def rendered(compiled: templates.Templates, job: Job, asked: Asked) -> Answered:
    """One mail's, within the processor time that it may have."""
    sandboxed.limit(templates.RENDER_CPU_S)
    texts = {}
    try:
        for name in job.sources:
            # Fresh ones each time: a template may have changed the lists among them.
            values = variables.of_recipient(job.defaults, asked.own, asked.email, asked.name, asked.pages)
            texts[name] = compiled.render(name, values)
    except (templates.TemplateFailed, variables.TooDeep) as failed:
        return Answered({}, str(failed))
    return Answered(texts)


def _chars(job: Job) -> int:
    return sum(map(len, job.sources.values()))


if __name__ == "__main__":
    sandboxed.serve(Worker().answer)

"""By what the mail of a test is known: its subject begins with `[Test]`, a header field says it to programs, and every
link is shown under it, with its place among those that are counted. Pure.

What is shown is text: nothing in it leads anywhere, is tracked, or moves the places of the others. A destination that
depends on the recipient stands there as it was written.
"""

import re
from collections.abc import Sequence
from html import escape

import msgspec

from services.queueing.jobs import JobRequest
from shared.words.content import CompiledContent, Subject, TrackedLink

PREFIX, FIELD = "[Test] ", ("X-Estafette-Test", "1")
#: Links that are shown at most; a mail has some dozens.
MOST = 500
_TITLE = "Links of this test, by position"
_END = re.compile(r"</(?:body|mj-body)\s*>", re.IGNORECASE)
#: A URL that could be clicked in a text would be one more link.
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
#: Between the braces of what would be a template in the list.
_BRACES = re.compile(r"(?<=\{)(?=[{%#])|(?<=[}%#])(?=\})")


def shown(job: JobRequest, links: Sequence[TrackedLink]) -> JobRequest:
    """The content with these links listed at its end, in each of its parts."""
    lines = [_line(link) for link in links[:MOST]]
    rows = "<br/>".join(map(escape, [_TITLE, *lines]))
    html = f'<hr><p style="font:12px monospace">{rows}</p>'
    mjml = f"<mj-section><mj-column><mj-text>{rows}</mj-text></mj-column></mj-section>"
    text = "\n".join(["\n\n-- ", _TITLE, *lines, ""])
    return msgspec.structs.replace(
        job,
        html=job.html and _before_its_end(job.html, html),
        mjml=job.mjml and _before_its_end(job.mjml, mjml),
        amp=job.amp and _before_its_end(job.amp, f"<hr><p>{rows}</p>"),
        text=job.text and job.text + text,
    )


def _before_its_end(source: str, block: str) -> str:
    ends = list(_END.finditer(source))
    at = ends[-1].start() if ends else len(source)
    return source[:at] + block + source[at:]


def marked(compiled: CompiledContent) -> CompiledContent:
    """The content, in all its languages, with what says that it is a test."""
    variants = {
        language: msgspec.structs.replace(one, subject=_marked(one.subject))
        for language, one in compiled.variants.items()
    }
    headers = [*compiled.headers, FIELD]
    return msgspec.structs.replace(compiled, subject=_marked(compiled.subject), headers=headers, variants=variants)


def _marked(subject: Subject) -> Subject:
    return Subject(template=PREFIX + subject.template) if subject.template else Subject((PREFIX, *subject.pieces))


def _line(link: TrackedLink) -> str:
    url = _SCHEME.sub("", link.url.replace("\n", " "))
    return _BRACES.sub(" ", f"{link.position}: {url}" + (f" ({link.name})" if link.name else ""))

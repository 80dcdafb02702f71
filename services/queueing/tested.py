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
_END = re.compile(r"</body\s*>", re.IGNORECASE)
#: A URL that could be clicked in a text would be one more link.
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def shown(job: JobRequest, links: Sequence[TrackedLink]) -> JobRequest:
    """The content with these links listed at its end, in each of its parts."""
    if not links:
        return job
    lines = [_line(link) for link in links[:MOST]]
    html, text = job.html, job.text
    if html:
        rows = "<br>".join(escape(line).replace("{", "&#123;") for line in lines)
        block = f'<hr><p style="font:12px monospace">{_TITLE}<br>{rows}</p>'
        ends = list(_END.finditer(html))
        at = ends[-1].start() if ends else len(html)
        html = html[:at] + block + html[at:]
    if text:
        # Spaces between braces: the list is no template.
        rows = "\n".join(re.sub(r"(?<=\{)(?=[{%#])|(?<=[}%#])(?=\})", " ", line) for line in lines)
        text = f"{text}\n\n-- \n{_TITLE}\n{rows}\n"
    return msgspec.structs.replace(job, html=html, text=text)


def marked(compiled: CompiledContent) -> CompiledContent:
    """The content with what says that it is a test."""
    given = compiled.subject
    subject = Subject(template=PREFIX + given.template) if given.template else Subject((PREFIX, *given.pieces))
    return msgspec.structs.replace(compiled, subject=subject, headers=[*compiled.headers, FIELD])


def _line(link: TrackedLink) -> str:
    url = _SCHEME.sub("", link.url.replace("\n", " "))
    return f"{link.position}: {url}" + (f" ({link.name})" if link.name else "")

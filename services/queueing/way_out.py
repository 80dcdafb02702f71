"""Marketing mail shows a way to leave: where a part of its content has none, one is put at the end of it.

A content shows one where it prints `unsubscribe_url` or `preferences_url`, wherever that is; links of the tenant's own
cannot be told from others, so a job says `own_way_out`. Each part counts for itself, for nobody reads both.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from services.queueing import raw_text
from services.queueing.placeholders import Placeholder, placeholders
from services.queueing.rewrite import Document
from shared.mail.template_scan import spans
from shared.words.content import UNSUBSCRIBE_URL, WAYS_OUT
from shared.words.errors import Fault
from shared.words.way_out import FORMS, WAY_OUT

#: What the templates of a content with it name.
USES = frozenset((UNSUBSCRIBE_URL, WAY_OUT))
_URL, _WORDS = f"{{{{ {UNSUBSCRIBE_URL} }}}}", f"{{{{ {WAY_OUT} }}}}"
_IN_HTML = FORMS["html"].format(url=_URL, words=_WORDS)
_SHOWN = re.compile(rf"\b(?:{'|'.join(WAYS_OUT)})\b")
_WARNING = (
    "shows no way to leave, so a link is added at its end: put `{{ unsubscribe_url }}` or `{{ preferences_url }}` "
    "where it shall stand, or say `own_way_out` if it has a link of yours"
)


def is_missing(source: str, found: Sequence[Placeholder]) -> bool:
    """Whether a part shows none."""
    return not any(one.kind != "comment" and _SHOWN.search(source, one.start, one.end) for one in found)


def in_text(source: str) -> str:
    """The text, with one behind it."""
    return source + FORMS["text"].format(url=_URL, words=_WORDS)


def in_html(source: str, at: int) -> str:
    """The HTML, with one at the place where its body ends; behind the block of the template that this stands in."""
    for start, end in spans(source):
        at = end if start < at < end else at
    return source[:at] + _IN_HTML + source[at:]


def without(document: Document) -> Document:
    """An HTML to which one was added, with blanks in place of that: its links keep their positions."""
    begin = document.source.index(_IN_HTML)
    end = begin + len(_IN_HTML)
    source = document.source[:begin] + " " * len(_IN_HTML) + document.source[end:]
    others = [one for one in document.placeholders if not begin <= one.start < end]
    hrefs = [one for one in document.hrefs if not begin <= one.start < end]
    return msgspec.structs.replace(document, source=source, placeholders=others, hrefs=hrefs)


def warnings(given: Mapping[str, str | None]) -> list[Fault]:
    """Of the parts that one is added to, by their places in the job."""
    parts = [(at, raw_text.kept(source or "") if at != "$.text" else source or "") for at, source in given.items()]
    return [
        Fault(at, _WARNING) for at, source in parts if source.strip() and is_missing(source, list(placeholders(source)))
    ]

"""The preheader: what mail programs show beside the subject, before the mail is opened. Pure.

It stands hidden at the beginning of the body, and blanks that take no room go on behind it: else programs that show
more would go on with what the mail begins with. It is a template, as the HTML that it stands in; what of it is none is
text, and escaped.
"""

import re
from html import escape

import turbohtml

from services.queueing import characters, contexts
from services.queueing.placeholders import placeholders
from shared.words.errors import Fault

#: By what its template is known among those of the header fields.
NAME = "preheader"
#: Nobody shows more than 150.
MAX_CHARS = 500
#: As far as the list of mails of the widest program shows.
_BLANKS = "&#847;&zwnj;&nbsp;" * 90
_HIDDEN = (
    "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all;"
    "visibility:hidden"
)
#: Where there is no `<body>`: behind what stands before it.
_BEFORE_BODY = re.compile(
    r"\s*(?:<!doctype[^>]*>\s*)?(?:<html[^>]*>\s*)?(?:<head\b.*?</head>)?", re.IGNORECASE | re.DOTALL
)


def faults(text: str, *, has_html: bool) -> list[Fault]:
    if not text:
        return []
    if len(text) > MAX_CHARS:
        return [Fault("$.preheader", f"{len(text)} characters; at most {MAX_CHARS}")]
    if (what := characters.word_fault(text)) is not None:
        return [Fault("$.preheader", what)]
    return [] if has_html else [Fault("$.preheader", "stands in the HTML, and there is none")]


def placed(source: str, text: str) -> str:
    """The HTML with the preheader. Its lines stay the lines that they were."""
    if not text or faults(text, has_html=True):
        return source
    at = _body_at(source)
    return f'{source[:at]}<div style="{_HIDDEN}">{_escaped(text)}{_BLANKS}</div>{source[at:]}'


def _body_at(source: str) -> int:
    found = list(placeholders(source))
    masked = contexts.masked(source, found, " ")
    body = turbohtml.parse(masked, source_locations=True).select_one("body")
    location = body.source_location if body is not None else None
    if location is not None and location.start_tag is not None:
        at = location.start_tag.end_offset
        if masked[at - 1 : at] == ">":
            return at
    before = _BEFORE_BODY.match(masked)
    return before.end() if before is not None else 0


def _escaped(text: str) -> str:
    pieces: list[str] = []
    at = 0
    for one in placeholders(text):
        pieces += (escape(text[at : one.start]), text[one.start : one.end])
        at = one.end
    return "".join([*pieces, escape(text[at:])])

"""What is hardly meant so in a content, and is taken all the same: what `warnings` of an accepted job say. Pure."""

import re
from binascii import a2b_qp
from collections.abc import Sequence

from services.queueing.attachments import Attachment
from shared.words import content
from shared.words.content import CompiledContent, Part
from shared.words.errors import Fault

#: Of the HTML of a mail Gmail shows so much, as senders measure it, and hides the rest behind a link.
SHOWN_BYTES = 102_000
#: The language that a source says it is in; more of it is not looked through.
_LANG = re.compile(
    r"<(?:html|mjml)\b(?:[^>]{0,500}?\s)lang\s*=\s*[\"']?([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,2})", re.IGNORECASE
)
_HEAD_CHARS = 2_000
_CUT_OFF = "has {} bytes, more with tracked links: Gmail shows 102 kB, and hides the rest, the way to leave with it"
_NO_WAY_OUT = (
    "shows no way to leave, unless it has one of your own: Gmail, Yahoo and Microsoft want `{{ unsubscribe_url }}` or"
    " `{{ preferences_url }}` in each marketing mail"
)
_NOT_SHOWN = "the HTML shows no `cid:{}`: it goes along as an attachment"


def language_of(source: str) -> str:
    """The tag in `lang` of a document or of its MJML, "" where there is none, or a template's."""
    found = _LANG.search(source[:_HEAD_CHARS])
    return found[1] if found else ""


def of_content(html: str | None, html_at: str, files: Sequence[Attachment], compiled: CompiledContent) -> list[Fault]:
    """Of a job's. `html` is its HTML where it is sent as it was given; `html_at` where in the job it, or what it is
    made of, is; "" where it has none."""
    shown = {one.content_id for one in compiled.pictures}
    unseen = [
        Fault(f"$.attachments[{index}].content_id", _NOT_SHOWN.format(one.content_id))
        for index, one in enumerate(files)
        if one.content_id is not None and one.content_id not in shown
    ]
    return _cut_off(html, html_at, compiled) + _no_way_out(html_at, compiled) + unseen


def _cut_off(html: str | None, at: str, compiled: CompiledContent) -> list[Fault]:
    if html is not None and len(html) <= SHOWN_BYTES // 4:  # a character has four bytes at most
        return []
    size_bytes = len(html.encode()) if html is not None else _html_bytes(compiled)
    return [Fault(at, _CUT_OFF.format(size_bytes))] if size_bytes > SHOWN_BYTES else []


def _html_bytes(compiled: CompiledContent) -> int:
    """Of the HTML, without what is put into it for each recipient."""
    part = next((one for one in compiled.body if isinstance(one, Part) and one.kind == "html"), Part("html"))
    static = b"".join(one for one in part.segments if isinstance(one, bytes))
    return len(part.template.encode()) + len(a2b_qp(static))


def _no_way_out(html_at: str, compiled: CompiledContent) -> list[Fault]:
    """Marketing mail whose reader is shown no way to leave. It may have the sender's own, so it is not refused."""
    is_shown = compiled.stream != "bulk" or any(page in compiled.uses for page in content.WAYS_OUT)
    return [] if is_shown else [Fault(html_at or "$.text", _NO_WAY_OUT)]

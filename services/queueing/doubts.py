"""What of a job is hardly meant so: who would get an empty mail, what nobody has, what readers would miss."""

from binascii import a2b_qp
from collections.abc import Sequence

import msgspec

from services.queueing.attachments import Attachment
from services.queueing.lacking import EMPTY_BODY, EMPTY_SUBJECT, LacksByLanguage
from services.queueing.recipients import Rejected
from shared.redis.recipients import Waiting
from shared.words import content
from shared.words.content import Part
from shared.words.errors import Fault
from shared.words.variables import TooDeep, decoded

#: Of the HTML of a mail Gmail shows so much, as senders measure it, and hides the rest behind a link.
SHOWN_BYTES = 102_000


def cut_off(html: str | None, at: str, compiled: content.CompiledContent) -> list[Fault]:
    """That Gmail will not show all of it. `html` is None where what is sent is made of something else."""
    if html is not None and len(html) <= SHOWN_BYTES // 4:  # a character has four bytes at most
        return []
    size_bytes = len(html.encode()) if html is not None else _html_bytes(compiled)
    return [Fault(at, _CUT_OFF.format(size_bytes))] if size_bytes > SHOWN_BYTES else []


def _html_bytes(compiled: content.CompiledContent) -> int:
    """Of the HTML, without what is put into it for each recipient."""
    part = next((one for one in compiled.body if isinstance(one, Part) and one.kind == "html"), Part("html"))
    static = b"".join(one for one in part.segments if isinstance(one, bytes))
    return len(part.template.encode()) + len(a2b_qp(static))


def not_shown(files: Sequence[Attachment], compiled: content.CompiledContent) -> list[Fault]:
    """Of the files that the HTML could show, those that it does not."""
    shown = {one.content_id for one in compiled.pictures}
    return [
        Fault(f"$.attachments[{index}].content_id", _NOT_SHOWN.format(one.content_id))
        for index, one in enumerate(files)
        if one.content_id is not None and one.content_id not in shown
    ]


def judged(
    compiled: content.CompiledContent, waiting: list[Waiting], rejected: list[Rejected]
) -> tuple[list[Waiting], list[Rejected], list[str], list[Fault]]:
    """Who would get an empty mail is rejected, too; with the variables that no recipient has, and what is empty for all
    of them."""
    lacks = LacksByLanguage(compiled, decoded(compiled.variables))
    kept: list[Waiting] = []
    reasons: set[str] = set()
    rejected = list(rejected)
    accepted = 0
    for index, one in enumerate(waiting):
        reason = None
        if one.rejected is None:
            try:
                reason = lacks.reason(one)
            except TooDeep:
                reason = None  # the rendering says so
            accepted += reason is None
        if reason is not None:
            reasons.add(reason)
            rejected.append(Rejected(index, one.email, reason))
            one = msgspec.structs.replace(one, rejected=reason, files="")
        kept.append(one)
    rejected.sort(key=lambda one: one.index)
    faults = [] if accepted else [_EMPTY[reason] for reason in sorted(reasons)]
    return kept, rejected, lacks.unseen(), faults


def nobody_has(paths: Sequence[str], at: str = "$.recipients") -> list[Fault]:
    """That these variables are empty for all."""
    return [Fault(at, _NOBODY_HAS.format(path)) for path in paths]


_CUT_OFF = "has {} bytes, more with tracked links: Gmail shows 102 kB, and hides the rest, the way to leave with it"
_NOT_SHOWN = "the HTML shows no `cid:{}`: it goes along as an attachment"
_NOBODY_HAS = "no recipient has the variable `{}`, and the job has no default for it: it is empty for all"
_EMPTY = {
    EMPTY_SUBJECT: Fault("$.subject", "is empty for every recipient: none has what it is made of"),
    EMPTY_BODY: Fault("$.html", "the content is empty for every recipient: none has what it is made of"),
}

"""What a job may look like, and every reason why one is refused. Pure: JSON in, a job ready to be stored out.

Two kinds of wrong recipient: one with a wrong type, or with more than fits, is a fault of the request and refuses the
whole job; one whose address is *invalid*, whatever is wrong with it, or stands twice is rejected by itself, with its
index, and the others go on. A job in which nobody is left is refused.
"""

import re
import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.queueing import characters, doubts, undefined, way_out, windows
from services.queueing.amp import EXAMPLE as AMP_EXAMPLE
from services.queueing.attachments import Attachment
from services.queueing.pieces import MAX_FAULTS, refused
from services.queueing.recipients import Recipient, Rejected, Variables, accept, first_accepted
from services.queueing.track import Track
from services.queueing.trial import Tried
from services.queueing.whom import Addressee, RecipientsFrom
from services.queueing.wording import Wording
from shared.redis.recipients import Waiting
from shared.words import content, rates
from shared.words.content import MAX_COPIES
from shared.words.described import says
from shared.words.errors import Fault
from shared.words.result_sets import Expression
from shared.words.targets import Target
from shared.words.way_out import WAY_OUT

#: How long a mail may wait to be delivered when the job does not say: news is old after three days, a password reset
#: after one.
MAX_AGE_MS = {"bulk": 3 * 86_400_000, "transactional": 86_400_000, "one_to_one": 2 * 86_400_000}
#: A `send_at` that is past by more is told of.
LATE_MS = 60_000
#: The furthest that `send_at` and `expires_at` may lie ahead.
HORIZON_MS = 366 * 86_400_000

Word = Annotated[str, Meta(min_length=1, max_length=64)]
Moment = Annotated[datetime, Meta(tz=True)]


class TemplateNamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stored template, in one of its versions."""

    name: Annotated[str, says("The name of the template.", "welcome", max_length=64)]
    version: Annotated[
        Annotated[int, Meta(ge=1, le=2**31 - 1)] | None, says("Which version of it; the newest where null.", 3)
    ] = None


class JobRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """The body of POST /v1/jobs. `rate` is the most that is sent of it, over all sites: `50000/h`, or with what may
    come at once on top, `100/s burst 20`. An attempt whose end is unknown is made again, unless `at_most_once` (of
    bulk): then the message ends as bounced, with the reason `unknown_outcome`. Templates may stand in `subject`,
    `html`, `mjml`, `amp` and `text`, in the name of `from`, in `reply_to`, and in the values of `headers`."""

    from_: Annotated[
        str,
        says("The sender, from a domain of the tenant's; required without `template`.", "Chouette <news@exemple.fr>"),
    ] = ""
    subject: Annotated[str, says("The subject; required without `template`.", "Bonjour {{ prenom }}")] = ""
    template: Annotated[
        TemplateNamed | str | None,
        says(
            "A stored template (`/v1/templates`), by its name, or by name and version: what the job does not say itself"
            " is as the template has it now. The job keeps it: later changes of the template change no job.",
            "welcome",
        ),
    ] = None
    preheader: Annotated[
        str | None,
        says(
            "What mail programs show beside the subject: it stands hidden at the beginning of the HTML. A template.",
            "Jusqu'à dimanche, {{ prenom }}",
        ),
    ] = None
    recipients: Annotated[
        list[Recipient] | UnsetType, says("Up to 10,000 recipients; none at all in a job that is opened.")
    ] = UNSET
    recipients_from: Annotated[
        RecipientsFrom | UnsetType,
        says("Instead of `recipients`: a segment of contacts, or a set of recipients of other jobs."),
    ] = UNSET
    to: Annotated[
        list[Addressee],
        says(
            "Instead of `recipients`, not of `bulk`: people who get one mail and see each other in it. At most 50 with "
            "those of `cc` and `bcc`, each address once.",
            max_length=MAX_COPIES,
        ),
    ] = []
    cc: Annotated[list[Addressee], says("Beside `to`: who stands in its `Cc`.", max_length=MAX_COPIES)] = []
    bcc: Annotated[
        list[Addressee], says("Beside `to`: who gets it, too, and is not named in it.", max_length=MAX_COPIES)
    ] = []
    stream: Annotated[content.Stream, says("The kind of mail: what goes first, and how long it is tried.", "bulk")] = (
        "bulk"
    )
    reply_to: Annotated[str | None, says("Where answers go.", "contact@exemple.fr")] = None
    html: Annotated[
        str | None,
        says(
            "The content as HTML; this, `text`, or both.",
            '<p>Bonjour {{ prenom }}, <a href="https://exemple.fr/">ici</a></p>',
        ),
    ] = None
    text: Annotated[
        str | None,
        says(
            "The content as text; this, `html`, or both. Made of the HTML where there is none.", "Bonjour {{ prenom }}"
        ),
    ] = None
    mjml: Annotated[
        str | None,
        says(
            "MJML, of which the HTML is made; instead of `html`.",
            "<mjml><mj-body><mj-section><mj-column><mj-text>Bonjour {{ prenom }}</mj-text></mj-column></mj-section>"
            "</mj-body></mjml>",
        ),
    ] = None
    amp: Annotated[
        str | None,
        says(
            "The same as AMP for e-mail, for programs that show it; beside `html`. At most 200 kB, and not tracked.",
            AMP_EXAMPLE,
        ),
    ] = None
    inline_css: Annotated[
        bool, says("Whether the CSS of `<style>` is written into the elements of the HTML, too.", True)
    ] = False
    text_from_html: Annotated[
        bool, says("Whether a text is made of the HTML where `text` is missing or empty.", True)
    ] = True
    headers: Annotated[
        dict[str, str], says("Header fields of the mail, beside those of the engine.", {"X-Campaign": "soldes"})
    ] = {}
    attachments: Annotated[list[Attachment], says("Files that every mail carries.")] = []
    variables: Annotated[Variables, says("What a recipient has who has no such variable.", {"prenom": "vous"})] = {}
    list_: Annotated[Word | None, says("The list that a recipient unsubscribes from.", "newsletter")] = msgspec.field(
        default=None, name="list"
    )
    once: Annotated[
        Word | None,
        says(
            "An operation of yours. Who was sent a message of it within 90 days, by whichever job names it, is "
            "excluded as `already_sent`; known by their address, or by their `key`. A `test` belongs to none.",
            "autumn-2026",
        ),
    ] = None
    tags: Annotated[list[Word], says("Words to find the job by.", ["soldes"], max_length=20)] = []
    category: Annotated[Word | None, says("What kind of content it is.", "promotion")] = None
    track: Annotated[Track, says("What is tracked of recipients who agreed to it.")] = Track()
    send_at: Annotated[
        Moment | None, says("When it is queued; at once where null. At most a year ahead.", "2026-02-01T07:00:00Z")
    ] = None
    expires_at: Annotated[
        Moment | None, says("When a message is given up; after one to three days where null.", "2026-02-04T07:00:00Z")
    ] = None
    window: Annotated[windows.Window | None, says("Hours in which it goes, by the clock of each recipient.")] = None
    spread: Annotated[windows.Spread | None, says("A period that its messages are spread over.")] = None
    best_hour: windows.BestHour = False
    rate: Annotated[
        Annotated[str, Meta(max_length=40)] | None,
        says("The most that is sent of it, over all sites.", "50000/h", "100/s burst 20"),
    ] = None
    at_most_once: Annotated[bool, says("Of bulk: no second attempt where the end of one is unknown.", False)] = False
    undefined: Annotated[
        Literal["warn", "refuse"],
        says(
            "Of variables that the content names, no recipient has, and `variables` has no default for: `warn` says so "
            "in `warnings` and leaves them empty; `refuse` refuses the job, or an open job's start. `is defined` and "
            "`|default(…)` in the content show that it is meant. Not with `recipients_from`.",
            "refuse",
        ),
    ] = "warn"
    own_way_out: Annotated[
        bool,
        says(
            "Of bulk: the content has a link of your own to leave by, and is given none. Otherwise a part that prints "
            "neither `unsubscribe_url` nor `preferences_url` gets a link at its end, in the recipient's language.",
            False,
        ),
    ] = False
    test: Annotated[
        bool,
        says(
            "Whether somebody tries it: `[Test]` stands before the subject, the links are listed under the mail, an "
            "address may come twice, it goes at once, and counts nowhere but in its own report.",
            False,
        ),
    ] = False


#: The language that a source says it is in; more of it is not looked through.
_LANG = re.compile(
    r"<(?:html|mjml)\b(?:[^>]{0,500}?\s)lang\s*=\s*[\"']?([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,2})", re.IGNORECASE
)
_HEAD_CHARS = 2_000


def language_of(source: str) -> str:
    """The tag in `lang` of a document or of its MJML, "" where there is none, or a template's."""
    found = _LANG.search(source[:_HEAD_CHARS])
    return found[1] if found else ""


@dataclass(frozen=True)
class Job:
    """A job that may be stored. `waiting` has every recipient at its ordinal, rejected ones too; `warnings` are about
    what is hardly meant so, and is done all the same."""

    request: JobRequest
    compiled: content.CompiledContent
    waiting: list[Waiting]
    rejected: list[Rejected]
    send_at_ms: int
    expires_at_ms: int
    warnings: list[Fault]
    #: Who is to get it, of a job that came without recipients.
    selection: Expression | Target | None = None
    #: Which template it was made of, and in which layout (`templates.Used`); and what it said itself.
    template: str = ""
    own: JobRequest | None = None
    #: The files of single recipients, by their digests.
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """A job whose content is not compiled yet: `rate` as it is stored. `faults` are those that are known."""

    request: JobRequest
    rate: str
    recipients: list[Recipient]
    open_job: bool
    send_at_ms: int
    expires_at_ms: int
    faults: list[Fault]
    selection: Expression | Target | None = None
    #: The content in other languages; which template it is of, and the fields that the job itself says.
    translations: Mapping[str, Wording] = field(default_factory=dict)
    template: str = ""
    own: JobRequest | None = None
    given: frozenset[str] = frozenset()
    #: What is hardly meant so of its times.
    remarks: Sequence[Fault] = ()
    #: Whom the content is tried with, where it is not the first of the recipients.
    stored: Sequence[Tried] | None = None
    #: All that decides what its content becomes, if others are likely to have it too (`reading`).
    known_as: Hashable = None

    @cached_property
    def tried(self) -> Sequence[Tried]:
        """The recipients that the content is tried with."""
        return first_accepted(self.recipients, self.request.stream) if self.stored is None else self.stored

    @property
    def comes_alone(self) -> bool:
        """Its recipients come later."""
        return self.open_job or self.selection is not None


def draft_of(
    job: JobRequest,
    recipients: list[Recipient],
    now_ms: int,
    *,
    open_job: bool = False,
    selection: Expression | Target | None = None,
    given: frozenset[str] = frozenset(),
    known_as: Hashable = None,
) -> Draft:
    """What is still to be looked at of a job whose fields fit."""
    send_at_ms, expires_at_ms, faults = _times(job, now_ms)
    rate, rate_faults = _rate(job)
    faults += rate_faults + _at_most_once_faults(job) + _word_faults(job)
    faults += windows.read(job.window, job.spread, job.best_hour, job.stream)[1]
    return Draft(
        job, rate, recipients, open_job, send_at_ms, expires_at_ms, faults,
        selection=selection, given=given, remarks=_time_remarks(job, now_ms), known_as=known_as,
    )  # fmt: skip


def finish(draft: Draft, compiled: content.CompiledContent | list[Fault]) -> Job:
    """The job, with its content. Problem 422 with every fault."""
    faults = [*draft.faults, *(_placed(compiled, draft) if isinstance(compiled, list) else ())]
    apart = not draft.request.test
    waiting, rejected, recipient_faults, files = accept(draft.recipients, draft.request.stream, apart=apart)
    faults += recipient_faults
    if not draft.comes_alone and not recipient_faults and len(rejected) == len(waiting):
        faults += [Fault(f"$.recipients[{one.index}].email", one.reason) for one in rejected]
    warnings: list[Fault] = []
    if draft.request.undefined == "refuse" and draft.selection is not None:
        faults.append(Fault("$.undefined", _NOT_KNOWN))
    is_open = draft.comes_alone or (not isinstance(compiled, list) and bool(compiled.given))
    if not faults and not isinstance(compiled, list) and not is_open:
        waiting, rejected, unseen, faults = doubts.judged(compiled, waiting, rejected)
        lacked, warnings = _of_unseen(draft.request, unseen)
        faults += lacked
    if faults or isinstance(compiled, list):
        raise refused(faults)
    warnings += [*draft.remarks, *_remarks(draft.request, compiled)]
    times = draft.send_at_ms, draft.expires_at_ms
    return Job(
        draft.request, compiled, waiting, rejected, *times, warnings,
        selection=draft.selection, template=draft.template, own=draft.own, files=files,
    )  # fmt: skip


def _placed(faults: list[Fault], draft: Draft) -> list[Fault]:
    """What is wrong with what the template brought is told of the template."""
    if not draft.template:
        return faults
    known = {one.at for one in draft.faults}
    return [
        one
        if (name := re.split(r"[.\[]", one.at.removeprefix("$."), maxsplit=1)[0]) in draft.given
        else Fault("$.template", f"{name}: {one.what}")
        for one in faults
        if one.at not in known
    ]


def _remarks(job: JobRequest, compiled: content.CompiledContent) -> list[Fault]:
    """Of its content."""
    html_at = "$.mjml" if job.mjml else "$.html"
    found = doubts.cut_off(None if job.mjml or job.inline_css else job.html or "", html_at, compiled)
    if WAY_OUT in compiled.uses:
        found += way_out.warnings({html_at: job.mjml or job.html, "$.amp": job.amp, "$.text": job.text})
    return found + doubts.not_shown(job.attachments, compiled)


def _of_unseen(job: JobRequest, unseen: list[str]) -> tuple[list[Fault], list[Fault]]:
    """What the job refuses of the variables that nobody has, and what it is warned of."""
    if job.undefined == "warn" or not unseen:
        return [], doubts.nobody_has(unseen[:MAX_FAULTS], "$.to" if job.to else "$.recipients")
    return list(wanted(job, unseen).values()), []


def wanted(job: JobRequest, paths: Sequence[str]) -> dict[str, Fault]:
    """What is wrong if nobody has these variables; of a job that refuses it."""
    if job.undefined == "warn":
        return {}
    return undefined.faults(templates_of(job), paths)


def templates_of(job: JobRequest) -> list[tuple[str, str]]:
    """Each with its place in it."""
    return undefined.sources(
        {"subject": job.subject, "text": job.text}, {"html": job.html, "mjml": job.mjml, "amp": job.amp},
        job.from_, job.reply_to, job.headers,
    )  # fmt: skip


_NOT_KNOWN = (
    "what the recipients of a set or of a segment have is not known before they are taken: only `warn` can be said"
)


def pack_source(request: JobRequest) -> bytes:
    """What a job's content is made from, to make it anew when some of it is changed."""
    return zlib.compress(msgspec.json.encode(request), 1)


# Times and content


def _times(job: JobRequest, now_ms: int) -> tuple[int, int, list[Fault]]:
    faults = []
    # Whoever tries a job wants to see it now; its other times are passed over where they would be read.
    send_at_ms = _ms(job.send_at) if job.send_at and not job.test else 0
    expires_at_ms = _ms(job.expires_at) if job.expires_at else 0
    for name, moment in (("send_at", send_at_ms), ("expires_at", expires_at_ms)):
        if moment > now_ms + HORIZON_MS:
            faults.append(Fault(f"$.{name}", "more than a year ahead"))
    if expires_at_ms and expires_at_ms <= max(now_ms, send_at_ms):
        faults.append(Fault("$.expires_at", "not after the time of sending"))
    return send_at_ms if send_at_ms > now_ms else 0, expires_at_ms, faults


def _time_remarks(job: JobRequest, now_ms: int) -> list[Fault]:
    """A year that is wrong looks like this. Who means now may be a little late."""
    if job.send_at is None or job.test or _ms(job.send_at) > now_ms - LATE_MS:
        return []
    return [Fault("$.send_at", "it is past: the job goes at once")]


def _rate(job: JobRequest) -> tuple[str, list[Fault]]:
    """As it is stored: one way to write each; "" for none."""
    if job.rate is None:
        return "", []
    try:
        return str(rates.parse_rate(job.rate)), []
    except ValueError as fault:
        return "", [Fault("$.rate", str(fault))]


def _at_most_once_faults(job: JobRequest) -> list[Fault]:
    if job.at_most_once and job.stream != "bulk":
        what = f"for bulk only: {job.stream} mail is waited for, and rather comes twice than not at all"
        return [Fault("$.at_most_once", what)]
    return []


def _word_faults(job: JobRequest) -> list[Fault]:
    """Tags are kept as lines; and none of these words has more than one."""
    words = {f"$.tags[{index}]": tag for index, tag in enumerate(job.tags)}
    words |= {"$.list": job.list_ or "", "$.category": job.category or "", "$.once": job.once or ""}
    return [Fault(at, what) for at, word in words.items() if (what := characters.word_fault(word)) is not None]


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

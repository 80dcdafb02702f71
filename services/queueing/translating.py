"""A content in several languages: which recipient gets which, and how translations become one compiled content. Pure.

A recipient's language is their variable `language`, else that of the job's variables; `de-AT` gets what there is for
`de-AT`, else for `de`, else the content as it stands in the job. A translation has the parts that the content has, so
all that goes around them, attachments too, is there once. The places of links go on from one to the next: each link of
each language is counted by itself, and by its URL with the others.
"""

from collections.abc import Mapping, Sequence

import msgspec

from services.queueing.attachments import Reference
from services.queueing.compile import Templated
from services.queueing.jobs import Draft, JobRequest
from services.queueing.trial import Tried
from services.queueing.wording import Wording
from shared.words import variables
from shared.words.content import CompiledContent, Part, TrackedLink, Variant
from shared.words.errors import Fault
from shared.words.languages import fitting

#: Of one content.
MAX_LANGUAGES = 30
#: Its texts in all languages together: relays keep the contents of jobs.
MAX_BYTES = 4_000_000


def worded(job: JobRequest, wording: Wording) -> JobRequest:
    """The job in other words."""
    return msgspec.structs.replace(
        job,
        subject=wording.subject,
        preheader=wording.preheader or None,
        html=wording.html,
        text=wording.text,
        mjml=wording.mjml,
        amp=wording.amp,
    )


def tried_in(language: str, draft: Draft) -> Sequence[Tried]:
    """Those of the recipients who get the content in that language; "": as it stands in the job."""
    defaults = draft.request.variables
    return [
        one for one in draft.tried if fitting(variables.language(defaults, one.own), draft.translations) == language
    ]


def shows(templated: Templated, made: Mapping[str, Templated]) -> list[Reference]:
    """What the HTML of any language shows of the files that come with it."""
    every = [one for each in (templated, *made.values()) for one in each.shows]
    return list({one.content_id: one for one in reversed(every)}.values())[::-1]


def joined(compiled: CompiledContent | list[Fault], made: Mapping[str, Templated]) -> CompiledContent | list[Fault]:
    """One content of all. Faults, each with its language, if one of them does not fit."""
    faults = list(compiled) if isinstance(compiled, list) else []
    # What all languages have in common, such as the header fields, is told once.
    common = {(fault.at, fault.what) for fault in faults}
    for language, templated in made.items():
        at = f"$.translations.{language}"
        own = [fault for fault in templated.faults if (fault.at, fault.what) not in common]
        faults += [Fault(at + fault.at.removeprefix("$"), fault.what) for fault in own]
    if faults or isinstance(compiled, list):
        return faults
    variants: dict[str, Variant] = {}
    links: list[TrackedLink] = list(compiled.links)
    uses = set(compiled.uses)
    kinds = [part.kind for part in compiled.body if isinstance(part, Part)]
    for language, templated in made.items():
        parts = {part.kind: part for part in (templated.text, templated.amp, templated.html) if part is not None}
        if "text" not in kinds:
            parts.pop("text", None)  # made of the HTML, as none could be of the content as it stands in the job
        if set(parts) != set(kinds):
            faults.append(Fault(f"$.translations.{language}", _differs(kinds, list(parts))))
            continue
        variants[language] = Variant(templated.subject, [parts[kind] for kind in kinds])
        links += templated.links
        uses |= set(templated.uses)
    return faults or msgspec.structs.replace(compiled, variants=variants, links=links, uses=sorted(uses))


def _differs(kinds: Sequence[str], parts: Sequence[str]) -> str:
    what = f"has to have what the content has, and nothing else: {' and '.join(kinds)}"
    if set(kinds) - set(parts) == {"text"}:
        what += "; no text can be made of its HTML, so give one, or say `text_from_html`: false"
    return what

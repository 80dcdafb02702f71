"""A content in several languages: which recipient gets which, and how translations become one compiled content. Pure.

A recipient's language is their variable `language`, else that of the job's variables; `de-AT` gets what there is for
`de-AT`, else for `de`, else the content as it stands in the job. A translation has the parts that the content has, so
all that goes around them, attachments too, is there once. The places of links go on from one to the next: each link of
each language is counted by itself, and by its URL with the others.
"""

from collections.abc import Mapping, Sequence

import msgspec

from services.queueing.compile import Templated
from services.queueing.jobs import Draft, JobRequest
from services.queueing.trial import Tried
from services.queueing.wording import Wording
from shared.words import variables
from shared.words.content import CompiledContent, Part, TrackedLink, Variant
from shared.words.errors import Fault
from shared.words.languages import fitting
from shared.words.way_out import WAY_OUT

#: Of one content.
MAX_LANGUAGES = 30
#: Its texts in all languages together: relays keep the contents of jobs.
MAX_BYTES = 4_000_000


def worded(job: JobRequest, wording: Wording) -> JobRequest:
    """The job in other words."""
    return msgspec.structs.replace(
        job, subject=wording.subject, preheader=wording.preheader or None, html=wording.html, text=wording.text
    )


def tried_in(language: str, draft: Draft) -> Sequence[Tried]:
    """Those of the recipients who get the content in that language; "": as it stands in the job."""
    defaults = draft.request.variables
    return [
        one for one in draft.tried if fitting(variables.language(defaults, one.own), draft.translations) == language
    ]


def joined(compiled: CompiledContent, made: Mapping[str, Templated]) -> CompiledContent | list[Fault]:
    """One content of all. Faults, each with its language, if one of them does not fit."""
    faults: list[Fault] = []
    variants: dict[str, Variant] = {}
    links: list[TrackedLink] = list(compiled.links)
    uses = set(compiled.uses)
    kinds = [part.kind for part in compiled.body if isinstance(part, Part)]
    for language, templated in made.items():
        at = f"$.translations.{language}"
        faults += [Fault(at + fault.at.removeprefix("$"), fault.what) for fault in templated.faults]
        parts = {part.kind: part for part in (templated.text, templated.html) if part is not None}
        if not templated.faults and set(parts) != set(kinds):
            faults.append(Fault(at, f"has to have what the content has, and nothing else: {' and '.join(kinds)}"))
            continue
        variants[language] = Variant(templated.subject, [parts[kind] for kind in kinds if kind in parts])
        links += templated.links
        uses |= set(templated.uses)
    values = compiled.variables
    if WAY_OUT in uses and WAY_OUT not in compiled.uses:
        values = msgspec.Raw(msgspec.msgpack.encode({**variables.decoded(values), WAY_OUT: compiled.language}))
    return faults or msgspec.structs.replace(
        compiled, variants=variants, links=links, uses=sorted(uses), variables=values
    )

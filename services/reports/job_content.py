"""The content of a job, as it was written and is counted: for who shows its clicks where they were made."""

import re
from binascii import a2b_qp
from typing import Annotated

import msgspec

from shared.words import content
from shared.words.content import CompiledContent, Link, Part, Pixel, Variable
from shared.words.described import says

#: What stands in front of its position in the value of a counted link.
LINK = "#link-"
_MARKED = re.compile(
    f"{content.LINK_BEGIN}([0-9]{{1,5}}){content.LINK_VALUE}([^{content.LINK_END}]*){content.LINK_END}"
)


class JobContent(msgspec.Struct, frozen=True, kw_only=True):
    """What its mails are made of."""

    job: Annotated[str, says("The id of the job.", "068vjfm5s9m2rc1jqqrg")]
    html: Annotated[
        str | None,
        says(
            "The HTML as it was written, with its variables; null where there is none. The value of a link that is "
            "counted is `#link-` and its position.",
            '<p>Bonjour {{ prenom }} : <a href="#link-2">soldes</a></p>',
        ),
    ]


def job_content(job: str, compiled: CompiledContent) -> JobContent:
    part = next((one for one in compiled.body if isinstance(one, Part) and one.kind == "html"), None)
    # Where a part ends a line ends, whether the author wrote it or not.
    return JobContent(job=job, html=None if part is None else _html(part).rstrip("\r\n"))


def _html(part: Part) -> str:
    if part.template:
        return _MARKED.sub(_of_template, part.template).replace(content.PIXEL, "")
    # Slots stand between soft line breaks, so that all of it can be decoded as one text (RFC 2045, 6.7).
    quoted = b"".join(one if isinstance(one, bytes) else _slot(one) for one in part.segments)
    return a2b_qp(quoted).decode("utf-8", "replace")


def _slot(slot: Variable | Link | Pixel) -> bytes:
    match slot:
        case Variable(path):
            text = f"{{{{ {'.'.join(path)} }}}}"
        case Link(position) if position < content.UNTRACKED_STYLE:
            text = f"{LINK}{position}"
        case Link(_, source):
            text = "".join(one if isinstance(one, str) else _slot(one).decode() for one in source).replace("=", "=3D")
        case _:
            text = ""
    return text.encode("utf-8", "replace")


def _of_template(found: re.Match[str]) -> str:
    return f"{LINK}{found[1]}" if int(found[1]) < content.UNTRACKED_STYLE else found[2]

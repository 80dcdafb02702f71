"""Parts of a content, of a source that was read: segments with slots between them, or a template with marks. Pure."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from services.queueing import mime, raw_text, rewrite, text_links
from services.queueing.lacking import Needs
from services.queueing.placeholders import placeholders
from shared.mail import hrefs as schemes
from shared.words import content
from shared.words.content import Part
from shared.words.errors import Fault
from shared.words.utm import Utm, added

#: Lines that are named of a fault that many have.
MAX_LINES_NAMED = 20


def of_html(
    kind: Literal["html", "amp"], document: rewrite.Document, utm: Utm | None, needs: Needs, *, opens: bool
) -> Part:
    """The HTML, or its AMP version, that needs so much to show something. `opens`: with a pixel."""
    if document.has_logic:
        return Part(kind, template=raw_text.for_engine(rewrite.marked(document, opens=opens)))
    pieces = (_with_utm(_given_back(piece), utm) for piece in rewrite.pieces(document, opens=opens))
    return Part(kind, segments=mime.segments(pieces), needs=needs)


def of_text(source: str, hrefs: Sequence[rewrite.Href], utm: Utm | None, needs: Needs) -> Part:
    """The text that needs so much to show something, in which these links are tracked."""
    found = list(placeholders(source))
    if rewrite.has_logic(found):
        return Part("text", template=text_links.marked(source, hrefs))
    pieces = (_with_utm(piece, utm) for piece in text_links.pieces(source, found, hrefs))
    return Part("text", segments=mime.segments(pieces), needs=needs)


def faults_of_html(guarded: rewrite.Guarded, document: rewrite.Document, at: str) -> list[Fault]:
    """What is wrong with a source that was read so, at its place in the job."""
    made = "in the HTML that is made of it, " if at == "$.mjml" else ""
    found = [Fault(at, f"{made}{what}") for what in guarded.faults[:MAX_LINES_NAMED]]
    found += (
        Fault(at, f"{made}line {line}: leads to {', '.join(schemes.DANGEROUS[:-1])} or {schemes.DANGEROUS[-1]}")
        for line in document.dangerous_lines[:MAX_LINES_NAMED]
    )
    found += (
        Fault(at, f"{made}line {line}: the name in data-document has a variable; it is one for all recipients")
        for line in document.refused_lines[:MAX_LINES_NAMED]
    )
    return found


def _with_utm(piece: rewrite.Piece, utm: Utm | None) -> rewrite.Piece:
    if utm is not None and isinstance(piece, content.Link) and piece.url:
        return msgspec.structs.replace(piece, url=added(piece.url, utm))
    return piece


def _given_back(piece: rewrite.Piece) -> rewrite.Piece:
    if isinstance(piece, str):
        return raw_text.given_back(piece)
    if isinstance(piece, content.Link):
        source = (raw_text.given_back(one) if isinstance(one, str) else one for one in piece.source)
        return msgspec.structs.replace(piece, source=tuple(source))
    return piece

"""Parts of a content, of a source that was read: segments with slots between them, or a template with marks. Pure."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from services.queueing import lacking, mime, raw_text, rewrite, text_links
from services.queueing.placeholders import placeholders
from shared.words import content
from shared.words.content import Part
from shared.words.utm import Utm, added


def of_html(kind: Literal["html", "amp"], document: rewrite.Document, utm: Utm | None = None, *, opens: bool) -> Part:
    """The HTML, or its AMP version. `opens`: with a pixel."""
    if document.has_logic:
        return Part(kind, template=raw_text.for_engine(rewrite.marked(document, opens=opens)))
    pieces = (_with_utm(_given_back(piece), utm) for piece in rewrite.pieces(document, opens=opens))
    # An AMP part is never all that a mail shows.
    needs = lacking.needs_of_html(document.source, document.placeholders) if kind == "html" else None
    return Part(kind, segments=mime.segments(pieces), needs=needs)


def of_text(source: str, hrefs: Sequence[rewrite.Href], utm: Utm | None) -> Part:
    """The text, in which these links are tracked."""
    found = list(placeholders(source))
    if rewrite.has_logic(found):
        return Part("text", template=text_links.marked(source, hrefs))
    pieces = (_with_utm(piece, utm) for piece in text_links.pieces(source, found, hrefs))
    return Part("text", segments=mime.segments(pieces), needs=lacking.needs_of_text(source, found))


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

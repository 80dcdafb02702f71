"""A template cut at what needs the engine: text between blocks is the same for everybody, and is not rendered.

Most of a newsletter with logic is text, links included: only its tags and blocks, the islands, go to the engine, one
after the other in one source, with a mark between them, so that what one of them sets the next ones have. What comes
back is cut at the marks. An island that begins or ends within the value of an href reaches over the whole of it.
"""

import re
from collections.abc import Iterator

import msgspec

from shared.mail.template_scan import spans
from shared.words import content
from shared.words.content import (
    LINK_BEGIN,
    LINK_END,
    LINK_VALUE,
    PIXEL,
    Link,
    Pixel,
)

#: Text between two islands that is no longer than this stays with them: a slot of its own would cost more.
SHORT_CHARS = 16

_HREF = re.compile(f"{LINK_BEGIN}([0-9]{{1,5}}){LINK_VALUE}([^{LINK_END}]*){LINK_END}")
_MARKED = re.compile(f"{LINK_BEGIN}([0-9]{{1,5}}){LINK_VALUE}([^{LINK_END}]*){LINK_END}|({PIXEL})")
_MARK = re.compile(f"[{''.join(content.MARKS)}]")


class Island(msgspec.Struct, frozen=True):
    """A slot for what the engine makes of the nth island."""

    number: int


Piece = str | Link | Pixel | Island


class Cut(msgspec.Struct, frozen=True):
    """`sources` of the islands, for the engine; the pieces of the whole, islands among them, in order. The `url` of a
    link is not set: what it leads to is in its source."""

    sources: list[str]
    pieces: list[Piece]


def cut(template: str) -> Cut:
    """Of a template that compiles, with the marks of `shared.words.content`. One island, if its marks are not in
    pairs."""
    found = _merged(template, _spans(template))
    sources: list[str] = []
    pieces: list[Piece] = []
    at = 0
    for start, end in [*found, (len(template), len(template))]:
        text = template[at:start]
        # `-` at the outer end of a tag takes the blanks beside it (it is never inside of an island's neighbour).
        if sources and sources[-1].endswith(("-}}", "-%}", "-#}")):
            text = text.lstrip()
        if template.startswith(("{{-", "{%-", "{#-"), start):
            text = text.rstrip()
        pieces += _pieces(text)
        if start < len(template):
            pieces.append(Island(len(sources)))
            sources.append(template[start:end])
        at = end
    if any(isinstance(piece, str) and _MARK.search(piece) for piece in pieces):
        return Cut([template], [Island(0)])
    return Cut(sources, pieces)


def _spans(template: str) -> list[tuple[int, int]]:
    """Those of tags and blocks, and of hrefs that one of them stands in, in order."""
    tags = spans(template)
    # An href whose value is text is not an island.
    hrefs = [found.span() for found in _HREF.finditer(template)]
    joined: list[tuple[int, int]] = []
    for start, end in sorted([*tags, *_holding(hrefs, tags)]):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _holding(outer: list[tuple[int, int]], inner: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Those of `outer` that overlap with one of `inner`; each is in order, and has no overlaps of its own."""
    at = 0
    for start, end in outer:
        while at < len(inner) and inner[at][1] <= start:
            at += 1
        if at < len(inner) and inner[at][0] < end:
            yield start, end


def _merged(template: str, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in found:
        if merged:
            between = template[merged[-1][1] : start]
            if len(between) <= SHORT_CHARS and not _MARK.search(between):
                merged[-1] = merged[-1][0], end
                continue
        merged.append((start, end))
    return merged


def _pieces(text: str) -> Iterator[Piece]:
    """No text among them is empty."""
    at = 0
    for found in _MARKED.finditer(text):
        if found.start() > at:
            yield text[at : found.start()]
        yield Pixel() if found[3] else Link(int(found[1]), (found[2],))
        at = found.end()
    if at < len(text):
        yield text[at:]

"""Links of the HTML: which there are, which are tracked, and where in the source their values stand.

The HTML is parsed as browsers do, to know what is a link, and never written anew: what comes out is the source cut at
the values of the tracked hrefs. Placeholders are masked before parsing, with as many characters as they have, so that
offsets stay true: what prints becomes letters, for it may stand in an unquoted value, and the rest blanks.

What is a link `links` says; its position is its place among them in the source, from 0. Tracked are those that lead,
or with placeholders in them may lead, to http or https. Not tracked: other schemes, anchors, what is, or is inside of
an element that is, marked `data-track="off"`, and the links to the recipient's pages, which are known by where they
lead.

A source is written by anybody who has a key: nothing here takes more time than the length of the source times a little.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from html import unescape
from operator import attrgetter

import msgspec
import turbohtml

from services.queueing import contexts, links
from services.queueing.links import VALUE
from services.queueing.placeholders import Placeholder, placeholders
from shared.mail import hrefs, showing
from shared.words import content, tokens
from shared.words.content import Link, Pixel, Variable

Piece = str | Variable | Link | Pixel

#: What makes a browser go somewhere or run something, and the attribute that says where to. Pictures do neither, and
#: `data:` is usual in them.
_GOING = (
    ("[href]", "href"),
    (r"[xlink\:href]", "xlink:href"),
    ("[action]", "action"),
    ("[formaction]", "formaction"),
    ("iframe[src], frame[src], embed[src], script[src]", "src"),
    ("object[data]", "data"),
    ('meta[http-equiv="refresh" i][content]', "content"),
)
#: What stands before the URL in the content of a refresh (HTML, 4.2.5.3).
_REFRESH = re.compile(r"\s*[\d.]*\s*[;,]?\s*(?:url\s*=\s*)?[\"']?", re.IGNORECASE)
#: Attributes whose whole value is looked at where a recipient's variable is in it, of whatever element, with whatever
#: prefix; and as what.
_LOOKED_AT = {
    "href": content.UNTRACKED,
    "action": content.UNTRACKED,
    "formaction": content.UNTRACKED,
    "data": content.UNTRACKED,
    "codebase": content.UNTRACKED,
    "classid": content.UNTRACKED,
    "code": content.UNTRACKED,
    "archive": content.UNTRACKED,
    "manifest": content.UNTRACKED,
    "profile": content.UNTRACKED,
    "ping": content.UNTRACKED,
    "cite": content.UNTRACKED,
    "longdesc": content.UNTRACKED,
    # Of SVG's animations, which set an href.
    "to": content.UNTRACKED,
    "from": content.UNTRACKED,
    "by": content.UNTRACKED,
    "values": content.UNTRACKED,
    "src": content.UNTRACKED_PICTURE,
    "srcset": content.UNTRACKED_PICTURE,
    "imagesrcset": content.UNTRACKED_PICTURE,
    "background": content.UNTRACKED_PICTURE,
    "poster": content.UNTRACKED_PICTURE,
    "lowsrc": content.UNTRACKED_PICTURE,
    "dynsrc": content.UNTRACKED_PICTURE,
    "usemap": content.UNTRACKED_PICTURE,
    "icon": content.UNTRACKED_PICTURE,
    "style": content.UNTRACKED_STYLE,
}
#: Elements that run what their `src` leads to.
_RUNNING = ("iframe", "frame", "embed", "script", "bgsound", "layer", "ilayer", "object", "applet")
#: Looked at whatever they begin with.
_WHOLE = (content.UNTRACKED_STYLE, content.UNTRACKED_REFRESH, content.UNTRACKED_PICTURE)
#: Characters of a placeholder that is refused.
EXCERPT_CHARS = 40
_START = attrgetter("start")


class Href(msgspec.Struct, frozen=True):
    """`source[start:end]` is the value of a tracked href. `url` is "" if it depends on the recipient. `position` is one
    of those that `content` calls untracked where it is only looked at. `name` is what the source calls it, or "", and
    `document` the name of the tracked document that it leads to, or ""."""

    position: int
    start: int
    end: int
    url: str
    name: str = ""
    document: str = ""


class Document(msgspec.Struct, frozen=True, dict=True):
    """An HTML source, its placeholders, its tracked links in order, where the pixel goes, the lines of what leads where
    nothing may (`shared.mail.hrefs`), the stretches that are ours, and no part of the mail, every link, tracked or not,
    at its position, and the lines of tracked documents whose names depend on the recipient."""

    source: str
    placeholders: list[Placeholder]
    hrefs: list[Href]
    pixel_at: int
    dangerous_lines: list[int] = []
    ours: list[tuple[int, int]] = []
    every: list[links.Found] = []
    refused_lines: list[int] = []

    @property
    def has_logic(self) -> bool:
        return has_logic(self.placeholders)

    @cached_property
    def cuts(self) -> list[Placeholder]:
        """Where a document without logic is cut: at what prints, and at what is ours as at a comment."""
        ours = [Placeholder("comment", start, end) for start, end in self.ours]
        return sorted([*self.placeholders, *ours], key=_START) if ours else self.placeholders

    def links(self) -> list[content.TrackedLink]:
        return [
            content.TrackedLink(href.position, href.url or self.source[href.start : href.end], href.name, href.document)
            for href in self.hrefs
            if href.position < content.UNTRACKED_STYLE
        ]


def read(
    source: str,
    *,
    clicks: bool,
    values: Sequence[contexts.Value] | None = None,
    is_template: bool = True,
    first_position: int = 0,
) -> Document:
    """The document. `source` has LF line ends; without `clicks` no link is tracked. `values` are those in which
    something prints, if they are known. Without `is_template` it has no placeholders, whatever stands in it. Positions
    go on from `first_position`."""
    found = list(placeholders(source)) if is_template else []
    masked = contexts.masked(source, found, " ")
    html = turbohtml.parse(masked, source_locations=True)
    going = _going(html, masked)
    linked = links.find(html, masked, found)
    found_hrefs = _hrefs(linked.found, source, found, clicks=clicks, first_position=first_position)
    if has_printing(found):
        values = contexts.look(source, found).values if values is None else values
        found_hrefs = _with_others(found_hrefs, values, source, found)
    pixel_at = _pixel_at(html, masked, source)
    dangerous, refused = _dangerous_lines(going, masked), _lines(masked, linked.refused) if linked.refused else []
    return Document(source, found, found_hrefs, pixel_at, dangerous, linked.ours, linked.found, refused)


class Guarded(msgspec.Struct, frozen=True):
    """A source in which what prints stays what it stands in (`contexts`), with quotes around values that had none, and
    with filters for scripts; what could not be helped, in words, with line, column and remedy; and the values in which
    something prints, None if they are where they were in another source."""

    source: str
    faults: list[str]
    values: list[contexts.Value] | None


def guarded(source: str) -> Guarded:
    """The source, changed where it has to be."""
    found = list(placeholders(source))
    if not has_printing(found):
        return Guarded(source, [], [])
    looked = contexts.look(source, found)
    inserted = [(at, '"') for quotes in looked.quotes for at in quotes]
    for index, is_string in looked.code.items():
        inserted += _filtered(source, found[index], is_string=is_string, is_raw=index in looked.raw)
    parts: list[str] = []
    at = 0
    for offset, text in sorted(inserted):
        parts += (source[at:offset], text)
        at = offset
    values = None if inserted else looked.values
    return Guarded("".join([*parts, source[at:]]), _told(source, looked.naked), values)


def _filtered(source: str, one: Placeholder, *, is_string: bool, is_raw: bool) -> Sequence[tuple[int, str]]:
    """What is put into a placeholder of a script."""
    begin = one.start + 2 + (source[one.start + 2] in "-+")
    end = one.end - 2 - (source[one.end - 3] in "-+")
    if not is_string and contexts.IS_JSON.search(source[one.start : one.end]):
        return ((end, "|safe"),) if is_raw else ()
    name = "in_string" if is_string else "in_script"
    return (begin, "("), (end, f")|{name}{'|safe' if is_raw else ''}")


def _told(source: str, naked: Sequence[contexts.Naked]) -> list[str]:
    told = []
    ends = [found.start() for found in re.finditer("\n", source)] if naked else []
    for one in naked:
        line = bisect_left(ends, one.start)
        column = one.start - (ends[line - 1] if line else -1)
        excerpt = source[one.start : one.start + EXCERPT_CHARS].partition("\n")[0]
        told.append(f"line {line + 1}, column {column}: {excerpt!r}: {one.what}")
    return told


def has_printing(found: Sequence[Placeholder]) -> bool:
    """Whether anything is printed."""
    return any(one.kind in ("variable", "expression") for one in found)


def has_logic(found: Sequence[Placeholder]) -> bool:
    """Whether there is more than variables and comments, so that the whole has to be rendered by the engine."""
    return any(one.kind in ("expression", "statement") for one in found)


def pieces(document: Document, *, opens: bool) -> Iterator[Piece]:
    """A document without logic, cut at its variables, its tracked hrefs and its pixel. Comments of the template go."""
    at = 0
    for href in document.hrefs:
        yield from _cut(document, at, href.start, opens)
        yield Link(href.position, tuple(_texts(document, href.start, href.end)), href.url)
        at = href.end
    yield from _cut(document, at, len(document.source), opens)


def marked(document: Document, *, opens: bool) -> str:
    """The template of a document with logic, with the marks that `shared.words.content` names."""
    marks = [(document.pixel_at, content.PIXEL)] if opens else []
    for href in document.hrefs:
        marks.append((href.start, f"{content.LINK_BEGIN}{href.position}{content.LINK_VALUE}"))
        marks.append((href.end, content.LINK_END))
    cut: list[str] = []
    at = 0
    for offset, mark, goes_on in sorted(
        [*((at, mark, at) for at, mark in marks), *((a, "", b) for a, b in document.ours)]
    ):
        cut += (document.source[at:offset], mark)
        at = goes_on
    return "".join([*cut, document.source[at:]])


def split(source: str, found: Sequence[Placeholder]) -> Iterator[str | Variable]:
    """A text without logic, cut at its variables."""
    return split_between(source, found, 0, len(source))


def _cut(document: Document, start: int, end: int, opens: bool) -> Iterator[Piece]:
    pixel_at = document.pixel_at
    if opens and (start <= pixel_at < end or pixel_at == end == len(document.source)):
        yield from _texts(document, start, pixel_at)
        yield Pixel()
        start = pixel_at
    yield from _texts(document, start, end)


def _texts(document: Document, start: int, end: int) -> Iterator[str | Variable]:
    return split_between(document.source, document.cuts, start, end)


def split_between(source: str, found: Sequence[Placeholder], start: int, end: int) -> Iterator[str | Variable]:
    """That stretch of a text without logic, cut at its variables."""
    for one in inside(found, start, end):
        if start < one.start:
            yield source[start : one.start]
        if one.kind == "variable":
            yield Variable(one.path)
        start = one.end
    if start < end:
        yield source[start:end]


def inside(found: Sequence[Placeholder], start: int, end: int) -> Sequence[Placeholder]:
    """Those that begin in that stretch; `found` is in order."""
    return found[bisect_left(found, start, key=_START) : bisect_left(found, end, key=_START)]


def _hrefs(
    linked: Sequence[links.Found], source: str, found: Sequence[Placeholder], *, clicks: bool, first_position: int
) -> list[Href]:
    found_hrefs = []
    for number, link in enumerate(linked, first_position):
        position = tokens.TRAP_POSITION if link.is_trap else number
        is_tracked = clicks and link.is_tracked
        some = inside(found, link.start, link.end)
        if some:
            if is_tracked and _may_be_tracked(source, some, link.start):
                found_hrefs.append(Href(position, link.start, link.end, "", link.name, link.document))
            elif _may_run(source, some, link.start):
                found_hrefs.append(Href(content.UNTRACKED, link.start, link.end, ""))
        elif is_tracked and (url := tokens.destination(link.value)):
            found_hrefs.append(Href(position, link.start, link.end, url, link.name, link.document))
    return found_hrefs


def _is_page(placeholder: Placeholder) -> bool:
    return len(placeholder.path) == 1 and placeholder.path[0] in content.PAGES


def _may_be_tracked(source: str, some: Sequence[Placeholder], start: int) -> bool:
    """Where it leads is known when it is rendered; those of the recipient's pages alone lead to us in any case."""
    if some[0].start == start and _is_page(some[0]):
        return False
    prefix = unescape(source[start : some[0].start]).lstrip().lower()
    return any(scheme.startswith(prefix) or prefix.startswith(scheme) for scheme in ("http://", "https://"))


def _may_run(source: str, some: Sequence[Placeholder], start: int) -> bool:
    """Whether a recipient's variables decide what scheme it has."""
    if not some:
        return False
    first = some[0]
    if first.start == start and _is_page(first):
        return False
    return hrefs.may_run(unescape(source[start : first.start]))


def _going(html: turbohtml.Document, masked: str) -> dict[int, tuple[int, int]]:
    """The values of what leads somewhere, by where each begins: its end, and where its element begins."""
    values = dict(_values(html, masked))
    opened = links.opened(masked)
    if opened != masked:
        values |= _values(turbohtml.parse(opened, source_locations=True), opened)
    return values


def _values(html: turbohtml.Document, masked: str) -> Iterator[tuple[int, tuple[int, int]]]:
    for selector, name in _GOING:
        for element in html.select(selector):
            location = element.source_location
            if location is None or (span := location.attrs.get(name)) is None:
                continue
            value = VALUE.fullmatch(masked, span.start_offset, span.end_offset)
            if value is not None:
                start, end = value.span(value.lastgroup or 0)
                if name == "content" and (before := _REFRESH.match(masked, start, end)) is not None:
                    start = before.end()
                yield start, (end, location.start_tag.start_offset)


def _with_others(
    links: list[Href], values: Sequence[contexts.Value], source: str, found: Sequence[Placeholder]
) -> list[Href]:
    """The links, and between them what else recipients may lead where nothing may."""
    known = {link.start for link in links}
    others = [
        Href(kind, value.start, value.end, "")
        for value in values
        if value.start not in known
        and (kind := _looked_at(value)) is not None
        and (kind in _WHOLE or _may_run(source, inside(found, value.start, value.end), value.start))
    ]
    merged: list[Href] = []
    for href in sorted((*links, *others), key=_START):
        # A comment that stands in a value is not one.
        if not merged or href.start >= merged[-1].end:
            merged.append(href)
    return merged


def _looked_at(value: contexts.Value) -> int | None:
    """As what the relay looks at it; None if there is nothing to look for."""
    if not value.attribute:
        return content.UNTRACKED_STYLE if value.element == "style" else None
    name = value.attribute.rpartition(":")[2]
    if name == "src" and value.element in _RUNNING:
        return content.UNTRACKED
    if value.element == "param" and name == "value":
        return content.UNTRACKED
    if name == "content":
        return content.UNTRACKED_REFRESH if value.element == "meta" else None
    return _LOOKED_AT.get(name)


def _dangerous_lines(going: dict[int, tuple[int, int]], masked: str) -> list[int]:
    """The lines of elements that lead where nothing may, from 1."""
    return _lines(masked, {begin for start, (end, begin) in going.items() if hrefs.runs(unescape(masked[start:end]))})


def _lines(source: str, offsets: Iterable[int]) -> list[int]:
    """The lines of these places, from 1, each once."""
    ends = [found.start() for found in re.finditer("\n", source)]
    return sorted({bisect_left(ends, offset) + 1 for offset in offsets})


def _pixel_at(html: turbohtml.Document, masked: str, source: str) -> int:
    """Before `</body>`; where there is none, at the end, on the last line; but before what would swallow it there."""
    body = html.select_one("body")
    location = body.source_location if body is not None else None
    if location is not None and location.end_tag is not None:
        end = location.end_tag.start_offset
    else:
        end = len(source.rstrip("\n"))
    swallowed = showing.open_at(masked[:end])
    return end if swallowed < 0 else swallowed

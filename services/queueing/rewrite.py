"""Links of the HTML: which there are, which are tracked, and where in the source their values stand.

The HTML is parsed as browsers do, to know what is a link, and never written anew: what comes out is the source cut at
the values of the tracked hrefs. Placeholders are masked before parsing, with as many characters as they have, so that
offsets stay true: what prints becomes letters, for it may stand in an unquoted value, and the rest blanks.

A link is an `a` or `area` with an href, tracked or not; its position is its place among them in the source, from 0.
Tracked are those that lead, or with placeholders in them may lead, to http or https. Not tracked: other schemes,
anchors, what stands in comments, scripts and conditional comments (these are no links to browsers), what is, or is
inside of an element that is, marked `data-track="off"`, and the unsubscribe link, which is known by where it leads.

A source is written by anybody who has a key: nothing here takes more time than the length of the source times a little.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from operator import attrgetter

import msgspec
import turbohtml

from services.queueing import contexts
from services.queueing.placeholders import Placeholder, placeholders
from shared.mail import hrefs, showing
from shared.words import content, tokens
from shared.words.content import Link, Pixel, Variable

Piece = str | Variable | Link | Pixel

_VALUE = re.compile(r"""[^\s=]+\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s>"'][^\s>]*))""")
_LINKS = "a[href], area[href]"
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
#: Comments that some programs read as HTML. Bounded, for whoever writes many beginnings.
_CONDITIONAL = re.compile(r"(<!--\[if[^\]>]{0,200}\]>)(.*?)((?:<!\[endif\])?-->|\Z)", re.DOTALL)
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
_UNTRACKED = '[data-track="off" i]'
_START = attrgetter("start")


class Href(msgspec.Struct, frozen=True):
    """`source[start:end]` is the value of a tracked href. `url` is "" if it depends on the recipient. `position` is one
    of those that `content` calls untracked where it is only looked at."""

    position: int
    start: int
    end: int
    url: str


class Document(msgspec.Struct, frozen=True):
    """An HTML source, its placeholders, its tracked links in order, where the pixel goes, and the lines of what leads
    where nothing may (`shared.mail.hrefs`)."""

    source: str
    placeholders: list[Placeholder]
    hrefs: list[Href]
    pixel_at: int
    dangerous_lines: list[int] = []

    @property
    def has_logic(self) -> bool:
        return has_logic(self.placeholders)

    def links(self) -> list[content.TrackedLink]:
        return [
            content.TrackedLink(href.position, href.url or self.source[href.start : href.end])
            for href in self.hrefs
            if href.position < content.UNTRACKED_STYLE
        ]


def read(source: str, *, clicks: bool, values: Sequence[contexts.Value] | None = None) -> Document:
    """The document. `source` has LF line ends; without `clicks` no link is tracked. `values` are those in which
    something prints, if they are known."""
    found = list(placeholders(source))
    masked = contexts.masked(source, found, " ")
    html = turbohtml.parse(masked, source_locations=True)
    going = _going(html, masked)
    found_hrefs = _hrefs(html, masked, source, found, clicks=clicks)
    if has_printing(found):
        values = contexts.look(source, found).values if values is None else values
        found_hrefs = _with_others(found_hrefs, values, source, found)
    return Document(source, found, found_hrefs, _pixel_at(html, masked, source), _dangerous_lines(going, masked))


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
    for offset, mark in sorted(marks):
        cut += (document.source[at:offset], mark)
        at = offset
    return "".join([*cut, document.source[at:]])


def split(source: str, found: Sequence[Placeholder]) -> Iterator[str | Variable]:
    """A text without logic, cut at its variables."""
    return _between(source, found, 0, len(source))


def _cut(document: Document, start: int, end: int, opens: bool) -> Iterator[Piece]:
    pixel_at = document.pixel_at
    if opens and (start <= pixel_at < end or pixel_at == end == len(document.source)):
        yield from _texts(document, start, pixel_at)
        yield Pixel()
        start = pixel_at
    yield from _texts(document, start, end)


def _texts(document: Document, start: int, end: int) -> Iterator[str | Variable]:
    return _between(document.source, document.placeholders, start, end)


def _between(source: str, found: Sequence[Placeholder], start: int, end: int) -> Iterator[str | Variable]:
    for one in _inside(found, start, end):
        if start < one.start:
            yield source[start : one.start]
        if one.kind == "variable":
            yield Variable(one.path)
        start = one.end
    if start < end:
        yield source[start:end]


def _inside(found: Sequence[Placeholder], start: int, end: int) -> Sequence[Placeholder]:
    return found[bisect_left(found, start, key=_START) : bisect_left(found, end, key=_START)]


def _hrefs(
    html: turbohtml.Document, masked: str, source: str, found: Sequence[Placeholder], *, clicks: bool
) -> list[Href]:
    untracked = _untracked(html)
    found_hrefs = []
    for position, (start, end, element) in enumerate(_links(html)):
        value = _VALUE.fullmatch(masked, start, end)
        if value is None:
            continue
        is_tracked = clicks and start not in untracked
        start, end = value.span(value.lastgroup or 0)
        inside = _inside(found, start, end)
        if inside:
            if is_tracked and _may_be_tracked(source, inside, start):
                found_hrefs.append(Href(position, start, end, ""))
            elif _may_run(source, inside, start):
                found_hrefs.append(Href(content.UNTRACKED, start, end, ""))
        elif is_tracked and (url := tokens.destination(str(element.attrs["href"]))):
            found_hrefs.append(Href(position, start, end, url))
    return found_hrefs


def _links(html: turbohtml.Document | turbohtml.Element) -> list[tuple[int, int, turbohtml.Element]]:
    """Beginning and end of each link's href, in the order of the source."""
    links: dict[int, tuple[int, int, turbohtml.Element]] = {}
    for element in html.select(_LINKS):
        location = element.source_location
        # Elements that the parser makes itself have no location, and its copies of misnested ones have their model's.
        if location is not None and (span := location.attrs.get("href")) is not None:
            links.setdefault(span.start_offset, (span.start_offset, span.end_offset, element))
    return [links[start] for start in sorted(links)]


def _untracked(html: turbohtml.Document) -> set[int]:
    """Where the hrefs begin that the source says not to track."""
    untracked: set[int] = set()
    nested: set[int] = set()
    for element in html.select(_UNTRACKED):
        if _begins(element) in nested:
            continue
        untracked.update(start for start, _, _ in _links(element))
        nested.update(map(_begins, element.select(_UNTRACKED)))
        own = element.source_location
        if own is not None and (span := own.attrs.get("href")) is not None:
            untracked.add(span.start_offset)
    return untracked


def _begins(element: turbohtml.Element) -> int:
    return -1 if element.source_location is None else element.source_location.start_tag.start_offset


def _may_be_tracked(source: str, inside: Sequence[Placeholder], start: int) -> bool:
    """Where it leads is known when it is rendered; that of the unsubscribe page alone leads to us in any case."""
    if inside[0].start == start and inside[0].path == (content.UNSUBSCRIBE_URL,):
        return False
    prefix = unescape(source[start : inside[0].start]).lstrip().lower()
    return any(scheme.startswith(prefix) or prefix.startswith(scheme) for scheme in ("http://", "https://"))


def _may_run(source: str, inside: Sequence[Placeholder], start: int) -> bool:
    """Whether a recipient's variables decide what scheme it has."""
    if not inside:
        return False
    first = inside[0]
    if first.start == start and first.path == (content.UNSUBSCRIBE_URL,):
        return False
    return hrefs.may_run(unescape(source[start : first.start]))


def _going(html: turbohtml.Document, masked: str) -> dict[int, tuple[int, int]]:
    """The values of what leads somewhere, by where each begins: its end, and where its element begins."""
    values = dict(_values(html, masked))
    opened = _CONDITIONAL.sub(lambda found: " " * len(found[1]) + found[2] + " " * len(found[3]), masked)
    if opened != masked:
        # As it is read by who does not take them for comments.
        values |= _values(turbohtml.parse(opened, source_locations=True), opened)
    return values


def _values(html: turbohtml.Document, masked: str) -> Iterator[tuple[int, tuple[int, int]]]:
    for selector, name in _GOING:
        for element in html.select(selector):
            location = element.source_location
            if location is None or (span := location.attrs.get(name)) is None:
                continue
            value = _VALUE.fullmatch(masked, span.start_offset, span.end_offset)
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
        and (kind in _WHOLE or _may_run(source, _inside(found, value.start, value.end), value.start))
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

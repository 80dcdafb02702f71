"""Links of an HTML source: where the value of each href stands, which are not to be tracked, and what names they have.

A link is an `a` or `area` with an href (in an SVG with an `xlink:href`, too), or an element of VML (`v:roundrect`,
`v:shape` …), from which Outlook makes its buttons. It counts where browsers see it, and in a conditional comment
(`<!--[if mso]> … <![endif]-->`), which Outlook reads as HTML: each such comment is parsed by itself, so that what is
not closed in one does not swallow what follows. What stands in other comments, in scripts and in styles is no link. In
a tag that branches each href is one: `<a {% if a %}href="…"{% else %}href="…"{% endif %}>`.

Three attributes are ours, and are taken out of the mail: `data-track` (`off`: neither the element nor what is inside of
it is tracked; `trap` on a link: people do not see it, and who follows it is a machine), `data-link-name`, by which
reports name a link, and `data-document`, the name of the tracked document that the link leads to. That name is one for
all recipients: where a word of the template is in it, it is refused. What is inside of an element is so in one of two
readings: with conditional comments as comments, or with all that is in them, for what one of them opens
(`<td data-track="off">`) another one closes.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter

import msgspec
import turbohtml

from services.queueing.placeholders import Placeholder
from shared.words.tokens import document_name

#: An attribute as it stands in a tag, and its value.
VALUE = re.compile(r"""[^\s=]+\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s>"'][^\s>]*))""")
#: Comments that some programs read as HTML. Bounded, for whoever writes many beginnings.
CONDITIONAL = re.compile(r"(<!--\[(?i:if)[^\]>]{0,200}\]>)(.*?)((?:<!\[(?i:endif)\])?-->|\Z)", re.DOTALL)
#: One within another; what is in it, is in both.
_NESTED = re.compile(r"<!--\[(?i:if)[^\]>]{0,200}\]>")
#: An attribute of a tag, with its value.
_ATTRIBUTE = re.compile(r"""[^\s/>=][^\s/>=]*(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>"'][^\s>]*))?""")
_LINKS = r"[href], a[xlink\:href]"
_XLINK = "xlink:href"
_TAGS = ("a", "area")
_VML = "v:"
#: Elements of VML whose href, where they have one, is that of a picture.
_PICTURES = ("v:imagedata", "v:fill", "v:stroke")
_UNTRACKED = '[data-track="off" i]'
_DOCUMENT = "data-document"
_OURS = ("data-track", "data-link-name", _DOCUMENT)
_NUMBERED = re.compile(r"\x01(\d+)\x01")
_BLANKS = " \t\n\f\r"
_END = attrgetter("end")


class Found(msgspec.Struct, frozen=True):
    """`source[start:end]` is the value of a link's href, and `value` what browsers read there. `name` and `document`
    are "" where it has none."""

    start: int
    end: int
    value: str
    is_tracked: bool
    name: str
    is_trap: bool = False
    document: str = ""


class Links(msgspec.Struct, frozen=True):
    """In the order of the source; `ours` are the stretches of our own attributes, each with the blanks before it.
    `refused` is where names of documents begin that depend on the recipient."""

    found: list[Found]
    ours: list[tuple[int, int]]
    refused: list[int] = []


def find(html: turbohtml.Document, masked: str, placeholders: Sequence[Placeholder]) -> Links:
    """Those of a source whose placeholders are masked, and `html` is what it was parsed to, with locations."""
    links: dict[int, Found] = {}
    ours: dict[int, int] = {}
    refused: set[int] = set()
    comments = list(_comments(html, masked))
    branching = [one for one in placeholders if one.kind == "statement"]
    off: set[int] = set()
    if any(name in found.lower() for name in _OURS for _, found, _, _ in comments):
        whole = turbohtml.parse(opened(masked), source_locations=True)
        off = _untracked(whole)
        ours.update(_attributes(whole, 0))
        refused.update(_refused(whole, 0, placeholders))
    for document, _, offset, is_off in ((html, "", 0, False), *comments):
        untracked = _untracked(document)
        for start, end, element in _hrefs(document):
            is_tracked = not is_off and start not in untracked and start + offset not in off
            for begin, close, href in _values(element, masked, start + offset, end + offset, offset, branching):
                links.setdefault(begin, _link(element, begin, close, href, is_tracked=is_tracked))
        ours.update(_attributes(document, offset))
        refused.update(_refused(document, offset, placeholders))
    # What holds a word of the template may be half of a block.
    taken = [(start, end) for start, end in sorted(ours.items()) if not _holds(placeholders, start, end)]
    with_blanks = [(_with_blanks(masked, placeholders, start, end), end) for start, end in taken]
    return Links([links[start] for start in sorted(links)], with_blanks, sorted(refused))


def _link(element: turbohtml.Element, start: int, end: int, href: str, *, is_tracked: bool) -> Found:
    is_trap = _is_trap(element)
    document = "" if is_trap else document_name(str(element.attrs.get(_DOCUMENT) or ""))
    return Found(start, end, href, is_tracked, _name(element) or "trap" * is_trap, is_trap, document)


def opened(masked: str) -> str:
    """The source as it is read by who takes no conditional comment for one, with blanks for their marks."""
    return CONDITIONAL.sub(lambda found: " " * len(found[1]) + _inside(found) + " " * len(found[3]), masked)


def _inside(found: re.Match[str]) -> str:
    """What is in a conditional comment, without the marks of those that begin in it."""
    text = found[2]
    return _NESTED.sub(lambda nested: " " * len(nested[0]), text) if "<!--" in text else text


def _values(
    element: turbohtml.Element, masked: str, start: int, end: int, offset: int, branching: Sequence[Placeholder]
) -> Iterator[tuple[int, int, str]]:
    """Where the value of an href stands, which is at `masked[start:end]`, and what browsers read there; and the same of
    those that stand in its place if a statement of the template says so."""
    if (value := VALUE.fullmatch(masked, start, end)) is not None:
        name = _XLINK if masked.startswith(":", start + 5) else "href"
        yield *value.span(value.lastgroup or 0), str(element.attrs[name])
    location = element.source_location
    tag_end = location.start_tag.end_offset + offset if location is not None else end
    if not _holds(branching, end, tag_end):
        return
    for other in _ATTRIBUTE.finditer(masked, end, tag_end):
        value = VALUE.fullmatch(other[0])
        if value is None or not other[0].lower().startswith("href") or not _holds(branching, end, other.start()):
            continue
        end = other.end()
        alone = turbohtml.parse(f"<a {other[0]}>").select_one("a[href]")
        if alone is not None:
            begin, close = value.span(value.lastgroup or 0)
            yield begin + other.start(), close + other.start(), str(alone.attrs["href"])


def _is_trap(element: turbohtml.Element) -> bool:
    return str(element.attrs.get("data-track") or "").lower() == "trap"


def _name(element: turbohtml.Element) -> str:
    return " ".join(str(element.attrs.get("data-link-name") or "").split())[:100]


def _hrefs(html: turbohtml.Document | turbohtml.Element) -> list[tuple[int, int, turbohtml.Element]]:
    """Beginning and end of each link's href, in the order of the source."""
    links: dict[int, tuple[int, int, turbohtml.Element]] = {}
    for element in html.select(_LINKS):
        # Elements that the parser makes itself have no location, and its copies of misnested ones have their model's.
        is_link = element.tag in _TAGS or (element.tag.startswith(_VML) and element.tag not in _PICTURES)
        if is_link and (span := _span(element)) is not None:
            links.setdefault(span.start_offset, (span.start_offset, span.end_offset, element))
    return [links[start] for start in sorted(links)]


def _untracked(html: turbohtml.Document) -> set[int]:
    """Where the hrefs begin that the source says not to track."""
    untracked: set[int] = set()
    for element in _outermost(html):
        untracked.update(start for start, _, _ in _hrefs(element))
        if (span := _span(element)) is not None:
            untracked.add(span.start_offset)
    return untracked


def _span(element: turbohtml.Element) -> turbohtml.SourceSpan | None:
    """Where its href stands; the other one counts in an SVG alone, where there is no href."""
    location = element.source_location
    if location is None:
        return None
    span = location.attrs.get("href")
    return location.attrs.get(_XLINK) if span is None and element.namespace is turbohtml.Namespace.SVG else span


def _outermost(html: turbohtml.Document) -> Iterator[turbohtml.Element]:
    """The elements that are marked, but for those inside of one of them: each link is looked at once."""
    nested: set[int] = set()
    for element in html.select(_UNTRACKED):
        if _begins(element) not in nested:
            nested.update(map(_begins, element.select(_UNTRACKED)))
            yield element


def _begins(element: turbohtml.Element) -> int:
    return -1 if element.source_location is None else element.source_location.start_tag.start_offset


def _comments(html: turbohtml.Document, masked: str) -> Iterator[tuple[turbohtml.Document, str, int, bool]]:
    """What is in each conditional comment, parsed and as it stands there, where that begins, and whether it is inside
    of what is not tracked."""
    if "<!--[" not in masked:
        return
    candidates = list(CONDITIONAL.finditer(masked))
    inner: dict[int, bool] = {}
    for number, is_off in _real(masked, candidates):
        inner.setdefault(number, is_off)
    for number in sorted(inner):
        found = candidates[number]
        if "<" in found[2]:
            text = _inside(found)
            yield turbohtml.parse(text, source_locations=True), text, found.start(2), inner[number]


def _real(masked: str, candidates: Sequence[re.Match[str]]) -> Iterator[tuple[int, bool]]:
    """The numbers of those that are comments, and no text of a script, and whether they are inside of what is not
    tracked. Comments have no locations, so each gets its number before the whole is parsed once more."""
    parts: list[str] = []
    at = 0
    for number, found in enumerate(candidates):
        parts += (masked[at : found.start() + 4], f"\x01{number}\x01")
        at = found.start() + 4
    html = turbohtml.parse("".join([*parts, masked[at:]]), source_locations=True)
    off = {number for element in _outermost(html) for number in _numbers(element)}
    for number in _numbers(html):
        yield number, number in off


def _numbers(html: turbohtml.Document | turbohtml.Element) -> Iterator[int]:
    for node in html.descendants:
        if isinstance(node, turbohtml.Comment) and (numbered := _NUMBERED.match(node.data)) is not None:
            yield int(numbered[1])


def _attributes(document: turbohtml.Document, offset: int) -> Iterator[tuple[int, int]]:
    for element in document.select(", ".join(f"[{name}]" for name in _OURS)):
        location = element.source_location
        for name in _OURS:
            if location is not None and (span := location.attrs.get(name)) is not None:
                yield span.start_offset + offset, span.end_offset + offset


def _with_blanks(masked: str, placeholders: Sequence[Placeholder], start: int, end: int) -> int:
    """Where the blanks before it begin, unless what is on both sides would be one word without them, or might be where
    a statement of the template stands behind it."""
    if masked[end : end + 1] not in ("", ">", "/", *_BLANKS) or _holds(placeholders, end, end + 1):
        return start
    after = bisect_right(placeholders, start, key=_END)
    first = placeholders[after - 1].end if after else 0
    while start > first and masked[start - 1] in _BLANKS:
        start -= 1
    return start


def _refused(document: turbohtml.Document, offset: int, placeholders: Sequence[Placeholder]) -> Iterator[int]:
    """Where attributes begin that name a document and have a word of the template in them."""
    for element in document.select(f"[{_DOCUMENT}]"):
        location = element.source_location
        if location is not None and (span := location.attrs.get(_DOCUMENT)) is not None:
            start, end = span.start_offset + offset, span.end_offset + offset
            if _holds(placeholders, start, end):
                yield start


def _holds(placeholders: Sequence[Placeholder], start: int, end: int) -> bool:
    """Whether one of them, which are in order, reaches into the stretch."""
    first = bisect_right(placeholders, start, key=_END)
    return first < len(placeholders) and placeholders[first].start < end

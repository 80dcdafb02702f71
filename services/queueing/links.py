"""Links of an HTML source: where the value of each href stands, which are not to be tracked, and what names they have.

A link is an `a` or `area` with an href, or an element of VML (`v:roundrect`, `v:shape` …), from which Outlook makes its
buttons. It counts where browsers see it, and in a conditional comment (`<!--[if mso]> … <![endif]-->`), which Outlook
reads as HTML: each such comment is parsed by itself, so that what is not closed in one does not swallow what follows.
What stands in other comments, in scripts and in styles is no link.

Three attributes are ours, and are taken out of the mail: `data-track` (`off`: neither the element nor what is inside of
it is tracked; `trap` on a link: people do not see it, and who follows it is a machine), `data-link-name`, by which
reports name a link, and `data-document`, the name of the tracked document that the link leads to. That name is one for
all recipients: where a word of the template is in it, it is refused.
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
CONDITIONAL = re.compile(r"(<!--\[if[^\]>]{0,200}\]>)(.*?)((?:<!\[endif\])?-->|\Z)", re.DOTALL)
_TAGS = ("a", "area")
_VML = "v:"
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
    for document, offset, is_off in ((html, 0, False), *_comments(html, masked)):
        for one in _found(document, masked, offset, is_off=is_off):
            links.setdefault(one.start, one)
        for start, end in _attributes(document, masked, offset):
            ours.setdefault(start, end)
        refused.update(_refused(document, offset, placeholders))
    # What holds a word of the template may be half of a block.
    taken = [(start, ours[start]) for start in sorted(ours) if not _holds(placeholders, start, ours[start])]
    return Links([links[start] for start in sorted(links)], taken, sorted(refused))


def _found(document: turbohtml.Document, masked: str, offset: int, *, is_off: bool) -> Iterator[Found]:
    untracked = _untracked(document)
    for start, end, element in _hrefs(document):
        value = VALUE.fullmatch(masked, start + offset, end + offset)
        if value is not None:
            begin, close = value.span(value.lastgroup or 0)
            is_tracked = not is_off and start not in untracked
            href, is_trap = str(element.attrs["href"]), _is_trap(element)
            name = "" if is_trap else document_name(str(element.attrs.get(_DOCUMENT) or ""))
            yield Found(begin, close, href, is_tracked, _name(element) or "trap" * is_trap, is_trap, name)


def _is_trap(element: turbohtml.Element) -> bool:
    return str(element.attrs.get("data-track") or "").lower() == "trap"


def _name(element: turbohtml.Element) -> str:
    return " ".join(str(element.attrs.get("data-link-name") or "").split())[:100]


def _hrefs(html: turbohtml.Document | turbohtml.Element) -> list[tuple[int, int, turbohtml.Element]]:
    """Beginning and end of each link's href, in the order of the source."""
    links: dict[int, tuple[int, int, turbohtml.Element]] = {}
    for element in html.select("[href]"):
        location = element.source_location
        # Elements that the parser makes itself have no location, and its copies of misnested ones have their model's.
        if location is None or not (element.tag in _TAGS or element.tag.startswith(_VML)):
            continue
        if (span := location.attrs.get("href")) is not None:
            links.setdefault(span.start_offset, (span.start_offset, span.end_offset, element))
    return [links[start] for start in sorted(links)]


def _untracked(html: turbohtml.Document) -> set[int]:
    """Where the hrefs begin that the source says not to track."""
    untracked: set[int] = set()
    for element in _outermost(html):
        untracked.update(start for start, _, _ in _hrefs(element))
        own = element.source_location
        if own is not None and (span := own.attrs.get("href")) is not None:
            untracked.add(span.start_offset)
    return untracked


def _outermost(html: turbohtml.Document) -> Iterator[turbohtml.Element]:
    """The elements that are marked, but for those inside of one of them: each link is looked at once."""
    nested: set[int] = set()
    for element in html.select(_UNTRACKED):
        if _begins(element) not in nested:
            nested.update(map(_begins, element.select(_UNTRACKED)))
            yield element


def _begins(element: turbohtml.Element) -> int:
    return -1 if element.source_location is None else element.source_location.start_tag.start_offset


def _comments(html: turbohtml.Document, masked: str) -> Iterator[tuple[turbohtml.Document, int, bool]]:
    """What is in each conditional comment, where that begins, and whether it is inside of what is not tracked."""
    if "<!--[if" not in masked:
        return
    candidates = list(CONDITIONAL.finditer(masked))
    inner: dict[int, bool] = {}
    for number, is_off in _real(masked, candidates):
        inner.setdefault(number, is_off)
    for number in sorted(inner):
        found = candidates[number]
        if "<" in found[2]:
            yield turbohtml.parse(found[2], source_locations=True), found.start(2), inner[number]


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


def _attributes(document: turbohtml.Document, masked: str, offset: int) -> Iterator[tuple[int, int]]:
    for element in document.select(", ".join(f"[{name}]" for name in _OURS)):
        location = element.source_location
        for name in _OURS:
            if location is not None and (span := location.attrs.get(name)) is not None:
                yield _with_blanks(masked, span.start_offset + offset, span.end_offset + offset)


def _refused(document: turbohtml.Document, offset: int, placeholders: Sequence[Placeholder]) -> Iterator[int]:
    """Where attributes begin that name a document and have a word of the template in them."""
    for element in document.select(f"[{_DOCUMENT}]"):
        location = element.source_location
        if location is not None and (span := location.attrs.get(_DOCUMENT)) is not None:
            start, end = span.start_offset + offset, span.end_offset + offset
            if _holds(placeholders, start, end):
                yield start


def _with_blanks(masked: str, start: int, end: int) -> tuple[int, int]:
    """With the blanks before it, unless what is on both sides would be one word then."""
    if masked[end : end + 1] in ("", ">", "/", *_BLANKS):
        while masked[start - 1] in _BLANKS:
            start -= 1
    return start, end


def _holds(placeholders: Sequence[Placeholder], start: int, end: int) -> bool:
    """Whether one of them, which are in order, reaches into the stretch."""
    first = bisect_right(placeholders, start, key=_END)
    return first < len(placeholders) and placeholders[first].start < end

"""A text made of an HTML: what is read there, with its links, for who reads no HTML. Pure.

    paragraphs, headings, lists, tables     stand between empty lines, their pieces on lines of their own
    a link                                  its words, and where it leads behind them: `ici <https://exemple.fr/>`
    a picture                               its `alt`
    placeholders                            where they stood

A link of the text is the link of the HTML: it has its position, is tracked if that is, and counts as one with it. What
is not seen (`display:none`, traps) is left out. Placeholders go through the parser as comments, which it leaves where
they are, in a table too, and inside of tags as words. Where a text cannot say the same as the HTML, as of a tag that
itself depends on a condition, none is made.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from html import unescape
from itertools import count
from operator import attrgetter
from typing import NamedTuple

import msgspec
import turbohtml

from services.queueing import contexts, links
from services.queueing.placeholders import Placeholder, placeholders
from services.queueing.rewrite import Document, Href, inside
from shared.mail import showing
from shared.mail.templates import InvalidTemplate, Templates
from shared.words import content

#: Lines between what these begin and end, and what stands around them.
_BLOCKS = dict.fromkeys(
    ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "hr", "figure"), 2
) | dict.fromkeys(
    ("div", "tr", "li", "dt", "dd", "section", "article", "header", "footer", "main", "nav", "aside", "address",
     "center", "form", "fieldset", "figcaption", "caption", "body", "legend"), 1
)  # fmt: skip
#: Elements that say nothing, or nothing that can be read out.
_SILENT = frozenset((
    "style", "script", "title", "template", "object", "applet", "svg", "math", "select", "textarea", "video",
    "audio", "canvas", "iframe", "noembed", "noframes",
))  # fmt: skip
_HIDDEN = re.compile(r"(?:^|;)\s*display\s*:\s*none", re.IGNORECASE)
_LED_TO = re.compile(r"https?:|mailto:|tel:|sms:", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\n\r\f]+")
_RULE = "-" * 10
#: Elements in which nothing is a tag or a comment.
_RAW = re.compile(
    r"<(?:style|script|title|textarea|noembed|noframes|iframe)\b[^>]*>(.*?)"
    r"(?:</(?:style|script|title|textarea|noembed|noframes|iframe)|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_WORD = re.compile(r"\{%[-+]?\s*([a-z]+)")
#: Statements that leave what they hold where it stands, and by how much each opens a block.
_BRANCHES = {"if": 1, "for": 1, "elif": 0, "else": 0, "endif": -1, "endfor": -1}


class Text(msgspec.Struct, frozen=True):
    """A source as it would be written, and its links, which are those of the HTML."""

    source: str
    links: list[Href]


def made(document: Document) -> Text | None:
    """None if there is nothing to read in it, or no text that says the same."""
    tokens = _Tokens(document)
    if tokens.is_vague:
        return None
    writer = _Writer(tokens)
    _walk(turbohtml.parse(tokens.source()), writer)
    text = tokens.given_back(writer.text())
    try:
        return text if text is not None and Templates({"text": text.source}) else None
    except InvalidTemplate:
        return None


class _Tokens:
    """Words that nobody wrote, in place of the placeholders and of where links lead."""

    def __init__(self, document: Document) -> None:
        self._source = document.source
        self._found = document.placeholders
        self._hrefs = [one for one in document.hrefs if one.position < content.UNTRACKED_STYLE]
        self._begin = next(begin for length in count(1) if (begin := f"q{'z' * length}k") not in self._source)
        self.pattern = re.compile(rf"{self._begin}([pl])([0-9]+)k")
        spans = _spans(document)
        self._in_tags = {index for span in spans for index in span.inside}
        self.is_vague = any(_is_vague(document, span) for span in spans)

    def source(self) -> str:
        """The HTML with them."""
        changes = [(href.start, href.end, self._word("l", index)) for index, href in enumerate(self._hrefs)]
        taken = {id(one) for href in self._hrefs for one in inside(self._found, href.start, href.end)}
        for index, one in enumerate(self._found):
            if id(one) not in taken:
                word = self._word("p", index) if one.kind != "comment" else ""
                is_word = index in self._in_tags or not word
                changes.append((one.start, one.end, word if is_word else f"<!--{word}-->"))
        return _spliced(self._source, sorted(changes))

    def prints(self, word: str) -> bool | None:
        """Whether the placeholder whose word this is prints something; None if it is no such word."""
        found = self.pattern.fullmatch(word)
        if found is None:
            return None
        return self._found[int(found[2])].kind in ("variable", "expression")

    def is_led_to(self, value: str) -> bool:
        """Whether an href says where it leads to whoever reads a text."""
        return bool(_LED_TO.match(value) or self.pattern.match(value))

    def given_back(self, text: str) -> Text | None:
        """With what was written. None if it would be read as other placeholders than they were."""
        pieces: list[str] = []
        hrefs: list[Href] = []
        wanted: list[str] = []
        at = length = 0
        for found in self.pattern.finditer(text):
            number = int(found[2])
            if found[1] == "l":
                href = self._hrefs[number]
                some = inside(self._found, href.start, href.end)
                word = _value(self._source, some, href)
                begin = length + found.start() - at
                hrefs.append(msgspec.structs.replace(href, start=begin, end=begin + len(word)))
                wanted += (self._source[one.start : one.end] for one in some)
            else:
                word = self._source[self._found[number].start : self._found[number].end]
                wanted.append(word)
            pieces += (text[at : found.start()], word)
            length += found.start() - at + len(word)
            at = found.end()
        source = "".join([*pieces, text[at:]])
        known = [source[one.start : one.end] for one in placeholders(source)]
        return Text(source, hrefs) if showing.shows(source) and known == wanted else None

    def _word(self, kind: str, index: int) -> str:
        return f"{self._begin}{kind}{index}k"


class _Writer:
    """Text with line ends and blanks where they are due: none at the beginning, no two blanks, no line that is empty
    beside another. A statement of the template takes no room, and what was due before it stands before it."""

    def __init__(self, tokens: _Tokens) -> None:
        self.tokens = tokens
        self._pieces: list[str] = []
        self._lines_due, self._blank_due = 0, False
        #: Line ends that the text ends in, as much as is seen of it; and whether it ends in a blank.
        self._lines, self._blank = 2, True

    @property
    def length(self) -> int:
        return len(self._pieces)

    def text(self) -> str:
        return "".join(self._pieces).strip("\n") + "\n"

    def lines(self, number: int) -> None:
        self._lines_due = max(self._lines_due, number)

    def line_break(self) -> None:
        self._lines_due = min(self._lines_due + 1, 2)

    def blank(self) -> None:
        self._blank_due = True

    def words(self, text: str) -> None:
        """With blanks made one."""
        for at, word in enumerate(_BLANKS.split(text)):
            if at:
                self.blank()
            if word:
                self.printed(word)

    def printed(self, word: str) -> None:
        self._flush()
        self._pieces.append(word)
        self._lines, self._blank = 0, False

    def kept(self, text: str) -> None:
        """With its lines as they are."""
        for at, line in enumerate(text.split("\n")):
            if at:
                self.line_break()
            if line.strip():
                self.printed(line.rstrip())

    def statement(self, word: str, *, is_hidden: bool) -> None:
        if not is_hidden:
            self._flush()
        self._pieces.append(word)

    def since(self, length: int) -> str:
        """What was written from there on."""
        return "".join(self._pieces[length:]).strip()

    def replace(self, length: int, word: str) -> None:
        """The words that were written from there on, and not what stands before them."""
        while length < len(self._pieces) and not self._pieces[length].strip():
            length += 1
        self._pieces[length:] = [word]

    def _flush(self) -> None:
        missing = self._lines_due - self._lines
        if missing > 0:
            self._pieces.append("\n" * missing)
            self._lines, self._blank = self._lines_due, True
        elif self._blank_due and not self._blank and not self._lines:
            self._pieces.append(" ")
            self._blank = True
        self._lines_due, self._blank_due = 0, False


def _walk(html: turbohtml.Document, writer: _Writer) -> None:
    """Node after node, however deep they are; an element that is on the way back stands there as its own end. Of what
    is not seen the statements of the template are written, for others may hang on them."""
    todo: list[tuple[turbohtml.Node, bool, int]] = [(node, False, 0) for node in reversed(list(html.children))]
    kept = hidden = 0
    while todo:
        node, is_end, begin = todo.pop()
        if isinstance(node, turbohtml.Text):
            if not hidden:
                writer.kept(node.data) if kept else writer.words(node.data)
        elif isinstance(node, turbohtml.Comment):
            _comment(node.data, writer, is_hidden=hidden > 0)
        elif isinstance(node, turbohtml.Element):
            step = -1 if is_end else 1
            is_hidden = _is_hidden(node)
            hidden += step * is_hidden
            kept += step * (node.tag == "pre")
            if not hidden and not is_hidden:
                _end(node, writer, begin) if is_end else _begin(node, writer)
            if not is_end:
                todo.append((node, True, writer.length))
                todo += ((child, False, 0) for child in reversed(list(node.children)))


def _comment(word: str, writer: _Writer, *, is_hidden: bool) -> None:
    prints = writer.tokens.prints(word)
    if prints and not is_hidden:
        writer.printed(word)
    elif prints is False:
        writer.statement(word, is_hidden=is_hidden)


def _begin(element: turbohtml.Element, writer: _Writer) -> None:
    tag = element.tag
    writer.lines(_BLOCKS.get(tag, 0))
    if tag == "br":
        writer.line_break()
    elif tag == "hr":
        writer.words(_RULE)
    elif tag in ("td", "th"):
        writer.blank()
    elif tag == "li":
        writer.printed("*")
        writer.blank()
    elif tag == "img":
        writer.words(str(element.attrs.get("alt") or ""))


def _end(element: turbohtml.Element, writer: _Writer, begin: int) -> None:
    if element.tag in ("a", "area"):
        _led(element, writer, begin)
    writer.lines(_BLOCKS.get(element.tag, 0))


def _led(element: turbohtml.Element, writer: _Writer, begin: int) -> None:
    """Where a link leads, unless its words say so."""
    value = str(element.attrs.get("href") or "").strip()
    if not writer.tokens.is_led_to(value):
        return
    address = re.sub(r"(?i)^(?:mailto|tel|sms):", "", value)
    words = writer.since(begin)
    said = writer.tokens.given_back(value)
    if words in (value, address) or (said is not None and words.rstrip("/") == said.source.rstrip("/")):
        writer.replace(begin, address)
        return
    if words:
        writer.blank()
    writer.printed(f"<{_BLANKS.sub('%20', address)}>")


def _is_hidden(element: turbohtml.Element) -> bool:
    if element.tag in _SILENT or "hidden" in element.attrs:
        return True
    is_trap = str(element.attrs.get("data-track") or "").lower() == "trap"
    return is_trap or _HIDDEN.search(str(element.attrs.get("style") or "")) is not None


class _Span(NamedTuple):
    """A tag, a comment of Outlook's or the inside of an element without tags: the element, and the placeholders in it,
    by their places in the list."""

    element: str
    inside: range


def _spans(document: Document) -> list[_Span]:
    found = document.placeholders
    masked = contexts.masked(document.source, found, " ")
    spans = [(piece.start, piece.end, piece.name) for piece in showing.pieces(masked) if piece.kind == "tag"]
    spans += [(one.start(), one.end(), "") for one in links.CONDITIONAL.finditer(masked)]
    spans += [(one.start(1), one.end(1), "") for one in _RAW.finditer(masked)]
    starts = [one.start for one in found]
    return [
        _Span(element, range(begin, end))
        for start, close, element in spans
        if (begin := bisect_left(starts, start)) < (end := bisect_left(starts, close))
    ]


def _is_vague(document: Document, span: _Span) -> bool:
    """Whether what is lost with it says something of what is around it: where a link leads, a variable, a block that
    ends elsewhere."""
    depth = 0
    for index in span.inside:
        one = document.placeholders[index]
        if one.kind != "statement":
            continue
        word = _WORD.match(document.source, one.start)
        step = _BRANCHES.get(word[1]) if word is not None else None
        if step is None or (span.element in ("a", "area") and not _is_within(document, one)):
            return True
        depth += step
    return depth != 0


def _is_within(document: Document, one: Placeholder) -> bool:
    """Whether it stands in the value of a link."""
    at = bisect_right(document.every, one.start, key=attrgetter("start")) - 1
    return at >= 0 and one.start < document.every[at].end


def _value(source: str, some: Sequence[Placeholder], href: Href) -> str:
    """Where a link leads, as a text has it."""
    pieces: list[str] = []
    at = href.start
    for one in some:
        pieces += (unescape(source[at : one.start]), source[one.start : one.end])
        at = one.end
    value = "".join([*pieces, unescape(source[at : href.end])]).strip()
    return value if some else _BLANKS.sub("%20", value)


def _spliced(source: str, changes: Sequence[tuple[int, int, str]]) -> str:
    parts: list[str] = []
    at = 0
    for start, end, instead in changes:
        parts += (source[at:start], instead)
        at = end
    return "".join([*parts, source[at:]])

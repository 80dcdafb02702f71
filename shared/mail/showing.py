"""Whether a mail shows anything: what queueing asks of a content, and the relay of a mail that it made.

A text shows something if it has a character that is seen: no blank of any width, no control, none of the signs that
take no room. An HTML shows its text, but for what stands in styles, scripts, titles and comments, and whatever is no
mere structure, as pictures are: not those without a source, and not those of one pixel, which count openings. Outlook's
comments are seen, by Outlook.

Any text may come here, so each character is looked at a bounded number of times.
"""

import re
import unicodedata
from collections.abc import Iterator
from html import unescape
from typing import Literal

import msgspec

#: Letters, marks and symbols that show nothing; categories do not tell them.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(at) for at in range(0xFE00, 0xFE10)}
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp", "Zs"))
#: Elements in which tags are none (HTML, section 13.1.2), up to their end tag.
_RAW = ("style", "script", "title", "textarea", "xmp", "iframe", "noembed", "noframes")
#: And of these, those whose text is seen.
_SEEN_RAW = frozenset(("textarea", "xmp"))
#: Elements inside of which a picture is none: `template` is not shown, and `select` drops what is not an option; the
#: others show what stands in them only where they themselves cannot be shown.
_SWALLOWING = frozenset(("template", "select", "object", "audio", "video", "canvas", "svg", "math"))
#: Elements that show nothing by themselves.
_STRUCTURE = frozenset(
    (
        "html", "head", "body", "title", "style", "meta", "base", "link", "script", "noscript", "template", "div",
        "span", "p", "br", "wbr", "hr", "pre", "blockquote", "center", "font", "b", "i", "u", "s", "em", "strong",
        "small", "big", "sub", "sup", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "table",
        "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "td", "th", "section", "article", "header",
        "footer", "main", "nav", "aside", "address", "label", "picture", "o:p", "select", "option", "xmp", "textarea",
        "noembed", "noframes",
    )
)  # fmt: skip
_MARKUP = re.compile(r"<(?:(?P<comment>!--)|(?P<end>/?)(?P<name>[a-z][^\s/>]*)|[/!?])", re.IGNORECASE)
_REST_OF_TAG = re.compile(r"""(?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+'|(?!["'])))*+>""")
#: Elements that end with their own tag where it says so.
_FOREIGN = frozenset(("svg", "math"))
_CONDITIONAL = re.compile(r"<!--\[if[^\]>]{0,200}\]>(?!<!-->|-->)", re.IGNORECASE)
_ENDS = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW}
_SOURCE = re.compile(r"""[\s"'/](?:src|srcset|data|href)\s*=\s*["']?\s*[^\s"'>]""", re.IGNORECASE)
_PIXEL = re.compile(r"""[\s"'/](?:width|height)\s*=\s*["']?\s*[01](?:px)?["'\s/>]""", re.IGNORECASE)
_HIDDEN = re.compile(r"""[\s"'/]type\s*=\s*["']?\s*hidden""", re.IGNORECASE)
_BACKGROUND = re.compile(r"""[\s"'/]background\s*=\s*["']?\s*[^\s"'>]|url\(\s*[^\s)]""", re.IGNORECASE)
_REFRESH = re.compile(r"""[\s"'/]http-equiv\s*=\s*["']?\s*refresh""", re.IGNORECASE)
#: Elements that need a source to be a picture.
_WITH_SOURCE = frozenset(("img", "image", "amp-img"))


class Piece(msgspec.Struct, frozen=True):
    """`html[start:end]` is text that is seen, or a tag. `name` is the element of a tag that begins one, in lower case,
    or "" of any other."""

    kind: Literal["text", "tag"]
    start: int
    end: int
    name: str = ""


def shows(text: str) -> bool:
    """Whether a text has anything to be seen."""
    text = text.strip()
    return bool(text) and ((text.isascii() and text.isprintable()) or any(map(_is_seen, text)))


def html_shows(html: str) -> bool:
    """Whether an HTML has."""
    return any(piece_shows(html, piece) for piece in pieces(html))


def piece_shows(html: str, piece: Piece) -> bool:
    """Whether this piece of it does."""
    inside = html[piece.start : piece.end]
    if piece.kind == "text":
        return shows(unescape(inside) if "&" in inside else inside)
    if not piece.name:
        return False
    if piece.name in _STRUCTURE:
        needle = _REFRESH if piece.name == "meta" else _BACKGROUND
        return needle.search(inside) is not None or (piece.name == "script" and _SOURCE.search(inside) is not None)
    if piece.name == "input" and _HIDDEN.search(inside):
        return False
    return piece.name not in _WITH_SOURCE or (not _PIXEL.search(inside) and _SOURCE.search(inside) is not None)


def pieces(html: str) -> Iterator[Piece]:
    """The text that is seen and the tags, in order."""
    at = 0
    while (found := _MARKUP.search(html, at)) is not None:
        start = found.start()
        if at < start:
            yield Piece("text", at, start)
        at, piece = _after(html, found, opens=True)
        if piece is not None:
            yield piece
            if piece.name in _ENDS:
                end = _end_of_raw(html, piece.name, at)
                if piece.name in _SEEN_RAW and at < (end if end >= 0 else len(html)):
                    yield Piece("text", at, end if end >= 0 else len(html))
                at = end
        if at < 0:
            return
    if at < len(html):
        yield Piece("text", at, len(html))


def open_at(html: str) -> int:
    """Where what swallows the end of it begins: a comment, a tag, or an element that shows no picture which stands in
    it, and that does not end. -1 if nothing does."""
    opened: dict[str, list[int]] = {}
    at = 0
    swallowed = -1
    while (found := _MARKUP.search(html, at)) is not None:
        at, piece = _after(html, found)
        name = piece.name if piece is not None else ""
        if at >= 0 and name in _ENDS:
            at = _end_of_raw(html, name, at)
        if at < 0 or name == "plaintext":  # which nothing ends
            swallowed = found.start()
            break
        if name in _FOREIGN and html[at - 2 : at] == "/>":
            continue
        if name in _SWALLOWING:
            opened.setdefault(name, []).append(found.start())
        elif found["end"] and opened.get(ended := found["name"].lower()):
            opened[ended].pop()
    begins = [starts[0] for starts in opened.values() if starts]
    return min([*begins, swallowed] if swallowed >= 0 else begins, default=-1)


def _after(html: str, found: re.Match[str], *, opens: bool = False) -> tuple[int, Piece | None]:
    """Where what was found ends, -1 if it does not; and the tag, if it is one. `opens`: comments of Outlook are looked
    into."""
    if found["comment"]:
        if opens and (conditional := _CONDITIONAL.match(html, found.start())) is not None:
            return conditional.end(), None
        # `<!-->` and `<!--->` are whole.
        end = html.find("-->", found.end() - 2)
        return (-1 if end < 0 else end + 3), None
    rest = _REST_OF_TAG.match(html, found.end())
    if rest is None:
        return -1, None
    name = "" if found["end"] or not found["name"] else found["name"].lower()
    return rest.end(), Piece("tag", found.start(), rest.end(), name)


def _end_of_raw(html: str, name: str, at: int) -> int:
    end = _ENDS[name].search(html, at)
    return -1 if end is None else end.start()


def _is_seen(char: str) -> bool:
    return unicodedata.category(char) not in _UNSEEN and char not in _BLANK

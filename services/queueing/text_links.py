"""Links of a text part: the URLs that stand in it with their scheme, as mail programs make links of them. Pure.

A URL ends where a blank, a double quote, an angle bracket or an East Asian sign that is no letter stands, and at a
bracket that was opened before it. A full stop and what else ends a sentence is not its; an apostrophe in it is: what a
mail program takes for a part of the link, the token would have behind it. What a variable holds is part of it where it
stands in it (`https://a.fr/{{ id }}`); a block that begins in it may be half of it, so it is left alone. Their
positions go on behind those of the HTML.
"""

import re
from collections.abc import Iterator, Sequence

from services.queueing import contexts
from services.queueing.placeholders import Placeholder
from services.queueing.rewrite import Href, Piece, inside, split_between
from shared.words import content, tokens
from shared.words.content import Link

_NOT_IN_URL = (
    r"""\s<>"`\x00-\x1f\u00ab\u00bb\u2018-\u201f\u2039\u203a"""
    r"\u3000-\u3003\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
    # Signs that take no room.
    r"\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff"
)
_URL = re.compile(f"https?://[^{_NOT_IN_URL}]+", re.IGNORECASE)
_SCHEME = re.compile("https?://", re.IGNORECASE)
#: What ends a sentence.
_AFTER = ".,;:!?*_~|'\u2026"
#: What a URL may close if it has opened it.
_CLOSING = {")": "(", "]": "[", "}": "{"}
_BRACKET = re.compile(r"[()\[\]{}]")


def find(source: str, found: Sequence[Placeholder], first_position: int) -> list[Href]:
    """The links of a text that can be tracked, in order."""
    masked = contexts.masked(source, found, " ")
    links: list[Href] = []
    for start, end in _urls(masked):
        placeholders = inside(found, start, end)
        # A word of the template right behind it may go on with it.
        if any(one.kind == "statement" for one in inside(found, start, end + 1)):
            continue
        # The scheme and the beginning of the host are the text's.
        text = masked[start:end]
        url = "" if placeholders else tokens.destination(text)
        if url is not None and (not placeholders or placeholders[0].start > start + len("https://")):
            links.append(Href(first_position + len(links), start, end, url))
    return links


def _urls(masked: str) -> Iterator[tuple[int, int]]:
    for match in _URL.finditer(masked):
        at = match.start()
        # One may follow behind the bracket that ends another: `[https://a.fr](https://a.fr)`.
        while (begin := _SCHEME.search(masked, at, match.end())) is not None:
            at = max(_end(masked, begin.start(), match.end()), begin.end())
            yield begin.start(), at


def pieces(source: str, found: Sequence[Placeholder], links: Sequence[Href]) -> Iterator[Piece]:
    """A text without logic, cut at its variables and its links."""
    at = 0
    for link in links:
        yield from split_between(source, found, at, link.start)
        yield Link(link.position, tuple(split_between(source, found, link.start, link.end)), link.url)
        at = link.end
    yield from split_between(source, found, at, len(source))


def marked(source: str, links: Sequence[Href]) -> str:
    """A text with logic, with the marks that `shared.words.content` names."""
    cut: list[str] = []
    at = 0
    for link in links:
        value = source[link.start : link.end]
        mark = f"{content.LINK_BEGIN}{link.position}{content.LINK_VALUE}{value}{content.LINK_END}"
        cut += (source[at : link.start], mark)
        at = link.end
    return "".join([*cut, source[at:]])


def _end(masked: str, start: int, end: int) -> int:
    """Without what follows it in the sentence."""
    opened = {"(": 0, "[": 0, "{": 0}
    for found in _BRACKET.finditer(masked, start, end):
        opening = _CLOSING.get(found[0])
        if opening is None:
            opened[found[0]] += 1
        elif opened[opening]:
            opened[opening] -= 1
        else:
            end = found.start()
            break
    while end > start and masked[end - 1] in _AFTER:
        end -= 1
    return end

"""Links of a text part: the URLs that stand in it with their scheme, as mail programs make links of them. Pure.

A URL ends where a blank, a quote or an angle bracket stands; a full stop and what else ends a sentence is not its, nor
is a bracket that was opened before it. What a variable holds is part of it where it stands in it (`https://a.fr/{{ id
}}`); a block that begins in it may be half of it, so it is left alone. Their positions go on behind those of the HTML.
"""

import re
from collections.abc import Iterator, Sequence

from services.queueing import contexts
from services.queueing.placeholders import Placeholder
from services.queueing.rewrite import Href, Piece, inside, split_between
from shared.words import content, tokens
from shared.words.content import Link

_URL = re.compile(r"""https?://[^\s<>"'`\u00ab\u00bb\u2018-\u201f\x00-\x1f]+""", re.IGNORECASE)
#: What ends a sentence, and what opens what a URL may close.
_AFTER = ".,;:!?*_~|"
_BRACKETS = {")": "(", "]": "[", "}": "{"}


def find(source: str, found: Sequence[Placeholder], first_position: int) -> list[Href]:
    """The links of a text that can be tracked, in order."""
    masked = contexts.masked(source, found, " ")
    links: list[Href] = []
    for match in _URL.finditer(masked):
        start, end = match.start(), _end(masked, match.start(), match.end())
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
    """Without what follows it in the sentence. The brackets of a URL are counted once, not for each that is cut."""
    text = masked[start:end]
    surplus = {closing: text.count(closing) - text.count(opening) for closing, opening in _BRACKETS.items()}
    while end > start:
        last = masked[end - 1]
        if surplus.get(last, 0) > 0:
            surplus[last] -= 1
        elif last not in _AFTER:
            break
        end -= 1
    return end

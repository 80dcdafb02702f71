"""The documents of `docs/` as pages: Markdown in, HTML out. Pure.

The page of the API, which is made from our own OpenAPI document, is long: each of its chapters is a page of its own
here. A link between documents leads to the page of the other one; what leads to a file that is no page is no link.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

#: The folder of the documents, beside ours in a clone and where the package is installed.
FOLDER = Path(__file__).parents[2] / "docs"
#: The document that is cut into its chapters.
LONG = "api"
#: What is first, and is not named in the address.
INDEX = "README"
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_HEADING = re.compile(r"^(#{1,4}) (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CHAPTER = re.compile(r"^## (.+)$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z]+:")


class Chapter(NamedTuple):
    """A part of a document that is a page: its name in addresses, its title, its Markdown."""

    name: str
    title: str
    text: str


class Page(NamedTuple):
    """A page, and what is in it: the anchor and the title of each section."""

    title: str
    html: str
    sections: Sequence[tuple[str, str]]


class Documents:
    """By name: `guide`, `api`, `api/jobs`, `decisions/0001-…`."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._chapters = {chapter.name: chapter for name, text in texts.items() for chapter in _chapters(name, text)}
        #: Where the anchors of the long document went to.
        self._places = {  # of two that are the same the first one is meant
            anchor: chapter.name
            for chapter in reversed(self._chapters.values())
            if chapter.name.partition("/")[0] == LONG
            for anchor in _anchors(chapter.text)
        }
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
        self._page = lru_cache(maxsize=None)(self._made)

    def page(self, name: str) -> Page | None:
        """Takes a tenth of a second when a long one is asked for first."""
        return self._page(name) if name in self._chapters else None

    def _made(self, name: str) -> Page:
        chapter = self._chapters[name]
        tokens = self._markdown.parse(_COMMENT.sub("", chapter.text))
        if name != LONG and name.startswith(f"{LONG}/"):
            _raise(tokens)
        _drop_empty_heads(tokens)
        sections = list(_named(tokens))
        for token in _all(tokens):
            if token.type == "link_open":
                self._lead(token, name)
        _close_spans(tokens)
        html = self._markdown.renderer.render(tokens, self._markdown.options, {})
        return Page(chapter.title, str(html), sections)

    def _lead(self, link: Token, name: str) -> None:
        target = str(link.attrGet("href") or "")
        if _ELSEWHERE.match(target):
            link.attrSet("rel", "noreferrer")
            return
        place = self._place(target, name)
        if place is None:
            link.tag = "span"
            link.attrs = {}
        else:
            link.attrSet("href", place)

    def _place(self, target: str, name: str) -> str | None:
        path, _, fragment = target.partition("#")
        is_long = name.partition("/")[0] == LONG
        of = LONG if is_long else name
        if path:
            joined = posixpath.normpath(posixpath.join(posixpath.dirname(of), path))
            of = joined.removesuffix(".md")
            of = f"{posixpath.dirname(of)}/{INDEX}".lstrip("/") if posixpath.basename(of) == INDEX else of
        if of == LONG and fragment:
            of = self._places.get(fragment, LONG)
        if of not in self._chapters:
            return None
        address = address_of(of)
        return f"{address}#{fragment}" if fragment else address


def address_of(name: str) -> str:
    """Where the page of that name is."""
    return "/docs" if name == INDEX else f"/docs/{name}"


def read(folder: Path = FOLDER) -> Documents:
    """Those of the folder and of the folders in it, the first one first."""
    files = sorted(folder.rglob("*.md"), key=lambda file: (file.stem != INDEX, file.as_posix()))
    return Documents({file.relative_to(folder).with_suffix("").as_posix(): file.read_text("utf-8") for file in files})


def _chapters(name: str, text: str) -> Iterator[Chapter]:
    title = next((match[2] for match in _HEADING.finditer(text)), name)
    if name != LONG:
        yield Chapter(name, title, text)
        return
    blank = _FENCE.sub(lambda match: " " * len(match[0]), text)
    starts = [*_CHAPTER.finditer(blank)]
    yield Chapter(name, title, text[: starts[0].start()] if starts else text)
    ends = [match.start() for match in starts[1:]] + [len(text)]
    for match, end in zip(starts, ends, strict=True):
        yield Chapter(f"{LONG}/{anchor_of(match[1])}", match[1], f"# {text[match.start() + 3 : end]}")


def anchor_of(heading: str) -> str:
    """As where such files are shown: in small letters, with - between the words."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _anchors(text: str) -> list[str]:
    return [anchor_of(match[2]) for match in _HEADING.finditer(_FENCE.sub("", text))]


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _named(tokens: Sequence[Token]) -> Iterator[tuple[str, str]]:
    """Gives each heading its anchor, no two the same, and tells of those that are sections."""
    seen: dict[str, int] = {}
    for heading, inline in pairwise(tokens):
        if heading.type != "heading_open":
            continue
        anchor = anchor_of(inline.content)
        count = seen[anchor] = seen.get(anchor, 0) + 1
        anchor = anchor if count == 1 else f"{anchor}-{count - 1}"
        heading.attrSet("id", anchor)
        if heading.tag in ("h2", "h3"):
            yield anchor, inline.content.replace("`", "")


def _raise(tokens: Sequence[Token]) -> None:
    """A chapter is a page, whose sections stand right below its title."""
    for token in tokens:
        if token.type in ("heading_open", "heading_close") and token.tag != "h1":
            token.tag = f"h{int(token.tag[1:]) - 1}"


def _drop_empty_heads(tokens: list[Token]) -> None:
    """Markdown has no table without a head; one with nothing in it is none."""
    ends = [at for at, token in enumerate(tokens) if token.type == "thead_close"]
    for end in reversed(ends):
        start = next(at for at in range(end, -1, -1) if tokens[at].type == "thead_open")
        if not any(token.content.strip() for token in tokens[start:end] if token.type == "inline"):
            del tokens[start : end + 1]


def _close_spans(tokens: Sequence[Token]) -> None:
    """What was opened as a span is closed as one."""
    opened: list[str] = []
    for token in _all(tokens):
        if token.type == "link_open":
            opened.append(token.tag)
        elif token.type == "link_close":
            token.tag = opened.pop()

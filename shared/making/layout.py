"""Bodies: the static bytes of a job's mails and the slots between them, filled for one recipient after the other.

Theory of operation. Once per content the compiled body becomes a list of byte strings, some of them slots; one list for
recipients who are tracked, one for those who are not. Nothing static in it is of one job alone, so that the next job of
the same content has it too (`Layout.for_job`). A body is that list, copied, with its slots filled, joined:

    variables       looked up, printed, escaped, encoded: each path once, however many slots it has
    tracked links   all but the first 32 characters and the tail of each token is static (`shared.words.tokens`), soft
                    breaks included, because the lengths are known
    other links     an href that depends on the recipient is rendered first, then the token is made of where it leads
    parts of logic  their islands (`islands`) are rendered by the engine, elsewhere; here their marks
                    (`shared.words.content`) are replaced, and they are encoded

A slot begins on a line of its own, so it is filled without looking at columns.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from hashlib import blake2b
from html import unescape
from html.entities import html5
from typing import Any, Literal

import msgspec

from shared.mail import hrefs
from shared.mail.quoted_printable import (
    MAX_LINE_CHARS,
    SOFT_BREAK,
    between_slots,
    encode,
    wrap,
)
from shared.mail.templates import (
    Name,
    TemplateFailed,
    escaped,
    printed,
)
from shared.mail.wire import is_wire_ready
from shared.making.islands import Island, cut
from shared.words import content
from shared.words.content import (
    Link,
    Part,
    Pixel,
    Segment,
    Variable,
)
from shared.words.tokens import (
    BEGIN_CHARS,
    MAX_POSITION,
    JobTokens,
    LinkShape,
    destination,
)
from shared.words.utm import Utm, added
from shared.words.variables import look_up

Kind = Literal["text", "html", "amp"]

#: What is looked for in values that are no links, and what takes their place.
_LOOKED_AT: Mapping[int, tuple[Callable[[str], bool], str]] = {
    content.UNTRACKED_PICTURE: (hrefs.picture_runs, "#"),
    content.UNTRACKED_REFRESH: (hrefs.refreshes, "#"),
    content.UNTRACKED_STYLE: (hrefs.style_runs, ""),
}
_PIXEL_BEFORE, _PIXEL_AFTER = '<img src="', '" width="1" height="1" alt="" style="display:block;border:0">'
_NO_DOCUMENTS: Mapping[int, str] = {}
_MARKS = "".join(content.MARKS)
_REFERENCE = re.compile(r"&(?:#(?:[0-9]+|[xX][0-9a-fA-F]+);?|([A-Za-z][A-Za-z0-9]*)([;=]?))")


class Marks:
    """The marks of one job's templates as nobody outside can know them: `nonce`, some digits, stands in each. So what
    stands in a variable is text, whatever it is."""

    def __init__(self, nonce: str) -> None:
        self._begin = f"{content.LINK_BEGIN}{nonce}:"
        self._end = f"{content.LINK_END}{nonce};"
        self.pixel = f"{content.PIXEL}{nonce};"
        self._cut = f"{content.CUT}{nonce};"

    # Most templates have no logic, and are never looked through; compiling these takes a tenth of what a mail does.

    @cached_property
    def _link(self) -> re.Pattern[str]:
        return re.compile(f"{self._begin}([0-9]{{1,5}}){content.LINK_VALUE}([^{_MARKS}]*){self._end}")

    @cached_property
    def _rest(self) -> re.Pattern[str]:
        return re.compile(f"{self._begin}[0-9]{{1,5}}{content.LINK_VALUE}|{self._end}|{self.pixel}|[{_MARKS}]")

    def secret(self, template: str) -> str:
        """The template of a compiled content, in which nothing else has the characters of marks."""
        with_links = template.replace(content.LINK_BEGIN, self._begin).replace(content.LINK_END, self._end)
        return with_links.replace(content.PIXEL, self.pixel)

    def joined(self, islands: Sequence[str]) -> str:
        """The template that the engine gets."""
        return self._cut.join(map(self.secret, islands))

    def islands(self, rendered: str, count: int) -> list[str]:
        """What the engine made of each. TemplateFailed if these are not all."""
        found = rendered.split(self._cut)
        if len(found) != count:
            raise TemplateFailed(f"{count} parts were to be rendered, and {len(found)} came back")
        return found

    def replace(self, text: str, link: Callable[[int, str], str], pixel: str) -> str:
        """The rendered text with `link(position, value)` for each link; what is left of marks, as around an href that a
        condition cut, is gone."""
        text = self._link.sub(lambda found: link(int(found[1]), found[2]), text)
        return self._rest.sub("", text.replace(self.pixel, pixel))


class Urls(msgspec.Struct, frozen=True):
    """What the URLs of clicks, of opens, of each page and of documents begin with, up to the token."""

    click: str
    open: str
    pages: tuple[str, ...]
    document: str


class Layout:
    """The bodies of one job, for recipients who are `tracked` or for those who are not. `documents` are the names of
    tracked documents, by the positions of their links."""

    def __init__(
        self,
        body: Sequence[bytes | Part],
        *,
        tracked: bool,
        tokens: JobTokens,
        urls: Urls,
        marks: Marks,
        utm: Utm | None = None,
        documents: Mapping[int, str] = _NO_DOCUMENTS,
    ) -> None:
        self._tracked = tracked
        self._documents = documents
        self._utm = utm
        self._tokens = tokens
        self._urls = urls
        self._marks = marks
        self._ours = _ours(urls)
        self._pieces: list[bytes] = []
        self._after_slot = True
        self._begins: list[int] = []
        self._tails: list[int] = []
        self._shapes: list[LinkShape] = []
        #: Of links to tracked documents: the places of the begin and of the tail, and what they have in common.
        self._document_links: list[tuple[int, int, LinkShape]] = []
        self._variables: dict[tuple[Kind, tuple[str, ...]], list[int]] = {}
        self._pages: list[tuple[str, int]] = []
        self._pixels: list[int] = []
        self._hrefs: list[tuple[int, Link, Kind]] = []
        #: Of each part with logic: where the nth island goes, and whether the last one ends the part.
        self._islands: list[tuple[Kind, list[int], bool]] = []
        for item in body:
            if isinstance(item, bytes):
                self._add(item)
            elif item.template:
                self._place_islands(item)
            else:
                for segment in item.segments:
                    self._place(segment, item.kind)
        #: No line of the bodies has to be changed for SMTP: of what fills the slots that is known.
        self.is_wire_ready = _are_wire_ready(self._pieces)

    def for_job(self, tokens: JobTokens, marks: Marks) -> "Layout":
        """The bodies of another job of the tenant, of the same content and with the same generation of keys."""
        again = object.__new__(Layout)
        again.__dict__ |= self.__dict__ | {"_tokens": tokens, "_marks": marks}
        return again

    def fill(self, ordinal: int, address: str, variables: Mapping[str, Any], texts: Mapping[Name, str]) -> bytes:
        """The body for one recipient, at that address; those of their pages are among the variables; `texts` are the
        parts of logic, as the engine rendered them. TemplateFailed."""
        pieces = self._pieces.copy()
        mark = self._tokens.mark(address) if self._tracked else b""
        if self._shapes:
            begin, tails = self._tokens.clicks(ordinal, mark, self._shapes)
            for at in self._begins:
                pieces[at] = begin
            for at, tail in zip(self._tails, tails, strict=True):
                pieces[at] = tail
        if self._document_links:
            self._fill_documents(pieces, ordinal, mark)
        for (kind, path), places in self._variables.items():
            text = printed(look_up(variables, path))
            value = encode(text if kind == "text" else escaped(text))
            for at in places:
                pieces[at] = value
        for name, at in self._pages:
            pieces[at] = _broken(variables.get(name, ""))
        for at in self._pixels:
            pieces[at] = _broken(self._open_url(ordinal, mark))
        for at, link, kind in self._hrefs:
            value_of_href = _substituted(link.source, variables, kind)
            url = self._click_url(ordinal, mark, link.position, value_of_href, kind)
            pieces[at] = _broken(url) if url else encode(_harmless(link.position, value_of_href, kind))
        for kind, islands, is_end in self._islands:
            rendered = self._marks.islands(texts[kind], len(islands))
            if is_end:
                rendered[-1] = rendered[-1].rstrip("\r\n") + "\n"
            for at, text in zip(islands, rendered, strict=True):
                pieces[at] = encode(self._finished(kind, ordinal, mark, text))
        return b"".join(pieces)

    def _fill_documents(self, pieces: list[bytes], ordinal: int, mark: bytes) -> None:
        shapes = [shape for _, _, shape in self._document_links]
        begin, tails = self._tokens.clicks(ordinal, mark, shapes, b"D")
        for (first, last, _), tail in zip(self._document_links, tails, strict=True):
            pieces[first], pieces[last] = begin, tail

    def _add(self, static: bytes) -> None:
        if self._after_slot:
            self._pieces.append(static)
            self._after_slot = False
        else:
            self._pieces[-1] += static

    def _slot(self) -> int:
        self._pieces.append(b"")
        self._after_slot = True
        return len(self._pieces) - 1

    def _place(self, segment: Segment, kind: Kind) -> None:
        match segment:
            case bytes():
                self._add(segment)
            case Variable(path=(name,)) if name in content.PAGES:
                self._pages.append((name, self._slot()))
            case Variable():
                self._variables.setdefault((kind, segment.path), []).append(self._slot())
            case Pixel():
                self._place_pixel()
            case Link():
                self._place_link(segment, kind)

    def _place_islands(self, part: Part) -> None:
        """Of a part with logic: what the engine does not have to render is as it is in one without."""
        pieces = cut(part.template).pieces
        islands: list[int] = []
        for at, piece in enumerate(pieces):
            if at and not isinstance(piece, str) and not isinstance(pieces[at - 1], str):
                self._add(SOFT_BREAK)
            match piece:
                case str():
                    self._add(between_slots(piece, is_first=not at, is_last=at + 1 == len(pieces)))
                case Island():
                    islands.append(self._slot())
                case Link(source=(str(value),)):
                    url = self._destination(value, piece.position, part.kind)
                    self._place_link(
                        Link(piece.position, (_harmless(piece.position, value, part.kind),), url), part.kind
                    )
                case _:
                    self._place(piece, part.kind)
        if islands:
            self._islands.append((part.kind, islands, isinstance(pieces[-1], Island)))

    def _place_pixel(self) -> None:
        if self._tracked:
            self._add(encode(_PIXEL_BEFORE) + SOFT_BREAK)
            self._pixels.append(self._slot())
            self._add(SOFT_BREAK + encode(_PIXEL_AFTER))

    def _place_link(self, link: Link, kind: Kind) -> None:
        if self._tracked and link.url and not self._is_ours(link.url):
            self._place_tracked(link.position, link.url)
        elif any(isinstance(piece, Variable) for piece in link.source):
            self._hrefs.append((self._slot(), link, kind))
        else:
            self._add(encode(_substituted(link.source, {}, kind)))

    def _place_tracked(self, position: int, url: str) -> None:
        """Soft breaks go where neither the first characters of the token nor its tail are cut."""
        name = self._documents.get(position)
        if name is None:
            shape = self._tokens.link(position, url)
            base = self._urls.click
        else:
            shape = self._tokens.document_link(position, url, name)
            base = self._urls.document
        before, column = wrap(base.encode("ascii"), 0)
        if column + BEGIN_CHARS >= MAX_LINE_CHARS:
            before, column = before + SOFT_BREAK, 0
        fixed, column = wrap(shape.fixed, column + BEGIN_CHARS)
        if column + shape.tail_chars >= MAX_LINE_CHARS:
            fixed += SOFT_BREAK
        self._add(before)
        begin = self._slot()
        self._add(fixed)
        tail = self._slot()
        if name is None:
            self._begins.append(begin)
            self._tails.append(tail)
            self._shapes.append(shape)
        else:
            self._document_links.append((begin, tail, shape))

    def _is_ours(self, url: str) -> bool:
        """Whether it leads to a page of ours, however its scheme and host are written."""
        return _without_scheme(url).startswith(self._ours)

    def _open_url(self, ordinal: int, mark: bytes) -> str:
        return self._urls.open + self._tokens.open(ordinal, mark).decode("ascii")

    def _click_url(self, ordinal: int, mark: bytes, position: int, href: str, kind: Kind) -> str:
        """Where the click on an href, or on a URL of a text, goes; "" if it is not tracked."""
        url = self._destination(href, position, kind)
        if url and (name := self._documents.get(position)) is not None:
            return self._urls.document + self._tokens.document(ordinal, mark, position, url, name).decode("ascii")
        return self._urls.click + self._tokens.click(ordinal, mark, position, url).decode("ascii") if url else ""

    def _destination(self, href: str, position: int, kind: Kind) -> str:
        """Where an href leads, "" if it is not tracked: no consent, not http, or a page of ours, such as that of the
        unsubscription."""
        url = destination(href if kind == "text" else _unescaped(href)) if self._tracked else None
        # One that is only looked at has a position beyond them all.
        if url is None or position > MAX_POSITION or self._is_ours(url):
            return ""
        return added(url, self._utm)

    def _finished(self, kind: Kind, ordinal: int, mark: bytes, text: str) -> str:
        is_html = kind == "html"
        pixel = f"{_PIXEL_BEFORE}{self._open_url(ordinal, mark)}{_PIXEL_AFTER}" if self._tracked and is_html else ""
        return self._marks.replace(
            text,
            lambda position, value: (
                self._click_url(ordinal, mark, position, value, kind) or _harmless(position, value, kind)
            ),
            pixel,
        )


def nonce(key: bytes, job: str) -> str:
    """What stands in a job's marks: 64 bits that nobody has without the key, as digits: no filter changes them."""
    return str(int.from_bytes(blake2b(job.encode(), digest_size=8, key=key).digest()))


def _are_wire_ready(pieces: Sequence[bytes]) -> bool:
    """Whether each piece is, looked at in one go: between them stands what neither is nor ends a line."""
    return is_wire_ready(b"=".join(pieces)) and not any(piece.startswith(b".") for piece in pieces)


@lru_cache(64)
def _ours(urls: Urls) -> tuple[str, ...]:
    """What the addresses of our pages begin with: the same for all jobs of a domain."""
    return tuple(map(_without_scheme, (urls.click, urls.open, *urls.pages, urls.document)))


def _without_scheme(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    default = {"http": ":80", "https": ":443"}.get(scheme.lower(), "")
    return f"{host.lower().removesuffix(default) if default else host.lower()}{slash}{path}"


def _substituted(source: Sequence[str | Variable], variables: Mapping[str, Any], kind: Kind) -> str:
    as_it_stands = str if kind == "text" else escaped
    return "".join(
        piece if isinstance(piece, str) else as_it_stands(printed(look_up(variables, piece.path))) for piece in source
    )


def _harmless(position: int, value: str, kind: Kind) -> str:
    """The value of an href, or of what else is looked at, unless it leads where nothing may; a text leads nowhere."""
    if kind == "text":
        return value
    runs, instead = _LOOKED_AT.get(position, (hrefs.runs, "#"))
    return instead if runs(_unescaped(value)) else value


def _broken(url: str) -> bytes:
    return wrap(url.encode("ascii"), 0)[0]


def _unescaped(value: str) -> str:
    """An attribute's value as browsers read it (HTML, 13.2.5.73): a name without its semicolon is a reference only if
    neither a letter, a digit nor `=` follows."""
    return _REFERENCE.sub(_character, value) if "&" in value else value


def _character(reference: re.Match[str]) -> str:
    name, end = reference.groups()
    if name is None or end == ";":
        # `unescape` takes the longest name that it knows; here it has to be all of it.
        return unescape(reference[0]) if name is None or f"{name};" in html5 else reference[0]
    return html5[name] if name in html5 and end == "" else reference[0]

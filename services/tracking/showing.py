"""The page that shows a mail: the body of one recipient, made as the relay makes it, without its pixel. Pure.

The HTML is the mail's own, unchanged but for what the relay changes, too: so its links are those of the mail, and a
click on them is a click of the mail. A mail of text alone is shown as one. Whatever the HTML holds, nothing of it runs:
`HEADERS` take that away from the page, and give it nothing of the origin on which the other pages are.
"""

import re
from binascii import a2b_qp
from collections.abc import Mapping
from functools import cached_property, partial
from hashlib import blake2b
from html import escape
from urllib.parse import unquote_to_bytes

import msgspec

from services.tracking.about import said_languages
from shared.mail import templates
from shared.making.addresses import Addresses
from shared.making.islands import cut
from shared.making.layout import Layout, Marks, nonce
from shared.making.rendering import Asked, Job
from shared.redis.recipients import Viewed
from shared.words import content, variables
from shared.words.content import CompiledContent, Part, Pixel
from shared.words.languages import chosen, fitting
from shared.words.tokens import TokenKeys

#: Pictures, styles and fonts are fetched, as a mail program does; nothing runs, posts, frames or is framed. In the
#: sandbox the page has an origin of nobody's; its links may be followed, also into a window of their own.
HEADERS: Mapping[str, str] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline' http: https:;"
        " font-src http: https: data:; media-src http: https:; form-action 'none'; base-uri 'none';"
        " frame-ancestors 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
        " allow-top-navigation-by-user-activation"
    ),
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}

_URL = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)\]}']")
#: Colours are named, so that they fit each other whatever the browser takes for links.
_BEFORE_TEXT = (
    '<!DOCTYPE html>\n<html lang="{0}">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{1}</title>\n'
    "<style>:root{{color-scheme:light dark;--card:#fff;--ink:#1b2127;--act:#174a7a}}"
    "@media (prefers-color-scheme:dark){{:root{{--card:#1b2024;--ink:#eef1f3;--act:#9ac7f2}}}}"
    "body{{font:1.0625rem/1.55 sans-serif;max-width:45rem;margin:2rem auto;padding:0 1.25rem;"
    "background:var(--card);color:var(--ink)}}h1{{font-size:1.25rem}}a{{color:var(--act)}}"
    "pre{{font:inherit;white-space:pre-wrap;overflow-wrap:anywhere}}</style>\n"
    "</head>\n<body>\n<main>\n<h1>{1}</h1>\n<pre>"
)
#: Of pictures that are put into one page; those behind them are not shown. A mail may show one a thousand times.
MAX_PICTURES_BYTES = 15_000_000
#: A URL of what the mail brings along, behind what begins a value, or one in a style (RFC 2392).
_CONTENT_ID = re.compile(rb"(?<=[\"'(=;])cid:([^\s\"'()<>,&]+)", re.IGNORECASE)
#: Of a text, where the sender is a template.
_UNTITLED = "E-mail"
_AFTER_TEXT = "</pre></main>\n</body>\n</html>\n"


class Mail:
    """The pages of one job's mails. `base_url`, `marks_key` and `test` are what the relay's renderer has; `title` is
    that of a mail of text alone. ValueError if the content shows nothing."""

    def __init__(
        self,
        compiled: CompiledContent,
        *,
        job: str,
        tenant: str,
        tokens: TokenKeys,
        base_url: str,
        marks_key: bytes,
        title: str = "",
        test: bool = False,
    ) -> None:
        self._again = partial(
            Mail, job=job, tenant=tenant, tokens=tokens, base_url=base_url, marks_key=marks_key, title=title, test=test
        )
        self._translated: dict[str, Mail] = {}
        self.from_domain = compiled.from_domain
        self.base_url = base_url
        self._part = _shown(compiled)
        #: Without what goes with the texts, such as attachments.
        texts = [one for one in compiled.body if isinstance(one, Part)]
        self._texts = msgspec.structs.replace(compiled, body=texts, pictures=[])
        self._title = title
        self._tokens = tokens.for_job(job, tenant)
        self._addresses = Addresses(base_url, self._tokens, compiled.uses, test=test)
        self._defaults = compiled.variables
        self._marks = Marks(nonce(marks_key, job))
        self._utm = compiled.utm
        self._documents = content.documents(compiled)
        islands = cut(self._part.template).sources if self._part.template else []
        sources: dict[templates.Name, str] = {self._part.kind: self._marks.joined(islands)}
        self._logic = Job(sources, compiled.variables, compiled.language) if islands else None
        self._digest = blake2b(msgspec.msgpack.encode(self._logic), digest_size=16).digest()
        self._pictures = _pictures(compiled)
        #: About how much memory it takes.
        size = len(msgspec.msgpack.encode(self._part)) + len(bytes(compiled.variables))
        size += sum(map(len, self._pictures.values()))
        self.size_bytes = size + len(msgspec.msgpack.encode(compiled.variants))

    def of(self, who: Viewed) -> "Mail":
        """The pages of the mail in the recipient's language."""
        variants = self._texts.variants
        if not variants:
            return self
        language = fitting(variables.language(variables.decoded(self._defaults), who.variables), variants)
        if not language:
            return self
        if language not in self._translated:
            self._translated[language] = found = self._again(content.in_language(self._texts, language))
            found._pictures = self._pictures
        return self._translated[language]

    def asked(self, ordinal: int, who: Viewed) -> Asked | None:
        """What has to be rendered elsewhere before, because it holds logic; None if nothing does."""
        if self._logic is None:
            return None
        pages = self._addresses.pages(ordinal, who.email)
        return Asked(self._digest, self._logic, who.variables, who.email, who.name, pages)

    def page(
        self, ordinal: int, who: Viewed, texts: Mapping[templates.Name, str], accept_language: str, *, is_tracked: bool
    ) -> bytes:
        """The page of the recipient; `texts` is what `asked` was answered. templates.TemplateFailed, variables.TooDeep
        if it cannot be made."""
        pages = self._addresses.pages(ordinal, who.email)
        values = variables.of_recipient(self._defaults, who.variables, who.email, who.name, pages)
        layout = self._tracked if is_tracked else self._untracked
        shown = a2b_qp(layout.fill(ordinal, who.email, values, texts))
        if self._part.kind == "html":
            return _with_pictures(shown, self._pictures)
        # No text says in which language it is: that of who reads it is the best guess.
        language = chosen(said_languages(who.metadata), accept_language)
        return as_page(shown.decode("utf-8", "replace"), self._title, language)

    @cached_property
    def _tracked(self) -> Layout:
        return self._layout(is_tracked=True)

    @cached_property
    def _untracked(self) -> Layout:
        return self._layout(is_tracked=False)

    def _layout(self, *, is_tracked: bool) -> Layout:
        return Layout(
            [self._part],
            tracked=is_tracked,
            tokens=self._tokens,
            urls=self._addresses.urls,
            marks=self._marks,
            utm=self._utm,
            documents=self._documents,
        )


def _shown(compiled: CompiledContent) -> Part:
    """The HTML, else the text, without the pixel: that the mail is read here too would count as another opening."""
    parts = {one.kind: one for one in compiled.body if isinstance(one, Part)}
    part = parts.get("html") or parts.get("text")
    if part is None:
        raise ValueError("the content shows nothing")
    segments = [segment for segment in part.segments if not isinstance(segment, Pixel)]
    return msgspec.structs.replace(part, segments=segments, template=part.template.replace(content.PIXEL, ""))


def _pictures(compiled: CompiledContent) -> dict[bytes, bytes]:
    """The `data:` URLs of the pictures that the mail brings along, by their content ids. Nothing else that it brings
    along is shown in a page."""
    found: dict[bytes, bytes] = {}
    for one in compiled.pictures:
        lines = compiled.body[one.at]
        if one.media_type.startswith("image/") and isinstance(lines, bytes):
            base64 = lines.replace(b"\r\n", b"")
            found[one.content_id.encode("ascii")] = b"data:%b;base64,%b" % (one.media_type.encode("ascii"), base64)
    return found


def _with_pictures(page: bytes, pictures: Mapping[bytes, bytes]) -> bytes:
    left = MAX_PICTURES_BYTES

    def located(found: re.Match[bytes]) -> bytes:
        nonlocal left
        url = pictures.get(unquote_to_bytes(found[1]), b"")
        left -= len(url)
        return url if url and left >= 0 else found[0]

    return _CONTENT_ID.sub(located, page) if pictures else page


def as_page(text: str, title: str, language: str) -> bytes:
    """A text with its URLs as links, in a page for a reader of that language."""
    found: list[str] = []
    at = 0
    for url in _URL.finditer(text):
        target = escape(url[0])
        found += (escape(text[at : url.start()]), f'<a href="{target}">{target}</a>')
        at = url.end()
    return "".join(
        [_BEFORE_TEXT.format(language, escape(title or _UNTITLED)), *found, escape(text[at:]), _AFTER_TEXT]
    ).encode()

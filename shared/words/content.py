"""Compiled content: all that the relay needs to make the mails of one job, written once by queueing.

The body is a recipe: MIME framing and attachments, ready to be sent, and between them the parts. A part is either
segments, static bytes in quoted-printable with slots between them, or, if it holds logic, a template that is rendered
whole and encoded late. In such a template marks stand around what tracking replaces; they are Unicode noncharacters,
which no text may hold (Unicode 23.7):

    LINK_BEGIN position LINK_VALUE value LINK_END       the value of an href, as it stands in the HTML
    PIXEL                                               where the pixel goes

Variables may hold anything, these too: before it renders, the relay makes the marks of a template ones that nobody can
know (`shared.making.layout.Marks`). A link at one of the `UNTRACKED` has no place among the links that are
counted: its value depends on the recipient, and is looked at because of where it may lead, or what it may load.

Static segments next to a slot end or begin with a soft break, so that slots are filled without looking at columns.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from shared.words.utm import Utm

LINK_BEGIN = "\ufdd0"
LINK_VALUE = "\ufdd1"
LINK_END = "\ufdd2"
PIXEL = "\ufdd3"
#: Between what the engine renders of a template; only ever in the relay.
CUT = "\ufdd4"
MARKS = (LINK_BEGIN, LINK_VALUE, LINK_END, PIXEL, CUT)
#: Beyond every position that a token can carry (`shared.words.tokens.MAX_POSITION`): what leads somewhere; what shows a
#: picture; the content of a `meta`; a style.
UNTRACKED, UNTRACKED_PICTURE, UNTRACKED_REFRESH, UNTRACKED_STYLE = 99_999, 99_998, 99_997, 99_996

#: The variable that the relay sets: the address of the recipient's unsubscribe page.
UNSUBSCRIBE_URL = "unsubscribe_url"
#: Those whose page shows the mail itself, one by two names: of its recipients more is kept, so that it can be made
#: again.
VIEW_URLS = ("view_url", "browser_url")
#: All that it sets, the addresses of the recipient's pages, and the kind of token that each ends in.
PAGES: Mapping[str, Literal["unsubscribe", "preferences", "opt_in", "view"]] = {
    UNSUBSCRIBE_URL: "unsubscribe",
    "preferences_url": "preferences",
    "opt_in_url": "opt_in",
    "view_url": "view",
    "browser_url": "view",
    "tracking_url": "preferences",
}
#: Those on whose page one can leave.
WAYS_OUT = (UNSUBSCRIBE_URL, "preferences_url")
#: What stands behind the token, where a variable leads to a variant of a page.
PAGE_QUERIES: Mapping[str, str] = {"tracking_url": "?tracking"}
#: The same as they are where no mail is made yet, and content is tried.
TRIED_PAGES: Mapping[str, str] = {name: f"https://example.com/{kind[0]}/x" for name, kind in PAGES.items()}

#: People who get one mail and see each other in it, at most: more is no letter, and a mistake in it would show many
#: addresses to many.
MAX_COPIES = 50

Stream = Literal["bulk", "transactional", "one_to_one"]


class Variable(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A slot for `{{ a.b }}`: the path of names."""

    path: tuple[str, ...]


class Link(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A slot for the value of an href: `source` as it stands in the HTML, entities and variables included, for who is
    not tracked; `url` where a click leads, or "" if that depends on the recipient."""

    position: int
    source: tuple[str | Variable, ...]
    url: str = ""


class Pixel(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A slot for the pixel's whole element."""


Segment = bytes | Variable | Link | Pixel


class Part(msgspec.Struct, frozen=True, array_like=True):
    """The text, the HTML, or its AMP version, in which nothing is tracked. `template` is "" unless the part holds
    logic; then there are no segments. `needs` are the variables of which one has to show something, or
    the part is empty; none where it shows something in any case; null where it never does, as an AMP version by
    itself."""

    kind: Literal["text", "html", "amp"]
    segments: list[Segment] = []
    template: str = ""
    needs: list[tuple[str, ...]] | None = []


class Subject(msgspec.Struct, frozen=True, array_like=True):
    """Plain text and variables, or a template if there is logic."""

    pieces: tuple[str | Variable, ...] = ()
    template: str = ""


class Personal(msgspec.Struct, frozen=True, array_like=True):
    """A header field whose value depends on the recipient: free text; or a mailbox, with `text` for its display name,
    whose address is `address`, or of From that of `from_value`. The relay renders, folds and encodes it, and leaves out
    what is empty then."""

    field: str
    text: Subject
    address: Subject | None = None


class TrackedLink(msgspec.Struct, frozen=True, array_like=True):
    """For statistics: its position among all links of the HTML's source and, behind them, of the text; the destination,
    or its template if that depends on the recipient; the name that the source gives it, or ""; and that of the tracked
    document that it leads to, or ""."""

    position: int
    url: str
    name: str = ""
    document: str = ""


class Variant(msgspec.Struct, frozen=True, array_like=True):
    """The same content in another language: its subject, and its parts, in the order in which the default's stand in
    the body."""

    subject: Subject
    parts: list[Part]


class Picture(msgspec.Struct, frozen=True, array_like=True):
    """A file that the HTML shows as `cid:<content_id>`: its media type, in lower case and without parameters, and at
    which place of the body its base64 is, in lines."""

    content_id: str
    media_type: str
    at: int


class CompiledContent(msgspec.Struct, frozen=True, array_like=True):
    """`from_value`, `reply_to` and `headers` are values of header fields, folded and encoded; `reply_to` may be "".
    What is in `personal`, too, is there only for its place among the fields. `uses` are the paths of the variables that
    the templates name (`order.total`).
    `body_fields` are those that describe the body. `variables` is the msgpack map of the job's defaults. `rate` is the
    pace that the job may have (`shared.words.rates`), "" where it has none of its own. `utm` is added to links whose
    destination depends on the recipient; the others have it. `language` is the tag that the HTML has in `lang`, "" for
    none: that of recipients who have none of their own. `given` are the header fields of a mail that came whole,
    names and values as they stand, folded: its header, to which the engine adds what it writes on every mail.
    `pictures` are the files that the HTML shows. `variants` are its translations, by language; `links` and `uses` are
    those of all of them. `to_and_cc` are the header fields To and Cc, likewise folded, of a mail whose recipients see
    each other: all copies have them. Without, each mail is addressed to its own recipient."""

    stream: Stream
    from_value: str
    from_domain: str
    subject: Subject
    body_fields: list[tuple[str, str]]
    body: list[bytes | Part]
    reply_to: str = ""
    headers: list[tuple[str, str]] = []
    variables: msgspec.Raw = msgspec.Raw(b"\x80")
    links: list[TrackedLink] = []
    category: str = ""
    rate: str = ""
    personal: list[Personal] = []
    uses: list[str] = []
    utm: Utm | None = None
    language: str = ""
    given: list[tuple[str, bytes]] = []
    pictures: list[Picture] = []
    variants: dict[str, Variant] = {}
    to_and_cc: list[tuple[str, str]] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CompiledContent)


def positions_by_document(links: Iterable[TrackedLink]) -> dict[str, list[int]]:
    """Where the links of each tracked document stand."""
    positions: dict[str, list[int]] = {}
    for link in links:
        if link.document:
            positions.setdefault(link.document, []).append(link.position)
    return positions


def positions_by_url(links: Iterable[TrackedLink]) -> dict[str, list[int]]:
    """Where each URL stands that is no tracked document's."""
    positions: dict[str, list[int]] = {}
    for link in links:
        if not link.document:
            positions.setdefault(link.url, []).append(link.position)
    return positions


def encode(content: CompiledContent) -> bytes:
    """The msgpack array that is stored once per job."""
    return _encoder.encode(content)


def documents(compiled: CompiledContent) -> dict[int, str]:
    """The names of the tracked documents that its mails lead to, by the positions of their links."""
    return {link.position: link.document for link in compiled.links if link.document}


def in_language(compiled: CompiledContent, language: str) -> CompiledContent:
    """As somebody gets it who is written to in that language, one of the `variants` or another."""
    variant = compiled.variants.get(language)
    if variant is None:
        return compiled
    parts = iter(variant.parts)
    body = [next(parts) if isinstance(item, Part) else item for item in compiled.body]
    return msgspec.structs.replace(compiled, subject=variant.subject, body=body, variants={})


def is_viewable(compiled: CompiledContent) -> bool:
    """Whether its mails lead to a page that shows them."""
    return any(path.partition(".")[0] in VIEW_URLS for path in compiled.uses)


def decode(packed: bytes) -> CompiledContent:
    """ValueError (msgspec's own is one) if the bytes do not fit."""
    return _decoder.decode(packed)
